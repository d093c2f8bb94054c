"""What may be said of a run: the checks of what clients send, and how it is stored."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, cast

import msgspec

from runstone.domain import limits
from runstone.domain.runs.commands import MAX_CONFIG, STATES
from runstone.errors import Invalid, TooLarge

MAX_KEY = 400
MAX_TAGS = 1000
MAX_TAG_TEXT = 64 << 10
MAX_NOTES = 256 << 10
GOALS = ("min", "max")
_NAME = re.compile(r"[\w][\w .+=,\-]*\Z")


def name(text: Any) -> str:
    """A run's name: letters and digits of any script, ``_``, ``-``, ``.``, ``+``, ``=``, ``,`` and spaces within."""
    limits.required_text(text, "run", limits.MAX_NAME)
    if not _NAME.match(text) or text != text.strip():
        raise Invalid(
            f"run {text!r} is not a valid name: use letters, digits, '_', '-', '.', '+', '=', ',' and spaces, and begin with a letter or digit"
        )
    return str(text)


def notes(text: Any) -> str:
    """What somebody wrote to a run, up to 256 KiB: it is part of the run's row, which is written at every change of the run."""
    try:
        return limits.text(text, "notes", MAX_NOTES)
    except TooLarge as error:
        raise TooLarge(f"{error}; keep longer text among the run's files, or in a report") from None


def state(value: Any) -> str:
    """A state of a run."""
    if value not in STATES:
        raise Invalid(f"run state {value!r} must be one of {', '.join(STATES)}")
    return str(value)


def tags(values: Any) -> dict[str, str]:
    """Tags with their text, or labels as a list."""
    pairs = values.items() if isinstance(values, Mapping) else ((label, "") for label in values)
    found = {
        limits.required_text(tag, "tag", MAX_KEY): limits.text(text, f"tag {tag}", MAX_TAG_TEXT)
        for tag, text in pairs
    }
    if len(found) > MAX_TAGS:
        raise TooLarge(f"{len(found)} tags are over the limit of {MAX_TAGS}")
    return found


def goals(values: Any) -> dict[str, str]:
    """What the best of a key is: ``min`` or ``max``."""
    for key, goal in values.items():
        limits.required_text(key, "key", MAX_KEY)
        if goal not in GOALS:
            raise Invalid(f"the goal of {key!r} must be min or max, not {goal!r}")
    return dict(values)


def document(value: Any, what: str) -> bytes:
    """A map of JSON values, with NaN and infinities allowed, as MessagePack."""
    if value is None:
        return b"\x80"
    if not isinstance(value, Mapping):
        raise Invalid(f"{what} must be a map of names to values, not {type(value).__name__}")
    for key in value:
        limits.required_text(key, f"a name in {what}", MAX_KEY)
    checked = limits.json_value(cast("dict[str, Any]", value), what, finite=False)
    try:
        packed = msgspec.msgpack.encode(checked)
    except (OverflowError, TypeError, ValueError) as error:
        raise Invalid(f"{what} cannot be stored: {error}") from None
    if len(packed) > MAX_CONFIG:
        raise TooLarge(f"{what} takes {len(packed)} bytes and the limit is {MAX_CONFIG}")
    return packed


def step(value: Any) -> int:
    """A step to fork at or rewind to: 0 or more."""
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < 1 << 62:
        raise Invalid(f"step must be a number from 0 on, not {value!r}")
    return value
