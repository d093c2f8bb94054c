"""Runs of the real SDK: made, logged, resumed, failed; read back through the native domain."""

from __future__ import annotations

import http.client
import json
import math
import tempfile
from urllib.parse import urlsplit

from runstone import domain
from runstone.domain.context import Context
from runstone.domain.runs import delivery, rows

CTX = Context()


def get(served, name):
    return domain.runs.lifecycle.get(served.store, CTX, f"local/{name}")


def logged(served, name):
    """Steps and values of a run, without what the SDK adds by itself."""
    found = rows.read(served.store, CTX, f"local/{name}", wanted=lambda key: not key.startswith("system/"))
    return [
        (step, {key: value for key, value in values.items() if key not in ("_timestamp", "_runtime")})
        for step, _, values in found
    ]


def post(served, path, body, **headers):
    connection = http.client.HTTPConnection(urlsplit(served.url).netloc)
    connection.request("POST", path, json.dumps(body), {"Content-Type": "application/json", **headers})
    response = connection.getresponse()
    found = json.loads(response.read())
    connection.close()
    return response.status, found


def test_a_run_is_made_and_everything_arrives(served, sdk):
    sdk.run("""
        run = wandb.init(project="first", id="one", name="shown", group="g", job_type="train", tags=["a", "b"],
                         notes="some words", config={"lr": 0.1, "deep": {"x": [1, None, "t"]}})
        for step in range(5):
            run.log({"loss": 1 / (step + 1), "deep": {"a": step, "b": {"c": "text"}}, "odd": float("inf")})
        print("hello from the run")
        run.config.update({"late": 3})
        run.summary["best"] = {"value": 7}
        run.finish()
    """)
    run = get(served, "first/one")
    assert (run.display_name, run.group, run.job_type, run.notes) == ("shown", "g", "train", "some words")
    assert run.state == "finished"
    assert run.tags == {"a": "", "b": ""}
    assert run.config == {"lr": 0.1, "deep": {"x": [1, None, "t"]}, "late": 3}
    assert logged(served, "first/one") == [
        (step, {"loss": 1 / (step + 1), "deep.a": step, "deep.b.c": "text", "odd": math.inf})
        for step in range(5)
    ]
    assert run.summary["best"] == {"value": 7}
    assert run.summary["loss"] == 0.2
    lines = domain.runs.console.read(served.store, CTX, "local/first/one")
    assert "hello from the run" in [line.text for line in lines]


def test_an_exception_makes_a_run_failed(served, sdk):
    sdk.run("wandb.init(project='ends', id='bad').log({'x': 1}); raise RuntimeError", fails=True)
    assert get(served, "ends/bad").state == "failed"
    assert logged(served, "ends/bad") == [(0, {"x": 1})]


def test_resuming(served, sdk):
    sdk.run("""
        import os
        with wandb.init(project="again", id="r", config={"a": 1}, tags=["t"]) as run:
            run.log({"x": 0}); run.log({"x": 1}); print("from the first")
        with wandb.init(project="again", id="r", resume="must", config={"b": 2}) as run:
            say(run.resumed)
            run.log({"x": 2}); print("from the second")
        with wandb.init(project="again", id="fresh", resume="allow") as run:
            say(run.resumed)
    """)
    assert get(served, "again/r").config == {"a": 1, "b": 2}
    assert get(served, "again/r").state == "finished"
    assert logged(served, "again/r") == [(0, {"x": 0}), (1, {"x": 1}), (2, {"x": 2})]
    assert delivery.delivered(served.store, CTX, "local/again/r", "history") == 3
    lines = [line.text for line in domain.runs.console.read(served.store, CTX, "local/again/r")]
    assert lines.index("from the first") < lines.index("from the second")
    sdk.run("wandb.init(project='again', id='r', resume='never')", fails=True)
    sdk.run("wandb.init(project='again', id='nobody', resume='must')", fails=True)
    assert "nobody" not in _names(served, "again")


