"""Assessments of a trace as callers make, change and take them away."""

from __future__ import annotations

from runstone.domain import limits
from runstone.domain.context import Context
from runstone.domain.store import Store
from runstone.domain.traces import finding, recording
from runstone.domain.traces.finding import Found
from runstone.domain.traces.judging import AddAssessment, DeleteAssessment, Judgement, UpdateAssessment
from runstone.errors import Denied, Missing
from runstone.storage.tables import ASSESSMENTS, Assessment

MAX_ID = 200


def get(store: Store, ctx: Context, trace: str, assessment: str) -> Assessment:
    """One assessment of a trace."""
    with store.index.read() as view:
        found = finding.find(store, view, ctx, trace)
        held = view.get(ASSESSMENTS, found.trace.id, assessment) if _fits(assessment) else None
    if held is None or not found.shows(f"assessments.{held.name}"):
        raise Missing(f"trace {trace} has no assessment {assessment!r:.300}")
    return held


def add(store: Store, ctx: Context, trace: str, given: Judgement) -> Assessment:
    """Judges a trace; what the assessment overrides is not valid from then on."""
    found = recording.get(store, ctx, trace, "write")
    check(given)
    _require_shown(ctx, found, given.name)
    store.submit(
        ctx,
        AddAssessment(actor=ctx.principal.name, reason=ctx.reason, trace=found.trace.id, assessment=given),
    )
    return get(store, ctx, trace, given.id)


def check(given: Judgement) -> None:
    """Raises :class:`Invalid` for what cannot be an assessment."""
    limits.required_text(given.id, "the id of an assessment", MAX_ID)
    recording.check_texts(given.metadata, "metadata")
    for text, what in (
        (given.rationale, "rationale"),
        (given.source, "source"),
        (given.span, "span"),
        (given.error, "error"),
    ):
        recording.check_text(text, what)


def change(store: Store, ctx: Context, trace: str, changed: Assessment) -> Assessment:
    """Gives an assessment another name, value, error, rationale or metadata, and the time of its change."""
    found = recording.get(store, ctx, trace, "write")
    _require_shown(ctx, found, changed.name)
    recording.check_texts(changed.metadata, "metadata")
    recording.check_text(changed.rationale, "rationale")
    command = UpdateAssessment(
        actor=ctx.principal.name,
        reason=ctx.reason,
        trace=found.trace.id,
        id=changed.id,
        updated=changed.updated,
        name=changed.name,
        value=changed.value,
        error=changed.error,
        rationale=changed.rationale,
        metadata=changed.metadata,
    )
    store.submit(ctx, command)
    return get(store, ctx, trace, changed.id)


def remove(store: Store, ctx: Context, trace: str, assessment: str) -> None:
    """Takes an assessment away, if it is there; what it overrode is valid again."""
    found = recording.get(store, ctx, trace, "write")
    with store.index.read() as view:
        held = view.get(ASSESSMENTS, found.trace.id, assessment) if _fits(assessment) else None
    if held is not None:
        _require_shown(ctx, found, held.name)
        command = DeleteAssessment(
            actor=ctx.principal.name, reason=ctx.reason, trace=found.trace.id, id=assessment
        )
        store.submit(ctx, command)


def _require_shown(ctx: Context, found: Found, name: str) -> None:
    if not found.shows(f"assessments.{name}"):
        raise Denied(f"{ctx.principal.name} may not judge {name}: it may not read such assessments")


def _fits(assessment: str) -> bool:
    return 0 < len(assessment.encode("utf-8", "replace")) <= MAX_ID and "\0" not in assessment
