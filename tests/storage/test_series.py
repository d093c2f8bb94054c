"""Series against a plain list of points: whatever the order of arrival, the batches, the compactions and the range."""

from __future__ import annotations

import math
import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from tests.storage.serieskit import KEYS, Model, SeriesStore, all_points, key_ids, shown

from runstone._native import points as batches
from runstone.errors import Corrupt, Invalid
from runstone.storage.recovery import rebuild
from runstone.storage.series import blocks, directory, pending
from runstone.storage.series.series import Series
from runstone.storage.tables import (
    ARRIVALS,
    LOG_PAYLOADS,
    SERIES_BLOCKS,
    SERIES_COMPACTED,
    SERIES_SWEPT,
    TABLES,
    Stored,
    Swept,
)

STREAMS = (7, 8)
LOSS = KEYS["loss"]


@pytest.fixture
def store(tmp_path):
    opened = SeriesStore(tmp_path / "index")
    yield opened
    opened.close()


@pytest.fixture
def small_blocks(monkeypatch):
    """Blocks of 16 points and groups of 3, so that few points make many."""
    monkeypatch.setattr("runstone.storage.series.blocks.BLOCK", 16)
    monkeypatch.setattr("runstone.storage.series.compaction.BLOCK", 16)
    monkeypatch.setattr("runstone.storage.series.blocks.FINE_FROM", 8)
    monkeypatch.setattr("runstone.storage.series.picture.FINE_FROM", 8)
    monkeypatch.setattr("runstone.storage.series.directory.GROUP", 3)


VALUES = st.one_of(
    st.floats(-100, 100),
    st.sampled_from(
        [0.5, -0.0, math.nan, math.inf, 1, 2, -3, None, "text", [1], {"_type": "histogram", "n": 1}]
    ),
)
ROWS = st.lists(
    st.tuples(
        st.integers(0, 60),
        st.integers(0, 40),
        st.dictionaries(st.sampled_from(list(KEYS)), VALUES, max_size=3),
    ),
    min_size=1,
    max_size=20,
)
SPANS = st.one_of(
    st.sampled_from([[(7, None)], [(8, None)], [(7, None), (8, None)]]),
    st.integers(0, 70).map(lambda step: [(7, step), (8, None)]),
    st.integers(0, 70).map(lambda step: [(8, step)]),
)
BOUND = st.one_of(st.none(), st.integers(-5, 70))


