"""The routes of runs, against a live server with authentication on."""

from __future__ import annotations

import math

import msgspec
import pytest
from calling import Caller, segment

from runstone._native.points import encode_rows

PROJECT = "/api/v1/runs/lab/vision"
BATCH = "application/vnd.runstone.points"


@pytest.fixture
def run(people: dict[str, Caller], request: pytest.FixtureRequest) -> str:
    """The path of a fresh run."""
    name = request.node.name.partition("[")[0][-60:]
    made = people["max"].post(PROJECT, {"name": name, "config": {"lr": 0.1}, "goals": {"loss": "min"}})
    assert made.expect(201)["name"] == name
    return f"{PROJECT}/{name}"


def test_a_run_is_made_resumed_changed_and_finished(people: dict[str, Caller], run: str):
    max_, ria = people["max"], people["ria"]
    name = run.rpartition("/")[2]
    assert max_.post(PROJECT, {"name": name}).code == "exists"
    assert max_.post(PROJECT, {"name": name, "resume": "allow", "tags": {"a": ""}}).expect(200)["tags"] == {
        "a": ""
    }
    changed = max_.patch(run, {"config": {"b": [1]}, "remove": ["config.lr"], "notes": "n"}).expect(200)
    assert (changed["config"], changed["notes"]) == ({"b": [1]}, "n")
    assert ria.patch(run, {"notes": "x"}).code == "denied"
    assert people["eve"].get(run).code == "missing"
    assert max_.call("POST", f"{run}/heartbeat").status == 204
    done = max_.post(f"{run}/finish", {"state": "failed", "finished": 7}).expect(200)
    assert (done["state"], done["finished"]) == ("failed", 7)
    assert max_.post(f"{run}/finish", {"state": "done"}).code == "invalid"


def test_points_come_as_rows_and_as_batches(people: dict[str, Caller], run: str):
    max_ = people["max"]
    rows = [
        {"step": n, "time": n, "values": {"loss": 3.0 - n, "img": {"_type": "image-file"}}} for n in range(3)
    ]
    assert max_.post(f"{run}/rows", {"rows": rows}).expect(200) == {"points": 6, "step": 2}
    batch = encode_rows([(3, 3, {"loss": math.nan}), (4, 4, {"loss": 0.5})])
    sent = max_.call("POST", f"{run}/points", content=batch, headers={"Content-Type": BATCH})
    assert sent.expect(200) == {"points": 2, "step": 4}
    stats = max_.get(f"{run}/stats").expect(200)["items"]
    assert [(each["key"], each["points"], each["nans"], each["best"]) for each in stats] == [
        ("loss", 5, 1, 0.5)
    ]
    assert max_.get("/api/v1/keys/lab/vision?prefix=lo").expect(200)["items"] == ["loss"]
    assert max_.get(run).expect(200)["summary"] == {"loss": 0.5, "img": {"_type": "image-file"}}
    assert (
        max_.call("POST", f"{run}/points", content=batch, headers={"Content-Type": "text/plain"}).status
        == 400
    )
    assert (
        max_.call("POST", f"{run}/points", content=batch[:-3], headers={"Content-Type": BATCH}).code
        == "invalid"
    )
    assert max_.post(f"{run}/rows", {"rows": [{"step": 0, "time": 0, "values": {"": 1}}]}).code == "invalid"
    assert people["ria"].post(f"{run}/rows", {"rows": rows}).code == "denied"


def test_a_batch_that_is_sent_again_is_one(people: dict[str, Caller], run: str):
    batch = encode_rows([(0, 0, {"loss": 1.0})])
    fields = {"Content-Type": BATCH, "Idempotency-Key": "00" * 16}
    for _ in range(3):
        assert people["max"].call("POST", f"{run}/points", content=batch, headers=fields).expect(200) == {
            "points": 1,
            "step": 0,
        }
    assert people["max"].get(run).expect(200)["points"] == 1
    assert (
        people["ann"].call("POST", f"{run}/points", content=batch, headers=fields).expect(200)["points"] == 1
    )
    assert people["max"].get(run).expect(200)["points"] == 1, (
        "what another principal delivers again is the same"
    )
    other = encode_rows([(0, 0, {"loss": 2.0})])
    assert people["ann"].call("POST", f"{run}/points", content=other, headers=fields).code == "invalid"


