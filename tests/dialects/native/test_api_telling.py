"""The routes by which people are told of things: alerts of runs, webhooks and the secrets that they name."""

from __future__ import annotations

import time

from calling import Caller

RUNS = "/api/v1/runs/lab/telling"


def test_alerts(people: dict[str, Caller]):
    max_, ria, eve = people["max"], people["ria"], people["eve"]
    max_.post(RUNS, {"name": "one"}).expect(201)
    told = max_.post(f"{RUNS}/one/alerts", {"title": "loss is NaN", "text": "at 7", "severity": "error"})
    assert told.expect(200)["told"] is True
    assert ria.post(f"{RUNS}/one/alerts", {"title": "x"}).code == "denied"
    assert max_.post(f"{RUNS}/one/alerts", {"title": "x", "severity": "loud"}).code == "invalid"
    (alert,) = ria.get(f"{RUNS}/one/alerts").expect(200)["items"]
    assert (alert["title"], alert["text"], alert["severity"], alert["by"]) == (
        "loss is NaN",
        "at 7",
        "error",
        "max",
    )
    assert eve.get(f"{RUNS}/one/alerts").code == "missing"


def test_secrets_are_kept_and_never_told(people: dict[str, Caller]):
    ann, max_ = people["ann"], people["max"]
    path = "/api/v1/namespaces/lab/secrets"
    ann.put(f"{path}/HOOK", {"value": "s3cret"}).expect(204)
    assert ann.get(path).expect(200) == {"items": ["HOOK"]}
    assert max_.put(f"{path}/MINE", {"value": "x"}).code == "denied"
    assert b"s3cret" not in ann.get(path).content
    ann.delete(f"{path}/HOOK").expect(204)
    assert ann.get(path).expect(200) == {"items": []}


def test_webhooks_and_what_they_were_sent(people: dict[str, Caller]):
    ann, max_ = people["ann"], people["max"]
    path = "/api/v1/namespaces/lab/webhooks"
    made = ann.post(path, {"name": "chat", "url": "https://chat.example/in"}).expect(201)
    assert (made["name"], made["enabled"], made["signed"]) == ("chat", True, False)
    assert ann.post(path, {"name": "here", "url": "https://127.0.0.1/in"}).code == "invalid"
    assert max_.get(path).code == "denied"
    assert [hook["id"] for hook in ann.get(path).expect(200)["items"]] == [made["id"]]
    assert ann.get(f"{path}/{made['id']}/deliveries").expect(200) == {"items": []}
    ann.delete(f"{path}/{made['id']}").expect(204)
    assert ann.get(f"{path}/{made['id']}/deliveries").code == "missing"


def test_moments_of_a_run(people: dict[str, Caller]):
    max_, ria = people["max"], people["ria"]
    run = f"{RUNS}/turns"
    max_.post(RUNS, {"name": "turns"}).expect(201)
    assert max_.get(f"{run}/moments").expect(200)["items"] == []

    def log(*steps: int) -> None:
        now = time.time_ns() // 1000
        rows = [{"step": step, "time": now, "values": {"loss": 1.0}} for step in steps]
        max_.post(f"{run}/rows", {"rows": rows}).expect(200)

    max_.post(f"{run}/alerts", {"title": "begun", "severity": "warn"}).expect(200)
    log(0, 1, 2, 3)
    project = RUNS.removeprefix("/api/v1/runs/")
    max_.post(f"/api/v1/projects/{project}/collections", {"name": "turning"}).expect(201)
    entry = {"path": "a", "size": 1, "url": "https://example.org/a", "etag": "1"}
    max_.post(f"/api/v1/collections/{project}/turning/versions", {"files": [entry]}).expect(201)
    max_.post(
        "/api/v1/lineage",
        {"source": f"run:{project}/turns", "relation": "produced", "target": f"{project}/turning:v1"},
    )
    log(4)
    max_.post(f"{run}/finish", {"state": "crashed"}).expect(200)
    max_.post(RUNS, {"name": "turns", "resume": "must"}).expect(200)
    max_.patch(run, {"notes": "no turn"}).expect(200)
    max_.post(f"{run}/rewind", {"step": 2}).expect(200)
    log(2)
    max_.post(f"{run}/finish", {}).expect(200)
    found = ria.get(f"{run}/moments").expect(200)["items"]
    assert [(each["kind"], each["text"], each["severity"], each["step"]) for each in found] == [
        ("alert", "begun", "warn", -1),
        ("checkpoint", f"{project}/turning:v1", "info", 3),
        ("state", "crashed", "error", 4),
        ("restart", "resumed", "info", 4),
        ("restart", "rewound", "info", 4),
    ]
    assert [each["time"] for each in found] == sorted(each["time"] for each in found)
    assert people["eve"].get(f"{run}/moments").code == "missing"


def test_a_moment_stands_where_the_run_was_and_not_where_its_points_had_arrived(people: dict[str, Caller]):
    max_ = people["max"]
    run = f"{RUNS}/late"
    max_.post(RUNS, {"name": "late"}).expect(201)

    def log(moment: int, *steps: int) -> None:
        rows = [{"step": step, "time": moment, "values": {"loss": 1.0}} for step in steps]
        max_.post(f"{run}/rows", {"rows": rows}).expect(200)

    log(1, 0)
    max_.post(f"{run}/alerts", {"title": "x"}).expect(200)
    (alert,) = max_.get(f"{run}/alerts").expect(200)["items"]
    log(alert["time"] - 1, 1, 2)
    log(alert["time"] - 1, 3)
    log(alert["time"] + 1, 4)
    log(alert["time"] - 1, 5)
    (moment,) = max_.get(f"{run}/moments").expect(200)["items"]
    assert moment["step"] == 3
