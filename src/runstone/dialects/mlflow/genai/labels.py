"""Label schemas: the questions that people answer about traces."""

from __future__ import annotations

import contextlib
import secrets
from collections.abc import Mapping
from typing import Any

from runstone.dialects.mlflow import ids, wire
from runstone.dialects.mlflow.genai import paging
from runstone.dialects.mlflow.genai.scorers import experiment_id
from runstone.dialects.mlflow.problem import EXISTS, invalid, missing, refusal
from runstone.dialects.mlflow.wire import REQUIRED, STRING
from runstone.dialects.routing import Call
from runstone.domain.described import DescribedProject
from runstone.domain.entities import keeping
from runstone.domain.entities.keeping import Kept
from runstone.errors import Denied, Exists, Missing

DEFAULT = "Feedback"
_INSTRUCTION = "Share any feedback on this trace."
_TYPES = ("LABEL_SCHEMA_TYPE_UNSPECIFIED", "FEEDBACK", "EXPECTATION")
_INPUTS = {
    "pass_fail": "InputPassFail",
    "categorical": "InputCategorical",
    "numeric": "InputNumeric",
    "text": "InputText",
}
MAX_NAME, MAX_INSTRUCTION, MAX_LABEL, MAX_OPTIONS = 250, 1000, 64, 10


def create(call: Call, fields: dict[str, Any]) -> Any:
    """Answers ``POST label-schemas/create``."""
    kind = fields.get("type", 0)
    kind = _TYPES.index(kind) if kind in _TYPES else kind
    if kind not in (1, 2):
        raise invalid(
            f"Label schema `type` must be one of FEEDBACK or EXPECTATION; got proto enum value {kind}."
        )
    told = _told(fields)
    name = _name(wire.text(fields, "name"))
    if "input" not in told:
        raise invalid("Label schema `input` is required.")
    project = paging.experiment(call, wire.text(fields, "experiment_id"))
    held = {"type": _TYPES[kind], "enable_comment": False, "default": False, **told}
    return {"label_schema": shown(call, _make(call, project, name, held))}


def _make(call: Call, project: DescribedProject, name: str, held: Mapping[str, Any]) -> Kept:
    made = f"ls-{secrets.token_hex(16)}"
    try:
        return keeping.make(
            call.store,
            call.ctx.without_id(),
            "label-schema",
            made,
            held,
            project=project.info.path,
            name=name,
            unique=True,
        )
    except Exists:
        raise _taken(name, ids.experiment_id(call, project)) from None


def _taken(name: str, number: str) -> Exception:
    return refusal(EXISTS, f"Label schema with name '{name}' already exists for experiment '{number}'.")


def get(call: Call, fields: dict[str, Any]) -> Any:
    """Answers ``GET label-schemas/get``."""
    return {"label_schema": shown(call, _find(call, fields))}


def by_name(call: Call, fields: dict[str, Any]) -> Any:
    """Answers ``GET label-schemas/get-by-name``."""
    number, name = wire.text(fields, "experiment_id"), wire.text(fields, "name")
    project = paging.experiment(call, number)
    held = keeping.named(call.store, call.ctx, "label-schema", project.info.path, name)
    if held is None:
        raise missing(f"Label schema with name '{name}' not found for experiment '{number}'.")
    return {"label_schema": shown(call, held)}


def list_schemas(call: Call, fields: dict[str, Any]) -> Any:
    """Answers ``GET label-schemas/list``, latest first; an experiment has a question of its own from the start."""
    limit = paging.limit(fields)
    project = paging.experiment(call, wire.text(fields, "experiment_id"))
    held = keeping.of_project(call.store, call.ctx, "label-schema", project.info.path)
    if not any(each.fields["default"] for each in held):
        # Who may only read is answered without it.
        with contextlib.suppress(Exists, Denied):
            held.append(_make(call, project, DEFAULT, _default()))
    held.sort(key=lambda each: (-each.created, each.id))
    return paging.page("label_schemas", [shown(call, each) for each in held], fields, limit)


def _default() -> dict[str, Any]:
    return {
        "type": "FEEDBACK",
        "enable_comment": False,
        "default": True,
        "instruction": _INSTRUCTION,
        "input": {"text": {}},
    }


def update(call: Call, fields: dict[str, Any]) -> Any:
    """Answers ``PATCH label-schemas/update``."""
    held = _find(call, fields)
    if held.fields["default"]:
        raise invalid("The experiment's default question cannot be edited.")
    told = _told(fields)
    name = _name(wire.text(fields, "name")) if "name" in fields else held.name
    if "input" in told:
        _require_same(held.fields["input"], told["input"])
    try:
        changed = keeping.change(
            call.store,
            call.ctx,
            "label-schema",
            held.id,
            lambda now: (now.fields | told, {}),
            name=name,
            unique=True,
        )
    except Exists:
        raise _taken(name, experiment_id(call, held)) from None
    return {"label_schema": shown(call, changed)}


def delete(call: Call, fields: dict[str, Any]) -> Any:
    """Answers ``DELETE label-schemas/delete``; one that is not there is no error."""
    try:
        held = _find(call, fields)
    except Missing:
        return {}
    if held.fields["default"]:
        raise invalid("The experiment's default question cannot be deleted.")
    keeping.remove(call.store, call.ctx, "label-schema", held.id)
    return {}


def shown(call: Call, held: Kept) -> dict[str, Any]:
    """A label schema as clients read it."""
    answer = {
        "schema_id": held.id,
        "experiment_id": experiment_id(call, held),
        "name": held.name,
        "type": held.fields["type"],
        "enable_comment": held.fields["enable_comment"],
        "input": held.fields["input"],
        "created_at": held.created,
        "last_updated_at": held.updated,
        "is_default": held.fields["default"],
    }
    if held.fields.get("instruction") is not None:
        answer["instruction"] = held.fields["instruction"]
    return answer


