"""Whatever is sent as points: taken in whole, or refused with a problem that says why. Never a 500, and never half of it."""

from __future__ import annotations

import http.client
import json
import os
import struct
from collections.abc import Iterator

import msgspec
import pytest
from calling import Caller
from hypothesis import given, settings
from hypothesis import strategies as st

from runstone._native.points import decode_rows, encode_columns, encode_rows

EXAMPLES = int(os.environ.get("RUNSTONE_INGEST_FUZZ") or 60)
RUN = "/api/v1/runs/lab/fuzzed/r"
SETTINGS = settings(max_examples=EXAMPLES, deadline=None)

edges = st.sampled_from([0, 1, -1, 2**31, 2**53, 2**63 - 1, -(2**63), 2**63, 2**64, 1e308, -0.0, 0.5])
names = st.text(max_size=8) | st.sampled_from(["loss", "a.b", "", "\x00", "x" * 401, "_type"])
values = st.recursive(
    st.none() | st.booleans() | edges | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=3),
    max_leaves=6,
)
row = st.fixed_dictionaries(
    {},
    optional={
        "step": edges | values,
        "time": edges | values,
        "values": st.dictionaries(names, values, max_size=4) | values,
    },
)
body = st.fixed_dictionaries(
    {}, optional={"rows": st.lists(row, max_size=4) | values, "writer": values, "first": values}
)
valid = st.lists(
    st.tuples(st.integers(0, 5), st.integers(0, 5), st.dictionaries(st.sampled_from(["a", "b"]), st.floats() | st.integers(-5, 5), min_size=1)),
    min_size=1, max_size=5,
)  # fmt: skip


class Wire:
    """One connection that is kept, and how many points were taken in through it."""

    def __init__(self, caller: Caller):
        self._caller = caller
        self._connection = http.client.HTTPConnection(caller.host, caller.port, timeout=60)
        self.points = 0

    def close(self) -> None:
        self._connection.close()

    def send(self, path: str, kind: str, content: bytes) -> tuple[int, bytes]:
        fields = {"Authorization": f"Bearer {self._caller.key}", "Content-Type": kind}
        self._connection.request("POST", path, content, fields)
        answer = self._connection.getresponse()
        found = answer.read()
        assert answer.status < 500, (answer.status, found)
        if answer.status >= 400 and path.startswith("/api/v1"):
            assert json.loads(found)["detail"]
        return answer.status, found

    def take(self, path: str, kind: str, content: bytes) -> None:
        status, found = self.send(path, kind, content)
        if status == 200:
            self.points += json.loads(found)["points"]
        held = self._caller.get(RUN).expect(200)["points"]
        assert held == self.points, "what was refused changes nothing, and what was taken is counted"


@pytest.fixture(scope="module")
def wire(people: dict[str, Caller]) -> Iterator[Wire]:
    people["max"].post("/api/v1/runs/lab/fuzzed", {"name": "r"}).expect(201)
    made = Wire(people["max"])
    yield made
    made.close()


@pytest.fixture(scope="module")
def mlflow_run(people: dict[str, Caller]) -> str:
    """The id by which mlflow knows a run that it did not make."""
    made = people["max"].post("/api/v1/runs/lab/fuzzed", {"name": "theirs"}).expect(201)
    sent = {"run_id": f"{made['id']:032x}", "metrics": [{"key": "a", "value": 1, "timestamp": 1, "step": 1}]}
    people["max"].post("/api/2.0/mlflow/runs/log-batch", sent).expect(200)
    return sent["run_id"]


@SETTINGS
@given(body=body)
def test_rows_as_json(wire, body):
    wire.take(f"{RUN}/rows", "application/json", json.dumps(body).encode("utf-8", "surrogatepass"))


@SETTINGS
@given(body=body, cut=st.integers(0, 400), junk=st.binary(max_size=4))
def test_rows_as_messagepack(wire, body, cut, junk):
    try:
        packed = msgspec.msgpack.encode(body)
    except (OverflowError, UnicodeEncodeError):
        packed = b""
    wire.take(f"{RUN}/rows", "application/msgpack", packed)
    wire.take(f"{RUN}/rows", "application/msgpack", packed[:cut] + junk + packed[cut + len(junk) :])


@SETTINGS
@given(rows=valid, at=st.integers(0, 600), junk=st.binary(min_size=1, max_size=8), by_columns=st.booleans())
def test_points_as_a_batch(wire, rows, at, junk, by_columns):
    batch = encode_rows(rows)
    if by_columns:
        steps = struct.pack(f"<{len(rows)}q", *(step for step, _, _ in rows))
        batch = encode_columns(
            memoryview(steps).cast("q"), range(len(rows)), {"c": memoryview(steps).cast("q")}
        )
    kind = "application/vnd.runstone.points"
    wire.take(f"{RUN}/points", kind, batch)
    broken = batch[: at % len(batch)] + junk + batch[at % len(batch) + len(junk) :]
    wire.take(f"{RUN}/points", kind, broken)
    wire.take(f"{RUN}/points", kind, batch[: at % len(batch)])


@SETTINGS
@given(
    metrics=st.lists(
        st.fixed_dictionaries(
            {}, optional={"key": names, "value": values, "timestamp": edges | values, "step": edges | values}
        ),
        max_size=3,
    )
    | values,
    params=values,
)
def test_metrics_as_mlflow_sends_them(wire, mlflow_run, metrics, params):
    sent = {"run_id": mlflow_run, "metrics": metrics, "params": params}
    status, found = wire.send(
        "/api/2.0/mlflow/runs/log-batch",
        "application/json",
        json.dumps(sent).encode("utf-8", "surrogatepass"),
    )
    assert json.loads(found) == {} if status == 200 else json.loads(found)["error_code"]


def test_what_was_taken_in_is_read_back(wire, people):
    rows = [(step, 1, {"kept": step / 2}) for step in range(10)]
    wire.take(f"{RUN}/points", "application/vnd.runstone.points", encode_rows(rows))
    content = (
        people["max"]
        .call("GET", f"{RUN}/series?key=kept", headers={"Accept": "application/vnd.runstone.points"})
        .content
    )
    assert decode_rows(content) == rows
