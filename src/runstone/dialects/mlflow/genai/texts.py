"""Attributes of spans, which are kept as JSON texts."""

from __future__ import annotations

import json
from typing import Any


def telling(attributes: dict[str, str], name: str) -> str:
    """An attribute's text, unless it is empty or null."""
    text = attributes.get(name, "")
    return text if text and loads(text) else ""


def whole(text: str | None) -> int | None:
    """A whole number from a JSON text, which may hold it as a text."""
    value = loads(text)
    if isinstance(value, str):
        try:
            value = int(value)
        except ValueError:
            return None
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def loads(text: str | None) -> Any:
    """What a JSON text holds; the text itself if it is none."""
    if not isinstance(text, str):
        return text
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text


def clean(text: str) -> str:
    """A text without lone surrogates, which JSON can write and UTF-8 cannot."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-8", "replace").decode()
    return text


def figures(text: str | None, keys: tuple[str, ...]) -> dict[str, int | float] | None:
    """The numbers by some keys that a JSON text holds; None when it holds no object."""
    told = loads(text)
    if not isinstance(told, dict):
        return None
    return {
        key: told[key]
        for key in keys
        if isinstance(told.get(key), int | float)
        and not isinstance(told[key], bool)
        and abs(told[key]) < 1 << 62
    }
