"""The sink of a server: each delivery is one HTTP request, tried once; when to try again is the delivery's business."""

from __future__ import annotations

from typing import Any

import msgspec

from runstone.client import origin
from runstone.client.fetch import default_key
from runstone.client.http import MSGPACK, Http, Retries, encoded
from runstone.client.origin import quote
from runstone.client.runs.records import Line, Operation
from runstone.client.runs.sink import Changes, RunSpec

POINTS_TYPE = "application/vnd.runstone.points"
_RUNS = "/api/v1/runs"


class RemoteSink:
    """Delivers to a server. ``http`` is used by this sink alone, and is closed with it."""

    def __init__(self, http: Http) -> None:
        self._http = http
        http.retries = Retries(times=0)

    @classmethod
    def connect(cls, url: str | None = None, key: str | None = None, timeout: float = 20.0) -> RemoteSink:
        """The sink of the server at a URL; ``timeout`` is the longest wait in seconds for it to take or say anything."""
        return cls(Http(origin.parse(url), default_key() if key is None else key, timeout=timeout))

    def create(self, spec: RunSpec, id: bytes) -> None:
        """``POST /api/v1/runs/{namespace}/{project}``."""
        self._send("POST", _project(spec), id, encoded(spec))

    def points(self, spec: RunSpec, batch: bytes, id: bytes) -> None:
        """``POST …/{run}/points`` with a points batch."""
        self._send("POST", f"{_run(spec)}/points", id, batch, POINTS_TYPE)

    def update(self, spec: RunSpec, changes: Changes, id: bytes) -> None:
        """``PATCH …/{run}`` with the fields that changed."""
        self._send("PATCH", _run(spec), id, encoded(changes))

    def lines(self, spec: RunSpec, lines: list[Line], id: bytes) -> None:
        """``POST …/{run}/lines`` with ``{process, lines: [{stream, number, level, time, text}]}``."""
        value = {"process": spec.process, "lines": [_fields(line) for line in lines]}
        self._send("POST", f"{_run(spec)}/lines", id, encoded(value))

    def operation(self, spec: RunSpec, operation: Operation, id: bytes) -> None:
        """``POST …/{run}/operations`` with ``{time, name, arguments}``."""
        self._send("POST", f"{_run(spec)}/operations", id, encoded(_fields(operation)))

    def finish(self, spec: RunSpec, state: str, time: int, id: bytes) -> None:
        """``POST …/{run}/finish`` with ``{process, state, time}``."""
        value = {"process": spec.process, "state": state, "time": time}
        self._send("POST", f"{_run(spec)}/finish", id, encoded(value))

    def beat(self, spec: RunSpec, time: int) -> None:
        """``PATCH …/{run}`` with nothing but the time."""
        self._send("PATCH", _run(spec), None, encoded(Changes(time=time)))

    def close(self) -> None:
        """Breaks off what is under way and closes the connections."""
        self._http.abort()
        self._http.close()

    def _send(self, method: str, path: str, id: bytes | None, body: bytes, type: str = MSGPACK) -> None:
        headers = {"Content-Type": type, "Accept": MSGPACK}
        if id is not None:
            headers["Idempotency-Key"] = id.hex()
        self._http.body_of(self._http.request(method, path, headers=headers, body=body))


def _project(spec: RunSpec) -> str:
    return f"{_RUNS}/{quote(spec.namespace)}/{quote(spec.project)}"


def _run(spec: RunSpec) -> str:
    return f"{_project(spec)}/{quote(spec.run)}"


def _fields(value: msgspec.Struct) -> dict[str, Any]:
    return {name: getattr(value, name) for name in value.__struct_fields__}