def test_a_run_is_forked_rewound_deleted_restored_and_purged(people: dict[str, Caller], run: str):
    max_, ann = people["max"], people["ann"]
    rows = [{"step": n, "time": n, "values": {"loss": float(n)}} for n in range(5)]
    max_.post(f"{run}/rows", {"rows": rows}).expect(200)
    name = run.rpartition("/")[2]
    fork = max_.post(PROJECT, {"name": f"{name}-fork", "fork": name, "step": 2}).expect(201)
    assert (fork["summary"], fork["parent"], fork["forked"]) == ({"loss": 1.0}, f"lab/vision/{name}", 2)
    assert max_.post(f"{run}/rewind", {"step": 3}).expect(200)["summary"] == {"loss": 2.0}
    assert max_.delete(f"{run}/rewind").expect(200)["summary"] == {"loss": 4.0}
    assert max_.delete(f"{run}/rewind").code == "conflict"
    max_.delete(run).expect(204)
    assert max_.get(run).code == "gone"
    assert max_.get(f"{run}?deleted=true").expect(200)["deleted"] > 0
    assert max_.call("POST", f"{run}/restore").expect(200)["deleted"] == 0
    max_.delete(run).expect(204)
    assert max_.call("POST", f"{run}/purge").code == "denied"
    ann.call("POST", f"{run}/purge").expect(204)
    assert max_.get(f"{run}?deleted=true").code == "missing"


def test_lines_and_files(people: dict[str, Caller], run: str):
    max_ = people["max"]
    lines = [{"time": 1, "text": "one"}, {"time": 2, "text": "two", "stream": "stderr", "level": "error"}]
    assert max_.post(f"{run}/lines", {"lines": lines}).expect(200) == {"first": 0}
    assert max_.post(f"{run}/lines", {"lines": [{"time": 3, "text": "ONE"}], "first": 0}).expect(200) == {
        "first": 0
    }
    shown = max_.get(f"{run}/lines").expect(200)["items"]
    assert [(line["number"], line["text"], line["level"]) for line in shown] == [
        (0, "ONE", ""),
        (1, "two", "error"),
    ]
    first = max_.get(f"{run}/lines?limit=1").expect(200)
    assert max_.get(f"{run}/lines?limit=1&start={first['next']}").expect(200)["items"] == shown[1:]
    assert max_.get(f"{run}/lines?search=TWO&tail=false").expect(200)["items"] == shown[1:]
    assert max_.get(f"{run}/lines?tail=true&limit=1").expect(200)["items"] == shown[1:]
    assert max_.post(f"{run}/lines", {"lines": []}).code == "invalid"
    upload = max_.post("/api/v1/uploads", {"namespace": "lab"}).expect(201)["id"]
    max_.call("PATCH", f"/api/v1/uploads/{upload}", content=b"bytes", headers={"Upload-Offset": "0"}).expect(
        204
    )
    digest = max_.post(f"/api/v1/uploads/{upload}/finish", {}).expect(200)["sha256"]
    entry = {"path": "out/a b.txt", "size": 5, "sha256": digest}
    assert max_.put(f"{run}/files", {"files": [entry]}).expect(200)["items"][0]["path"] == "out/a b.txt"
    assert max_.get(f"{run}/files?prefix=out/").expect(200)["items"][0]["sha256"] == digest
    assert max_.get(f"{run}/files/out/a%20b.txt").content == b"bytes"
    assert people["eve"].get(f"{run}/files/out/a%20b.txt").code == "missing"
    max_.delete(f"{run}/files/out/a%20b.txt").expect(204)
    assert max_.get(f"{run}/files/out/a%20b.txt").code == "missing"


def test_messagepack_carries_what_json_cannot(people: dict[str, Caller], run: str):
    body = msgspec.msgpack.encode({"config": {"inf": math.inf, "nan": math.nan}})
    fields = {"Content-Type": "application/msgpack", "Accept": "application/msgpack"}
    answer = people["max"].call("PATCH", run, content=body, headers=fields)
    config = msgspec.msgpack.decode(answer.content)["config"]
    assert config["inf"] == math.inf and math.isnan(config["nan"])
    assert people["max"].get(run).expect(200)["config"]["inf"] is None


