"""What no server should take: each is refused by name, in the SDK's own shape, and changes nothing."""

from __future__ import annotations

import http.client
import json
import re
from urllib.parse import urlsplit

import pytest

from runstone import domain
from runstone.domain.context import Context
from runstone.domain.queries import mongo
from runstone.domain.runs import delivery, listing, rows
from runstone.domain.sweeps import lifecycle as sweeps
from runstone.storage.tables import DRAFTS

CTX = Context()
UPSERT = "mutation U($input: UpsertBucketInput!) { upsertBucket(input: $input) { inserted } }"
FILES = "mutation F($input: CreateRunFilesInput!) { createRunFiles(input: $input) { runID } }"
FIND = (
    'query R($filters: JSONString, $order: String) { project(name: "bad", entityName: "local") '
    "{ runCount(filters: $filters) runs(order: $order) { edges { cursor } } } }"
)
CREATE = (
    "mutation C($input: CreateArtifactInput!) { createArtifact(input: $input) { artifact { id state } } }"
)
ROLE = 'mutation R($role: String!) { updateProjectMember(input: {projectId: "x", userId: "VXNlcjox", userProjectRole: $role}) { success } }'
ARTIFACT = {"entityName": "local", "projectName": "bad", "artifactTypeName": "t", "digest": "0" * 32}
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
    domain.projects.create(served.store, CTX, "local/taken", kind="registry")


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
        (UPSERT, {"input": {"name": "x", "modelName": "wandb-registry-taken"}}, "wandb-registry-taken is a registry"),
        (ROLE, {"role": "restricted_viewer"}, "admin, member, viewer"),
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
        (CREATE, {"input": ARTIFACT | {"artifactCollectionName": "a", "aliases": [{"artifactCollectionName": "a", "alias": "a:b"}]}}, "a:b"),
        (CREATE, {"input": ARTIFACT | {"artifactCollectionName": "a", "aliases": [{"artifactCollectionName": "a", "alias": "x" * 999}]}}, "alias"),
        (CREATE, {"input": ARTIFACT | {"artifactCollectionName": "a/b"}}, "a/b"),
        (CREATE, {"input": ARTIFACT | {"artifactCollectionName": ".."}}, ".."),
        (CREATE, {"input": ARTIFACT | {"artifactCollectionName": "a", "digest": "no digest"}}, "no digest"),
        (CREATE, {"input": ARTIFACT | {"artifactCollectionName": "a", "metadata": "{"}}, "metadata"),
        (CREATE, {"input": ARTIFACT | {"artifactCollectionName": "a", "metadata": json.dumps({"k": "v" * (2 << 20)})}}, "metadata"),
        (CREATE, {"input": ARTIFACT | {"artifactCollectionName": "a", "runName": "none"}}, "none"),
        (CREATE, {"input": ARTIFACT | {"artifactCollectionName": "a", "entityName": "nobody"}}, "nobody"),
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
    assert domain.collections.list_collections(served.store, CTX, "local/bad") == []
    with served.store.index.read() as view:
        assert view.count(DRAFTS) == 0


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


def test_documents_that_ask_for_too_much_are_refused(served):
    wide = "query { " + " ".join(f"a{n}: viewer {{ id }}" for n in range(3000)) + " }"
    doubled = "query { ...A0 } " + " ".join(
        f"fragment A{n} on Query {{ ...A{n + 1} x{n}: viewer {{ id }} ...A{n + 1} }}" for n in range(13)
    )
    doubled += " fragment A13 on Query { viewer { id } }"
    many = "query { viewer { " + "id " * 21_000 + "} }"
    large = "query { viewer { id } } #" + "x" * (256 << 10)
    for text, named in (
        (wide, "over 5000 fields"),
        (doubled, "over 5000 fields"),
        (many, "tokens"),
        (large, "characters"),
    ):
        status, found = post(served, "/graphql", {"query": text})
        assert named in found["errors"][0]["message"], found
        assert status in (200, 413)


def test_what_is_missing_is_the_sdks_own_not_found(served, sdk):
    sdk.run("""
        with wandb.init(project="there", id="r") as run:
            artifact = wandb.Artifact("net", type="model")
            with artifact.new_file("w") as file: file.write("w")
            run.log_artifact(artifact).wait()
    """)
    (found,) = sdk.run("""
        api = wandb.Api()
        def kind(ask):
            try: ask()
            except Exception as error: return [type(error).__name__, str(error)]
            return None
        with wandb.init(project="there", id="user") as run:
            say([kind(ask) for ask in (
                lambda: api.artifact("there/none:v0"), lambda: api.artifact("there/net:v7"), lambda: api.artifact("there/net:nobody"),
                lambda: api.artifact("nowhere/net:v0"), lambda: api.artifact("nobody/there/net:v0"), lambda: run.use_artifact("net:v9"),
                lambda: api.run("there/none"), lambda: list(api.runs("nobody/there")), lambda: api.sweep("there/none"),
                lambda: api.artifact_collection("model", "there/none"),
                lambda: api.artifact("there/net:v0").get_entry("none"), lambda: api.run("there/r").file("none"))])
    """)
    assert all(found), found
    # This one takes the first of the files that have the name.
    assert found.pop()[1] == "list index out of range"
    for name, text in found:
        assert name in (
            "CommError",
            "ValueError",
            "KeyError",
            "HTTPError",
            "NotFoundError",
            "ArtifactNotFoundError",
        ), (name, text)
        assert "something went wrong" not in text
        assert re.search("not found|could not find|no |none|nobody|unable to", text, re.I), found
