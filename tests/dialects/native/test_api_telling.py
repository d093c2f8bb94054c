"""The routes by which people are told of things: alerts of runs, webhooks and the secrets that they name."""

from __future__ import annotations

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