def test_series_over_http(people: dict[str, Caller], run: str):
    max_ = people["max"]
    rows = [{"step": n, "time": n, "values": {"loss": n / 2, "n": n}} for n in range(20)]
    max_.post(f"{run}/rows", {"rows": rows}).expect(200)
    page = max_.get(f"{run}/series?key=loss&low=5&limit=10").expect(200)
    assert page["steps"] == list(range(5, 15)) and page["values"][0] == 2.5
    assert max_.get(f"{run}/series?key=loss&limit=10&after={page['next']}").expect(200)["steps"] == [
        15,
        16,
        17,
        18,
        19,
    ]
    assert max_.post(f"{run}/rows/query", {"keys": ["n"], "low": 18}).expect(200)["rows"] == [
        [18, 18, {"n": 18}],
        [19, 19, {"n": 19}],
    ]
    name = run.removeprefix("/api/v1/runs/")
    (drawn,) = max_.post("/api/v1/series/query", {"runs": [name], "keys": ["loss"], "buckets": 4}).expect(
        200
    )["items"]
    assert sum(drawn["count"]) == 20 and drawn["run"] == name
    assert max_.get(f"{run}/series?key=nothing").code == "missing"
    assert max_.get(f"{run}/series?key=loss&limit=0").code == "invalid"
    assert people["eve"].post("/api/v1/series/query", {"runs": [name], "keys": ["loss"]}).code == "missing"


def test_questions_over_http(people: dict[str, Caller]):
    max_ = people["max"]
    for number in range(5):
        made = max_.post(
            "/api/v1/runs/lab/asked", {"name": f"r{number}", "config": {"n": number, "opt": "ab"[number % 2]}}
        )
        made.expect(201)
    where = "/api/v1/run-queries/lab/asked"
    page = max_.post(
        f"{where}/query", {"filter": "config.n >= 1", "order": "config.n desc", "limit": 2, "total": True}
    )
    assert [run["name"] for run in page.expect(200)["items"]] == ["r4", "r3"] and page.json["total"] == 4
    rest = max_.post(
        f"{where}/query",
        {"filter": {"config.n": {"$gte": 1}}, "order": "config.n desc", "after": page.json["next"]},
    )
    assert [run["name"] for run in rest.expect(200)["items"]] == ["r2", "r1"]
    groups = max_.post(
        f"{where}/group",
        {"by": ["config.opt"], "figures": ["count()", "max(config.n)"], "order": "config.opt"},
    )
    assert [(each["key"], each["figures"]) for each in groups.expect(200)["items"]] == [
        (["a"], [3, 4]),
        (["b"], [2, 3]),
    ]
    assert max_.get(f"{where}/fields?prefix=config.").expect(200)["items"] == [
        {"field": "config.n", "runs": 5},
        {"field": "config.opt", "runs": 5},
    ]
    for number in range(3):
        values = {"loss": 1.0, f"train/k{number}": 2.0}
        max_.post(
            f"/api/v1/runs/lab/asked/r{number}/rows", {"rows": [{"step": 0, "time": 1, "values": values}]}
        ).expect(200)
    sections = max_.get(f"{where}/sections?keys=2").expect(200)["items"]
    assert [(each["name"], each["keys"]) for each in sections] == [
        ("", ["loss"]),
        ("train", ["train/k0", "train/k1"]),
    ]
    assert max_.get(f"{where}/sections?contains=K2").expect(200)["items"][0]["keys"] == ["train/k2"]
    keys = max_.get(f"{where}/section-keys?section=train&limit=2").expect(200)
    assert keys["items"] == ["train/k0", "train/k1"]
    assert (
        people["eve"].get(f"{where}/sections").code
        == people["eve"].get(f"{where}/section-keys").code
        == "missing"
    )
    assert max_.post(f"{where}/query", {"filter": "config.n >"}).code == "invalid"
    assert (
        max_.post(f"{where}/group", {"by": ["config.opt"], "figures": ["median(config.n)"]}).code == "invalid"
    )
    assert people["eve"].post(f"{where}/query", {}).code == "missing"


def test_sql_over_http(people: dict[str, Caller]):
    max_ = people["max"]
    max_.post("/api/v1/runs/lab/selected", {"name": "r0", "config": {"n": 3}}).expect(201)
    where = "/api/v1/sql/lab/selected"
    found = max_.post(where, {"sql": 'SELECT id, "config.n" FROM runs'}).expect(200)
    assert found == {"columns": ["id", "config.n"], "rows": [["r0", 3.0]]}
    assert max_.post(where, {"sql": "DROP TABLE runs"}).code == "invalid"
    assert people["eve"].post(where, {"sql": "SELECT 1"}).code == "missing"


