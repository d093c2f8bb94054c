"""What no server should take: each is refused by name, in the SDK's own shape, and changes nothing."""

from __future__ import annotations

import http.client
import json
from urllib.parse import urlsplit

import pytest

from runstone.domain.context import Context
from runstone.domain.queries import mongo
from runstone.domain.runs import delivery, listing, rows
from runstone.domain.sweeps import lifecycle as sweeps

CTX = Context()
UPSERT = "mutation U($input: UpsertBucketInput!) { upsertBucket(input: $input) { inserted } }"
FILES = "mutation F($input: CreateRunFilesInput!) { createRunFiles(input: $input) { runID } }"
FIND = (
    'query R($filters: JSONString, $order: String) { project(name: "bad", entityName: "local") '
    "{ runCount(filters: $filters) runs(order: $order) { edges { cursor } } } }"
)
SWEEP = "mutation S($input: UpsertSweepInput!) { upsertSweep(input: $input) { sweep { name } } }"
BOMB = "a: &a [x, x]\nb: &b [*a, *a]\nmethod: random\nparameters: {x: {values: *b}}"


def post(served, path, body):
    connection = http.client.HTTPConnection(urlsplit(served.url).netloc)
    sent = body if isinstance(body, bytes) else json.dumps(body)
    connection.request("POST", path, sent, {"Content-Type": "application/json"})
    response = connection.getresponse()
    found = json.loads(response.read())
    connection.close()
    return response.status, found


@pytest.fixture(scope="module", autouse=True)
def project(served):
    status, found = post(
        served, "/graphql", {"query": UPSERT, "variables": {"input": {"name": "r", "modelName": "bad"}}}
    )
    assert (status, found) == (200, {"data": {"upsertBucket": {"inserted": True}}})


@pytest.mark.parametrize(
    ("query", "variables", "named"),
    [
        ("query {", {}, "Syntax Error"),
        ("", {}, "Syntax Error"),
        ("query Nothing { nothing }", {}, "Nothing"),
        (UPSERT, {}, "input"),
        (UPSERT, {"input": {"name": 7}}, "name"),
        (UPSERT, {"input": {"name": "a/b", "modelName": "bad"}}, "a/b"),
        (UPSERT, {"input": {"name": "n" * 3000, "modelName": "bad"}}, "name"),
        (UPSERT, {"input": {"name": "x", "modelName": "a b/c"}}, "a b"),
        (UPSERT, {"input": {"name": "x", "modelName": "bad", "entityName": "nobody"}}, "nobody"),
        (UPSERT, {"input": {"name": "x", "modelName": "bad", "config": "{"}}, "config"),
        (UPSERT, {"input": {"name": "x", "modelName": "bad", "config": "[]"}}, "config"),
        (UPSERT, {"input": {"name": "x", "modelName": "bad", "config": json.dumps({"k" * 9000: {"value": 1}})}}, "config"),
        (UPSERT, {"input": {"name": "x", "modelName": "bad", "config": json.dumps({"k": {"value": "v" * (5 << 20)}})}}, "config"),
        (UPSERT, {"input": {"id": "no id"}}, "no id"),
        (UPSERT, {"input": {"id": "UnVuOjk5OTk5OQ=="}}, "999999"),
        (FILES, {"input": {"entityName": "local", "projectName": "bad", "runName": "r", "files": ["../x"]}}, "../x"),
        (FILES, {"input": {"entityName": "local", "projectName": "bad", "runName": "r", "files": ["/etc/passwd"]}}, "/etc/passwd"),
        (FILES, {"input": {"entityName": "local", "projectName": "bad", "runName": "r", "files": ["a\x00b"]}}, "path"),
        (FILES, {"input": {"entityName": "local", "projectName": "bad", "runName": "none", "files": ["a"]}}, "none"),
        (FIND, {"filters": "{"}, "JSON"),
        (FIND, {"filters": '{"unheard": 1}'}, "unheard"),
        (FIND, {"filters": '{"$where": "1"}'}, "$where"),
        (FIND, {"filters": json.dumps({"config.x": {"$regex": "("}})}, "("),
        (FIND, {"order": "-nothing"}, "nothing"),
        (SWEEP, {"input": {"projectName": "bad", "config": BOMB}}, "aliases"),
        (SWEEP, {"input": {"projectName": "bad", "config": "- 1"}}, "map"),
        (SWEEP, {"input": {"projectName": "bad", "config": "{"}}, "YAML"),
        (SWEEP, {"input": {"projectName": "bad", "config": "[" * 5000}}, "YAML"),
        (SWEEP, {"input": {"projectName": "bad", "config": "method: random", "launchScheduler": "{}"}}, "containers"),
    ],
)  # fmt: skip
def test_a_bad_question_is_refused_by_name(served, query, variables, named):
    status, found = post(served, "/graphql", {"query": query, "variables": variables})
    assert status == 200
    assert named in found["errors"][0]["message"]
    assert "something went wrong" not in found["errors"][0]["message"]
    there = listing.find(served.store, CTX, "local/bad", mongo.condition(None))
    assert there == ["local/bad/r"]
    assert sweeps.listed(served.store, CTX, "local/bad") == []


def test_a_request_that_is_no_request(served):
    for body in (b"{", b"[]", b'{"query": 1}', b"\xff\xfe"):
        status, found = post(served, "/graphql", body)
        assert 400 <= status < 500
        assert found["errors"][0]["message"]


def test_lines_that_cannot_be_stored_are_named_and_the_rest_is_kept(served):
    deep = '{"a": ' * 300 + "1" + "}" * 300
    lines = [
        '{"x": 1, "_step": 0}', "no json", "[]", '{"x": 2, "_step": "s"}', json.dumps({"k" * 5000: 1, "_step": 3}), deep, "",
        '{"x": 3, "_step": 6}', '{"x": 4, "_step": -9223372036854775809}',
    ]  # fmt: skip
    body = {
        "files": {
            "wandb-history.jsonl": {"offset": 0, "content": lines},
            "odd.bin": {"offset": 0, "content": ["x"]},
        }
    }
    status, found = post(served, "/files/local/bad/r/file_stream", body)
    assert status == 200
    assert len(found["refused"]) == len(lines) - 2 + 1
    assert any("odd.bin" in each for each in found["refused"])
    assert delivery.delivered(served.store, CTX, "local/bad/r", "history") == len(lines)
    kept = rows.read(served.store, CTX, "local/bad/r", wanted=lambda key: key == "x")
    assert [(step, values["x"]) for step, _, values in kept] == [(0, 1), (6, 3)]
    for path, status in (("none", 404), ("r%2Fx", 400)):
        answered, found = post(served, f"/files/local/bad/{path}/file_stream", {})
        assert (400 <= answered < 500) and found["error"], status
    negative = {"files": {"wandb-history.jsonl": {"offset": -1, "content": lines[:1]}}}
    assert 400 <= post(served, "/files/local/bad/r/file_stream", negative)[0] < 500