class SeriesMachine(RuleBasedStateMachine):
    """Arrivals in any order and compactions of any size, against lists of points."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.store = SeriesStore(Path(self.folder.name) / "index")
        self.model = Model()
        self.step = 0

    @rule(stream=st.sampled_from(STREAMS), rows=ROWS)
    def append_anything(self, stream, rows):
        self.store.append(stream, rows)
        self.model.append(stream, rows)

    @rule(stream=st.sampled_from(STREAMS), count=st.integers(1, 40), stride=st.integers(1, 3))
    def append_in_order(self, stream, count, stride):
        rows = [(self.step + n * stride, self.step + n, {"loss": n / 7, "acc": n}) for n in range(count)]
        self.step = (self.step + count * stride) % 50
        self.store.append(stream, rows)
        self.model.append(stream, rows)

    @precondition(lambda self: any(self.model.streams.values()))
    @rule(data=st.data())
    def repeat_some(self, data):
        stream = data.draw(st.sampled_from(sorted(self.model.streams)))
        rows = data.draw(st.lists(st.sampled_from(self.model.streams[stream]), min_size=1, max_size=8))
        self.store.append(stream, rows)
        self.model.append(stream, rows)

    @rule(budget=st.sampled_from([1, 5, 20, 100_000]), stream=st.sampled_from([None, *STREAMS]))
    def compact(self, budget, stream):
        self.store.series.compact(budget, stream=stream, everything=True)

    @rule()
    def reopen(self):
        self.store.close()
        self.store.open()

    @rule(
        spans=SPANS,
        key=st.sampled_from(list(KEYS.values())),
        low=BOUND,
        high=BOUND,
        by_time=st.booleans(),
        limit=st.integers(1, 50),
    )
    def read_points(self, spans, key, low, high, by_time, limit):
        found = all_points(self.store.series, spans, key, limit, low=low, high=high, by_time=by_time)
        assert repr(found) == repr(self.model.points(spans, key, low, high, by_time))

    @rule(spans=SPANS, low=BOUND, high=BOUND, limit=st.integers(1, 30))
    def read_rows(self, spans, low, high, limit):
        found: list[Any] = []
        after = None
        while page := self.store.series.rows(spans, low=low, high=high, after=after, limit=limit):
            assert len(page) <= limit
            found += [(step, time, sorted(row.items())) for step, time, row in page]
            after = page[-1][0]
        expected = [
            (step, time, sorted(row.items())) for step, time, row in self.model.rows(spans, low, high)
        ]
        assert repr(found) == repr(expected)

    @rule(
        spans=SPANS,
        key=st.sampled_from(list(KEYS.values())),
        low=BOUND,
        high=BOUND,
        by_time=st.booleans(),
        buckets=st.integers(1, 60),
    )
    def draw(self, spans, key, low, high, by_time, buckets):
        picture = self.store.series.downsample(
            spans, key, low=low, high=high, by_time=by_time, buckets=buckets
        )
        assert len(picture.start) <= buckets
        assert shown(picture) == self.model.picture(spans, key, picture, low, high, by_time)
        assert picture.count.sum() == self.model.count(spans, key, low, high, by_time)

    @invariant()
    def blocks_are_what_the_log_says(self):
        for stream in self.model.streams:
            assert self.store.series.check(stream).problems == []

    def teardown(self) -> None:
        self.store.close()
        self.folder.cleanup()


@pytest.mark.usefixtures("small_blocks")
def test_series_are_lists_of_points():
    run_state_machine_as_test(
        SeriesMachine,
        settings=settings(
            max_examples=int(os.environ.get("RUNSTONE_SERIES_EXAMPLES", "25")),
            stateful_step_count=20,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )


def regular(count: int, start: int = 0) -> bytes:
    """``count`` steps of noise, an int and nothing else, in columns."""
    noise = np.random.default_rng(start).standard_normal(count)
    times = range(1_000_000 * start, 1_000_000 * (start + count), 1_000_000)
    columns: dict[str, Any] = {"loss": noise, "acc": np.arange(start, start + count)}
    return batches.encode_columns(range(start, start + count), times, columns)


def columns_of(batch: bytes) -> tuple[np.ndarray, np.ndarray]:
    [(steps, _, [(_, _, loss), _])] = batches.decode(batch)
    return steps, loss


def test_what_follows_a_compaction_is_seen_and_compacted(store):
    for number in range(5):
        store.append(7, [(number, number, {"loss": float(number)})])
        assert len(store.series.points([(7, None)], LOSS)) == number + 1
        assert store.series.compact(stream=7) > 0
        assert len(store.series.points([(7, None)], LOSS)) == number + 1
    assert store.series.check(7).points == 5


def test_a_step_is_due_when_enough_has_arrived(store):
    store.append_batch(7, regular(100))
    assert store.series.compact() == 0
    store.append_batch(8, regular(pending.LEAST_ROWS))
    assert store.series.compact() > 0
    with store.index.read() as view:
        assert view.get(SERIES_COMPACTED, 8).seq == 2
        assert view.get(SERIES_COMPACTED, 7) is None
    for number in range(pending.LEAST_ENTRIES):
        store.append(9, [(number, 0, {"loss": 1.0})])
    assert store.series.compact() > 0
    store.close()
    store.open()
    assert (store.series.compact(), store.series.compact(everything=True)) == (0, 200 + 1)


def test_steps_are_as_short_as_asked(store):
    store.append_batch(7, regular(100_000))
    store.append_batch(7, regular(100_000))
    values = columns_of(regular(100_000))[1][70_000:70_003].tolist()
    work = []
    while done := store.series.compact(20_000, stream=7):
        work.append(done)
        assert store.series.points([(7, None)], LOSS, low=70_000, high=70_003).values() == values
    assert len(work) > 10
    assert max(work) <= 20_000 + 3 * blocks.BLOCK
    assert store.series.check(7) == type(store.series.check(7))(points=200_000, keys=2)


def test_large_series_are_exact_at_every_zoom(store):
    model = Model()
    for start in (0, 40_000, 20_000):
        batch = regular(20_000, start)
        store.append_batch(7, batch)
        model.append(7, batches.decode_rows(batch))
        store.compact_all()
    store.append(7, [(30_000, 5, {"loss": 1e300}), (70_000, 6, {"loss": math.nan})])
    model.append(7, [(30_000, 5, {"loss": 1e300}), (70_000, 6, {"loss": math.nan})])
    spans = [(7, None)]
    for low, high, by_time, buckets in [
        (None, None, False, 1000),
        (None, None, True, 1000),
        (100, 50_001, False, 100),
        (29_990, 30_010, False, 1000),
        (1_000_000, 30_000_000_001, True, 333),
        (None, None, False, 1),
    ]:
        picture = store.series.downsample(spans, LOSS, low=low, high=high, by_time=by_time, buckets=buckets)
        assert shown(picture) == model.picture(spans, LOSS, picture, low, high, by_time)
        assert 0 < len(picture.start) <= buckets
    assert all_points(store.series, spans, KEYS["acc"], 7000) == model.points(spans, KEYS["acc"])


def test_many_points_at_one_position_stay_in_one_block(store):
    rows = [(5, 5, {"loss": float(n)}) for n in range(blocks.BLOCK + 100)]
    store.append(7, [(1, 1, {"loss": 0.0}), *rows, (9, 9, {"loss": 0.0})])
    store.compact_all()
    with store.index.read() as view:
        assert [entry.count for group in directory.groups(view, 7, LOSS) for entry in group.blocks] == [
            blocks.BLOCK + 101,
            1,
        ]
    assert len(store.series.points([(7, None)], LOSS, limit=3)) == 3 + len(rows) - 2
    assert store.series.check(7).problems == []


def test_extreme_steps_and_times(store):
    least, greatest = -(2**63), 2**63 - 1
    rows = [(least, greatest, {"loss": 1.0}), (greatest, least, {"loss": 2.0}), (0, 0, {"loss": 4.0})]
    store.append(7, rows)
    for _ in range(2):
        assert [step for step, _, _ in store.series.points([(7, None)], LOSS).rows()] == [least, 0, greatest]
        for buckets in (1, 2, 100):
            picture = store.series.downsample([(7, None)], LOSS, buckets=buckets)
            assert picture.count.sum() == 3
        assert store.series.downsample([(7, None)], LOSS, by_time=True, buckets=50).count.sum() == 3
        store.compact_all()
    assert store.series.points([(7, least)], LOSS).rows() == []


def test_a_history_of_forks_is_read_without_a_copy(store):
    store.append_batch(7, regular(1000))
    store.append(8, [(step, step, {"loss": -1.0}) for step in range(600, 700)])
    store.compact_all()
    spans = [(7, 600), (8, None)]
    assert store.series.points(spans, LOSS).steps.tolist() == list(range(700))
    assert store.series.downsample(spans, LOSS, buckets=1).count.tolist() == [700]
    assert len(store.series.points([(7, None)], LOSS)) == 1000
    assert store.series.keys(spans) == [LOSS, KEYS["acc"]]


def test_several_keys_are_read_as_of_one_moment(store):
    store.append_batch(7, regular(100))
    store.compact_all()
    store.append(7, [(200, 1, {"acc": 5, "note": "x"}), (201, 2, {"loss": 1.0})])
    found = store.series.columns([(7, None)], [LOSS, KEYS["acc"], KEYS["note"], KEYS["lr"]], limit=1000)
    assert [len(points) for points in found.values()] == [101, 101, 1, 0]
    assert found[KEYS["note"]].rows() == [(200, 1, "x")]


def test_damage_is_found(store):
    store.append_batch(7, regular(1000))
    store.compact_all()
    with store.index.write() as txn:
        [(packed, body)] = list(txn.scan_bodies(SERIES_BLOCKS, SERIES_BLOCKS.key.prefix(7, LOSS)))
        block = SERIES_BLOCKS.decode(body)
        other = blocks.decode_block(block)
        other.bits[3] += 1
        txn.put_body(SERIES_BLOCKS, packed, SERIES_BLOCKS.encode(blocks.encode_block(other)))
    problems = "; ".join(store.series.check(7).problems)
    assert "1 points of the log are in no block" in problems
    assert "1 points of its blocks are not in the log" in problems
    assert "summaries" in problems
    with store.index.write() as txn:
        txn.put_body(SERIES_BLOCKS, packed, SERIES_BLOCKS.encode(type(block)(5, b"", b"")))
    with pytest.raises(Corrupt, match="has 5 points and not 1000"):
        store.series.points([(7, None)], LOSS)
    with store.index.write() as txn:
        txn.delete_body(SERIES_BLOCKS, packed)
    with pytest.raises(Corrupt, match="lacks its block"):
        store.series.points([(7, None)], LOSS)


def test_an_erased_payload_takes_only_what_was_not_compacted(store):
    store.append_batch(7, regular(100))
    store.compact_all()
    store.append_batch(7, regular(100, 100))
    with store.index.write() as txn:
        for seq in (0, 1):
            stored = txn.get(LOG_PAYLOADS, seq)
            txn.put(LOG_PAYLOADS, seq, Stored(stored.salt, None, stored.result))
    assert len(store.series.points([(7, None)], LOSS)) == 100
    store.compact_all()
    checked = store.series.check(7)
    assert (checked.points, checked.erased, checked.problems) == (200, 2, [])


def test_a_dropped_stream_is_made_again_from_what_the_log_holds(store, monkeypatch):
    monkeypatch.setattr("runstone.storage.series.series._DROPPED", 1)
    for start in (0, 1000):
        store.append_batch(7, regular(1000, start))
    store.append_batch(8, regular(1000))
    store.compact_all()
    with store.index.write() as txn:
        stored = txn.get(LOG_PAYLOADS, 0)
        txn.put(LOG_PAYLOADS, 0, Stored(stored.salt, None, stored.result))
    store.series.drop(7)
    with store.index.read() as view:
        derived = [t for t in TABLES.values() if t.group == "derived" and t.key.names[0] == "stream"]
        assert [next(view.scan_bodies(t, t.key.prefix(7)), None) for t in derived] == [None] * 4
    assert store.series.points([(7, None)], LOSS).first() == (1000, 1_000_000_000)
    store.close()
    store.open()
    assert store.compact_all() == 1
    assert len(store.series.points([(7, None)], LOSS)) == len(store.series.points([(8, None)], LOSS)) == 1000
    assert (store.series.check(7).points, store.series.check(8).points) == (2000, 2000)


def test_a_process_learns_that_another_dropped_a_stream(store):
    # Another Series shares nothing with the first but the index, as one in another process.
    other = Series(store.index, key_ids)
    store.append_batch(7, regular(1000))
    store.append_batch(8, regular(1000))
    assert [other.compact(everything=True) for _ in range(3)] == [2001, 2001, 0]
    store.series.drop(7)
    store.append_batch(8, regular(1000, 1000))
    assert [other.compact(everything=True) > 0 for _ in range(3)] == [True, True, False]
    with store.index.read() as view:
        assert view.get(SERIES_COMPACTED, 7).seq == 1
        assert view.get(SERIES_SWEPT, 0) == Swept(2, 1)


def test_a_rebuild_leaves_blocks_to_be_made_again(store, tmp_path):
    for start in range(0, 3000, 1000):
        store.append_batch(7, regular(1000, start))
    store.compact_all()
    rebuild(store.log, tmp_path / "again", upto=2)
    again = SeriesStore(tmp_path / "again")
    try:
        with again.index.read() as view:
            assert {t.name for t in TABLES.values() if t.group == "derived" and view.count(t)} == set()
            assert view.count(ARRIVALS) == 2
        assert len(again.series.points([(7, None)], LOSS)) == 2000
        again.append_batch(7, regular(1000, 5000))
        again.compact_all()
        assert len(again.series.points([(7, None)], LOSS)) == 3000
        assert again.series.check(7).problems == []
    finally:
        again.close()


def test_a_map_that_is_full_grows(tmp_path):
    store = SeriesStore(tmp_path / "index", map_size=1 << 20)
    for start in range(0, 90_000, 30_000):
        store.append_batch(7, regular(30_000, start))
    store.compact_all()
    assert store.series.check(7).points == 180_000
    assert store.series.check(7).problems == []
    store.close()


def test_a_key_without_an_id_is_refused(store):
    store.append(7, [(1, 1, {"unknown": 1.0})])
    with pytest.raises(Corrupt, match="not in the dictionary: 'unknown'"):
        store.series.points([(7, None)], LOSS)


def test_questions_that_cannot_be_are_refused(store):
    for ask in (
        lambda: store.series.points([], LOSS, limit=0),
        lambda: store.series.rows([], limit=0),
        lambda: store.series.downsample([], LOSS, buckets=0),
        lambda: store.series.compact(0),
    ):
        with pytest.raises(Invalid, match=r"at least 1|1 to"):
            ask()
    assert len(store.series.downsample([], LOSS).start) == 0
    assert store.series.rows([]) == []


COMPACTOR = """
import sys
from pathlib import Path
from tests.storage.serieskit import SeriesStore
store = SeriesStore(Path(sys.argv[1]))
print("ready", flush=True)
while True:
    if not store.series.compact(700, everything=True) and len(sys.argv) > 2:
        break
    print("step", flush=True)
