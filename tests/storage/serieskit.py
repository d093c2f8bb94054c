"""A store of series without a domain: a command that carries a points batch, a dictionary of names, and a plain model."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from tests.native import reference_points, reference_zoom

from runstone._native import points as batches
from runstone.storage.changelog import ChangeLog
from runstone.storage.commands import Command, Stamp, applies
from runstone.storage.index import Index, View
from runstone.storage.series.arrivals import note_arrival
from runstone.storage.series.series import Series
from runstone.storage.state import State

KEYS = {name: number for number, name in enumerate(("loss", "acc", "note", "lr"), 1)}
Spans = list[tuple[int, int | None]]
Point = tuple[int, int, Any]


class LogSomePoints(Command, frozen=True, kw_only=True):
    stream: int
    batch: bytes


@applies(60_100, "log_some_points", LogSomePoints)
def _log_points(state: State, stamp: Stamp, command: LogSomePoints) -> None:
    note_arrival(state, command.stream, stamp.seq, command.batch)


def key_ids(view: View, stream: int, names: Iterable[str]) -> Mapping[str, int]:
    return KEYS


class SeriesStore:
    """An index with its log and its series."""

    def __init__(self, path: Path, map_size: int = 4 << 30) -> None:
        self.path = path
        self.map_size = map_size
        self.open()

    def open(self) -> None:
        self.index = Index(self.path, map_size=self.map_size)
        self.log = ChangeLog(self.index)
        self.series = Series(self.index, key_ids)

    def close(self) -> None:
        self.index.close()

    def append(self, stream: int, rows: list[tuple[int, int, dict[str, Any]]]) -> None:
        self.append_batch(stream, batches.encode_rows(rows))

    def append_batch(self, stream: int, batch: bytes) -> None:
        self.log.submit(LogSomePoints(actor="test", stream=stream, batch=batch))

    def compact_all(self, budget: int = 65_536) -> int:
        steps = 0
        while self.series.compact(budget, everything=True):
            steps += 1
        return steps


def order(point: Point) -> tuple[Any, ...]:
    kind = reference_points.kind_of(point[2])
    return point[0], point[1], kind, reference_points.value_order(kind, point[2])


class Model:
    """Streams as plain lists of rows."""

    def __init__(self) -> None:
        self.streams: dict[int, list[tuple[int, int, dict[str, Any]]]] = {}

    def append(self, stream: int, rows: list[tuple[int, int, dict[str, Any]]]) -> None:
        self.streams.setdefault(stream, []).extend(rows)

    def points(
        self, spans: Spans, key: int, low: int | None = None, high: int | None = None, by_time: bool = False
    ) -> list[Point]:
        found: list[Point] = []
        for stream, max_step in spans:
            of_stream = {
                order((step, time, value)): (step, time, value)
                for step, time, row in self.streams.get(stream, [])
                for name, value in row.items()
                if KEYS[name] == key and (max_step is None or step < max_step)
            }
            found += of_stream.values()
        return sorted(
            (p for p in found if (low is None or p[by_time] >= low) and (high is None or p[by_time] < high)),
            key=order,
        )

    def rows(self, spans: Spans, low: int | None, high: int | None) -> list[tuple[int, int, dict[int, Any]]]:
        steps: dict[int, dict[int, Point]] = {}
        for key in KEYS.values():
            for point in self.points(spans, key, low, high):
                steps.setdefault(point[0], {})[key] = point
        return [
            (step, max(point[1] for point in row.values()), {key: point[2] for key, point in row.items()})
            for step, row in sorted(steps.items())
        ]

    def picture(self, spans: Spans, key: int, picture: Any, low: Any, high: Any, by_time: bool) -> list[str]:
        """What the buckets of a picture should be, bucket by bucket as it cut them."""
        numbers = [
            (step, time, float(value))
            for step, time, value in self.points(spans, key, low, high, by_time)
            if reference_points.kind_of(value) != reference_points.OBJECT
        ]
        found = []
        for start, end in zip(picture.start.tolist(), picture.end.tolist(), strict=True):
            inside = [p for p in numbers if start <= p[by_time] < end]
            found.append(repr((start, end, *reference_zoom.bucket(inside))))
        return found

    def count(self, spans: Spans, key: int, low: Any, high: Any, by_time: bool) -> int:
        return sum(
            reference_points.kind_of(value) != reference_points.OBJECT
            for _, _, value in self.points(spans, key, low, high, by_time)
        )


def shown(picture: Any) -> list[str]:
    columns = (picture.start, picture.end, picture.count, picture.nans, picture.min, picture.max)
    columns += (picture.last, picture.mean)
    return [repr(row) for row in zip(*(column.tolist() for column in columns), strict=True)]


def all_points(series: Series, spans: Spans, key: int, limit: int, **asked: Any) -> list[Point]:
    """Every point, page after page."""
    found: list[Point] = []
    after = None
    while True:
        page = series.points(spans, key, limit=limit, after=after, **asked)
        if not len(page):
            return found
        after = page.last()
        found += page.rows()
