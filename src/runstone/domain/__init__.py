"""What the product means, and the only place where rules live.

``domain.versions`` and the others are loaded when they are first named, so that a short-lived process waits for what it uses only.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from runstone.domain import (
        accounts,
        aliases,
        audit,
        bundle,
        collections,
        content,
        documents,
        events,
        fields,
        integrity,
        keys,
        lineage,
        maintenance,
        names,
        previews,
        projects,
        runs,
        versions,
    )

__all__ = [
    "accounts",
    "aliases",
    "audit",
    "bundle",
    "collections",
    "content",
    "documents",
    "events",
    "fields",
    "integrity",
    "keys",
    "lineage",
    "maintenance",
    "names",
    "previews",
    "projects",
    "runs",
    "versions",
]


def __getattr__(name: str) -> Any:
    if name in __all__:
        return import_module(f"{__name__}.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
