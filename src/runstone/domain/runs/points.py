"""Points of runs: taken in, and their statistics."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

from runstone._native import points
from runstone.domain import fields
from runstone.domain.context import Context
from runstone.domain.runs import finding, keys, stats
from runstone.domain.runs.logging import Logged, LogPoints
from runstone.domain.store import Store
from runstone.errors import Invalid, TooLarge
from runstone.types import KeyStats

MAX_BATCH = 32 << 20


def log(store: Store, ctx: Context, name: str, batch: bytes) -> Logged:
    """Adds a batch of points (``docs/format/points.md``) to a run; durable when it returns.

    Raises :class:`Invalid` for a batch that is damaged or empty, and :class:`TooLarge` for one of over 32 MiB.
    """
    if len(batch) > MAX_BATCH:
        raise TooLarge(f"a batch of {len(batch)} bytes is over the limit of {MAX_BATCH}; send it in parts")
    try:
        points.check(batch)
    except ValueError as error:
        raise Invalid(f"this is not a batch of points: {error}") from None
    with store.index.read() as view:
        found = finding.find(store, view, ctx, name, "write")
    command = LogPoints(actor=ctx.principal.name, reason=ctx.reason, run=found.run.id, batch=batch)
    return cast("Logged", store.submit(ctx, command).result)


def log_rows(store: Store, ctx: Context, name: str, rows: list[tuple[int, int, dict[str, Any]]]) -> Logged:
    """Adds rows of (step, time in microseconds, values by key)."""
    return log(store, ctx, name, encode(rows))


def encode(rows: list[tuple[int, int, dict[str, Any]]]) -> bytes:
    """Rows of (step, time in microseconds, values by key) as a batch; raises :class:`Invalid`."""
    try:
        return points.encode_rows(rows)
    except (ValueError, TypeError, OverflowError) as error:
        raise Invalid(f"these points cannot be stored: {error}") from None


def encode_entries(
    entries: list[Any], names: tuple[str, str, str, str, str], latest: int, scale: int
) -> tuple[bytes, list[str]] | None:
    """Dictionaries that are a point each as a batch, with its keys; None unless all are plain numbers in their ranges.

    See :func:`runstone._native.points.encode_entries`.
    """
    try:
        return points.encode_entries(entries, names, latest, scale)
    except ValueError:
        return None


def encode_lines(
    lines: list[str],
    first: int,
    now: int,
    fields: tuple[str, str] | None,
    other: Callable[[str, int], tuple[int, int, dict[str, Any]] | str],
) -> tuple[bytes, list[tuple[int, str]]]:
    """Lines of JSON that are a row each as a batch, and why which of them are not in it; raises :class:`Invalid` for too many.

    See :func:`runstone._native.points.encode_lines`.
    """
    try:
        return points.encode_lines(lines, first, now, fields, other)
    except ValueError as error:
        raise Invalid(f"these points cannot be stored: {error}") from None


def statistics(
    store: Store,
    ctx: Context,
    name: str,
    *,
    prefix: str = "",
    after: str = "",
    limit: int = 1000,
    deleted: bool = False,
) -> list[KeyStats]:
    """The statistics of a run's keys by name, those that begin with ``prefix``; no point is read. A deleted run's only if asked for."""
    with store.index.read() as view:
        found = finding.find(store, view, ctx, name, deleted=deleted)
        hidden = fields.hidden_from(store, view, ctx, found)
        shown = [
            finding.key_stats(store, view, found.run, stat)
            for stat in stats.of(view, found.run.stream).values()
        ]
    wanted = [
        each
        for each in shown
        if each.key.startswith(prefix)
        and each.key > after
        and not fields.covers(hidden, f"summary.{each.key}")
    ]
    return sorted(wanted, key=lambda each: each.key)[:limit]


def key_names(
    store: Store, ctx: Context, project: str, *, prefix: str = "", after: str = "", limit: int = 1000
) -> list[str]:
    """The keys that runs of a project have logged, by name."""
    with store.index.read() as view:
        held = finding.project(store, view, ctx, project)
        hidden = fields.hidden_from(store, view, ctx, held)
        found = keys.listed(view, held.project.id, prefix, after, limit)
        return [name for name in found if not fields.covers(hidden, f"summary.{name}")]
