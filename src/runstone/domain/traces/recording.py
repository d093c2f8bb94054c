"""Traces as callers change them: told of, tagged, linked, given files, and deleted."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, cast

from runstone.domain import limits, manifests, names, policy, versions
from runstone.domain.content import StoredFile, open_entry
from runstone.domain.context import Context
from runstone.domain.policy import Action
from runstone.domain.store import Store
from runstone.domain.traces import finding
from runstone.domain.traces.commands import (
    ChangeTrace,
    DeleteTraces,
    LinkTraces,
    PutTraceFiles,
    RemoveTraceFiles,
    StartTrace,
)
from runstone.domain.traces.finding import Found
from runstone.domain.traces.judging import MAX_TOGETHER, Judgement
from runstone.errors import Denied, Invalid, Missing, TooLarge
from runstone.storage.tables import TRACE_FILES, TRACE_NAMES, TRACE_TIMES, TRACES, Assessment
from runstone.types import FileEntry

MAX_TAGS = 1000
MAX_TEXT = 256 << 10
#: Traces that one command deletes.
TOGETHER = 200


def start(
    store: Store,
    ctx: Context,
    project: str,
    name: str,
    told: Mapping[str, Any],
    assessments: Sequence[Judgement] = (),
) -> Found:
    """Tells of a trace as a whole, in a project; ``told`` are fields of :class:`StartTrace`. One that is there already is told of anew."""
    if not finding.fits(name):
        raise Invalid(f"{name!r:.80} cannot be the id of a trace: it takes 1 to {finding.MAX_NAME} bytes")
    if len(assessments) > MAX_TOGETHER:
        raise TooLarge(
            f"{len(assessments)} assessments are over the limit of {MAX_TOGETHER} for one trace at once"
        )
    for what in ("tags", "metadata"):
        check_texts(told.get(what) or {}, what)
    for what in ("title", "session", "client_request", "request", "response"):
        check_text(told.get(what), what)
    with store.index.read() as view:
        namespace, held = names.find_project(store, view, ctx, names.parse_project(ctx, project), "write")
        found = finding.lookup(store, view, ctx, name, namespace=namespace.id)
    command = StartTrace(
        actor=ctx.principal.name,
        reason=ctx.reason,
        project=held.id,
        name=name,
        trace=found.trace.id if found else 0,
        assessments=tuple(assessments),
        **told,
    )
    store.submit(ctx, command)
    return get(store, ctx, name)


def get(store: Store, ctx: Context, name: str, action: Action = "read") -> Found:
    """A trace by its name."""
    with store.index.read() as view:
        return finding.find(store, view, ctx, name, action)


def described(store: Store, ctx: Context, name: str) -> tuple[Found, list[Assessment]]:
    """A trace with what it was judged as."""
    with store.index.read() as view:
        found = finding.find(store, view, ctx, name)
        return found, finding.assessments(view, found)


def several(
    store: Store, ctx: Context, wanted: Iterable[str], projects: Iterable[int] | None = None
) -> list[Found]:
    """The traces of some names that are there, in that order; only those of some projects, if that is asked for."""
    among = None if projects is None else set(projects)
    with store.index.read() as view:
        found = [finding.lookup(store, view, ctx, name, projects=among) for name in dict.fromkeys(wanted)]
    return [each for each in found if each]


def tag(
    store: Store,
    ctx: Context,
    name: str,
    tags: Mapping[str, str] | None = None,
    *,
    remove: Iterable[str] = (),
    title: str | None = None,
) -> None:
    """Sets and takes away tags of a trace, and its title (empty: none)."""
    found = get(store, ctx, name, "write")
    check_texts(tags or {}, "tags")
    taken = tuple(remove)
    for field in (
        *(f"tags.{key}" for key in (*(tags or {}), *taken)),
        *(["title"] if title is not None else []),
    ):
        if not found.shows(field):
            raise Denied(f"{ctx.principal.name} may not change {field}: it may not read it")
    if len(found.trace.tags.keys() | (tags or {}).keys()) > MAX_TAGS:
        raise TooLarge(f"more than {MAX_TAGS} tags of a trace are over the limit")
    command = ChangeTrace(
        actor=ctx.principal.name,
        reason=ctx.reason,
        trace=found.trace.id,
        tags=dict(tags or {}),
        remove=taken,
        title=title,
    )
    store.submit(ctx, command)


def link(
    store: Store,
    ctx: Context,
    traces: Iterable[str],
    *,
    runs: Sequence[str] = (),
    prompts: Sequence[str] = (),
) -> None:
    """Links traces (those that are there) to runs or prompts by their names."""
    found = several(store, ctx, traces)
    for text in (*runs, *prompts):
        limits.required_text(text, "what a trace is linked to", 1024)
    with store.index.read() as view:
        for each in found:
            policy.require(store.policy, view, ctx, "write", each.namespace, each.project)
    if found:
        numbers = tuple(each.trace.id for each in found)
        command = LinkTraces(
            actor=ctx.principal.name,
            reason=ctx.reason,
            traces=numbers,
            runs=tuple(runs),
            prompts=tuple(prompts),
        )
        store.submit(ctx, command)


def delete(
    store: Store,
    ctx: Context,
    project: str,
    *,
    named: Iterable[str] = (),
    until: int | None = None,
    limit: int | None = None,
) -> int:
    """Deletes traces of a project: those named, or all; begun no later than ``until`` (milliseconds); the oldest ``limit``. How many."""
    wanted = set(named)
    with store.index.read() as view:
        _, held = names.find_project(store, view, ctx, names.parse_project(ctx, project), "write")
    deleted = 0
    doomed = _named(store, held.id, wanted, until) if wanted else _oldest(store, held.id, until)
    found = itertools.islice(doomed, limit if limit is None else max(0, limit))
    while piece := tuple(itertools.islice(found, TOGETHER)):
        ctx.check_deadline()
        command = DeleteTraces(actor=ctx.principal.name, reason=ctx.reason, traces=piece)
        deleted += cast("int", store.submit(ctx.without_id(), command).result)
    return deleted


def _named(store: Store, project: int, wanted: set[str], until: int | None) -> Iterable[int]:
    found = []
    with store.index.read() as view:
        for name in wanted:
            number = view.get(TRACE_NAMES, name, project) if finding.fits(name) else None
            row = view.get(TRACES, number) if number else None
            if row and (until is None or row.time <= until):
                found.append(row)
    return [row.id for row in sorted(found, key=lambda row: (row.time, row.name))]


def _oldest(store: Store, project: int, until: int | None) -> Iterable[int]:
    """A project's traces, oldest first; those of one moment by name."""
    after: tuple[int, ...] | None = None
    moment: list[tuple[str, int]] = []
    at = -1
    while True:
        with store.index.read() as view:
            scan = view.scan(TRACE_TIMES, project, after=after)
            keys = [key for key, _ in itertools.islice(scan, TOGETHER)]
            found = [(key, view.get(TRACES, key[2])) for key in keys]
        for (_, time, number), row in found:
            if row is None or (until is not None and row.time > until):
                continue
            if time != at:
                yield from (each for _, each in sorted(moment))
                moment, at = [], time
            moment.append((row.name, number))
        if len(keys) < TOGETHER or (until is not None and keys[-1][1] > until):
            yield from (each for _, each in sorted(moment))
            return
        after = keys[-1]


