"""Protocol buffers as they lie on the wire (protobuf.dev/programming-guides/encoding), for the few messages that are read here.

A message is described by a table: what each field number is called, and how it is read. There is no more to a decoder than that, and one
of our own counts the fields that it makes objects of, where a library allocates whatever a hostile body asks for.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from typing import Any

from runstone.errors import Malformed, TooLarge

#: Levels of messages, and fields of one body.
MAX_DEPTH = 64
MAX_FIELDS = 4_000_000
_FIXED64, _FIXED32, _DOUBLE = struct.Struct("<Q"), struct.Struct("<I"), struct.Struct("<d")
#: How a field is read: a text, bytes, numbers, or a message of a table; a repeated one is a list.
TEXT, BYTES, WHOLE, BOOLEAN, FIXED, REAL = "text", "bytes", "whole", "boolean", "fixed", "real"


class Field:
    """A field of a message."""

    __slots__ = ("kind", "name", "repeated", "table")

    def __init__(
        self, name: str, kind: str = "", table: Mapping[int, Field] | None = None, *, repeated: bool = False
    ) -> None:
        self.name, self.kind, self.table, self.repeated = name, kind, table, repeated


Table = Mapping[int, Field]


class Reader:
    """Reads the messages of one body; raises :class:`Malformed`, or :class:`TooLarge` for one of too many fields or levels."""

    def __init__(self, body: bytes) -> None:
        self._body = body
        self._left = MAX_FIELDS

    def message(
        self, table: Table, start: int = 0, stop: int | None = None, depth: int = 0
    ) -> dict[str, Any]:
        """The fields of a message by name; those that the table does not name are passed over."""
        body, at = self._body, start
        end = len(body) if stop is None else stop
        if depth > MAX_DEPTH:
            raise TooLarge(f"the body is nested deeper than {MAX_DEPTH} messages")
        found: dict[str, Any] = {}
        while at < end:
            self._left -= 1
            if self._left < 0:
                raise TooLarge(f"the body has more than {MAX_FIELDS} fields")
            tag = body[at]
            at += 1
            if tag & 0x80:
                tag, at = self._varint(at - 1, end)
            wire = tag & 7
            if wire == 2:
                length = body[at] if at < end else 0x80
                at += 1
                if length & 0x80:
                    length, at = self._varint(at - 1, end)
                value: Any = at
                at += length
            elif wire == 0:
                value, at = self._varint(at, end)
            elif wire == 1:
                value, at = at, at + 8
            elif wire == 5:
                value, at = at, at + 4
            else:
                raise Malformed(f"a field has the wire type {wire}, which is not read")
            if at > end:
                raise _short()
            field = table.get(tag >> 3)
            if field is not None:
                self._take(found, field, wire, value, at, depth)
        return found

    def _take(
        self, found: dict[str, Any], field: Field, wire: int, value: int, stop: int, depth: int
    ) -> None:
        kind = field.kind
        read: Any
        if wire == 2:
            if field.table is not None:
                read = self.message(field.table, value, stop, depth + 1)
            elif kind == TEXT:
                try:
                    read = str(self._body[value:stop], "utf-8")
                except UnicodeDecodeError:
                    raise Malformed(f"{field.name} is not UTF-8") from None
            elif kind == BYTES:
                read = bytes(self._body[value:stop])
            else:
                return
        elif wire == 0:
            if kind == WHOLE:
                read = value - (1 << 64) if value >> 63 else value
            elif kind == BOOLEAN:
                read = bool(value)
            else:
                return
        elif wire == 1 and kind in (FIXED, REAL):
            read = (_FIXED64 if kind == FIXED else _DOUBLE).unpack_from(self._body, value)[0]
        elif wire == 5 and kind == FIXED:
            read = _FIXED32.unpack_from(self._body, value)[0]
        else:
            return
        if field.repeated:
            found.setdefault(field.name, []).append(read)
        else:
            found[field.name] = read

    def _varint(self, at: int, end: int) -> tuple[int, int]:
        value = shift = 0
        while at < end and shift < 70:
            byte = self._body[at]
            at += 1
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                return value & 0xFFFF_FFFF_FFFF_FFFF, at
            shift += 7
        raise _short()


def _short() -> Malformed:
    return Malformed("the body ends within a field")
