"""Server-sent events of a project, from a live server."""

from __future__ import annotations

import contextlib
import http.client
import json
import subprocess
import sys
import time
from typing import Any

import pytest
from calling import Caller

from runstone.dialects.native.events import PATH


class Listener:
    """An open stream of events."""

    def __init__(self, caller: Caller, project: str, query: str = "", headers: dict[str, str] | None = None):
        self.connection = http.client.HTTPConnection(caller.host, caller.port, timeout=30)
        fields = {"Authorization": f"Bearer {caller.key}", **(headers or {})}
        self.connection.request("GET", f"/api/v1/events/{project}{query}", headers=fields)
        self.response = self.connection.getresponse()
        assert self.response.status == 200
        assert self.response.headers["Content-Type"] == "text/event-stream"
        assert self.response.readline() == b": here\n"

    def __enter__(self) -> Listener:
        return self

    def __exit__(self, *exc: object) -> None:
        self.connection.close()

    def next(self) -> tuple[int, str, Any]:
        fields = {}
        while True:
            line = self.response.readline().decode().rstrip("\n")
            if not line and "data" in fields:
                return int(fields["id"]), fields["event"], json.loads(fields["data"])
            name, _, value = line.partition(": ")
            fields[name] = value


@pytest.fixture
def project(people: dict[str, Caller], request: pytest.FixtureRequest) -> str:
    name = request.node.name.replace("_", "-")
    people["max"].post("/api/v1/namespaces/lab/projects", {"name": name}).expect(201)
    return f"lab/{name}"


def row(step: int) -> dict[str, Any]:
    return {"rows": [{"step": step, "time": step, "values": {"loss": 1.0, "n": step}}]}


def test_what_happens_is_told_as_it_happens(people, project, used):
    max_ = people["max"]
    used.add(("GET", PATH))  # an answer without an end is not counted while it lasts
    with Listener(people["ria"], project) as listener:
        max_.post(f"/api/v1/runs/{project}", {"name": "r"}).expect(201)
        _, kind, event = listener.next()
        assert (kind, event["name"], event["detail"]) == ("run", f"{project}/r", {})
        max_.post(f"/api/v1/runs/{project}/r/rows", row(3)).expect(200)
        _, kind, event = listener.next()
        assert (kind, event["name"], event["detail"]) == ("points", f"{project}/r", {"points": 2, "step": 3})
        max_.post(f"/api/v1/runs/{project}/r/lines", {"lines": [{"time": 1, "text": "x"}]}).expect(200)
        assert listener.next()[1:][0] == "lines"
        max_.post(f"/api/v1/projects/{project}/collections", {"name": "m"}).expect(201)
        files = [{"path": "a", "size": 1, "url": "s3://b/k", "etag": "t"}]
        where = f"/api/v1/collections/{project}/m"
        max_.post(f"{where}/versions", {"files": files}).expect(201)
        assert listener.next()[1:][0] == "version"
        max_.put(f"{where}/aliases/prod", {"version": "1"})
        _, kind, event = listener.next()
        assert (kind, event["name"], event["detail"]) == (
            "alias",
            f"{project}/m",
            {"alias": "prod", "version": 1},
        )


def test_a_listener_that_comes_back_has_missed_nothing(people, project):
    max_ = people["max"]
    max_.post(f"/api/v1/runs/{project}", {"name": "r"}).expect(201)
    with Listener(max_, project, "?after=-1") as listener:
        first, kind, _ = listener.next()
        assert kind == "run"
    for step in range(50):
        max_.post(f"/api/v1/runs/{project}/r/rows", row(step)).expect(200)
    with Listener(max_, project, headers={"Last-Event-ID": str(first)}) as listener:
        seen = [listener.next() for _ in range(50)]
    assert [event["detail"]["step"] for _, _, event in seen] == list(range(50))
    assert [seq for seq, _, _ in seen] == sorted({seq for seq, _, _ in seen})


def test_other_processes_and_projects(people, project, native):
    code = f"""
import runstone
with runstone.open({str(native.store.path)!r}) as library:
    library.create_run("elsewhere/r")
    library.create_run("{project}/mine")
"""
    with Listener(people["max"], project) as listener:
        subprocess.run([sys.executable, "-c", code], check=True)
        assert listener.next()[2]["name"] == f"{project}/mine"


def test_who_may_not_read_hears_nothing(people, project):
    assert people["eve"].get(f"/api/v1/events/{project}").code == "missing"
    answer = people["max"].call("GET", f"/api/v1/events/{project}", headers={"Last-Event-ID": "x"})
    assert answer.status == 400


def test_one_look_at_the_index_serves_all_who_listen(people, project, native, monkeypatch):
    looks = []
    commits = native.worker.core.commits
    latest = commits._latest
    monkeypatch.setattr(commits, "_latest", lambda: looks.append(1) or latest())
    with contextlib.ExitStack() as opened:
        listeners = [opened.enter_context(Listener(people["max"], project)) for _ in range(20)]
        time.sleep(0.3)
        looks.clear()
        time.sleep(1)
        assert 0 < len(looks) < 60  # one by one they would look four hundred times
        people["max"].post(f"/api/v1/runs/{project}", {"name": "r"}).expect(201)
        assert {listener.next()[2]["name"] for listener in listeners} == {f"{project}/r"}
        people["max"].post(f"/api/v1/runs/{project}/r/rows", row(1)).expect(200)
        assert {listener.next()[1] for listener in listeners} == {"points"}
