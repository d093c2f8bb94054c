"""Assessments as mlflow's clients send and read them: feedback, expectations and references to issues."""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Mapping
from typing import Any

from runstone.dialects.mlflow import wire
from runstone.dialects.mlflow.genai import times
from runstone.dialects.mlflow.problem import invalid
from runstone.domain import limits
from runstone.domain.traces.judging import Assessment, Judgement
from runstone.errors import TooLarge

SOURCES = ("SOURCE_TYPE_UNSPECIFIED", "HUMAN", "LLM_JUDGE", "CODE")
KINDS = ("feedback", "expectation", "issue")
JSON_FORMAT = "JSON_FORMAT"
MAX_VALUE = 1 << 20


def taken(source: Any) -> Judgement:
    """An assessment that a client sends, as it is kept."""
    if not isinstance(source, dict):
        raise invalid(wire.invalid_value("assessment", source))
    kind = next((kind for kind in KINDS if source.get(kind) is not None), None)
    if kind is None:
        raise invalid("Unknown assessment type: None")
    now = time.time_ns() // 1_000_000
    source_type, source_id = _source(source.get("source"))
    return Judgement(
        wire.text(source, "assessment_id") or f"a-{secrets.token_hex(16)}",
        limits.text(wire.text(source, "assessment_name"), "assessment_name", 4096),
        kind,
        source_type,
        source_id,
        _moment(source, "create_time", now),
        _moment(source, "last_update_time", now),
        *value_and_error(kind, source[kind]),
        wire.text(source, "span_id"),
        None if kind == "expectation" else wire.text(source, "rationale") or None,
        metadata(source),
        wire.text(source, "overrides") if kind == "feedback" else "",
    )


def value_and_error(kind: str, held: Any) -> tuple[str, str]:
    """The value and error of an assessment as JSON texts."""
    if not isinstance(held, dict):
        raise invalid(wire.invalid_value(kind, held))
    if kind == "issue":
        return _dumps({"issue_name": wire.text(held, "issue_name")}), ""
    error = held.get("error") if kind == "feedback" else None
    if error is not None and not isinstance(error, dict):
        raise invalid(wire.invalid_value("error", error))
    told = ("error_code", "error_message", "stack_trace")
    kept = {name: wire.text(error, name) for name in told if error and error.get(name)} if error else None
    return _dumps(_value(kind, held)), "" if kept is None else _dumps(kept)


def _value(kind: str, held: dict[str, Any]) -> Any:
    serialized = held.get("serialized_value")
    if kind == "feedback" or serialized is None:
        value = held.get("value")
        if kind == "expectation" and value is None:
            raise invalid("The `value` field must be specified.")
        return _plain(value)
    if not isinstance(serialized, dict):
        raise invalid(wire.invalid_value("serialized_value", serialized))
    form = wire.text(serialized, "serialization_format")
    if form != JSON_FORMAT:
        raise invalid(f"Unknown serialization format: {form}. Only JSON_FORMAT is supported.")
    try:
        value = json.loads(wire.text(serialized, "value"))
    except (ValueError, RecursionError):
        raise invalid(wire.invalid_value("serialized_value.value", serialized.get("value"))) from None
    if value is None:
        raise invalid("The `value` field must be specified.")
    return value


def _plain(value: Any, depth: int = 0) -> Any:
    """A value as protobuf's Value has it: every number is a double."""
    if depth > limits.MAX_DEPTH:
        raise TooLarge(f"a value is nested deeper than {limits.MAX_DEPTH} levels")
    if isinstance(value, int | float) and not isinstance(value, bool):
        try:
            return float(value)
        except OverflowError:
            raise invalid(wire.invalid_value("value", str(value)[:80])) from None
    if isinstance(value, list):
        return [_plain(each, depth + 1) for each in value]
    if isinstance(value, dict):
        return {key: _plain(each, depth + 1) for key, each in value.items()}
    return value


def _dumps(value: Any) -> str:
    text = json.dumps(value)
    if len(text) > MAX_VALUE:
        raise TooLarge(
            f"the value of an assessment takes {len(text)} characters and the limit is {MAX_VALUE}"
        )
    return text


def metadata(source: Mapping[str, Any]) -> dict[str, str]:
    """An assessment's metadata: texts by key."""
    held = source.get("metadata")
    if held is None:
        return {}
    if not isinstance(held, dict) or not all(isinstance(each, str) for each in held.values()):
        raise invalid(wire.invalid_value("metadata", held))
    return dict(held)


def _source(held: Any) -> tuple[str, str]:
    if held is None:
        return SOURCES[0], ""
    if not isinstance(held, dict):
        raise invalid(wire.invalid_value("source", held))
    kind = held.get("source_type", 0)
    if isinstance(kind, int) and not isinstance(kind, bool) and 0 <= kind < len(SOURCES):
        kind = SOURCES[kind]
    if kind not in SOURCES:
        raise invalid(wire.invalid_value("source_type", kind))
    return str(kind), wire.text(held, "source_id")


def _moment(source: Mapping[str, Any], name: str, now: int) -> int:
    return (times.time(source[name], name) if source.get(name) else 0) or now


def shown(held: Assessment, trace: str) -> dict[str, Any]:
    """An assessment as clients read it."""
    answer: dict[str, Any] = {"assessment_id": held.id, "assessment_name": held.name, "trace_id": trace}
    if held.span:
        answer["span_id"] = held.span
    answer["source"] = {"source_type": held.source_type}
    if held.source:
        answer["source"]["source_id"] = held.source
    answer["create_time"] = times.shown_time(held.created)
    answer["last_update_time"] = times.shown_time(held.updated)
    answer[held.kind] = _shown_value(held)
    if held.rationale is not None:
        answer["rationale"] = held.rationale
    if held.metadata:
        answer["metadata"] = held.metadata
    if held.overrides:
        answer["overrides"] = held.overrides
    return answer | {"valid": held.valid}


def _shown_value(held: Assessment) -> dict[str, Any]:
    value = json.loads(held.value)
    if held.kind == "issue":
        return {"issue_name": value["issue_name"]}
    if held.kind == "feedback":
        return {"value": value} | ({"error": json.loads(held.error)} if held.error else {})
    if isinstance(value, list | dict):
        return {"serialized_value": {"serialization_format": JSON_FORMAT, "value": json.dumps(value)}}
    return {"value": value}
