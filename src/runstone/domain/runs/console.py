"""A run's console: lines as they stand after rewriting, by page, and searched.

The text of a line lies in the log entry that brought it; ``lines`` says which entries have which lines. Where several have one, the
latest entry wins: that is how a progress bar rewrites its line.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, cast

from runstone.domain import limits
from runstone.domain.context import Context
from runstone.domain.runs import finding
from runstone.domain.runs.logging import Line, LogLines
from runstone.domain.store import Store
from runstone.errors import Invalid, TooLarge
from runstone.storage.index import View
from runstone.storage.tables import LINES, RUN_MARKS
from runstone.types import ConsoleLine

MAX_LINES = 10_000
MAX_TEXT = 64 << 10
MAX_LINE_NUMBER = 1 << 40
#: Lines of one entry, so that a page reads back no further than this for entries that reach into it.
_REACH = MAX_LINES


def log(
    store: Store,
    ctx: Context,
    name: str,
    lines: Iterable[Any],
    *,
    first: int | None = None,
    writer: str = "",
) -> int:
    """Adds console lines to a run, from line ``first`` on or after the last; the number of the first of them.

    A line is ``(time, stream, level, text)``, or an object with these fields. Lines that were there are rewritten. With a ``writer``
    (a stream of one process, any text) ``first`` counts that writer's own lines.
    """
    checked = tuple(check(line) for line in lines)
    if not checked:
        raise Invalid("there are no lines to add")
    if len(checked) > MAX_LINES:
        raise TooLarge(f"{len(checked)} lines are over the limit of {MAX_LINES}; send them in parts")
    if first is not None and not 0 <= first <= MAX_LINE_NUMBER:
        raise Invalid(f"first must be the number of a line, not {first}")
    with store.index.read() as view:
        found = finding.find(store, view, ctx, name, "write")
    command = LogLines(
        actor=ctx.principal.name,
        reason=ctx.reason,
        run=found.run.id,
        lines=checked,
        first=first,
        writer=limits.text(writer, "writer", 128),
    )
    return cast("int", store.submit(ctx, command).result)


def check(line: Any) -> Line:
    """A console line as it is stored; raises :class:`Invalid`."""
    time, stream, level, text = line if isinstance(line, tuple | list) else (
        line.time, line.stream, line.level, line.text
    )  # fmt: skip
    return Line(
        limits.moment(time, "time"),
        limits.required_text(stream, "stream", 64),
        limits.text(level, "level", 64),
        limits.text(text.replace("\0", "\N{REPLACEMENT CHARACTER}"), "a console line", MAX_TEXT),
    )


def read(
    store: Store,
    ctx: Context,
    name: str,
    *,
    start: int = 0,
    limit: int = 1000,
    search: str = "",
    stream: str = "",
) -> list[ConsoleLine]:
    """Lines from number ``start`` on, those that hold ``search`` (any case) and are of ``stream`` if asked; up to ``limit``."""
    wanted = search.casefold()
    found: list[ConsoleLine] = []
    with store.index.read() as view:
        run = finding.find(store, view, ctx, name).run
        mark = view.get(RUN_MARKS, run.id)
    total = mark.lines if mark else 0
    while start < total and len(found) < limit:
        ctx.check_deadline()
        stop = min(total, start + max(limit, 1000))
        with store.index.read() as view:
            lines = list(page(store, view, run.id, start, stop))
        found += [
            line
            for line in lines
            if (not stream or line.stream == stream) and (not wanted or wanted in line.text.casefold())
        ]
        start = stop
    return found[:limit]


def tail(store: Store, ctx: Context, name: str, limit: int = 100) -> list[ConsoleLine]:
    """The last lines."""
    with store.index.read() as view:
        run = finding.find(store, view, ctx, name).run
        mark = view.get(RUN_MARKS, run.id)
    return read(store, ctx, name, start=max(0, (mark.lines if mark else 0) - limit), limit=limit)


def page(store: Store, view: View, run: int, start: int, stop: int) -> Iterator[ConsoleLine]:
    """Lines ``start`` to ``stop``; a line that no entry has was jumped over, and is empty."""
    lines: dict[int, tuple[int, Line]] = {}
    begin = (run, max(0, start - _REACH))
    for (_, first, seq), span in view.scan(LINES, run, after=begin if start > _REACH else None):
        if first >= stop:
            break
        if first + span.count <= start:
            continue
        brought = _command(store, view, seq)[span.offset : span.offset + span.count]
        for number, line in enumerate(brought, first):
            if start <= number < stop and (number not in lines or lines[number][0] < seq):
                lines[number] = (seq, line)
    for number in sorted(lines):
        line = lines[number][1]
        yield ConsoleLine(number=number, time=line.time, stream=line.stream, level=line.level, text=line.text)


def _command(store: Store, view: View, seq: int) -> tuple[Line, ...]:
    command = store.log.command(*store.log.entry_in(view, seq))
    return command.lines if isinstance(command, LogLines) else ()