def _find(call: Call, fields: dict[str, Any]) -> Kept:
    schema = wire.text(fields, "schema_id")
    try:
        return keeping.get(call.store, call.ctx, "label-schema", schema)
    except Missing:
        raise missing(f"Label schema with id '{schema}' not found.") from None


def _told(fields: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    if "instruction" in fields:
        found["instruction"] = wire.text(fields, "instruction")
        if len(found["instruction"]) > MAX_INSTRUCTION:
            raise invalid(
                f"Label schema `instruction` must be at most {MAX_INSTRUCTION} characters; got {len(found['instruction'])}."
            )
    if "enable_comment" in fields:
        found["enable_comment"] = wire.flag(fields, "enable_comment")
    if "input" in fields:
        found["input"] = _input(fields["input"])
    return found


def _name(name: str) -> str:
    if len(name) > MAX_NAME:
        raise invalid(f"Label schema `name` must be at most {MAX_NAME} characters; got {len(name)}.")
    if name.strip().lower() == DEFAULT.lower():
        raise invalid(
            f"`{name}` is reserved for the experiment's default question and cannot be used for another label schema."
        )
    return name


def _input(given: Any) -> dict[str, Any]:
    kind = next(
        (kind for kind in _INPUTS if isinstance(given, dict) and isinstance(given.get(kind), dict)), None
    )
    if kind is None:
        raise invalid("Label schema `input` is required.")
    held = given[kind]
    if kind == "pass_fail":
        return {kind: _pass_fail(held)}
    if kind == "categorical":
        return {
            kind: {"options": _options(held.get("options")), "multi_select": wire.flag(held, "multi_select")}
        }
    if kind == "numeric":
        return {kind: _numeric(held)}
    if held.get("max_length") is None:
        return {kind: {}}
    length = wire.whole(held, "max_length")
    if length < 1:
        raise invalid(f"`InputText.max_length` must be at least 1; got {length}.")
    return {kind: {"max_length": length}}


def _pass_fail(held: dict[str, Any]) -> dict[str, Any]:
    labels = {name: wire.text(held, name) for name in ("positive_label", "negative_label")}
    for name, label in labels.items():
        if not label:
            raise invalid(f"`InputPassFail.{name}` must be a non-empty string; got {label!r}.")
        if len(label) > MAX_LABEL:
            raise invalid(f"`InputPassFail.{name}` must be at most {MAX_LABEL} characters; got {len(label)}.")
    if labels["positive_label"] == labels["negative_label"]:
        raise invalid(
            "`InputPassFail.positive_label` and `negative_label` must be distinct; "
            f"got {labels['positive_label']!r} for both."
        )
    return labels


def _options(given: Any) -> list[str]:
    options = wire.strings({"options": given or []}, "options")
    if not options:
        raise invalid(f"`InputCategorical.options` must be a non-empty list; got {options!r}.")
    if len(options) > MAX_OPTIONS:
        raise invalid(
            f"`InputCategorical.options` must have at most {MAX_OPTIONS} entries; got {len(options)}."
        )
    for at, option in enumerate(options):
        if not option:
            raise invalid(f"`InputCategorical.options` entries must be non-empty strings; got {option!r}.")
        if len(option) > MAX_LABEL:
            raise invalid(
                f"`InputCategorical.options` entries must be at most {MAX_LABEL} characters; got {len(option)} for {option!r}."
            )
        if option in options[:at]:
            raise invalid(f"`InputCategorical.options` must be deduplicated; {option!r} appears twice.")
    return options


def _numeric(held: dict[str, Any]) -> dict[str, Any]:
    found = {
        name: wire.real(name, held[name]) for name in ("min_value", "max_value") if held.get(name) is not None
    }
    if len(found) == 2 and found["min_value"] >= found["max_value"]:
        raise invalid(
            "`InputNumeric.min_value` must be strictly less than `max_value`; "
            f"got min={found['min_value']}, max={found['max_value']}."
        )
    return found


def _require_same(old: dict[str, Any], new: dict[str, Any]) -> None:
    was, now = next(iter(old)), next(iter(new))
    if was != now:
        raise invalid(
            "A label schema's input type cannot be changed after creation "
            f"(existing: {_INPUTS[was]}, got: {_INPUTS[now]})."
        )
    if was == "categorical" and old[was]["multi_select"] != new[was]["multi_select"]:
        raise invalid("`InputCategorical.multi_select` cannot be changed after creation.")


_ONE = {"schema_id": (REQUIRED, STRING)}
_NAMED = {"experiment_id": (REQUIRED, STRING), "name": (REQUIRED, STRING)}
ROUTES = (
    *wire.routes("POST", "label-schemas/create", create, "Makes a label schema.", _NAMED, version="3.0"),
    *wire.routes("GET", "label-schemas/get", get, "A label schema.", _ONE, version="3.0"),
    *wire.routes("GET", "label-schemas/get-by-name", by_name, "A label schema.", _NAMED, version="3.0"),
    *wire.routes(
        "GET",
        "label-schemas/list",
        list_schemas,
        "An experiment's label schemas.",
        {"experiment_id": (REQUIRED, STRING)},
        version="3.0",
    ),
    *wire.routes("PATCH", "label-schemas/update", update, "Changes a label schema.", _ONE, version="3.0"),
    *wire.routes("DELETE", "label-schemas/delete", delete, "Deletes a label schema.", _ONE, version="3.0"),
)
