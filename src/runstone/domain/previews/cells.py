"""A table's cells as JSON, each cut to a length that can be shown."""

from __future__ import annotations

import math
from typing import Any

WIDTH = 100
MAX_TEXT = 2000
MAX_ITEMS = 64
MAX_DEPTH = 8


def cell(value: Any, depth: int = 0) -> Any:
    """A value as JSON has it: times as ISO 8601, bytes as hexadecimal text, NaN and infinities as text; what is too long ends in ``…``."""
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int):
        return value if -(1 << 53) < value < 1 << 53 else str(value)
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    if isinstance(value, str):
        return value if len(value) <= MAX_TEXT else value[:MAX_TEXT] + "…"
    if isinstance(value, bytes):
        return value[: MAX_TEXT // 2].hex() + ("…" if len(value) > MAX_TEXT // 2 else "")
    if depth == MAX_DEPTH:
        return "…"
    if isinstance(value, dict):
        items = list(value.items())[:MAX_ITEMS]
        return {str(key)[:MAX_TEXT]: cell(item, depth + 1) for key, item in items}
    if isinstance(value, list | tuple):
        shown = [cell(item, depth + 1) for item in value[:MAX_ITEMS]]
        return [*shown, "…"] if len(value) > MAX_ITEMS else shown
    iso = getattr(value, "isoformat", None)
    return iso() if iso else str(value)[:MAX_TEXT]
