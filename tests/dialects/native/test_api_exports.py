"""Answers as files, of every route that has rows, against a live server."""

from __future__ import annotations

import csv
import io
import json

import msgspec
import pyarrow.parquet
import pytest
from calling import Caller

from runstone._native.points import decode_rows

PROJECT = "/api/v1/runs/lab/exported"
ASK = "/api/v1/run-queries/lab/exported"
CSV, JSONL = "text/csv", "application/x-ndjson"
PARQUET, ARROW = "application/vnd.apache.parquet", "application/vnd.apache.arrow.stream"
BATCH = "application/vnd.runstone.points"


@pytest.fixture(scope="module")
def filled(people: dict[str, Caller]) -> Caller:
    max_ = people["max"]
    for number in range(0, 2300, 100):
        made = {"name": f"r{number}", "config": {"n": number, "opt": "a" if number % 200 else "b"}}
        max_.post(PROJECT, made).expect(201)
    rows = [{"step": n, "time": 7 * n, "values": {"loss": n / 4, "n": n}} for n in range(250)]
    max_.post(f"{PROJECT}/r0/rows", {"rows": rows}).expect(200)
    max_.post(
        f"{PROJECT}/r0/rows",
        {"rows": [{"step": 250, "time": 1, "values": {"odd": {"_type": "t", "a": [1]}}}]},
    )
    max_.post(f"{PROJECT}/r0/rows", {"rows": [{"step": 251, "time": 2, "values": {"odd": 0.5}}]}).expect(200)
    return max_


def asked(caller: Caller, method: str, path: str, kind: str, body: object = None) -> bytes:
    content = b"" if body is None else json.dumps(body).encode()
    headers = {"Accept": kind} | ({"Content-Type": "application/json"} if content else {})
    answer = caller.call(method, path, content=content, headers=headers)
    assert answer.status == 200, answer.content
    assert answer.headers["Content-Type"] == kind
    return answer.content


def read(kind: str, content: bytes) -> list[dict[str, object]]:
    if kind == CSV:
        return list(csv.DictReader(io.StringIO(content.decode(), newline="")))
    if kind == JSONL:
        return [json.loads(line) for line in content.splitlines()]
    table = pyarrow.parquet.read_table(io.BytesIO(content)) if kind == PARQUET else None
    return (table or pyarrow.ipc.open_stream(content).read_all()).to_pylist()


@pytest.mark.parametrize("kind", [CSV, JSONL, PARQUET, ARROW])
def test_runs_are_exported_whole(filled, kind, monkeypatch):
    monkeypatch.setattr("runstone.domain.runs.exporting.PAGE", 5)
    found = read(
        kind, asked(filled, "POST", f"{ASK}/export", kind, {"order": "config.n", "filter": "config.n >= 100"})
    )
    assert [str(each["config.n"]) for each in found] == [str(n) for n in range(100, 2300, 100)]
    assert not any(name.endswith(":min") for name in found[0])
    few = {"order": "config.n", "limit": 2, "fields": ["id", "summary.loss:max", "summary.none"]}
    found = read(kind, asked(filled, "POST", f"{ASK}/export", kind, few))
    nothing = "" if kind == CSV else None
    assert list(found[0].values()) == ["r0", "62.25" if kind == CSV else 62.25, nothing]
    assert list(found[1]) == few["fields"] and found[1]["id"] == "r100"


@pytest.mark.parametrize("kind", [CSV, JSONL, PARQUET, ARROW])
def test_groups_and_sql_are_exported(filled, kind):
    body = {"by": ["config.opt"], "figures": ["count()", "max(config.n)"]}
    found = read(kind, asked(filled, "POST", f"{ASK}/group", kind, body))
    assert sorted(str(each["count()"]) for each in found) == ["11", "12"]
    statement = {"sql": 'SELECT id, "config.n" AS n FROM runs ORDER BY n LIMIT 2'}
    found = read(kind, asked(filled, "POST", "/api/v1/sql/lab/exported", kind, statement))
    assert [(each["id"], float(each["n"])) for each in found] == [("r0", 0.0), ("r100", 100.0)]


def test_series_and_rows_are_exported_in_all_their_pages(filled):
    series = f"{PROJECT}/r0/series?key=loss&limit=100"
    found = read(CSV, asked(filled, "GET", series, CSV))
    assert found == [{"step": str(n), "time": str(7 * n), "value": repr(n / 4)} for n in range(250)]
    rows = read(JSONL, asked(filled, "POST", f"{PROJECT}/r0/rows/query", JSONL, {"limit": 100}))
    assert rows[:250] == [{"loss": n / 4, "n": n, "step": n, "time": 7 * n} for n in range(250)]
    assert rows[250:] == [
        {"odd": {"_type": "t", "a": [1]}, "step": 250, "time": 1},
        {"odd": 0.5, "step": 251, "time": 2},
    ]
    found = read(JSONL, asked(filled, "GET", f"{PROJECT}/r0/series?key=odd", JSONL))
    assert [each["value"] for each in found] == [{"_type": "t", "a": [1]}, 0.5]


@pytest.mark.parametrize("key", ["loss", "n", "odd"])
def test_series_are_read_in_columns_page_by_page(filled, key):
    exact = msgspec.msgpack.decode(
        filled.call(
            "GET", f"{PROJECT}/r0/series?key={key}", headers={"Accept": "application/msgpack"}
        ).content
    )
    whole = list(zip(exact["steps"], exact["times"], exact["values"], strict=True))
    for kind in (ARROW, BATCH):
        found, after = [], ""
        while True:
            path = f"{PROJECT}/r0/series?key={key}&limit=100&after={after}"
            answer = filled.call("GET", path, headers={"Accept": kind})
            if kind == ARROW:
                found += [
                    tuple(row.values())
                    for row in pyarrow.ipc.open_stream(answer.content).read_all().to_pylist()
                ]
            elif answer.content:
                found += [(step, time, values[key]) for step, time, values in decode_rows(answer.content)]
            after = answer.headers.get("X-Runstone-Next", "")
            if not after:
                break
        told = (
            [(s, t, json.dumps(v).replace(" ", "")) for s, t, v in whole]
            if kind == ARROW and key == "odd"
            else whole
        )
        assert sorted(found) == sorted(told)


def test_what_cannot_be_exported_is_refused_as_any_question(filled):
    for body in ({"filter": "config.n <"}, {"order": "a b c"}, {"limit": -1}, {"fields": "x"}):
        answer = filled.call(
            "POST", f"{ASK}/export", content=json.dumps(body).encode(),
            headers={"Accept": CSV, "Content-Type": "application/json"},
        )  # fmt: skip
        assert answer.status in (400, 422), body
        assert answer.headers["Content-Type"] == "application/problem+json"
    assert filled.call("POST", "/api/v1/run-queries/lab/none/export", headers={"Accept": CSV}).status == 404
