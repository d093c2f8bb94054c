"""Stretches of a journal as the requests that deliver them.

Where a stretch ends follows from the journal alone: at a cut, after a finish, at so many bytes, or at the end of a journal that
nobody writes any more. An id follows from the journal's id and the position of the first record that went into the request. So
whoever delivers a stretch, and however often, sends the same ids with the same bytes.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import msgspec

from runstone._native.digests import blake3
from runstone.client.runs.records import CUT, FINISH, Finish, Line, Operation, Points, Record, Update
from runstone.client.runs.sink import Changes, RunSpec, Sink
from runstone.errors import Invalid

Row = tuple[int, int, dict[str, Any]]
Encode = Callable[[list[Row]], bytes]

#: Bytes of records that are delivered together.
STRETCH = 256 << 10
_YIELD_EVERY = 256


@dataclass(slots=True)
class Stretch:
    """Records that are delivered together; ``end`` is the position behind them. Complete if nothing can be added to it."""

    end: int
    records: list[Record] = field(default_factory=list)
    complete: bool = False
    size: int = 0

    def extend(self, records: Iterable[Record], limit: int) -> None:
        """Takes from the records that come next, up to where the stretch ends."""
        for number, record in enumerate(records, 1):
            self.end = record.end
            if record.kind == CUT:
                self.complete = True
                return
            self.records.append(record)
            self.size += record.end - record.position
            if self.size >= limit or record.kind == FINISH:
                self.complete = True
                return
            if number % _YIELD_EVERY == 0:
                time.sleep(0)  # lets a training that waits for the interpreter have it


@dataclass(slots=True)
class Request:
    """One call of a sink: ``send`` makes it. ``points`` is how many rows it brings, ``content`` what a rejection records."""

    kind: str
    id: bytes
    send: Callable[[Sink], None]
    content: Callable[[], Any]
    points: int = 0


def command_id(journal: str, position: int) -> bytes:
    """The id of the request whose first record lies at a position."""
    return blake3(b"runstone.journal\0" + bytes.fromhex(journal) + position.to_bytes(8, "little"))[:16]


def create_id(journal: str) -> bytes:
    """The id of the request that makes the run."""
    return blake3(b"runstone.journal\0" + bytes.fromhex(journal))[:16]


def requests(spec: RunSpec, journal: str, records: list[Record], encode: Encode) -> Iterator[Request]:
    """The requests of a stretch: points, updates, lines, operations, and the finish; each kind in its order."""
    by_type: dict[type, list[tuple[int, Any]]] = {}
    for number, record in enumerate(records, 1):
        value = record.decoded()
        by_type.setdefault(type(value), []).append((record.position, value))
        if number % _YIELD_EVERY == 0:
            time.sleep(0)
    if rows := by_type.get(Points):
        yield from _points(spec, journal, rows, encode)
    for position, changes in _merged(by_type.get(Update, ())):
        yield _update(spec, command_id(journal, position), changes)
    if lines := by_type.get(Line):
        yield _lines(spec, command_id(journal, lines[0][0]), _latest([line for _, line in lines]))
    for position, operation in by_type.get(Operation, ()):
        yield _operation(spec, command_id(journal, position), operation)
    for position, finish in by_type.get(Finish, ()):
        yield _finish(spec, command_id(journal, position), finish)


def _points(
    spec: RunSpec, journal: str, found: list[tuple[int, Points]], encode: Encode
) -> Iterator[Request]:
    rows = _rows(found)
    if _refusal(rows, encode) is not None:
        # A row that the form cannot hold goes alone, to be rejected, and the others are delivered without it.
        good = []
        for item in found:
            reason = _refusal(_rows([item]), encode)
            if reason is None:
                good.append(item)
            else:
                yield _refused(command_id(journal, item[0]), _rows([item]), reason)
        found, rows = good, _rows(good)
    if rows:
        id_ = command_id(journal, found[0][0])
        batch = encode(rows)
        yield Request("points", id_, lambda sink: sink.points(spec, batch, id_), lambda: rows, len(rows))


def _rows(found: list[tuple[int, Points]]) -> list[Row]:
    return [(value.step, value.time, value.values) for _, value in found]


def _refusal(rows: list[Row], encode: Encode) -> str | None:
    try:
        encode(rows)
    except ValueError as error:
        return str(error)
    return None


def _refused(id: bytes, rows: list[Row], reason: str) -> Request:
    def refuse(_: Sink) -> None:
        raise Invalid(reason)

    return Request("points", id, refuse, lambda: rows, len(rows))


def _merged(updates: Iterable[tuple[int, Update]]) -> Iterator[tuple[int, Changes]]:
    """Updates joined into few: never two values of one config key, whose history is kept."""
    start, whole = 0, None
    for position, update in updates:
        changes = msgspec.convert({"time": update.time, **update.changes}, Changes)
        joined = None if whole is None else _joined(whole, changes)
        if joined is None:
            if whole is not None:
                yield start, whole
            start, joined = position, changes
        whole = joined
    if whole is not None:
        yield start, whole


def _joined(first: Changes, second: Changes) -> Changes | None:
    touched = set(first.config or ()) | set(first.removed or ())
    if touched & (set(second.config or ()) | set(second.removed or ())):
        return None
    fields = {name: getattr(first, name) for name in first.__struct_fields__}
    for name in second.__struct_fields__:
        value = getattr(second, name)
        if value is None:
            continue
        held = fields[name]
        if name in ("config", "summary", "environment") and held is not None:
            value = held | value
        elif name == "removed" and held is not None:
            value = held + value
        fields[name] = value
    return Changes(**fields)


def _latest(lines: list[Line]) -> list[Line]:
    """The lines without those that later ones of the stretch rewrite."""
    return list({(line.stream, line.number): line for line in lines}.values())


def _update(spec: RunSpec, id: bytes, changes: Changes) -> Request:
    return Request(
        "update", id, lambda sink: sink.update(spec, changes, id), lambda: msgspec.to_builtins(changes)
    )


def _lines(spec: RunSpec, id: bytes, lines: list[Line]) -> Request:
    return Request("lines", id, lambda sink: sink.lines(spec, lines, id), lambda: msgspec.to_builtins(lines))


def _operation(spec: RunSpec, id: bytes, operation: Operation) -> Request:
    return Request(
        "operation",
        id,
        lambda sink: sink.operation(spec, operation, id),
        lambda: msgspec.to_builtins(operation),
    )


def _finish(spec: RunSpec, id: bytes, finish: Finish) -> Request:
    return Request(
        "finish",
        id,
        lambda sink: sink.finish(spec, finish.state, finish.time, id),
        lambda: msgspec.to_builtins(finish),
    )
