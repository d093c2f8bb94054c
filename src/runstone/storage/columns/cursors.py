"""The place of a row in an order, as text that a client hands back to get the rows behind it.

A place holds the row's values in the order's fields and its id, so it stays good while rows are added, changed and removed, the row itself
included. It is readable for whoever decodes it: it says no more than the page that it came with.
"""

from __future__ import annotations

import base64
import binascii
from typing import Any

import msgspec

from runstone._native import digests
from runstone.errors import Invalid
from runstone.query import Order
from runstone.storage.columns import rows, scalars

VERSION = 1
#: Longest cursor that is looked at.
MAX_LENGTH = 1 << 20

#: A value in a cursor: a scalar of the order, or how it was missing (see :mod:`scalars`), as an int.
Value = bool | float | str | bytes | int


def encode(order: tuple[Order, ...], values: list[Any], row_id: int) -> str:
    """The text of a place."""
    held = [_stored(value) for value in values]
    data = msgspec.msgpack.encode([VERSION, _mark(order), row_id, held])
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def decode(text: str, order: tuple[Order, ...], count: int) -> tuple[list[Any], int]:
    """The values and the id of a place; :class:`Invalid` when it is no cursor of this order with ``count`` values.

    A value is a bool, a float, a text, or an int of NAN, OTHER and MISSING.
    """
    try:
        if len(text) > MAX_LENGTH:
            raise ValueError("too long")
        data = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
        version, mark, row, held = msgspec.msgpack.decode(data, type=tuple[int, int, int, list[Any]])
    except (ValueError, binascii.Error, msgspec.DecodeError) as error:
        raise Invalid("'after' is not a cursor: pass what the page before gave as it is") from error
    if version != VERSION or mark != _mark(order):
        raise Invalid("'after' is a cursor of another query: keep the order as it was, or begin without it")
    if len(held) != count or not all(map(_is_value, held)) or not -(2**63) <= row < 2**63:
        raise Invalid("'after' is not a cursor: pass what the page before gave as it is")
    return [scalars.decode(value) if isinstance(value, bytes) else value for value in held], row


def _stored(value: Any) -> Value:
    kind = scalars.kind_of(value)
    if kind >= scalars.NAN:
        return kind
    if kind == scalars.NUMBER:
        return scalars.as_number(value)
    if kind == scalars.BOOL:
        return bool(value)
    try:
        value.encode()
    except UnicodeEncodeError:
        return scalars.encode(value)
    return str(value)


def _is_value(value: object) -> bool:
    if isinstance(value, bytes):
        try:
            scalars.decode(value)
        except UnicodeDecodeError:
            return False
        return True
    if isinstance(value, int) and not isinstance(value, bool):
        return scalars.NAN <= value <= scalars.MISSING
    return isinstance(value, (bool, str)) or (isinstance(value, float) and value == value)


def _mark(order: tuple[Order, ...]) -> int:
    """A number that differs for other orders."""
    return digests.xxh3_64(msgspec.msgpack.encode([(each.field, each.descending) for each in order])) >> 1


def stored_key(value: Any, descending: bool) -> tuple[int, Any]:
    """The sort key of a cursor's value, to be compared with those of :func:`rows.value_key`."""
    if isinstance(value, int) and not isinstance(value, bool):
        return value, 0
    return rows.value_key(value, descending)