def _names(served, project):
    from runstone.domain.queries import mongo
    from runstone.domain.runs import listing

    return [
        name.rpartition("/")[2]
        for name in listing.find(served.store, CTX, f"local/{project}", mongo.condition(None))
    ]


def test_forking_and_rewinding(served, sdk):
    sdk.run("""
        with wandb.init(project="branches", id="root") as run:
            for step in range(6): run.log({"x": step})
        with wandb.init(project="branches", id="fork", fork_from="root?_step=2") as run:
            run.log({"x": 30})
        with wandb.init(project="branches", resume_from="root?_step=3") as run:
            run.log({"x": 40})
    """)
    assert [(step, values["x"]) for step, values in logged(served, "branches/fork")] == [
        (0, 0), (1, 1), (2, 2), (3, 30)
    ]  # fmt: skip
    assert [(step, values["x"]) for step, values in logged(served, "branches/root")] == [
        (0, 0), (1, 1), (2, 2), (3, 3), (4, 40)
    ]  # fmt: skip


def test_metrics_of_the_machine(served, sdk):
    # The SDK asks its monitor through a socket in TMPDIR, whose path is at most 107 bytes long; if it is longer there are no metrics.
    with tempfile.TemporaryDirectory() as short:
        said = sdk.run(
            """
            import time
            with wandb.init(project="machine", id="m", settings=wandb.Settings(x_stats_sampling_interval=0.2)) as run:
                run.log({"x": 1})
                for _ in range(60):  # until the monitor, which starts when it likes, has said something of the processors
                    time.sleep(1)
                    if any("system.cpu" in key for key in wandb.Api().run("machine/m").systemMetrics): break
            run = wandb.Api().run("machine/m")
            say([run.history(stream="system", pandas=False), run.systemMetrics, list(run.scan_history())])
            """,
            WANDB__DISABLE_STATS="false",
            TMPDIR=short,
        )
    found = rows.read(served.store, CTX, "local/machine/m", wanted=lambda key: key.startswith("system/"))
    assert any("cpu" in key for _, _, values in found for key in values)
    assert logged(served, "machine/m") == [(0, {"x": 1})]
    lines, latest, history = said[0]
    assert len(lines) == len(found)
    assert any(key.startswith("system.cpu") for line in lines for key in line)
    assert any(key.startswith("system.cpu") for key in latest)
    assert [set(line) for line in history] == [{"x", "_step", "_runtime", "_timestamp"}]


def test_media_stay_values_and_their_files_arrive(served, sdk):
    said = sdk.run("""
        with wandb.init(project="media", id="m") as run:
            run.log({"h": wandb.Histogram([1, 2, 3], num_bins=2), "page": wandb.Html("<b>x</b>")})
            run.log({"x": 1})
        run = wandb.Api().run("media/m")
        lines = list(run.scan_history())
        say([lines[0]["h"]["values"], lines[0]["page"]["_type"], lines[1]["x"], run.file(lines[0]["page"]["path"]).size])
    """)
    size = next(
        file.size for file in domain.runs.files.listed(served.store, CTX, "local/media/m", prefix="media/")
    )
    assert said == [[[1, 2], "html-file", 1, size]]
    assert size > 8


def test_a_repeated_chunk_changes_nothing(served):
    status, found = post(
        served,
        "/graphql",
        {
            "query": 'mutation M($n: String) { upsertBucket(input: {name: $n, modelName: "raw"}) { inserted } }',
            "variables": {"n": "r"},
        },
    )
    assert (status, found) == (200, {"data": {"upsertBucket": {"inserted": True}}})
    lines = [json.dumps({"x": step, "nan": math.nan, "_step": step}) for step in range(4)]
    stream = "/files/local/raw/r/file_stream"
    for offset, content in ((0, lines[:3]), (0, lines[:3]), (2, lines[2:]), (0, lines)):
        body = {"files": {"wandb-history.jsonl": {"offset": offset, "content": content}}}
        assert post(served, stream, body) == (200, {"stopped": False, "refused": []})
    run = get(served, "raw/r")
    assert run.points == 8
    assert [(step, values["x"]) for step, values in logged(served, "raw/r")] == [(n, n) for n in range(4)]


