"""Sizes, times, durations and names as people read and write them."""

from __future__ import annotations

import re
import time
import unicodedata
from collections.abc import Sequence
from datetime import datetime

UNITS = ("B", "kB", "MB", "GB", "TB", "PB")
_DURATION = re.compile(r"([0-9]+(?:\.[0-9]+)?)\s*([smhdw]?)\Z")
_SECONDS = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}


def size(count: int) -> str:
    """Bytes in the largest decimal unit that they fill: ``90.9 MB``."""
    value, unit = float(count), 0
    # 999.95 would be shown as 1000.0 of the smaller unit.
    while value >= 999.95 and unit < len(UNITS) - 1:
        value, unit = value / 1000, unit + 1
    return f"{count} B" if unit == 0 else f"{value:.1f} {UNITS[unit]}"


def moment(microseconds: int) -> str:
    """A time in the local zone, as ISO 8601 to the second; ``-`` for 0, which stands for never."""
    if not microseconds:
        return "-"
    try:
        return datetime.fromtimestamp(microseconds // 1_000_000).astimezone().isoformat()
    except (ValueError, OverflowError, OSError):  # beyond the year 9999
        return f"{microseconds // 1_000_000} s"


def count(number: int, noun: str) -> str:
    """``1 file``, ``2 files``."""
    return f"{number} {noun}{'' if number == 1 else 's'}"


def parse_duration(written: str) -> float:
    """Seconds, from ``90``, ``90s``, ``15m``, ``24h``, ``7d`` or ``2w``; raises ValueError."""
    found = _DURATION.match(written.strip())
    if found is None:
        raise ValueError(f"{written!r} is not a duration: write 90s, 15m, 24h, 7d or 2w")
    return float(found[1]) * _SECONDS[found[2]]


def parse_moment(written: str, *, past: bool = False) -> int:
    """Microseconds since 1970, from an ISO 8601 time (local unless it has a zone), or a duration from now or, with ``past``, ago.

    Raises ValueError.
    """
    if _DURATION.match(written.strip()):
        seconds = parse_duration(written)
        return int((time.time() + (-seconds if past else seconds)) * 1e6)
    try:
        return int(datetime.fromisoformat(written.strip()).timestamp() * 1e6)
    except (ValueError, OverflowError):
        raise ValueError(
            f"{written!r} is not a time: write 2026-12-31T18:00, or a duration such as 30d"
        ) from None


def printable(text: str) -> str:
    """Text that cannot play tricks on a terminal: whatever is not a printable character is escaped."""
    if text.isprintable():
        return text
    return "".join(
        char if char.isprintable() else char.encode("unicode_escape", "surrogatepass").decode("ascii")
        for char in text
    )


def width(text: str) -> int:
    """The columns that a text takes on a terminal."""
    if text.isascii():
        return len(text)
    wide = sum(unicodedata.east_asian_width(char) in "WF" for char in text)
    return len(text) + wide - sum(unicodedata.combining(char) != 0 for char in text)


def table(head: Sequence[str], rows: Sequence[Sequence[str]], right: Sequence[int] = ()) -> list[str]:
    """Lines of aligned columns; the columns numbered in ``right`` are aligned to the right."""
    shown = [tuple(printable(cell) for cell in row) for row in (head, *rows)]
    widths = [max(width(row[place]) for row in shown) for place in range(len(head))]
    return [
        "  ".join(_padded(cell, widths[place], place in right) for place, cell in enumerate(row)).rstrip()
        for row in shown
    ]


def _padded(cell: str, to: int, right: bool) -> str:
    space = " " * (to - width(cell))
    return space + cell if right else cell + space


def pairs(values: Sequence[tuple[str, str]]) -> list[str]:
    """Lines of names and values, the empty values left out."""
    known = [(name, value) for name, value in values if value]
    longest = max((len(name) for name, _ in known), default=0)
    return [f"{name:<{longest}}  {_indented(value, longest + 2)}" for name, value in known]


def _indented(value: str, by: int) -> str:
    return f"\n{' ' * by}".join(printable(line) for line in value.split("\n"))
