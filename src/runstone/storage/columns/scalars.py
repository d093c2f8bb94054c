"""What the values of a row are to a query: kinds, numbers, text."""

from __future__ import annotations

import math
from typing import Any, Final

#: Kinds in ascending order. NaN, what has no order, and what is not there come last in both directions.
BOOL, NUMBER, TEXT, NAN, OTHER, MISSING = range(6)

#: What stands for lists and objects where an answer names a value.
UNORDERED: Final = ()


def as_number(value: float) -> float:
    """A number as the columns hold it: f64, the nearest one for an integer that has none of its own, ±inf beyond its range."""
    try:
        return float(value)
    except OverflowError:
        return math.inf if value > 0 else -math.inf


def kind_of(value: Any) -> int:
    """The kind of a value of a row."""
    if value is None:
        return MISSING
    if isinstance(value, bool):
        return BOOL
    if isinstance(value, (int, float)):
        return NAN if value != value else NUMBER
    return TEXT if isinstance(value, str) else OTHER


def number_text(value: float, integer: bool) -> str:
    """The text of a number that the columns hold; ``integer`` says that it was an int."""
    return str(int(value)) if integer and math.isfinite(value) else repr(value)


def text_of(value: Any) -> str | None:
    """The text that ``text`` conditions compare; None for what has none (null, lists, objects)."""
    if isinstance(value, str):
        return str(value)
    if isinstance(value, bool):
        return str(value)
    if isinstance(value, (int, float)):
        return number_text(as_number(value), isinstance(value, int))
    return None


def encode(text: str) -> bytes:
    """UTF-8, whose order is that of code points; lone surrogates, which JSON can carry, are let pass."""
    return text.encode("utf-8", "surrogatepass")


def decode(data: bytes) -> str:
    """The text that :func:`encode` made bytes of."""
    return data.decode("utf-8", "surrogatepass")
