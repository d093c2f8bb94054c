"""The table over time: seals, merges, other tables of the same folder, damage, and a process that is killed."""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import column_model as model
import column_strategies as strategies
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

import runstone
from runstone.query import And, Compare, Exists, Order, Query
from runstone.storage.columns import manifest, writer
from runstone.storage.columns.segment import Damaged, Segment
from runstone.storage.columns.table import ColumnTable

SMALL = {"seal_rows": 4, "pull_rows": 6, "bulk_rows": 16, "largest_rows": 32}


def damage(path: Path, at: int) -> None:
    """Turns one bit of a file over, in a copy that takes its place: maps of the old one stay as they were."""
    data = bytearray(path.read_bytes())
    data[at % len(data)] ^= 1 << (at % 8)
    other = path.with_suffix(".damaged")
    other.write_bytes(data)
    other.replace(path)


class Tables(RuleBasedStateMachine):
    """Two tables of one folder and one source; either may do anything at any time."""

    folders = None

    def __init__(self):
        super().__init__()
        self.folder = Tables.folders.mktemp("table")
        self.source = model.Rows()
        self.tables = [ColumnTable(self.folder, self.source, **SMALL) for _ in range(2)]

    which = st.integers(0, 1)

    @rule(rows=st.dictionaries(strategies.ids, strategies.rows, min_size=1, max_size=8))
    def put(self, rows):
        for row_id, row in rows.items():
            self.source.put(row_id, row)

    @rule(row_id=strategies.ids)
    def drop(self, row_id):
        self.source.drop(row_id)

    @rule(which=which)
    def refresh(self, which):
        self.tables[which].refresh()

    @rule(which=which)
    def seal(self, which):
        self.tables[which].seal()

    @rule(which=which, steps=st.integers(1, 6))
    def maintain(self, which, steps):
        while steps and self.tables[which].maintain():
            steps -= 1

    @rule(which=which)
    def reopen(self, which):
        self.tables[which] = ColumnTable(self.folder, self.source, **SMALL)

    @precondition(lambda self: list(self.folder.glob("*.seg")))
    @rule(which=which, at=st.integers(0, 10**6), pick=st.integers(0, 10))
    def rot(self, which, at, pick):
        paths = sorted(self.folder.glob("*.seg"))
        damage(paths[pick % len(paths)], at)
        self.tables[which] = ColumnTable(self.folder, self.source, **SMALL)

    @rule(at=st.integers(0, 10**6), which=which)
    def rot_of_the_manifest(self, at, which):
        if (self.folder / "manifest").exists():
            damage(self.folder / "manifest", at)
            self.tables[which] = ColumnTable(self.folder, self.source, **SMALL)

    @rule(which=which, query=strategies.questions)
    def ask(self, which, query):
        self.tables[which].refresh()
        found = self.tables[which].execute(query)
        assert found.ids == model.answer(self.source.live(), query)

    @rule(which=which)
    def ask_for_fields(self, which):
        self.tables[which].refresh()
        live = self.source.live().values()
        expected = {name: sum(name in row for row in live) for name in {n for row in live for n in row}}
        assert self.tables[which].fields().found == sorted(expected.items())

    @invariant()
    def rows_are_in_one_part(self):
        for table in self.tables:
            ids = [row for view in table.state.views for row in view_ids(view)]
            assert len(ids) == len(set(ids))


