"""The rows of a trace: its own, and those by which it is found. For ``apply``."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

from runstone.domain.collections import domain_of
from runstone.errors import Missing
from runstone.storage.state import State
from runstone.storage.tables import (
    ASSESSMENTS,
    BLOB_VERSIONS,
    TRACE_FILES,
    TRACE_MARKS,
    TRACE_NAMES,
    TRACE_SPANS,
    TRACE_TIMES,
    TRACES,
    Trace,
)

RUN, SESSION, REQUEST, PROMPT, SESSION_JUDGED = 1, 2, 3, 4, 5
#: The metadata of a trace that names the run it was made in, and that of an assessment that names the session it is about.
SOURCE_RUN = "mlflow.sourceRun"
SESSION_KEY = "mlflow.trace.session"


def digest(text: str) -> bytes:
    """What stands for a text in a key."""
    return hashlib.sha256(text.encode()).digest()[:16]


def require(state: State, trace_id: int) -> Trace:
    """The trace in ``apply``; raises :class:`Missing` when it was deleted."""
    found = state.get(TRACES, trace_id)
    if found is None:
        raise Missing("the trace does not exist any more")
    return found


def put(state: State, old: Trace | None, new: Trace) -> None:
    """Stores a trace in place of what it was."""
    before, after = set(_found_by(old)) if old else set(), set(_found_by(new))
    for mark in before - after:
        state.delete(TRACE_MARKS, *mark, new.id)
    for mark in after - before:
        state.put(TRACE_MARKS, *mark, new.id, 1)
    place = (new.project, at(new.time), new.id)
    if old is None or (old.project, at(old.time), old.id) != place:
        if old is not None:
            state.delete(TRACE_TIMES, old.project, at(old.time), old.id)
        state.put(TRACE_TIMES, *place, 1)
    if old is None or old.project != new.project:
        if old is not None:
            state.delete(TRACE_NAMES, old.name, old.project)
            _move_judged(state, old, new)
        state.put(TRACE_NAMES, new.name, new.project, new.id)
    state.put(TRACES, new.id, new)


def remove(state: State, traces: list[Trace]) -> None:
    """Takes traces away with all that belongs to them; their bytes go when the collector finds them."""
    # All is looked up before anything is taken away: a command does not scan a table that it changed.
    spans = [(row, *rest) for row in traces for rest in state.scan(TRACE_SPANS, row.id)]
    files = [(row, *rest) for row in traces for rest in state.scan(TRACE_FILES, row.id)]
    judged = [key for row in traces for key, _ in state.scan(ASSESSMENTS, row.id)]
    for row, key, batch in spans:
        state.delete(TRACE_SPANS, *key)
        let_go(state, domain_of(state, row.project), batch.sha256, row.id)
    for row, key, entry in files:
        state.delete(TRACE_FILES, *key)
        let_go(state, domain_of(state, row.project), entry.sha256, row.id)
    for key in judged:
        state.delete(ASSESSMENTS, *key)
    for row in traces:
        for mark in _found_by(row):
            state.delete(TRACE_MARKS, *mark, row.id)
        state.delete(TRACE_MARKS, row.project, SESSION_JUDGED, bytes(16), row.id)
        state.delete(TRACE_TIMES, row.project, at(row.time), row.id)
        state.delete(TRACE_NAMES, row.name, row.project)
        state.delete(TRACES, row.id)


def hold(state: State, domain: int, sha256: bytes, trace_id: int) -> None:
    """Notes that a trace has bytes in a blob."""
    count = state.get(BLOB_VERSIONS, domain, sha256, trace_id) or 0
    state.put(BLOB_VERSIONS, domain, sha256, trace_id, count + 1)


def let_go(state: State, domain: int, sha256: bytes, trace_id: int) -> None:
    """Notes that a trace has one thing less in a blob."""
    count = state.get(BLOB_VERSIONS, domain, sha256, trace_id) or 0
    if count > 1:
        state.put(BLOB_VERSIONS, domain, sha256, trace_id, count - 1)
    else:
        state.delete(BLOB_VERSIONS, domain, sha256, trace_id)


def at(time: int) -> int:
    """A time as a key has it: none is before 1970."""
    return max(0, time)


def _move_judged(state: State, old: Trace, new: Trace) -> None:
    if state.get(TRACE_MARKS, old.project, SESSION_JUDGED, bytes(16), old.id):
        state.delete(TRACE_MARKS, old.project, SESSION_JUDGED, bytes(16), old.id)
        state.put(TRACE_MARKS, new.project, SESSION_JUDGED, bytes(16), new.id, 1)


def _found_by(trace: Trace) -> Iterator[tuple[int, int, bytes]]:
    runs = {*trace.runs, trace.metadata.get(SOURCE_RUN, "")} - {""}
    for run in runs:
        yield trace.project, RUN, digest(run)
    if trace.session is not None:
        yield trace.project, SESSION, digest(trace.session)
    if trace.client_request:
        yield trace.project, REQUEST, digest(trace.client_request)
    for prompt in trace.prompts:
        yield trace.project, PROMPT, digest(prompt)
