"""Assessments of traces: made, read, changed and taken away."""

from __future__ import annotations

import contextlib
import time
from typing import Any

from msgspec.structs import replace

from runstone.dialects.mlflow import wire
from runstone.dialects.mlflow.genai import infos, judgements
from runstone.dialects.mlflow.problem import invalid, missing
from runstone.dialects.mlflow.wire import REQUIRED
from runstone.dialects.routing import Call
from runstone.domain.traces import opinions
from runstone.domain.traces.judging import Assessment
from runstone.errors import Exists, Missing

_OTHERS = {"feedback": "Expectation", "expectation": "Feedback"}


def create(call: Call, fields: dict[str, Any]) -> Any:
    """Answers ``POST traces/{trace}/assessments``."""
    name = call.path["trace"]
    given = judgements.taken(fields["assessment"])
    infos.get(call, name)
    try:
        made = opinions.add(call.store, call.ctx, name, given)
    except Exists:
        raise invalid(
            f"Failed to create assessment for trace '{name}' due to a constraint violation."
        ) from None
    except Missing:
        raise missing(f"Assessment with ID '{given.overrides}' not found for trace '{name}'") from None
    return {"assessment": judgements.shown(made, name)}


def get(call: Call, fields: dict[str, Any]) -> Any:
    """Answers ``GET traces/{trace}/assessments/{assessment}``."""
    return {"assessment": judgements.shown(_find(call), call.path["trace"])}


def update(call: Call, fields: dict[str, Any]) -> Any:
    """Answers ``PATCH traces/{trace}/assessments/{assessment}``: what ``update_mask`` names is changed."""
    given = fields["assessment"]
    if not isinstance(given, dict):
        raise invalid(wire.invalid_value("assessment", given))
    changed = _find(call)
    mask = _paths(fields["update_mask"])
    if {"feedback", "expectation"} <= set(mask):
        raise invalid("Cannot specify both `expectation` and `feedback` parameters.")
    for kind in ("expectation", "feedback"):
        if kind in mask:
            if changed.kind != kind:
                other = _OTHERS[kind]
                raise invalid(
                    f"Cannot update {kind} value on {'an' if other[0] == 'E' else 'a'} {other} assessment."
                )
            value, error = judgements.value_and_error(kind, given.get(kind) or {})
            changed = replace(changed, value=value, error=error)
    if "assessment_name" in mask:
        changed = replace(changed, name=wire.text(given, "assessment_name"))
    if "rationale" in mask and changed.kind != "expectation":
        changed = replace(changed, rationale=wire.text(given, "rationale"))
    if "metadata" in mask:
        changed = replace(changed, metadata=changed.metadata | judgements.metadata(given))
    changed = replace(changed, updated=time.time_ns() // 1_000_000)
    kept = opinions.change(call.store, call.ctx, call.path["trace"], changed)
    return {"assessment": judgements.shown(kept, call.path["trace"])}


def delete(call: Call, fields: dict[str, Any]) -> Any:
    """Answers ``DELETE traces/{trace}/assessments/{assessment}``; one that is not there is no error."""
    with contextlib.suppress(Missing):
        opinions.remove(call.store, call.ctx, call.path["trace"], call.path["assessment"])
    return {}


def _find(call: Call) -> Assessment:
    trace, assessment = call.path["trace"], call.path["assessment"]
    infos.get(call, trace, "Trace with request_id '{name}' not found")
    try:
        return opinions.get(call.store, call.ctx, trace, assessment)
    except Missing:
        raise missing(f"Assessment with ID '{assessment}' not found for trace '{trace}'") from None


def _paths(mask: Any) -> list[str]:
    """The fields that a mask names: ``"assessmentName,rationale"`` in protobuf's JSON, or an object that lists them."""
    if isinstance(mask, dict):
        return wire.strings(mask, "paths")
    if not isinstance(mask, str):
        raise invalid(wire.invalid_value("update_mask", mask))
    return ["assessment_name" if path == "assessmentName" else path for path in mask.split(",")]


_ONE = "traces/{trace}/assessments/{assessment}"
ROUTES = (
    *wire.routes(
        "POST",
        "traces/{trace}/assessments",
        create,
        "Judges a trace.",
        {"assessment": (REQUIRED,)},
        version="3.0",
    ),
    *wire.routes("GET", _ONE, get, "An assessment.", version="3.0"),
    *wire.routes(
        "PATCH",
        _ONE,
        update,
        "Changes an assessment.",
        {"assessment": (REQUIRED,), "update_mask": (REQUIRED,)},
        version="3.0",
    ),
    *wire.routes("DELETE", _ONE, delete, "Takes an assessment away.", version="3.0"),
)