def view_ids(view):
    try:
        return [
            row for at, row in enumerate(view.part.ids.tolist()) if int(view.live[at // 64]) >> (at % 64) & 1
        ]
    except Damaged:
        return []


def test_tables_over_time(tmp_path_factory):
    Tables.folders = tmp_path_factory
    from hypothesis.stateful import run_state_machine_as_test

    run_state_machine_as_test(
        Tables, settings=settings(max_examples=60, stateful_step_count=30, deadline=None)
    )


def filled(folder, count=100, **limits):
    source = model.Rows()
    noise = random.Random(4)
    for row_id in range(count):
        source.put(
            row_id,
            {"a": noise.choice([1, 2.5, "x", None, True]), "b": noise.random(), "name": f"run-{row_id:05d}"},
        )
    table = ColumnTable(folder, source, **limits)
    table.refresh()
    return source, table


def test_who_is_far_behind_leaves_segments_to_the_next(tmp_path):
    source, table = filled(tmp_path, 100, pull_rows=30, bulk_rows=40)
    assert (table.state.waiting(), len(table.state.sealed)) == (0, 2)
    for row_id in range(90, 110):
        source.put(row_id, {"a": row_id})
    source.calls = 0
    other = ColumnTable(tmp_path, source, pull_rows=30)
    assert other.refresh() == 20 and source.calls == 1
    table.refresh()
    assert other.execute(Query()).ids == table.execute(Query()).ids == list(range(109, 9, -1))
    for row_id in range(10, 90):
        source.drop(row_id)
    assert other.refresh() and other.state.waiting() < 30
    table.refresh()
    assert (
        table.execute(Query()).ids == other.execute(Query()).ids == [*range(109, 89, -1), *range(9, -1, -1)]
    )


def test_merging_leaves_few_segments_of_the_same_rows(tmp_path):
    source, table = filled(tmp_path, 0, seal_rows=10, bulk_rows=1000, largest_rows=200)
    for row_id in range(400):
        source.put(row_id, {"a": row_id})
        if row_id % 10 == 9:
            table.refresh()
            while table.maintain():
                pass
    assert len(table.state.sealed) <= 2 + 3 * 4
    assert max(view.part.rows for view in table.state.sealed) <= 200
    assert table.execute(Query(limit=1000)).ids == list(range(399, -1, -1))
    for row_id in range(400):
        source.put(row_id, {"a": -row_id})
    table.refresh()
    while table.maintain():
        pass
    assert sum(view.part.rows for view in table.state.sealed) <= 2 * 400
    assert table.execute(Query(filter=Compare("a", ">", 0))).ids == []
    held = {path.name for path in tmp_path.glob("*.seg")}
    assert held >= {writer.file_name(segment) for segment in table.state.manifest.segments}


def test_every_single_bit_of_a_segment_is_covered(tmp_path):
    source, table = filled(tmp_path, 40)
    table.seal()
    (path,) = tmp_path.glob("*.seg")
    whole, number = path.read_bytes(), next(iter(table.state.manifest.segments))
    query = Query(filter=And((Exists("a"), Exists("name"))), order=(Order("a"), Order("b")), limit=100)
    expected = model.answer(source.live(), query)
    found_out = 0
    for at in range(0, len(whole), 7):
        copy = bytearray(whole)
        copy[at] ^= 1 << (at % 8)
        path.write_bytes(copy)
        try:
            opened = Segment(path, number)
            read = [opened.ids.tolist()] + [repr(opened.column(field)) for field in ("a", "b", "name")]
        except Damaged:
            found_out += 1
            continue
        # What was not found out was padding: everything is as it was.
        path.write_bytes(whole)
        intact = Segment(path, number)
        assert read == [intact.ids.tolist()] + [repr(intact.column(field)) for field in ("a", "b", "name")]
    assert found_out > len(whole) // 7 * 0.8
    path.write_bytes(bytes(len(whole)))
    again = ColumnTable(tmp_path, source)
    again.refresh()
    assert again.execute(query).ids == expected


def test_a_damaged_lane_is_made_again_within_the_query(tmp_path):
    source, table = filled(tmp_path, 40)
    table.seal()
    (path,) = tmp_path.glob("*.seg")
    at = path.read_bytes().index(b"run-00007")
    damage(path, at)
    again = ColumnTable(tmp_path, source)
    assert again.execute(Query(filter=Compare("name", "=", "run-00007"))).ids == [7]
    assert set(again.state.manifest.segments) != set(table.state.manifest.segments)
    table.refresh()
    assert set(again.state.manifest.segments) == set(table.state.manifest.segments)


def test_segments_that_are_gone_are_made_again(tmp_path):
    source, table = filled(tmp_path, 40)
    table.seal()
    for path in tmp_path.glob("*.seg"):
        path.unlink()
    again = ColumnTable(tmp_path, source)
    again.refresh()
    assert len(again.execute(Query()).ids) == 40
    again.seal()
    table.refresh()
    assert len(table.execute(Query()).ids) == 40


def test_opening_and_looking_up_a_field_do_not_read_the_directory(tmp_path):
    source = model.Rows()
    for row_id in range(20):
        source.put(row_id, {f"field-{row_id}-{n:04d}": n for n in range(1000)})
    table = ColumnTable(tmp_path, source)
    table.refresh()
    table.seal()
    opened = Segment(next(tmp_path.glob("*.seg")), next(iter(table.state.manifest.segments)))
    assert opened.fields == 20_000
    read = []
    page = opened._page
    opened._page = lambda number: (read.append(number), page(number))[1]
    assert opened.column("field-7-0500").count == 1
    assert opened.column("field-7-0500x") is None
    assert len(read) <= 2 * 10 < opened._pages / 5
    assert table.fields("field-3-", "field-3-0997").found == [("field-3-0998", 1), ("field-3-0999", 1)]


def test_a_manifest_of_another_version_begins_anew(tmp_path):
    source, table = filled(tmp_path, 40)
    table.seal()
    data = bytearray((tmp_path / "manifest").read_bytes())
    assert manifest.unpack(bytes(data)) is not None
    data[8] += 1
    (tmp_path / "manifest").write_bytes(data)
    again = ColumnTable(tmp_path, source)
    assert again.execute(Query()).ids == []
    again.refresh()
    assert len(again.execute(Query()).ids) == 40


KILLED = """
import sys, pathlib
sys.path.insert(0, sys.argv[2])
import column_model
from runstone.storage.columns.table import ColumnTable
source = column_model.Rows()
table = ColumnTable(pathlib.Path(sys.argv[1]), source, seal_rows=20, bulk_rows=60, largest_rows=200)
print("begun", flush=True)
for turn in range(10**6):
    for row_id in range(turn % 7, 150, 3):
        source.put(row_id, {"a": row_id, "turn": turn, "name": f"run-{row_id}"})
    table.refresh()
    table.maintain()
"""


def test_a_killed_process_leaves_a_usable_folder(tmp_path):
    """The next process sees a sealed past; its own source, which has newer rows, brings it up to date."""
    path = os.pathsep.join([str(Path(runstone.__file__).parents[1])])
    noise = random.Random(9)
    for turn in range(6):
        child = subprocess.Popen(
            [sys.executable, "-c", KILLED, str(tmp_path), str(Path(__file__).parent)],
            stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": path},
        )
        assert child.stdout.readline() == b"begun\n"
        time.sleep(noise.random() * 0.3)
        child.send_signal(signal.SIGKILL)
        child.wait()
        child.stdout.close()
        table = ColumnTable(tmp_path, model.Rows(), seal_rows=20, bulk_rows=60, largest_rows=200)
        found = table.execute(Query(filter=Exists("turn"), order=(Order("a"),), limit=1000))
        assert len(found.ids) == len(set(found.ids)) == sum(view.count for view in table.state.sealed)
        while table.maintain():
            pass
        names = {writer.file_name(segment) for segment in table.state.manifest.segments}
        assert {path.name for path in tmp_path.iterdir()} <= {"lock", "manifest", *names} | {
            each.name for each in tmp_path.glob("*.seg")
        }
        source = model.Rows()
        source.seq = table.seq + 1000
        for row_id in range(150):
            source.put(row_id, {"a": -row_id, "turn": turn})
        table.source = source
        table.refresh()
        assert table.execute(Query(order=(Order("a"),), limit=1000)).ids == list(range(149, -1, -1))
        (tmp_path / "manifest").unlink(missing_ok=True)


def test_arrow_lies_over_the_map(tmp_path):
    pa = pytest.importorskip("pyarrow")
    source, table = filled(tmp_path, 5000)
    table.seal()
    found = table.arrow(["b", "name", "a", "missing"])
    assert found.column("row").to_pylist() == list(range(5000))
    assert found.column("b").to_pylist() == [source.held[n]["b"] for n in range(5000)]
    assert found.column("name").to_pylist() == [source.held[n]["name"] for n in range(5000)]
    assert found.column("a").to_pylist() == [model.text(source.held[n]["a"]) for n in range(5000)]
    assert found.column("missing").null_count == 5000
    lane = table.state.sealed[0].part.column("b").numbers
    assert found.column("b").chunk(0).buffers()[1].address == lane.values.ctypes.data
    for row_id in range(0, 5000, 2):
        source.put(row_id, {"b": 1})
    table.refresh()
    changed = table.arrow(["b"], lambda field: True).sort_by("row")
    assert changed.column("b").to_pylist() == [float(source.held[n]["b"]) for n in range(5000)]
    assert table.arrow(["b"], lambda field: False).column("b").null_count == 5000
    assert pa.types.is_floating(changed.schema.field("b").type)


def test_a_segment_under_another_name_is_found_out(tmp_path):
    _, table = filled(tmp_path, 40)
    table.seal()
    (path,) = tmp_path.glob("*.seg")
    number = next(iter(table.state.manifest.segments))
    assert Segment(path, number).rows == 40
    with pytest.raises(Damaged):
        Segment(path, number ^ 1)
