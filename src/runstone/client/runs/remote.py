"""The sink of a server: each delivery is one HTTP request, tried once; when to try again is the delivery's business."""

from __future__ import annotations

from runstone.client import origin
from runstone.client.http import MSGPACK, Http, Retries, encoded
from runstone.client.origin import quote
from runstone.client.runs.records import Line, Operation, stretches
from runstone.client.runs.sink import Changes, RunSpec
from runstone.client.servers import default_key

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
        value = {
            "name": spec.run, "resume": spec.resume, "display_name": spec.name, "group": spec.group,
            "job_type": spec.job_type, "sweep": spec.sweep, "tags": dict.fromkeys(spec.tags, ""),
            "notes": spec.notes, "config": spec.config, "goals": spec.goals, "info": spec.details,
            "started": spec.created,
        }  # fmt: skip
        self._send("POST", _project(spec), id.hex(), encoded(value))

    def points(self, spec: RunSpec, batch: bytes, id: bytes) -> None:
        """``POST …/{run}/points`` with a points batch."""
        self._send("POST", f"{_run(spec)}/points", id.hex(), batch, POINTS_TYPE)

    def update(self, spec: RunSpec, changes: Changes, id: bytes) -> None:
        """``PATCH …/{run}`` with the fields that changed."""
        self._send("PATCH", _run(spec), id.hex(), encoded(changes.as_patch()))

    def lines(self, spec: RunSpec, lines: list[Line], id: bytes) -> None:
        """``POST …/{run}/lines``, once for each stretch of lines of one stream that follow each other."""
        for place, stretch in enumerate(stretches(lines)):
            value = {
                "writer": f"{spec.process}:{stretch[0].stream}",
                "first": stretch[0].number,
                "lines": [
                    {"time": line.time, "stream": line.stream, "level": line.level, "text": line.text}
                    for line in stretch
                ],
            }
            self._send("POST", f"{_run(spec)}/lines", f"{id.hex()}-{place}", encoded(value))

    def operation(self, spec: RunSpec, operation: Operation, id: bytes) -> None:
        """``POST /api/v1/lineage`` with the edge that the operation stands for."""
        source, relation, target = operation.as_edge(spec.path)
        value = {"source": source, "relation": relation, "target": target}
        self._send("POST", "/api/v1/lineage", id.hex(), encoded(value))

    def finish(self, spec: RunSpec, state: str, time: int, id: bytes) -> None:
        """``POST …/{run}/finish`` with ``{state, finished}``."""
        if not spec.ends(state):
            return
        value = {"state": state, "finished": time}
        self._send("POST", f"{_run(spec)}/finish", id.hex(), encoded(value))

    def beat(self, spec: RunSpec, time: int) -> None:
        """``POST …/{run}/heartbeat``."""
        self._send("POST", f"{_run(spec)}/heartbeat", None, b"")

    def close(self) -> None:
        """Breaks off what is under way and closes the connections."""
        self._http.abort()
        self._http.close()

    def _send(self, method: str, path: str, id: str | None, body: bytes, type: str = MSGPACK) -> None:
        headers = {"Accept": MSGPACK} | ({"Content-Type": type} if body else {})
        if id is not None:
            headers["Idempotency-Key"] = id
        self._http.body_of(self._http.request(method, path, headers=headers, body=body))


def _project(spec: RunSpec) -> str:
    return f"{_RUNS}/{quote(spec.namespace)}/{quote(spec.project)}"


def _run(spec: RunSpec) -> str:
    return f"{_project(spec)}/{quote(spec.run)}"
