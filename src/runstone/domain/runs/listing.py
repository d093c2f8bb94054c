"""Runs of a project by a condition, as names: for dialects whose clients page by themselves."""

from __future__ import annotations

from runstone.domain.context import Context
from runstone.domain.queries import rows
from runstone.domain.runs import questions
from runstone.domain.store import Store
from runstone.query import MAX_LIMIT, Condition, Match, Order


def find(
    store: Store, ctx: Context, project: str, condition: Condition, order: tuple[Order, ...] = ()
) -> list[str]:
    """The names of a project's runs (``namespace/project/run``) that a condition finds, up to 100,000; ties come newest first."""
    return questions.names(store, ctx, project, filter=condition, order=order, limit=MAX_LIMIT)


def like(pattern: str, value: str) -> bool:
    """SQL's LIKE: ``%`` is any text and ``_`` any character."""
    return rows.matches(Match("text", "like", pattern), {"text": value})