def test_runs_are_listed_page_by_page_and_hidden_fields_are_not_there(people: dict[str, Caller]):
    path = "/api/v1/runs/lab/listed"
    for number in range(5):
        value = {"name": f"r{number}", "config": {"lr": number, "user": f"u{number % 2}"}}
        people["max"].post(path, value).expect(201)
    field = "/api/v1/projects/lab/listed/fields/config.user"
    assert people["ann"].put(field, {"class": "pii"}).status in (200, 204)
    assert people["max"].delete(f"{path}/r4").status == 204

    def listed(who: str, asked: str) -> tuple[list[str], str]:
        page = people[who].get(f"{path}?{asked}").expect(200)
        return [item["name"] for item in page["items"]], page["next"]

    names, after = listed("ria", "limit=3")
    assert names == ["r3", "r2", "r1"]
    assert listed("ria", f"limit=3&after={segment(after)}") == (["r0"], "")
    assert listed("ria", "deleted=true&limit=1")[0] == ["r4"]
    assert listed("ria", "filter=config.lr%20%3E%3D%202&order=config.lr") == (["r2", "r3"], "")
    assert listed("ann", "filter=config.user%20%3D%20%22u1%22")[0] == ["r3", "r1"]
    assert listed("ria", "filter=config.user%20%3D%20%22u1%22") == ([], "")
    assert listed("ria", "order=config.user") == listed("ria", "order=config.user%20desc")
    assert listed("ann", "order=config.user")[0] == ["r2", "r0", "r3", "r1"]
    assert "user" not in people["ria"].get(path).expect(200)["items"][0]["config"]
    assert people["eve"].get(path).code == "missing"
    assert people["ria"].get(f"{path}?filter=lr%20%3C").code == "invalid"
    assert people["ria"].get(f"{path}?unknown=1").code == "invalid"


def test_many_runs_are_changed_at_once_by_who_may_write(people: dict[str, Caller], run: str):
    max_, ria = people["max"], people["ria"]
    path, name = "/api/v1/run-changes/lab/vision", run.rpartition("/")[2]
    asked = {"act": "tag", "filter": f'id = "{name}"', "expected": 1, "tags": {"good": ""}}
    assert ria.post(path, asked).code == "denied"
    assert people["eve"].post(path, asked).code == "missing"
    assert max_.post(path, {**asked, "expected": 7}).code == "conflict"
    assert max_.get(run).expect(200)["tags"] == {}
    assert max_.post(path, asked).expect(200) == {"matched": 1, "runs": [name]}
    assert max_.get(run).expect(200)["tags"] == {"good": ""}
    assert max_.post(path, {"act": "delete", "runs": [name]}).expect(200)["runs"] == [name]
    assert max_.get(run).code == "gone"
    assert max_.post(path, {"act": "restore", "runs": [name]}).expect(200)["runs"] == [name]


def test_a_question_asked_again_knows_what_was_written_since_and_who_asks(people: dict[str, Caller]):
    """Answers are given again while nothing changes: never to one who may see less, and never an old one."""
    path, asked = "/api/v1/run-queries/lab/again", {"filter": 'config.user = "u1"', "order": "id"}
    runs, by = "/api/v1/runs/lab/again", {"by": ["config.user"], "figures": ["sum(summary.m)"]}
    ann, max_, ria = people["ann"], people["max"], people["ria"]
    found = []
    for number in range(4):
        max_.post(runs, {"name": f"r{number}", "config": {"user": "u1"}}).expect(201)
        found += [len(ann.post(f"{path}/query", asked).expect(200)["items"]) for _ in range(2)]
        max_.post(
            f"{runs}/r{number}/rows", {"rows": [{"step": 1, "time": 1, "values": {"m": number}}]}
        ).expect(200)
        grouped = ann.post(f"{path}/group", by).expect(200)
        assert grouped["items"] == [{"key": ["u1"], "figures": [sum(range(number + 1))]}]
    assert found == [1, 1, 2, 2, 3, 3, 4, 4]
    field = "/api/v1/projects/lab/again/fields/config.user"
    assert ann.put(field, {"class": "pii"}).status in (200, 204)
    assert len(ann.post(f"{path}/query", asked).expect(200)["items"]) == 4
    assert ria.post(f"{path}/query", asked).expect(200)["items"] == []
    assert people["eve"].post(f"{path}/query", asked).code == "missing"
    as_csv = ann.post(f"{path}/group", by, headers={"Accept": "text/csv"})
    assert as_csv.content.startswith(b"config.user,")
    assert ann.post(f"{path}/group", by).expect(200)["by"] == ["config.user"]
