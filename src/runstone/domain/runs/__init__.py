"""Runs: what was tried, with what configuration, what came of it, and every point that was logged on the way.

``commands``, ``rewinding``, ``purging``, ``logging``, ``inputs`` and ``alerts`` hold the changes (commands and how they apply); the other
modules are what callers use. They are loaded when they are first named.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from runstone.domain.runs import (
        console,
        delivery,
        fieldnames,
        files,
        finding,
        lifecycle,
        listing,
        liveness,
        points,
        questions,
        rows,
        series,
    )

__all__ = [
    "console",
    "delivery",
    "fieldnames",
    "files",
    "finding",
    "lifecycle",
    "listing",
    "liveness",
    "points",
    "questions",
    "rows",
    "series",
]


def __getattr__(name: str) -> Any:
    if name in __all__:
        return import_module(f"{__name__}.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
