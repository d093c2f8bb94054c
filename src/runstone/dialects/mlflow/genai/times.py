"""Times as protobuf's JSON has them: ``2026-01-02T03:04:05.678Z`` and ``1.500s``, from and to milliseconds."""

from __future__ import annotations

import datetime
import re
from typing import Any

from runstone.dialects.mlflow import wire
from runstone.dialects.mlflow.problem import invalid

_EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)
_TIME = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?(Z|[+-]\d\d:\d\d)\Z")
_DURATION = re.compile(r"(-?)(\d{1,12})(?:\.(\d{1,9}))?s\Z")


def time(value: Any, path: str) -> int:
    """Milliseconds since 1970 of a time."""
    match = _TIME.match(value) if isinstance(value, str) else None
    try:
        if match:
            moment = datetime.datetime.fromisoformat(match[1] + match[3].replace("Z", "+00:00"))
            return (
                round((moment - _EPOCH).total_seconds()) * 1000
                + int((match[2] or "0").ljust(9, "0")) // 1_000_000
            )
    except (ValueError, OverflowError):
        pass
    raise invalid(wire.invalid_value(path, value))


def duration(value: Any, path: str) -> int:
    """Milliseconds of a duration."""
    match = _DURATION.match(value) if isinstance(value, str) else None
    if match is None:
        raise invalid(wire.invalid_value(path, value))
    found = int(match[2]) * 1000 + int((match[3] or "0").ljust(9, "0")) // 1_000_000
    return -found if match[1] else found


def shown_time(millis: int) -> str:
    """A time by its milliseconds since 1970."""
    try:
        moment = _EPOCH + datetime.timedelta(milliseconds=millis)
    except OverflowError:
        moment = datetime.datetime.max if millis > 0 else datetime.datetime.min
    fraction = f".{moment.microsecond // 1000:03d}" if moment.microsecond else ""
    return f"{moment:%Y-%m-%dT%H:%M:%S}".rjust(19, "0") + f"{fraction}Z"


def shown_duration(millis: int) -> str:
    """A duration by its milliseconds."""
    whole, rest = divmod(abs(millis), 1000)
    return ("-" if millis < 0 else "") + (f"{whole}.{rest:03d}s" if rest else f"{whole}s")
