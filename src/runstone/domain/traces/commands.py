"""What happens to traces: they begin, get spans, tags, links and files, and are deleted."""

from __future__ import annotations

import msgspec
from msgspec.structs import replace

from runstone.domain.collections import domain_of
from runstone.domain.traces import judging, rows
from runstone.domain.traces.judging import Judgement
from runstone.errors import Conflict, Missing
from runstone.storage.commands import Command, Stamp, applies
from runstone.storage.state import State
from runstone.storage.tables import (
    PROJECTS,
    TRACE_FILES,
    TRACE_NAMES,
    TRACE_SPANS,
    TRACES,
    Entry,
    SpanBatch,
    Trace,
)

#: States of a trace that is not over.
OPEN = ("IN_PROGRESS", "STATE_UNSPECIFIED")


class StartTrace(Command, frozen=True, kw_only=True):
    """Tells of a trace as a whole; one of the name that is there already is told of anew, and moved if it is ``trace`` of another project.

    Of one that is there, what is None stays, and tags, metadata, usage and cost are merged. ``update`` tells of one that must be there.
    """

    project: int
    name: str
    time: int
    state: str
    duration: int | None = None
    title: str | None = None
    session: str | None = None
    client_request: str | None = None
    request: str | None = None
    response: str | None = None
    tags: dict[str, str] = msgspec.field(default_factory=dict)
    metadata: dict[str, str] = msgspec.field(default_factory=dict)
    usage: dict[str, int] = msgspec.field(default_factory=dict)
    cost: dict[str, float] = msgspec.field(default_factory=dict)
    assessments: tuple[Judgement, ...] = ()
    trace: int = 0
    final: bool = True


class LogSpans(Command, frozen=True, kw_only=True):
    """Adds spans to a trace; one that is not there begins with them, in ``project``.

    Times are milliseconds. The rest is what the spans tell of the trace: ``state`` is that of the root span, if it is among them; title,
    session, previews and metadata only fill what is empty; ``first_tags`` are for a trace that begins. ``usage`` and ``cost`` are of all
    spans of the trace, of which ``batches`` had come before (-1: that is all the same). ``replaced`` are batches whose spans are in this one.
    """

    project: int
    name: str
    start: int
    batch: SpanBatch
    end: int | None = None
    state: str | None = None
    title: str | None = None
    session: str | None = None
    request: str | None = None
    response: str | None = None
    tags: dict[str, str] = msgspec.field(default_factory=dict)
    first_tags: dict[str, str] = msgspec.field(default_factory=dict)
    metadata: dict[str, str] = msgspec.field(default_factory=dict)
    usage: dict[str, int] = msgspec.field(default_factory=dict)
    cost: dict[str, float] = msgspec.field(default_factory=dict)
    trace: int = 0
    batches: int = -1
    replaced: tuple[int, ...] = ()


class ChangeTrace(Command, frozen=True, kw_only=True):
    """Sets tags of a trace and its title (empty: none), and takes tags away, which must be there."""

    trace: int
    tags: dict[str, str] = msgspec.field(default_factory=dict)
    remove: tuple[str, ...] = ()
    title: str | None = None


class LinkTraces(Command, frozen=True, kw_only=True):
    """Links traces to a run, or a prompt's versions to traces."""

    traces: tuple[int, ...]
    runs: tuple[str, ...] = ()
    prompts: tuple[str, ...] = ()


class DeleteTraces(Command, frozen=True, kw_only=True):
    """Removes traces for good; those that are gone already are passed over."""

    traces: tuple[int, ...]


class PutTraceFiles(Command, frozen=True, kw_only=True):
    """Gives a trace files; one of the same path is replaced."""

    trace: int
    entries: tuple[Entry, ...]


class RemoveTraceFiles(Command, frozen=True, kw_only=True):
    """Takes files of a trace away."""

    trace: int
    paths: tuple[str, ...]


@applies(130, "start_trace", StartTrace, int)
def _start_trace(state: State, at: Stamp, command: StartTrace) -> int:
    _require_project(state, command.project)
    held = state.get(TRACE_NAMES, command.name, command.project) or command.trace
    old = state.get(TRACES, held) if held else None
    new = _begun(command, at, old)
    rows.put(state, old, new)
    judging.add(state, at, new, command.assessments)
    return new.id


def _begun(command: StartTrace, at: Stamp, old: Trace | None) -> Trace:
    if old is None:
        old = Trace(at.id, command.project, command.name, at.time, command.actor, command.time, command.state)
    told = {
        name: value
        for name in ("title", "session", "request", "response")
        if (value := getattr(command, name)) is not None
    }
    return replace(
        old,
        project=command.project,
        time=command.time,
        state=command.state,
        duration=command.duration,
        client_request=command.client_request,
        tags=old.tags | command.tags,
        metadata=old.metadata | command.metadata,
        usage=old.usage | command.usage,
        cost=old.cost | command.cost,
        final=old.final or command.final,
        **told,
    )