def put_file(store: Store, ctx: Context, name: str, file: FileEntry) -> None:
    """Gives a trace a file whose bytes are here already; one of the same path is replaced."""
    entries = manifests.checked([file])
    needed = manifests.held(entries)
    with store.index.read() as view:
        found = finding.find(store, view, ctx, name, "write")
        versions.require_usable_bytes(store, view, ctx, found.namespace.domain, needed)
    command = PutTraceFiles(
        actor=ctx.principal.name, reason=ctx.reason, trace=found.trace.id, entries=entries
    )
    store.submit(ctx, command, store.blobs.guard(found.namespace.domain, needed, ctx.principal.name))


def remove_files(store: Store, ctx: Context, name: str, paths: Iterable[str]) -> None:
    """Takes files of a trace away."""
    found = get(store, ctx, name, "write")
    command = RemoveTraceFiles(
        actor=ctx.principal.name, reason=ctx.reason, trace=found.trace.id, paths=tuple(paths)
    )
    store.submit(ctx, command)


def files(store: Store, ctx: Context, name: str) -> list[FileEntry]:
    """A trace's files by path; none when the principal may not read its spans, which they hold."""
    with store.index.read() as view:
        found = finding.find(store, view, ctx, name)
        if not found.shows("spans"):
            return []
        return [manifests.shown(entry) for _, entry in view.scan(TRACE_FILES, found.trace.id)]


def open_file(store: Store, ctx: Context, name: str, path: str) -> StoredFile:
    """A trace's file, to read."""
    with store.index.read() as view:
        found = finding.find(store, view, ctx, name)
        entry = view.get(TRACE_FILES, found.trace.id, path) if found.shows("spans") else None
    if entry is None:
        raise Missing(f"trace {name} has no file {path!r}")
    return open_entry(store, found.namespace.domain, entry, name, found.trace.id, found.trace.created)


def check_texts(texts: Mapping[str, str], what: str) -> None:
    """Raises for tags or metadata that are too many or too long, or no Unicode."""
    if len(texts) > MAX_TAGS:
        raise TooLarge(f"{len(texts)} {what} of a trace are over the limit of {MAX_TAGS}")
    for key, text in texts.items():
        check_text(key, f"a key of {what}")
        check_text(text, f"{what} {key:.80}")


def check_text(text: str | None, what: str) -> None:
    """Raises for a text that is too long or no Unicode; unlike names, it may hold anything else."""
    try:
        size = len((text or "").encode())
    except UnicodeEncodeError:
        raise Invalid(f"{what} is not valid Unicode: it holds a lone surrogate") from None
    if size > MAX_TEXT:
        raise TooLarge(f"{what} takes {size} bytes and the limit is {MAX_TEXT}")
