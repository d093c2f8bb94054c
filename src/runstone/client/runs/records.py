"""The records of a journal: how they are framed, and what they hold (docs/format/journal.md)."""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import msgspec

from runstone._native.digests import xxh3_64
from runstone.client.runs.segment import Segment
from runstone.errors import Invalid

POINTS, UPDATE, LINE, OPERATION, FINISH, CUT, ROLL = range(1, 8)
HEADER = struct.Struct("<QII")
HEADER_SIZE = HEADER.size
#: The longest payload: with what else is in a batch it stays far below what a server takes.
MAX_PAYLOAD = 1 << 20

encode = msgspec.msgpack.Encoder().encode


class Points(msgspec.Struct, array_like=True, frozen=True):
    """The values that one call of ``log`` gave: ``time`` in microseconds since 1970."""

    step: int
    time: int
    values: dict[str, Any]


class Update(msgspec.Struct, array_like=True, frozen=True):
    """What changed of a run besides its series; see :class:`runstone.client.runs.sink.Changes` for the fields."""

    time: int
    changes: dict[str, Any]


class Line(msgspec.Struct, array_like=True, frozen=True):
    """A console line; a later one with the same stream and number replaces it (a rewritten progress line)."""

    stream: str
    number: int
    level: str
    time: int
    text: str


class Operation(msgspec.Struct, array_like=True, frozen=True):
    """Something that the handle asks the store to do: its name, and its arguments."""

    time: int
    name: str
    arguments: dict[str, Any]

    def as_edge(self, run: str) -> tuple[str, str, str]:
        """The lineage edge (source, relation, target) that ``use`` and ``produce`` stand for; raises :class:`Invalid` for another."""
        version = self.arguments.get("version")
        if self.name == "use":
            return str(version), "used_by", f"run:{run}"
        if self.name == "produce":
            return f"run:{run}", "produced", str(version)
        raise Invalid(f"this release does not know what a run means by {self.name!r}")


class Finish(msgspec.Struct, array_like=True, frozen=True):
    """The end that a process gave its run."""

    time: int
    state: str


Payload = Points | Update | Line | Operation | Finish
_DECODERS: dict[int, msgspec.msgpack.Decoder[Any]] = {
    POINTS: msgspec.msgpack.Decoder(Points),
    UPDATE: msgspec.msgpack.Decoder(Update),
    LINE: msgspec.msgpack.Decoder(Line),
    OPERATION: msgspec.msgpack.Decoder(Operation),
    FINISH: msgspec.msgpack.Decoder(Finish),
}


def stretches(lines: Sequence[Line]) -> list[list[Line]]:
    """Lines in the order given, as stretches of one stream whose numbers follow each other."""
    found: list[list[Line]] = []
    for line in lines:
        last = found[-1][-1] if found else None
        if last is not None and (last.stream, last.number + 1) == (line.stream, line.number):
            found[-1].append(line)
        else:
            found.append([line])
    return found


class Record(NamedTuple):
    """A record as it lies in a journal: from ``position`` to ``end``."""

    position: int
    end: int
    kind: int
    payload: bytes

    def decoded(self) -> Payload:
        """What it holds; raises ``msgspec.DecodeError`` for what is not what its kind says."""
        value: Payload = _DECODERS[self.kind].decode(self.payload)
        return value


def framed(position: int, kind: int, payload: bytes) -> bytes:
    """A record for this position and no other: a stretch of old bytes can never pass for a record."""
    return HEADER.pack(xxh3_64(payload, position << 8 | kind), len(payload), kind) + payload


def read(segment: Segment, position: int) -> Record | None:
    """The record at a position of a segment, or None where there is no whole one."""
    at = position - segment.base
    header = segment.read(at, HEADER_SIZE)
    if len(header) < HEADER_SIZE:
        return None
    check, length, kind = HEADER.unpack(header)
    if not POINTS <= kind <= ROLL or length > MAX_PAYLOAD:
        return None
    payload = segment.read(at + HEADER_SIZE, length)
    if len(payload) < length or xxh3_64(payload, position << 8 | kind) != check:
        return None
    return Record(position, position + HEADER_SIZE + length, kind, payload)


def scan(segments: Sequence[Segment], start: int, end: int | None = None) -> Iterator[Record]:
    """The whole records from ``start`` on, up to ``end`` or to the first that is not whole: a torn tail.

    A segment is left only by its roll record, so that nothing behind a damaged record is ever taken for its successor.
    """
    rest = [segment for segment in segments if segment.base + segment.size > start]
    position = max(start, rest[0].base) if rest else start
    for number, segment in enumerate(rest):
        while end is None or position < end:
            record = read(segment, position)
            if record is None:
                return
            position = record.end
            if record.kind == ROLL:
                break
            yield record
        else:
            return
        position = segment.base + segment.size
        if number + 1 < len(rest) and rest[number + 1].base != position:
            return