"""


def compactor(store: SeriesStore, *arguments: str) -> subprocess.Popen[bytes]:
    source = Path(blocks.__file__).parents[3]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(source), str(Path(__file__).parents[2])])}
    command = [sys.executable, "-c", COMPACTOR, str(store.path), *arguments]
    return subprocess.Popen(command, stdout=subprocess.PIPE, env=environment)


def fill(store: SeriesStore) -> list[Any]:
    """Batches that overlap, out of order, some twice; the points of ``loss`` that they hold."""
    rng = np.random.default_rng(3)
    starts = rng.integers(0, 30_000, 40).tolist()
    points = set()
    for start in [*starts, *starts[:5]]:
        batch = regular(500, start)
        store.append_batch(7, batch)
        points |= {(step, time, row["loss"]) for step, time, row in batches.decode_rows(batch)}
    return sorted(points)


@pytest.mark.parametrize("steps", [0, 3, 17])
def test_a_kill_in_the_midst_of_a_compaction_loses_and_doubles_nothing(store, steps):
    expected = fill(store)
    process = compactor(store)
    assert process.stdout is not None
    for _ in range(steps + 1):
        assert process.stdout.readline()
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    process.stdout.close()
    assert store.series.points([(7, None)], LOSS).rows() == expected
    assert store.series.check(7).problems == []
    store.compact_all()
    assert store.series.points([(7, None)], LOSS).rows() == expected
    assert store.series.check(7).problems == []


def test_processes_that_compact_at_once_lose_and_double_nothing(store):
    expected = fill(store)
    processes = [compactor(store, "until done") for _ in range(2)]
    while store.series.compact(700, everything=True):
        pass
    for process in processes:
        process.communicate()
        assert process.returncode == 0
    with store.index.read() as view:
        assert view.get(SERIES_COMPACTED, 7).seq == 45
    assert store.series.points([(7, None)], LOSS).rows() == expected
    assert store.series.check(7).problems == []