@applies(131, "log_spans", LogSpans, int)
def _log_spans(state: State, at: Stamp, command: LogSpans) -> int:
    held = state.get(TRACE_NAMES, command.name, command.project) or command.trace
    old = state.get(TRACES, held) if held else None
    _require_batches(state, old, command.batches)
    replaced = [(seq, state.get(TRACE_SPANS, held, seq)) for seq in command.replaced]
    if old is None:
        _require_project(state, command.project)
        begun = Trace(
            at.id,
            command.project,
            command.name,
            at.time,
            command.actor,
            command.start,
            command.state or OPEN[0],
            _lasted(command.start, command.end),
            tags=command.first_tags,
        )
        new = _filled(command, begun)
    else:
        new = _filled(command, _stretched(command, old))
    rows.put(state, old, new)
    domain = domain_of(state, new.project)
    for seq, batch in replaced:
        if batch is None:
            raise Conflict("spans of the trace were put together by another; look again what is there")
        state.delete(TRACE_SPANS, new.id, seq)
        rows.let_go(state, domain, batch.sha256, new.id)
    state.put(TRACE_SPANS, new.id, at.seq, command.batch)
    rows.hold(state, domain, command.batch.sha256, new.id)
    return new.id


def _require_batches(state: State, old: Trace | None, expected: int) -> None:
    if expected < 0:
        return
    held = sum(1 for _ in state.scan(TRACE_SPANS, old.id)) if old else 0
    if held != expected:
        raise Conflict("spans of the trace came in between; look again what is there")


def _lasted(start: int, end: int | None) -> int | None:
    return end - start if end else None


def _stretched(command: LogSpans, old: Trace) -> Trace:
    """A trace that was there, over the time of its new spans too."""
    new = old
    # What a maker told of the time stands against spans that tell of more than time, as in mlflow.
    if not (old.final and (command.usage or command.cost or command.session)):
        start = min(old.time, command.start)
        ends = [
            end for end in (command.end, None if old.duration is None else old.time + old.duration) if end
        ]
        new = replace(new, time=start, duration=max(ends) - start if ends else None)
    if command.state and old.state in OPEN:
        new = replace(new, state=command.state)
    return new


def _filled(command: LogSpans, old: Trace) -> Trace:
    """A trace with what its spans tell of it."""
    filled = {
        name: value
        for name in ("session", "request", "response")
        if getattr(old, name) is None and (value := getattr(command, name)) is not None
    }
    # What the maker of a trace told of its usage and cost stands; what was reckoned from spans is reckoned anew.
    return replace(
        old,
        title=old.title if command.title is None else command.title,
        tags=old.tags | command.tags,
        metadata=command.metadata | old.metadata,
        usage=old.usage if old.final and old.usage else old.usage | command.usage,
        cost=old.cost if old.final and old.cost else old.cost | command.cost,
        **filled,
    )


@applies(132, "change_trace", ChangeTrace)
def _change_trace(state: State, at: Stamp, command: ChangeTrace) -> None:
    old = rows.require(state, command.trace)
    for key in command.remove:
        if key not in old.tags:
            raise Missing(f"trace {old.name} has no tag {key}")
    kept = {key: text for key, text in old.tags.items() if key not in command.remove}
    title = old.title if command.title is None else command.title or None
    rows.put(state, old, replace(old, tags=kept | command.tags, title=title))


@applies(133, "link_traces", LinkTraces)
def _link_traces(state: State, at: Stamp, command: LinkTraces) -> None:
    for number in command.traces:
        old = rows.require(state, number)
        runs, prompts = (*old.runs, *command.runs), (*old.prompts, *command.prompts)
        new = replace(old, runs=tuple(dict.fromkeys(runs)), prompts=tuple(dict.fromkeys(prompts)))
        rows.put(state, old, new)


@applies(134, "delete_traces", DeleteTraces, int)
def _delete_traces(state: State, at: Stamp, command: DeleteTraces) -> int:
    found = [row for number in dict.fromkeys(command.traces) if (row := state.get(TRACES, number))]
    rows.remove(state, found)
    return len(found)


@applies(135, "put_trace_files", PutTraceFiles)
def _put_trace_files(state: State, at: Stamp, command: PutTraceFiles) -> None:
    trace = rows.require(state, command.trace)
    domain = domain_of(state, trace.project)
    for entry in command.entries:
        _drop(state, domain, trace, entry.path)
        state.put(TRACE_FILES, trace.id, entry.path, entry)
        rows.hold(state, domain, entry.sha256, trace.id)


@applies(136, "remove_trace_files", RemoveTraceFiles)
def _remove_trace_files(state: State, at: Stamp, command: RemoveTraceFiles) -> None:
    trace = rows.require(state, command.trace)
    for path in command.paths:
        _drop(state, domain_of(state, trace.project), trace, path)


def _drop(state: State, domain: int, trace: Trace, path: str) -> None:
    held = state.get(TRACE_FILES, trace.id, path)
    if held is not None:
        state.delete(TRACE_FILES, trace.id, path)
        rows.let_go(state, domain, held.sha256, trace.id)


def _require_project(state: State, project_id: int) -> None:
    project = state.get(PROJECTS, project_id)
    if project is None:
        raise Missing("the project does not exist any more")
    if project.deleted:
        raise Conflict(f"project {project.name} is archived and takes no new traces; restore it first")
