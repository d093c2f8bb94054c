"""Traces that were in another store: told of as they were, in a project that does not have them yet."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from runstone.domain import limits, manifests, names, versions
from runstone.domain.context import Context
from runstone.domain.store import Store
from runstone.domain.traces import finding, opinions, recording, spans
from runstone.domain.traces.commands import LinkTraces, LogSpans, PutTraceFiles, StartTrace
from runstone.domain.traces.judging import MAX_TOGETHER, Judgement
from runstone.domain.traces.spans import Span
from runstone.errors import Invalid, Missing
from runstone.storage.index import View
from runstone.storage.tables import TRACE_NAMES, TRACES, Namespace, Project, Trace
from runstone.types import FileEntry

_TEXTS = ("title", "session", "client_request", "request", "response")


def start(
    store: Store,
    ctx: Context,
    project: str,
    name: str,
    told: Mapping[str, Any],
    assessments: Sequence[Judgement],
) -> None:
    """Tells of a trace as a whole; ``told`` are fields of :class:`StartTrace`. Takes the right to administer the project.

    A trace of that name in another project stays there.
    """
    check(name, told, assessments)
    with store.index.read() as view:
        _, held = names.find_project(store, view, ctx, names.parse_project(ctx, project), "admin")
    command = StartTrace(
        actor=ctx.principal.name,
        reason=ctx.reason,
        project=held.id,
        name=name,
        assessments=tuple(assessments),
        **told,
    )
    store.submit(ctx, command)


def check(name: str, told: Mapping[str, Any], assessments: Sequence[Judgement]) -> None:
    """Raises :class:`Invalid` for what cannot be a trace."""
    if not finding.fits(name):
        raise Invalid(f"{name!r:.80} cannot be the id of a trace: it takes 1 to {finding.MAX_NAME} bytes")
    limits.required_text(told["state"], "state", 64)
    for what in ("time", "duration"):
        if not -(1 << 63) <= (told[what] or 0) < 1 << 63:
            raise Invalid(f"the {what} of trace {name} is out of range")
    for what in ("tags", "metadata"):
        recording.check_texts(told[what], what)
    for what in _TEXTS:
        recording.check_text(told[what], what)
    for what in ("usage", "cost"):
        for key in told[what]:
            recording.check_text(key, what)
        if any(not -(1 << 63) <= count < 1 << 63 for count in told[what].values()):
            raise Invalid(f"the {what} of trace {name} is out of range")
    if len({each.id for each in assessments}) < len(assessments) or len(assessments) > MAX_TOGETHER:
        raise Invalid(f"trace {name} has an assessment twice, or over {MAX_TOGETHER} of them")
    for given in assessments:
        opinions.check(given)


def link(
    store: Store, ctx: Context, project: str, name: str, runs: Sequence[str], prompts: Sequence[str]
) -> None:
    """Links a trace of a project to runs and prompts by their names. Takes the right to administer the project."""
    for text in (*runs, *prompts):
        limits.required_text(text, "what a trace is linked to", 1024)
    with store.index.read() as view:
        trace = _find(store, view, ctx, project, name)[2]
    command = LinkTraces(
        actor=ctx.principal.name,
        reason=ctx.reason,
        traces=(trace.id,),
        runs=tuple(runs),
        prompts=tuple(prompts),
    )
    store.submit(ctx, command)


def put_files(store: Store, ctx: Context, project: str, name: str, files: Sequence[FileEntry]) -> None:
    """Gives a trace of a project files whose bytes are here already. Takes the right to administer the project."""
    entries = manifests.checked(files)
    needed = manifests.held(entries)
    with store.index.read() as view:
        namespace, _, trace = _find(store, view, ctx, project, name)
        versions.require_usable_bytes(store, view, ctx, namespace.domain, needed)
    command = PutTraceFiles(actor=ctx.principal.name, reason=ctx.reason, trace=trace.id, entries=entries)
    store.submit(ctx, command, store.blobs.guard(namespace.domain, needed, ctx.principal.name))


def add_spans(store: Store, ctx: Context, project: str, name: str, added: Sequence[Span]) -> None:
    """Adds spans to a trace of a project, of which all else is told already. Takes the right to administer the project."""
    with store.index.read() as view:
        namespace, held, trace = _find(store, view, ctx, project, name)
    batch = spans.kept(store, ctx, namespace.domain, list(added))
    command = LogSpans(
        actor=ctx.principal.name,
        reason=ctx.reason,
        project=held.id,
        name=name,
        trace=trace.id,
        start=trace.time,
        batch=batch,
    )
    guard = store.blobs.guard(namespace.domain, {batch.sha256: batch.size}, ctx.principal.name)
    store.submit(ctx, command, guard)


def _find(
    store: Store, view: View, ctx: Context, project: str, name: str
) -> tuple[Namespace, Project, Trace]:
    namespace, held = names.find_project(store, view, ctx, names.parse_project(ctx, project), "admin")
    number = view.get(TRACE_NAMES, name, held.id)
    trace = view.get(TRACES, number) if number is not None else None
    if trace is None:
        raise Missing(f"{project} has no trace {name}")
    return namespace, held, trace
