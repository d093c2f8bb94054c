"""What every language holds a question to: the limits of :mod:`runstone.query`, and numbers that a row can hold."""

from __future__ import annotations

import datetime

from runstone.errors import Invalid, TooLarge
from runstone.query import MAX_CONDITIONS, MAX_DEPTH, And, Condition, In, Not, Or

#: The longest filter text, in characters, and the most values that all lists of a filter may hold.
MAX_TEXT = 1 << 20
MAX_VALUES = 100_000

_INT64 = 1 << 63


def text(source: str, what: str) -> str:
    """A filter's text, unless it is too long to be read."""
    if len(source) > MAX_TEXT:
        raise TooLarge(f"{what} has {len(source)} characters; the most is {MAX_TEXT}")
    return source


def checked(condition: Condition) -> Condition:
    """A condition that keeps the limits: depth, number of conditions, values in lists. TooLarge names the one that was passed."""
    count = values = 0
    queue: list[tuple[Condition, int]] = [(condition, 1)]
    while queue:
        each, depth = queue.pop()
        count += 1
        if depth > MAX_DEPTH:
            raise TooLarge(f"the filter nests deeper than {MAX_DEPTH} conditions")
        if isinstance(each, (And, Or)):
            queue.extend((below, depth + 1) for below in each.of)
        elif isinstance(each, Not):
            queue.append((each.of, depth + 1))
        elif isinstance(each, In):
            values += len(each.values)
        if count + len(queue) > MAX_CONDITIONS:
            raise TooLarge(f"the filter has more than {MAX_CONDITIONS} conditions")
    if values > MAX_VALUES:
        raise TooLarge(f"the filter lists {values} values; the most is {MAX_VALUES}")
    return condition


def number(source: str) -> int | float:
    """A number from its digits; a whole number that 64 bits cannot hold becomes the nearest float."""
    try:
        if len(source) > 20 or not source.lstrip("+-").isdigit():
            return float(source)
        return whole(int(source))
    except ValueError:
        raise Invalid(f"{source[:40]!r} is not a number") from None


def whole(value: int) -> int | float:
    """A whole number as rows hold it: of 64 bits, or the nearest float."""
    if -_INT64 <= value < _INT64:
        return value
    try:
        return float(value)
    except OverflowError:
        return float("inf") if value > 0 else float("-inf")


def instant(source: str, name: str) -> int:
    """Microseconds since 1970 from ISO 8601; UTC unless the text has an offset."""
    try:
        found = datetime.datetime.fromisoformat(source.strip())
        if found.tzinfo is None:
            found = found.replace(tzinfo=datetime.UTC)
        since = found - datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)
    except (ValueError, OverflowError):
        raise Invalid(
            f"{name}: {source[:60]!r} is not a time; write it as 2026-01-31 or 2026-01-31T12:00:00Z"
        ) from None
    return since // datetime.timedelta(microseconds=1)


def all_of(conditions: list[Condition]) -> Condition:
    """All of some conditions, without a needless node around one."""
    return conditions[0] if len(conditions) == 1 else And(tuple(conditions))


def any_of(conditions: list[Condition]) -> Condition:
    """Any of some conditions, without a needless node around one."""
    return conditions[0] if len(conditions) == 1 else Or(tuple(conditions))
