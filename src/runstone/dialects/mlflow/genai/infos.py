"""What is known of a trace as a whole, as mlflow's clients send it and read it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from decimal import Decimal, InvalidOperation
from typing import Any

from runstone.dialects.mlflow import ids, validation, wire
from runstone.dialects.mlflow.genai import judgements, times
from runstone.dialects.mlflow.problem import invalid, missing
from runstone.dialects.routing import Call
from runstone.domain.described import DescribedProject
from runstone.domain.traces import matching, recording
from runstone.domain.traces.finding import Found
from runstone.domain.traces.judging import Assessment
from runstone.domain.traces.rows import SESSION_KEY
from runstone.domain.traces.spans import CACHED_TOKENS, COSTS, TOKENS
from runstone.errors import Missing

STATES = ("STATE_UNSPECIFIED", "OK", "ERROR", "IN_PROGRESS")
FINAL = "mlflow.trace.infoFinalized"
LOCATION_TAG, NAME_TAG = "mlflow.artifactLocation", "mlflow.traceName"
MAX_METADATA, MAX_TAG_KEY, MAX_TAG = 250, 250, 4096


def get(call: Call, name: str, text: str = "Trace with ID '{name}' not found.") -> Found:
    """A trace by its id."""
    try:
        return recording.get(call.store, call.ctx, name)
    except Missing:
        raise missing(text.format(name=name)) from None


def experiment_id(call: Call, found: Found) -> str:
    """The id of the experiment that a trace lies in."""
    default = found.project.name == ids.DEFAULT and found.namespace.name == ids.workspace(call)
    return "0" if default else str(found.project.id)


def location(call: Call, project: DescribedProject) -> str:
    """Where the files of an experiment's traces lie."""
    return f"mlflow-artifacts:/{ids.experiment_id(call, project)}/traces"


def shown(call: Call, found: Found, assessments: Iterable[Assessment]) -> dict[str, Any]:
    """A trace as clients of the newer routes read it."""
    trace = found.trace
    answer: dict[str, Any] = {"trace_id": trace.name}
    if trace.client_request is not None:
        answer["client_request_id"] = trace.client_request
    place = {"experiment_id": experiment_id(call, found)}
    answer["trace_location"] = {"type": "MLFLOW_EXPERIMENT", "mlflow_experiment": place}
    if trace.request is not None:
        answer["request_preview"] = trace.request
    if trace.response is not None:
        answer["response_preview"] = trace.response
    answer["request_time"] = times.shown_time(trace.time)
    if trace.duration is not None:
        answer["execution_duration"] = times.shown_duration(trace.duration)
    answer["state"] = trace.state
    told = {
        "trace_metadata": _metadata(found),
        "tags": _tags(found),
        "assessments": [judgements.shown(each, trace.name) for each in assessments],
    }
    return answer | {name: value for name, value in told.items() if value}


def shown_old(call: Call, found: Found) -> dict[str, Any]:
    """A trace as clients of the older routes read it."""
    trace = found.trace
    answer: dict[str, Any] = {
        "request_id": trace.name,
        "experiment_id": experiment_id(call, found),
        "timestamp_ms": trace.time,
        "execution_time_ms": trace.duration or 0,
    }
    answer["status"] = "TRACE_STATUS_UNSPECIFIED" if trace.state == STATES[0] else trace.state
    told = {"request_metadata": wire.key_values(_metadata(found)), "tags": wire.key_values(_tags(found))}
    return answer | {name: value for name, value in told.items() if value}


def _metadata(found: Found) -> dict[str, str]:
    trace = found.trace
    told = dict(trace.metadata)
    if trace.session is not None:
        told[SESSION_KEY] = trace.session
    if trace.usage:
        told[matching.USAGE_KEY] = matching.shown(trace.usage)
    if trace.cost:
        told[matching.COST_KEY] = matching.shown(trace.cost)
    return {key[:MAX_METADATA]: text[:MAX_METADATA] for key, text in told.items()}


def _tags(found: Found) -> dict[str, str]:
    trace = found.trace
    told = trace.tags if trace.title is None else trace.tags | {NAME_TAG: trace.title}
    return {key[:MAX_TAG_KEY]: text[:MAX_TAG] for key, text in told.items()}


def told(source: Mapping[str, Any], location: str) -> dict[str, Any]:
    """What a client tells of a trace, as fields of the command; ``location`` is where its files lie."""
    found = described(texts(source, "tags"), texts(source, "trace_metadata"))
    found["tags"] = found["tags"] | {LOCATION_TAG: location}
    found["metadata"] = found["metadata"] | {FINAL: "true"}
    found["time"] = times.time(source["request_time"], "request_time") if source.get("request_time") else 0
    if source.get("execution_duration") is not None:
        found["duration"] = times.duration(source["execution_duration"], "execution_duration")
    found["state"] = state(source.get("state", STATES[0]))
    for field, name in (
        ("client_request", "client_request_id"),
        ("request", "request_preview"),
        ("response", "response_preview"),
    ):
        if source.get(name) is not None:
            found[field] = wire.text(source, name)
    return found


def described(tags: dict[str, str], metadata: dict[str, str]) -> dict[str, Any]:
    """Tags and metadata as fields of a command: a title, a session, usage and cost are fields of their own."""
    found: dict[str, Any] = {}
    if (title := tags.pop(NAME_TAG, None)) is not None:
        found["title"] = validation.short(title, "Trace name", MAX_TAG)
    if (session := metadata.pop(SESSION_KEY, None)) is not None:
        found["session"] = validation.short(session, "Session ID", MAX_METADATA)
    usage = _object(metadata.pop(matching.USAGE_KEY, ""))
    found["usage"] = {
        key: count for key in (*TOKENS, *CACHED_TOKENS) if (count := _count(usage.get(key))) is not None
    }
    cost = _object(metadata.pop(matching.COST_KEY, ""))
    found["cost"] = {key: sum_ for key in COSTS if (sum_ := _money(cost.get(key))) is not None}
    return found | {"tags": tags, "metadata": metadata}


def state(value: Any) -> str:
    """The state of a trace by its name or number."""
    if value in STATES:
        return str(value)
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < len(STATES):
        return STATES[value]
    raise invalid(wire.invalid_value("state", value))


def texts(source: Mapping[str, Any], name: str) -> dict[str, str]:
    """A map of texts."""
    held = source.get(name)
    if held is None:
        return {}
    if not isinstance(held, dict) or not all(isinstance(each, str) for each in held.values()):
        raise invalid(wire.invalid_value(name, held))
    return dict(held)


def _object(text: str) -> dict[str, Any]:
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _count(value: Any) -> int | None:
    if value is None or isinstance(value, bool):
        return None
    try:
        number = Decimal(str(value))
        whole = number.is_finite() and abs(number) < 1 << 63 and number == number.to_integral_value()
    except (InvalidOperation, ValueError):
        return None
    return int(number) if whole else None


def _money(value: Any) -> float | None:
    if value is None or isinstance(value, bool):
        return None
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        return None
    return number if number - number == 0 else None
