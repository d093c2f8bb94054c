"""Which lines of a run's console a writer's own lines are. A writer is a stream of one process, and numbers its lines from 0."""

from __future__ import annotations

from runstone.storage.state import State
from runstone.storage.tables import WRITER_LINES, WriterSpan

#: A line of the console, how many follow, and which of the entry's lines is the first of them.
Piece = tuple[int, int, int]


def place(state: State, run: int, writer: str, first: int | None, count: int, end: int) -> list[Piece]:
    """Where a writer's lines from number ``first`` on (None: after its last) belong, in ``apply``; ``end`` is the console's end."""
    last = next(state.scan(WRITER_LINES, run, writer, reverse=True), None)
    total = last[0][2] + last[1].count if last else 0
    number = total if first is None else first
    stop = number + count
    pieces: list[Piece] = []
    while number < min(stop, total):
        begin, span = _span_at(state, run, writer, number)
        if number >= begin + span.count:  # a number that was jumped over, and is still to come
            break
        fits = min(stop, begin + span.count) - number
        pieces.append((span.line + number - begin, fits, count - (stop - number)))
        number += fits
    if number < stop:
        pieces.append((end, stop - number, count - (stop - number)))
        _append(state, run, writer, number, WriterSpan(end, stop - number), last)
    return pieces


def _span_at(state: State, run: int, writer: str, number: int) -> tuple[int, WriterSpan]:
    found = next(state.scan(WRITER_LINES, run, writer, after=(run, writer, number + 1), reverse=True), None)
    return (found[0][2], found[1]) if found else (number, WriterSpan(0, 0))


def _append(
    state: State,
    run: int,
    writer: str,
    number: int,
    span: WriterSpan,
    last: tuple[tuple[int, str, int], WriterSpan] | None,
) -> None:
    if last is not None:
        (_, _, begin), before = last
        if begin + before.count == number and before.line + before.count == span.line:
            state.put(WRITER_LINES, run, writer, begin, WriterSpan(before.line, before.count + span.count))
            return
    state.put(WRITER_LINES, run, writer, number, span)
