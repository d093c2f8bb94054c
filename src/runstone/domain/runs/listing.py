"""Runs of a project by a condition, as names: for dialects whose clients page by themselves."""

from __future__ import annotations

import re

from runstone.domain.context import Context
from runstone.domain.runs import questions
from runstone.domain.store import Store
from runstone.query import MAX_LIMIT, Condition, Order


def find(
    store: Store, ctx: Context, project: str, condition: Condition, order: tuple[Order, ...] = ()
) -> list[str]:
    """The names of a project's runs (``namespace/project/run``) that a condition finds, up to 100,000; ties come newest first."""
    return questions.names(store, ctx, project, filter=condition, order=order, limit=MAX_LIMIT)


def like(pattern: str, value: str, any_case: bool = False) -> bool:
    """SQL's LIKE: ``%`` is any text and ``_`` any character."""
    parts = (".*" if each == "%" else "." if each == "_" else re.escape(each) for each in pattern)
    return re.fullmatch("".join(parts), value, re.DOTALL | (re.IGNORECASE if any_case else 0)) is not None
