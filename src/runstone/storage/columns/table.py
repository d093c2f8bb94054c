"""A table of rows in a folder: sealed segments, what changed since, and answers over both.

The rows' truth is elsewhere (:class:`Source`); all that lies here is derived from it and can be made again. Several tables, in one process
or in several, may use one folder: one at a time seals, the others notice the manifest that it leaves.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import secrets
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

import numpy as np

from runstone.errors import Corrupt, TryAgain
from runstone.query import Query
from runstone.storage import filesystem
from runstone.storage.columns import bitmaps, compaction, encode, engine, manifest, writer
from runstone.storage.columns.bitmaps import Array, Bits
from runstone.storage.columns.encode import FieldData
from runstone.storage.columns.engine import Answer
from runstone.storage.columns.manifest import Manifest
from runstone.storage.columns.parts import MemoryPart, View
from runstone.storage.columns.segment import Damaged, Segment

_T = TypeVar("_T")

if TYPE_CHECKING:
    import pyarrow

#: Rows that are gathered before they join the larger part in memory: what changes often stays small, so that its columns are made quickly.
RECENT = 256
#: How often a manifest may change under a reader before it gives up.
TRIES = 100


class Source(Protocol):
    """Where the rows of a table come from."""

    def changes(self, after: int, limit: int) -> Sequence[tuple[int, int]]:
        """Rows changed behind a sequence number: (sequence number, row id), ascending, each row at its latest change only.

        About ``limit`` of them: all rows of one sequence number come together.
        """
        ...

    def rows(self, ids: Sequence[int]) -> Sequence[dict[str, Any] | None]:
        """Rows as they are now; None for one that is gone. They are kept as they are and must not be changed afterwards."""
        ...

    def fields(self, ids: Sequence[int]) -> tuple[Array, dict[str, FieldData]]:
        """Many rows at once, ids ascending: the ids of those that are there, and each of their fields as it stands over these."""
        ...


@dataclass(frozen=True)
class State:
    """What a query looks at. It never changes: whatever happens makes another."""

    stamp: manifest.Stamp
    manifest: Manifest
    sealed: tuple[View, ...]
    middle: View
    recent: View
    seq: int

    @property
    def views(self) -> tuple[View, ...]:
        """Every part, rows in memory last."""
        return (*self.sealed, self.middle, self.recent)

    def waiting(self) -> int:
        """How many rows, gone ones included, are not sealed."""
        return self.middle.part.rows + self.recent.part.rows


def _memory(ids: Sequence[int], seqs: Sequence[int], held: Sequence[dict[str, Any] | None]) -> View:
    part = MemoryPart(np.array(ids, np.int64), np.array(seqs, np.int64), held)
    return View.of(part, part.live)


def _joined(older: View, newer: View, behind: int = -1) -> View:
    """The rows of two views in memory, where both have one that of the newer; only changes behind a sequence number."""
    latest: dict[int, tuple[int, dict[str, Any] | None]] = {}
    for view in (older, newer):
        part = view.part
        assert isinstance(part, MemoryPart)
        latest.update(zip(part.ids.tolist(), zip(part.seqs.tolist(), part.held, strict=True), strict=True))
    kept = [(row, seq, held) for row, (seq, held) in latest.items() if seq > behind]
    return _memory([each[0] for each in kept], [each[1] for each in kept], [each[2] for each in kept])


_NOTHING = _memory([], [], [])


class ColumnTable:
    """A table; safe for threads.

    ``seal_rows`` is how many changed rows :meth:`maintain` seals, ``pull_rows`` from how many on :meth:`refresh` seals what it takes in,
    ``bulk_rows`` how many rows are held in memory at most, ``largest_rows`` how many rows merged segments have at most.
    """

    def __init__(
        self,
        folder: Path,
        source: Source,
        *,
        seal_rows: int = 4096,
        pull_rows: int = 4096,
        bulk_rows: int = 1 << 15,
        largest_rows: int = 1 << 18,
    ) -> None:
        self.folder, self.source = folder, source
        self.seal_rows, self.pull_rows, self.bulk_rows, self.largest_rows = (
            seal_rows,
            pull_rows,
            bulk_rows,
            largest_rows,
        )
        filesystem.make_directory(folder)
        self._lock = threading.RLock()
        self._maintaining = threading.Lock()
        self._open: dict[int, Segment] = {}
        self._state = State(manifest.NO_FILE, Manifest(), (), _NOTHING, _NOTHING, -1)
        self._notice()

    # What a query sees.

    def execute(self, query: Query, visible: Callable[[str], bool] = lambda field: True) -> Answer:
        """The answer to a query, as of the last :meth:`refresh`.

        A field that is not visible is as if no row had it. Raises :class:`runstone.errors.Invalid` for what cannot be answered.
        """
        return answer(query, [(self, visible)])

    def fields(
        self,
        prefix: str = "",
        after: str = "",
        limit: int = 1000,
        visible: Callable[[str], bool] = lambda field: True,
    ) -> list[tuple[str, int]]:
        """Names of fields with a prefix, ascending, those behind ``after``, with how many rows have each."""
        return self._healing(lambda state: engine.fields(state.views, prefix, after, limit, visible))

    def arrow(
        self, fields: Sequence[str], visible: Callable[[str], bool] = lambda field: True
    ) -> pyarrow.Table:
        """All rows as a table of Arrow, over the maps where that is possible (see :mod:`runstone.storage.columns.arrow`)."""
        from runstone.storage.columns import arrow

        return self._healing(lambda state: arrow.table_of(state.views, fields, visible))

    @property
    def seq(self) -> int:
        """Changes up to this sequence number are in the answers."""
        return self._state.seq

    @property
    def state(self) -> State:
        """What queries look at now."""
        return self._state

    def _healing(self, work: Callable[[State], _T]) -> _T:
        """Runs work on the state; segments that turn out damaged are made again."""
        for _ in range(TRIES):
            state = self._state
            try:
                return work(state)
            except Damaged as damage:
                self.heal(damage)
        raise _damaged_again(self.folder)

    # What changes it.

    def refresh(self, told: Callable[[int], None] = lambda seq: None) -> int:
        """Takes in what changed in the source since the last time; how many rows that was. Of each piece of it, ``told`` is told the place.

        A few changes stay in memory; many are sealed at once, so that the next who opens the folder finds them.
        """
        pulled = 0
        while True:
            try:
                with self._lock:
                    self._notice()
                    changes = self.source.changes(self._state.seq, self.pull_rows)
                    if not changes:
                        return pulled
                    if len(changes) < self.pull_rows:
                        held = self.source.rows([row for _, row in changes])
                        batch = _memory([row for _, row in changes], [seq for seq, _ in changes], held)
                        self._take(batch, changes[-1][0])
                pulled += len(changes) if len(changes) < self.pull_rows else self._take_many()
                told(self._state.seq)
                if self._state.waiting() >= self.bulk_rows:
                    self._seal()
            except Damaged as damage:
                self.heal(damage)

    def _take_many(self) -> int:
        """Seals the next changes behind what is sealed, without rows in between; how many rows that was."""
        with self._sealing(wait=True):
            base, opened = self._state.manifest, self._open
            seq, latest = base.seq, set[int]()
            while len(latest) < self.bulk_rows and (changes := self.source.changes(seq, self.pull_rows)):
                seq = changes[-1][0]
                latest.update(row for _, row in changes)
            changed = np.array(sorted(latest), np.int64)
            segments = {
                segment: (rows, View.of(opened[segment], live).without(changed).live)
                for segment, (rows, live) in base.segments.items()
            }
            ids, fields = self.source.fields(changed.tolist())
            if len(ids):
                segments.update(self._written(ids, encode.columns_of(fields, len(ids))))
            if len(changed):
                self._publish(base, segments, seq)
            return len(changed)

    def _take(self, batch: View, seq: int) -> None:
        """Makes a batch of changed rows part of the state."""
        state = self._state
        ids = batch.part.ids
        sealed = tuple(view.without(ids) for view in state.sealed)
        recent, middle = _joined(state.recent, batch), state.middle
        if recent.part.rows > RECENT:
            middle, recent = _joined(middle, recent), _NOTHING
        else:
            middle = middle.without(ids)
        self._state = replace(state, sealed=sealed, middle=middle, recent=recent, seq=seq)

    def maintain(self) -> bool:
        """Does one step of upkeep that is due, such as sealing or merging; whether one was done and more may be due.

        A step takes time in proportion to ``largest_rows``. Does nothing while another table of the folder is at it.
        """
        if not self._maintaining.acquire(blocking=False):
            return False
        try:
            if self._state.waiting() >= self.seal_rows:
                return self._seal()
            with self._sealing() as alone:
                return alone and self._merge()
        except Damaged as damage:
            self.heal(damage)
            return True
        finally:
            self._maintaining.release()

    def sealed_seq(self) -> int:
        """Changes up to this sequence number are in segments, and need not be asked for again by who opens the folder."""
        return self._state.manifest.seq

    def seal(self) -> bool:
        """Seals what is in memory, however little; whether there was something and nobody else was at it."""
        return bool(self._state.waiting()) and self._seal()

    @contextlib.contextmanager
    def _sealing(self, wait: bool = False) -> Iterator[bool]:
        """Holds the folder's lock, if it is free, with the manifest as the last holder left it."""
        handle = os.open(self.folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
            except BlockingIOError:
                yield False
                return
            with self._lock:
                self._notice()
            self._sweep()
            yield True
        finally:
            os.close(handle)

    def _seal(self) -> bool:
        with self._sealing() as alone:
            if not alone:
                return False
            state = self._state
            joined = _joined(state.middle, state.recent, state.manifest.seq)
            if not joined.part.rows:
                return False
            segments = {
                segment: (view.part.rows, view.live)
                for segment, view in zip(state.manifest.segments, state.sealed, strict=True)
            }
            part = joined.part
            assert isinstance(part, MemoryPart)
            rows = [row for row in part.held if row is not None]
            if rows:
                ids = part.ids[bitmaps.unpack(part.live, part.rows)]
                segments.update(self._written(ids, encode.columns_of(encode.fields_of(rows), len(rows))))
            self._publish(state.manifest, segments, state.seq)
        return True

    def _merge(self) -> bool:
        base = self._state.manifest
        chosen = compaction.choose(base, self.seal_rows, self.largest_rows)
        if chosen is None:
            return False
        segments = {segment: held for segment, held in base.segments.items() if segment not in chosen}
        merge = compaction.Merge([(self._opened(segment), base.segments[segment][1]) for segment in chosen])
        if len(merge.ids):
            segments.update(self._written(merge.ids, merge.columns()))
        self._publish(base, segments, base.seq)
        return True

    def _written(self, ids: Any, columns: Any) -> dict[int, tuple[int, Bits]]:
        segment = secrets.randbits(64)
        writer.write_segment(self.folder, segment, ids, columns)
        return {segment: (len(ids), bitmaps.every(len(ids)))}

    def _publish(self, base: Manifest, segments: dict[int, tuple[int, Bits]], seq: int) -> None:
        manifest.write(self.folder, Manifest(base.generation + 1, seq, segments))
        with self._lock:
            self._notice()

    def _sweep(self) -> None:
        """Deletes files of no segment: what a process left that was killed, or merged away. Only for the holder of the lock."""
        held = {writer.file_name(segment) for segment in self._state.manifest.segments}
        for path in self.folder.iterdir():
            if (path.suffix == ".seg" and path.name not in held) or path.suffix == ".tmp":
                path.unlink(missing_ok=True)

    def _opened(self, segment: int) -> Segment:
        if segment not in self._open:
            self._open[segment] = Segment(self.folder / writer.file_name(segment), segment)
        return self._open[segment]

    def _notice(self) -> None:
        """Takes over the manifest if it is another than the state's."""
        for _ in range(TRIES):
            stamp = manifest.stamp(self.folder)
            if stamp == self._state.stamp:
                return
            found = manifest.read(self.folder)
            try:
                self._adopt(stamp, found)
            except FileNotFoundError:
                # Merged away since: there is a newer manifest, unless somebody deleted files.
                if manifest.stamp(self.folder) == stamp:
                    self._reset(stamp, found)
            except Damaged:
                self._reset(stamp, found)
        raise TryAgain(f"the segments of {self.folder} change faster than they can be opened")

    def _adopt(self, stamp: manifest.Stamp, found: Manifest) -> None:
        sealed = []
        for segment, (rows, live) in found.segments.items():
            opened = self._opened(segment)
            if opened.rows != rows:
                raise opened.damaged(f"it has {opened.rows} rows where the manifest has {rows}")
            sealed.append(View.of(opened, live))
        state = self._state
        seq = state.seq
        if found.seq < state.manifest.seq:
            # Somebody began anew: what is in memory here are changes to segments that are no more.
            state, seq = replace(state, middle=_NOTHING, recent=_NOTHING), found.seq
        middle, recent = _joined(state.middle, state.recent, found.seq), _NOTHING
        seq = max(seq, found.seq)
        ids = middle.part.ids
        views = tuple(view.without(ids) for view in sealed)
        self._open = {segment: self._open[segment] for segment in found.segments}
        self._state = State(stamp, found, views, middle, recent, seq)

    def _reset(self, stamp: manifest.Stamp, found: Manifest) -> None:
        """Begins anew in memory, because segments cannot be opened; the next refresh and seal replace what is in the folder."""
        self._open = {}
        self._state = State(stamp, Manifest(found.generation), (), _NOTHING, _NOTHING, -1)

    def heal(self, damage: Damaged) -> None:
        """Makes a damaged segment again from the source, if it is of this table: same rows, as they are now."""
        wrong = damage.segment
        with self._sealing(wait=True):
            state = self._state
            base = state.manifest
            if wrong not in base.segments:
                return
            segment, live = self._open[wrong], base.segments[wrong][1]
            segments = {each: held for each, held in base.segments.items() if each != wrong}
            try:
                ids = segment.ids[bitmaps.unpack(live, segment.rows)]
            except Damaged:
                with self._lock:
                    self._reset(state.stamp, base)
                return
            ids, fields = self.source.fields(ids.tolist())
            if len(ids):
                segments.update(self._written(ids, encode.columns_of(fields, len(ids))))
            self._publish(base, segments, base.seq)


def answer(query: Query, asked: Sequence[tuple[ColumnTable, Callable[[str], bool]]]) -> Answer:
    """The answer to a query over several tables, no row id of which is in two of them, each with what may be seen of it."""
    for _ in range(TRIES):
        views = [(view, visible) for table, visible in asked for view in table.state.views]
        try:
            return engine.answer(query, views)
        except Damaged as damage:
            for table, _ in asked:
                table.heal(damage)
    raise _damaged_again(asked[0][0].folder)


def _damaged_again(folder: Path) -> Corrupt:
    return Corrupt(f"the column segments in {folder} are damaged as fast as they are made: check the disk")
