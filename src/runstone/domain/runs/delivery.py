"""Rows that are sent until they arrive: each writer numbers its rows, and what comes again changes nothing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from runstone._native import points as native
from runstone.domain import limits
from runstone.domain.context import Context
from runstone.domain.runs import finding, rows
from runstone.domain.runs.logging import LogPoints
from runstone.domain.store import Store
from runstone.errors import Conflict, TryAgain
from runstone.storage.tables import WRITER_ROWS

Row = tuple[int, int, dict[str, Any]]
#: Makes a batch of rows, from one place to another (exclusive) among those that are sent.
Encode = Callable[[int, int], bytes]
#: How often another delivery of the same writer may come in between before the client is asked to try again.
TRIES = 16
_encode = msgspec.msgpack.Encoder().encode


def log(store: Store, ctx: Context, name: str, writer: str, first: int, count: int, encode: Encode) -> int:
    """Takes in ``count`` rows that ``writer`` numbers from ``first`` on; how many were new. One without values only counts.

    A row whose number was there before is logged only where it says something else than what is there at its step.
    Raises what ``encode`` raises, and :class:`TryAgain` when other deliveries of the writer go on all the time.
    """
    limits.required_text(writer, "writer", 128)
    for _ in range(TRIES):
        held = delivered(store, ctx, name, writer)
        repeated = min(max(0, held - first), count)
        batch = encode(repeated, count)
        if repeated:
            again = _changed(store, ctx, name, native.decode_rows(encode(0, repeated)))
            batch = native.encode_rows(again + native.decode_rows(batch))
        new = native.count(batch)[0]
        if not new:
            return 0
        with store.index.read() as view:
            run = finding.find(store, view, ctx, name, "write").run
        command = LogPoints(
            actor=ctx.principal.name,
            reason=ctx.reason,
            run=run.id,
            batch=batch,
            writer=writer,
            held=held,
            total=max(held, first + count),
        )
        try:
            store.submit(ctx.without_id(), command)
        except Conflict:
            continue
        return new
    raise TryAgain(f"rows of {writer} keep coming in from elsewhere; try again in a moment")


def delivered(store: Store, ctx: Context, name: str, writer: str) -> int:
    """How many rows of a writer a run has."""
    with store.index.read() as view:
        run = finding.find(store, view, ctx, name).run
        return view.get(WRITER_ROWS, run.id, writer) or 0


def _changed(store: Store, ctx: Context, name: str, given: list[Row]) -> list[Row]:
    if not given:
        return []
    steps = [step for step, _, _ in given]
    there = {
        step: values for step, _, values in rows.read(store, ctx, name, low=min(steps), high=max(steps) + 1)
    }
    return [row for row in given if not _within(row[2], there.get(row[0], {}))]


def _within(values: dict[str, Any], held: dict[str, Any]) -> bool:
    # Compared as stored, for NaN is not equal to itself.
    return all(key in held and _encode(held[key]) == _encode(value) for key, value in values.items())
