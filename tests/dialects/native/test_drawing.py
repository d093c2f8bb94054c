"""What the web application asks of runs: rows from any place on, and series as columns of numbers."""

from __future__ import annotations

import json
import struct
from array import array

import pytest
from calling import Caller

PROJECT = "/api/v1/runs/lab/drawn"
ROWS = "/api/v1/run-queries/lab/drawn/rows"
DRAW = "/api/v1/series/draw"
COUNT = 25


@pytest.fixture(scope="module")
def drawn(people: dict[str, Caller]) -> dict[str, Caller]:
    people["ann"].post("/api/v1/namespaces/lab/projects", {"name": "drawn"}).expect(201)
    for number in range(COUNT):
        name = f"r{number:02}"
        config = {"number": number, "long": "x" * 5000}
        people["max"].post(PROJECT, {"name": name, "config": config, "tags": {"a": "1"}}).expect(201)
    rows = [{"step": n, "time": 1000 * n, "values": {"loss": 100.0 - n}} for n in range(100)]
    rows += [{"step": n, "time": 1000 * n, "values": {"epoch": float(n // 10)}} for n in range(10, 100, 10)]
    people["max"].post(f"{PROJECT}/r00/rows", {"rows": rows}).expect(200)
    return people


def columns(content: bytes) -> dict[tuple[str, str], dict[str, list[float]]]:
    size = struct.unpack_from("<I", content)[0]
    head, at = json.loads(content[4 : 4 + size]), 4 + size
    assert at % 8 == 0
    found: dict[tuple[str, str], dict[str, list[float]]] = {}
    for item in head["items"]:
        held = found.setdefault((item["run"], item["key"]), {})
        for name in head["columns"]:
            held[name] = array("d", content[at : at + 8 * item["points"]]).tolist()
            at += 8 * item["points"]
    assert at == len(content)
    return found


@pytest.mark.parametrize("skip", [0, 1, 10, 24, 25, 1000])
def test_rows_begin_at_any_place_of_an_order(drawn: dict[str, Caller], skip: int):
    asked = {"fields": ["config.number"], "order": "config.number", "skip": skip, "limit": 7, "total": True}
    found = drawn["ria"].post(ROWS, asked).expect(200)
    assert [row["values"] for row in found["items"]] == [[n] for n in range(COUNT)[skip : skip + 7]]
    if skip < COUNT:
        assert found["total"] == COUNT


def test_a_row_has_what_every_table_shows_and_long_texts_are_cut(drawn: dict[str, Caller]):
    found = (
        drawn["ria"]
        .post(ROWS, {"fields": ["config.long", "none"], "filter": "config.number = 3"})
        .expect(200)
    )
    (row,) = found["items"]
    assert (row["run"], row["state"], row["tags"]) == ("r03", "running", {"a": "1"})
    assert len(row["values"][0]) == 2001 and row["values"][1] is None
    assert drawn["eve"].post(ROWS, {}).code == "missing"
    assert drawn["ria"].post(ROWS, {"fields": ["x"] * 1001}).code == "invalid"


def test_series_are_drawn_as_the_picture_of_them_says(drawn: dict[str, Caller]):
    asked = {"runs": ["lab/drawn/r00", "lab/drawn/r01"], "keys": ["loss"], "buckets": 10}
    names = ["start", "end", "count", "nans", "min", "max", "last", "mean"]
    found = columns(drawn["ria"].post(DRAW, {**asked, "columns": names}).content)
    (picture,) = drawn["ria"].post("/api/v1/series/query", asked).expect(200)["items"]
    assert found == {("lab/drawn/r00", "loss"): {name: picture[name] for name in names}}
    exact = columns(drawn["ria"].post(DRAW, {**asked, "buckets": 1000, "low": 5, "high": 8}).content)
    assert exact["lab/drawn/r00", "loss"]["last"] == [95.0, 94.0, 93.0]


def test_a_key_over_another_key(drawn: dict[str, Caller]):
    asked = {"runs": ["lab/drawn/r00", "lab/drawn/r01"], "keys": ["loss"], "columns": ["start"], "x": "epoch"}
    found = columns(drawn["ria"].post(DRAW, asked).content)["lab/drawn/r00", "loss"]
    assert found["start"] == [float(n) for n in range(10, 100)]
    assert found["x"] == [float(n // 10) for n in range(10, 100)]


@pytest.mark.parametrize(
    "wrong",
    [{"columns": ["none"]}, {"by": "x"}, {"buckets": 0}, {"runs": ["lab/drawn/r00"] * 1001}, {"runs": ["a"]}],
)
def test_what_cannot_be_drawn_is_refused(drawn: dict[str, Caller], wrong: dict[str, object]):
    assert drawn["ria"].post(DRAW, {"runs": ["lab/drawn/r00"], "keys": ["loss"], **wrong}).status in (
        400,
        404,
        422,
    )
    assert drawn["eve"].post(DRAW, {"runs": ["lab/drawn/r00"], "keys": ["loss"]}).code == "missing"


def test_importance_of_parameters(drawn: dict[str, Caller]):
    asked = {"target": "duration"}
    where = ROWS.replace("rows", "importance")
    for number in range(COUNT):
        points = [{"step": 0, "time": 0, "values": {"score": float(number**2)}}]
        drawn["max"].post(f"{PROJECT}/r{number:02}/rows", {"rows": points}).expect(200)
    found = drawn["ria"].post(where, asked | {"target": "summary.score"}).expect(200)
    assert (found["runs"], [item["field"] for item in found["items"]]) == (COUNT, ["config.number"])
    assert found["items"][0]["correlation"] == pytest.approx(1)
    assert drawn["eve"].post(where, asked).code == "missing"
    assert drawn["ria"].post(where, {"target": "config.number"}).code == "invalid"
    assert drawn["ria"].post(where, asked | {"filter": "number <"}).code == "invalid"
    assert drawn["ria"].post(where, asked | {"limit": 0}).code == "invalid"


def test_what_happened_last_is_one_answer_of_what_one_may_read(drawn: dict[str, Caller]):
    found = drawn["ria"].get("/api/v1/overview").expect(200)
    (project,) = [each for each in found["projects"] if each["project"]["name"] == "drawn"]
    assert project["runs"] == COUNT and project["changed"] >= project["project"]["updated"]
    times = [each["changed"] for each in found["projects"]]
    assert times == sorted(times, reverse=True)
    runs = [each["row"] for each in found["recent"] if each["project"] == "drawn"]
    assert len(runs) == 8 and [each["updated"] for each in runs] == sorted(
        (each["updated"] for each in runs), reverse=True
    )
    assert {each["by"] for each in found["recent"]} == {"max"}
    hidden = drawn["eve"].get("/api/v1/overview").expect(200)
    assert "drawn" not in str(hidden)