def test_a_line_that_is_no_json_is_refused_and_the_rest_kept(served):
    post(
        served,
        "/graphql",
        {"query": 'mutation { upsertBucket(input: {name: "r", modelName: "bad"}) { inserted } }'},
    )
    body = {
        "files": {
            "wandb-history.jsonl": {
                "offset": 0,
                "content": ['{"x": 1, "_step": 0}', "{", '{"x": 3, "_step": 2}'],
            }
        }
    }
    status, found = post(served, "/files/local/bad/r/file_stream", body)
    assert status == 200
    assert len(found["refused"]) == 1
    assert "line 1" in found["refused"][0]
    assert logged(served, "bad/r") == [(0, {"x": 1}), (2, {"x": 3})]


def test_console_lines_are_rewritten(served):
    post(
        served,
        "/graphql",
        {"query": 'mutation { upsertBucket(input: {name: "r", modelName: "console"}) { inserted } }'},
    )
    for offset, content in (
        (0, ["2026-11-23T03:10:51.860050 10%", "ERROR 2026-11-23T03:10:52.000000 oh"]),
        (0, ["2026-11-23T03:10:53.000000 90%\n"]),  # older SDKs sync the end of line with it
    ):
        body = {"files": {"output.log": {"offset": offset, "content": content}}}
        assert post(served, "/files/local/console/r/file_stream", body)[0] == 200
    found = domain.runs.console.read(served.store, CTX, "local/console/r")
    assert [(line.text, line.stream) for line in found] == [("90%", "stdout"), ("oh", "stderr")]


def test_what_is_not_supported_says_so(served):
    status, found = post(served, "/graphql", {"query": "query FetchRegistries { registries { id } }"})
    assert status == 200
    assert "FetchRegistries" in found["errors"][0]["message"]


def test_documents_are_limited(served):
    deep = "query { viewer " + "{ teams { edges { node " * 12 + "{ name }" + "}}}" * 12 + "}"
    status, found = post(served, "/graphql", {"query": deep})
    assert status == 200
    assert "nests deeper" in found["errors"][0]["message"]
    turning = "query { viewer { ...A } } fragment A on User { ...B } fragment B on User { ...A }"
    assert "holds itself" in post(served, "/graphql", {"query": turning})[1]["errors"][0]["message"]


def test_addresses_are_of_the_host_that_the_client_used_and_good_for_one_file(served):
    made = 'mutation { upsertBucket(input: {name: "r", modelName: "signed"}) { inserted } }'
    post(served, "/graphql", {"query": made})
    query = """mutation { createRunFiles(input: {entityName: "local", projectName: "signed", runName: "r", files: ["a b", "c"]}) {
        files { name uploadUrl } } }"""
    proxy = {"X-Forwarded-Proto": "https", "X-Forwarded-Host": "track.example:8443"}
    found = post(served, "/graphql", {"query": query}, **proxy)[1]["data"]["createRunFiles"]["files"]
    assert [file["name"] for file in found] == ["a b", "c"]
    assert found[0]["uploadUrl"].startswith("https://track.example:8443/wandb/runs/local/signed/r/a%20b?")
    plain = post(served, "/graphql", {"query": query}, Host="localhost:9999")[1]["data"]["createRunFiles"][
        "files"
    ]
    assert plain[1]["uploadUrl"].startswith("http://localhost:9999/wandb/runs/local/signed/r/c?")
    address = urlsplit(plain[1]["uploadUrl"])
    for path, status in ((address.path, 200), (address.path + "x", 403)):
        connection = http.client.HTTPConnection(urlsplit(served.url).netloc)
        connection.request("PUT", f"{path}?{address.query}", b"content")
        response = connection.getresponse()
        assert response.status == status
        assert (response.getheader("ETag") is not None) == (status == 200)
        connection.close()
    files = domain.runs.files.listed(served.store, CTX, "local/signed/r")
    assert [(file.path, file.size) for file in files] == [("c", 7)]
