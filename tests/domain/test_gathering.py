"""Many runs at once give the fields that their rows give, one by one."""

import itertools
import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import runstone
from runstone.domain.analysis import gathering
from runstone.domain.runs import questions, table
from runstone.storage.columns import encode, writer

NUMBER = itertools.count()
NUMBERS = st.one_of(st.integers(-3, 3), st.integers(-(2**53), 2**53), st.floats(width=32), st.just(math.inf))
#: A key may be called as a statistic of another.
KEYS = st.sampled_from(["loss", "loss:min", "loss:count", "a.b", "é/x", *(f"k{n}" for n in range(40))])
VALUES = st.one_of(NUMBERS, st.sampled_from(["text", True, None]), st.just({"deep": [1]}))
LOGGED = st.lists(st.tuples(st.dictionaries(KEYS, NUMBERS, max_size=6), st.integers(0, 4)), max_size=5)
RUNS = st.lists(
    st.fixed_dictionaries(
        {"logged": LOGGED},
        optional={
            "objects": st.dictionaries(KEYS, st.sampled_from(["text", True]), min_size=1, max_size=2),
            "summary": st.dictionaries(KEYS, VALUES, min_size=1, max_size=2),
            "goal": st.sampled_from(["min", "max"]),
            "config": st.dictionaries(KEYS, VALUES, max_size=3),
            "tags": st.sampled_from([["x"], ["x", "y"]]),
            "end": st.sampled_from(["finish", "delete", "purge", "fork"]),
        },
    ),
    min_size=1,
    max_size=12,
)


@pytest.fixture(scope="module")
def library(tmp_path_factory):
    with runstone.open(tmp_path_factory.mktemp("gathering") / "data") as opened:
        yield opened


def make(library, project, runs):
    for number, given_run in enumerate(runs):
        name, goal = f"{project}/r{number}", given_run.get("goal")
        library.create_run(
            name,
            config=given_run.get("config", {}),
            tags=given_run.get("tags", []),
            goals={"loss": goal} if goal else None,
        )
        rows = [(step, 1, row) for row, step in given_run["logged"] if row]
        rows += [(9, 1, given_run["objects"])] if "objects" in given_run else []
        if rows:
            library.log_rows(name, rows)
        if "summary" in given_run:
            library.update_run(name, summary=given_run["summary"])
        end = given_run.get("end")
        if end == "finish":
            library.finish_run(name)
        elif end == "fork":
            library.create_run(f"{project}/f{number}", fork=name, step=2)
        elif end:
            library.delete_run(name)
            if end == "purge":
                library.purge_run(name)


@settings(max_examples=60, deadline=None)
@given(runs=RUNS)
def test_fields_are_those_of_rows(library, tmp_path_factory, runs):
    project, folder = f"p{next(NUMBER)}", tmp_path_factory.mktemp("segments")
    make(library, project, runs)
    place, _ = questions.place_of(library.store, library.ctx, project)
    source = table.Runs(library.store, place.project.id)
    wanted = sorted({run_id for _, run_id in source.changes(-1, 1000)})
    rows = {run_id: row for run_id, row in zip(wanted, source.rows(wanted), strict=True) if row is not None}
    ids, found = gathering.fields(library.store, place.project.id, wanted)
    assert ids.tolist() == list(rows)
    expected = encode.columns_of(encode.fields_of(list(rows.values())), len(rows))
    one = writer.write_segment(folder, 1, ids, expected).read_bytes()
    assert writer.write_segment(folder, 1, ids, encode.columns_of(found, len(ids))).read_bytes() == one
