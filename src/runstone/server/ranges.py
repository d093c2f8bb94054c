"""Which part of a file a request asks for: preconditions and byte ranges, as pure functions of header values.

Source: RFC 9110, sections 8.8 (validators), 13 (conditional requests) and 14 (range requests).
"""

from __future__ import annotations

import re
import time
from collections.abc import Sequence
from dataclasses import dataclass
from email.utils import mktime_tz, parsedate_tz
from enum import Enum, auto
from math import floor

MAX_RANGES = 100
"""A request for more ranges is taken for an attack or a defect, and its Range is ignored (RFC 9110, 14.2)."""

_ENTITY_TAG = re.compile(r'[\s,]*(W/)?("[^"\x00-\x20\x7f]*")\s*(?:,|$)')
_SPEC = re.compile(r"([0-9]*)-([0-9]*)")
_UNIT = re.compile(r"\s*bytes\s*=(.*)", re.IGNORECASE | re.DOTALL)
_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


class Outcome(Enum):
    """What is answered to a request for a file that exists."""

    WHOLE = auto()
    PARTS = auto()
    NOT_MODIFIED = auto()
    PRECONDITION_FAILED = auto()
    UNSATISFIABLE = auto()


@dataclass(frozen=True, slots=True)
class Conditions:
    """The request's header fields, None where absent; several lines of one field are joined by a comma."""

    method: str
    if_match: str | None = None
    if_unmodified_since: str | None = None
    if_none_match: str | None = None
    if_modified_since: str | None = None
    if_range: str | None = None
    range: str | None = None


@dataclass(frozen=True, slots=True)
class Selection:
    """The outcome, and for PARTS each half-open (start, stop): not empty, disjoint, in sending order."""

    outcome: Outcome
    parts: tuple[tuple[int, int], ...] = ()


def select(asked: Conditions, *, size: int, etag: str, last_modified: float | None) -> Selection:
    """Evaluates the conditions in the order of RFC 9110, 13.2.2, for a file of ``size`` bytes.

    ``etag`` is strong and quoted; ``last_modified`` is in seconds since the epoch, and fractions are dropped,
    as they are on the wire.
    """
    modified = None if last_modified is None else floor(last_modified)
    if asked.if_match is not None:
        if not matches(asked.if_match, etag, weak=False):
            return Selection(Outcome.PRECONDITION_FAILED)
    elif _is_later(modified, asked.if_unmodified_since):
        return Selection(Outcome.PRECONDITION_FAILED)
    reading = asked.method in ("GET", "HEAD")
    if asked.if_none_match is not None:
        if matches(asked.if_none_match, etag, weak=True):
            return Selection(Outcome.NOT_MODIFIED if reading else Outcome.PRECONDITION_FAILED)
    elif reading and _is_later(modified, asked.if_modified_since) is False:
        return Selection(Outcome.NOT_MODIFIED)
    if asked.method != "GET" or asked.range is None or not _range_applies(asked.if_range, etag, modified):
        return Selection(Outcome.WHOLE)
    parts = parse_range(asked.range, size)
    if parts is None:
        return Selection(Outcome.WHOLE)
    return Selection(Outcome.PARTS, tuple(parts)) if parts else Selection(Outcome.UNSATISFIABLE)


def matches(field: str, etag: str, *, weak: bool) -> bool:
    """Whether an If-Match or If-None-Match value names the strong ``etag``; unreadable text names nothing."""
    if field.strip() == "*":
        return True
    at = 0
    while found := _ENTITY_TAG.match(field, at):
        if found[2] == etag and (weak or not found[1]):
            return True
        if found.end() == at:
            break
        at = found.end()
    return False


def parse_range(field: str, size: int) -> list[tuple[int, int]] | None:
    """The half-open ranges of a Range value within ``size`` bytes; None where the field is to be ignored.

    An empty list means that none can be satisfied. If any overlap or touch they are merged, and all are then
    in ascending order; otherwise they keep the order of the request.
    """
    unit = _UNIT.fullmatch(field)
    if unit is None:
        return None
    specs = [spec.strip(" \t") for spec in unit[1].split(",")]
    specs = [spec for spec in specs if spec]
    if not specs or len(specs) > MAX_RANGES:
        return None
    found: list[tuple[int, int]] = []
    for spec in specs:
        bounds = _bounds(spec, size)
        if bounds is None:
            return None
        if bounds[0] < bounds[1]:
            found.append(bounds)
        elif size == 0 and spec.startswith("-") and spec.strip("-0"):
            return None  # the end of an empty file can be asked for, but no Content-Range can say what it is
    return _coalesce(found)


def format_http_date(seconds: float) -> str:
    """An IMF-fixdate (RFC 9110, 5.6.7), independent of the locale."""
    t = time.gmtime(floor(seconds))
    clock = f"{t.tm_hour:02}:{t.tm_min:02}:{t.tm_sec:02}"
    return f"{_DAYS[t.tm_wday]}, {t.tm_mday:02} {_MONTHS[t.tm_mon - 1]} {t.tm_year:04} {clock} GMT"


def parse_http_date(field: str) -> int | None:
    """Seconds since the epoch, from any form of date in RFC 9110, 5.6.7; None for what is not a date."""
    found = parsedate_tz(field)
    if found is None:
        return None
    try:
        return mktime_tz(found)
    except (ValueError, OverflowError):
        return None


def _is_later(modified: int | None, field: str | None) -> bool | None:
    """Whether the file is newer than the date of the field; None when either is missing or unreadable."""
    date = None if field is None else parse_http_date(field)
    return None if modified is None or date is None else modified > date


def _range_applies(if_range: str | None, etag: str, modified: int | None) -> bool:
    """Whether the client's copy is of this very file. Versions never change: a date is a strong validator."""
    if if_range is None:
        return True
    value = if_range.strip()
    if value.startswith(('"', "W/")):
        return value == etag
    return modified is not None and parse_http_date(value) == modified


def _bounds(spec: str, size: int) -> tuple[int, int] | None:
    """One range within the file; empty when it lies outside; None when it is not a range."""
    found = _SPEC.fullmatch(spec)
    if found is None or spec == "-":
        return None
    first, last = _clamp(found[1]), _clamp(found[2])
    if first is None:
        return max(0, size - (last or 0)), size
    if last is None:
        return min(first, size), size
    if last < first:
        return None
    return min(first, size), min(last + 1, size)


def _clamp(digits: str) -> int | None:
    """The number, or one beyond any file where it has more digits than are worth converting."""
    if not digits:
        return None
    return int(digits) if len(digits.lstrip("0")) <= 18 else 10**18


def _coalesce(ranges: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    ascending = sorted(ranges)
    merged: list[tuple[int, int]] = []
    for start, stop in ascending:
        if merged and start <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(stop, merged[-1][1]))
        else:
            merged.append((start, stop))
    return list(ranges) if len(merged) == len(ranges) else merged
