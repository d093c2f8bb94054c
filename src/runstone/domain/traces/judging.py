"""Assessments: what people and programs think of a trace, one of which may override another."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec
from msgspec.structs import replace

from runstone.domain.traces import rows
from runstone.errors import Exists, Missing
from runstone.storage.commands import Command, Stamp, applies
from runstone.storage.state import State
from runstone.storage.tables import ASSESSMENTS, TRACE_MARKS, Assessment, Trace

__all__ = [
    "MAX_TOGETHER",
    "AddAssessment",
    "Assessment",
    "DeleteAssessment",
    "Judgement",
    "UpdateAssessment",
    "add",
]


class Judgement(msgspec.Struct, frozen=True, array_like=True):
    """An assessment as it is given; see :class:`Assessment`."""

    id: str
    name: str
    kind: str
    source_type: str
    source: str
    created: int
    updated: int
    value: str = "null"
    error: str = ""
    span: str = ""
    rationale: str | None = None
    metadata: dict[str, str] = {}
    overrides: str = ""
    valid: bool = True


class AddAssessment(Command, frozen=True, kw_only=True):
    """Judges a trace; what it overrides is not valid from then on."""

    trace: int
    assessment: Judgement


class UpdateAssessment(Command, frozen=True, kw_only=True):
    """Changes an assessment: name, value and error, rationale and metadata are all given."""

    trace: int
    id: str
    updated: int
    name: str
    value: str
    error: str
    rationale: str | None
    metadata: dict[str, str]


class DeleteAssessment(Command, frozen=True, kw_only=True):
    """Takes an assessment away; what it overrode is valid again."""

    trace: int
    id: str


@applies(137, "add_assessment", AddAssessment)
def _add_assessment(state: State, at: Stamp, command: AddAssessment) -> None:
    trace = rows.require(state, command.trace)
    given = command.assessment
    if state.get(ASSESSMENTS, trace.id, given.id) is not None:
        raise Exists(f"there is an assessment {given.id} already")
    if given.overrides:
        overridden = state.get(ASSESSMENTS, trace.id, given.overrides)
        if overridden is None:
            raise Missing(f"trace {trace.name} has no assessment {given.overrides} to override")
        state.put(ASSESSMENTS, trace.id, overridden.id, replace(overridden, valid=False))
    add(state, at, trace, (given,))


@applies(138, "update_assessment", UpdateAssessment)
def _update_assessment(state: State, at: Stamp, command: UpdateAssessment) -> None:
    trace = rows.require(state, command.trace)
    held = state.get(ASSESSMENTS, command.trace, command.id)
    if held is None:
        raise Missing(f"there is no assessment {command.id}")
    new = replace(
        held,
        updated=command.updated,
        name=command.name,
        value=command.value,
        error=command.error,
        rationale=command.rationale,
        metadata=command.metadata,
    )
    _put(state, trace, new)


@applies(139, "delete_assessment", DeleteAssessment)
def _delete_assessment(state: State, at: Stamp, command: DeleteAssessment) -> None:
    held = state.get(ASSESSMENTS, command.trace, command.id)
    if held is None:
        return
    state.delete(ASSESSMENTS, command.trace, command.id)
    restored = state.get(ASSESSMENTS, command.trace, held.overrides) if held.overrides else None
    if restored is not None:
        state.put(ASSESSMENTS, command.trace, restored.id, replace(restored, valid=True))


def add(state: State, at: Stamp, trace: Trace, given: Iterable[Judgement]) -> None:
    """Judges a trace, in ``apply``; one of an id that is there is replaced."""
    for place, each in enumerate(given):
        # Assessments of one command stay in order: a command never has as many as this leaves room for.
        row = Assessment(
            each.id,
            each.name,
            each.kind,
            each.source_type,
            each.source,
            each.created,
            each.updated,
            at.seq * MAX_TOGETHER + place,
            each.value,
            each.error,
            each.span,
            each.rationale,
            each.metadata,
            each.overrides,
            each.valid,
        )
        _put(state, trace, row)


#: The most assessments that come with a trace.
MAX_TOGETHER = 10_000


def _put(state: State, trace: Trace, row: Assessment) -> None:
    state.put(ASSESSMENTS, trace.id, row.id, row)
    if rows.SESSION_KEY in row.metadata:
        state.put(TRACE_MARKS, trace.project, rows.SESSION_JUDGED, bytes(16), trace.id, 1)
