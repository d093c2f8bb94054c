"""Scorers: how answers are judged, by name and version. They are kept as they come; none is run here."""

from __future__ import annotations

import json
import secrets
import time
import uuid
from collections.abc import Mapping
from typing import Any

from runstone.dialects.mlflow import ids, wire
from runstone.dialects.mlflow.problem import invalid, missing
from runstone.dialects.mlflow.wire import INTEGER, REQUIRED, STRING
from runstone.dialects.routing import Call
from runstone.domain.entities import keeping
from runstone.domain.entities.keeping import Item, Kept
from runstone.domain.traces import grammar
from runstone.errors import Exists, Missing

_CODE = (
    "Custom scorer registration (using @scorer decorator) is disabled by default outside of Databricks tracking environments "
    "due to security concerns. Custom scorers require arbitrary code execution during deserialization.\n\n"
    "To use custom scorers, manage their code in a source code repository and import it directly."
)
_DIGITS = 10


def register(call: Call, fields: dict[str, Any]) -> Any:
    """Answers ``POST scorers/register``: a new version."""
    project, name = ids.active_experiment(call, wire.text(fields, "experiment_id")), wire.text(fields, "name")
    serialized = wire.text(fields, "serialized_scorer")
    _check(name, serialized)
    kept = {"serialized": serialized, "created": time.time_ns() // 1_000_000}
    scorer = keeping.named(call.store, call.ctx, "scorer", project.info.path, name)
    if scorer is None:
        try:
            made = str(uuid.uuid4())
            scorer = keeping.make(
                call.store,
                call.ctx,
                "scorer",
                made,
                {},
                project=project.info.path,
                name=name,
                unique=True,
                items={_key(1): kept},
            )
            return _registered(call, scorer, 1, kept)
        except Exists:  # another was quicker
            scorer = keeping.named(call.store, call.ctx, "scorer", project.info.path, name)
            assert scorer is not None
    number = 1

    def changed(held: Kept) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
        nonlocal number
        number = max((_number(item) for item in keeping.items(call.store, held)), default=0) + 1
        return held.fields, {_key(number): kept}

    scorer = keeping.change(call.store, call.ctx, "scorer", scorer.id, changed)
    return _registered(call, scorer, number, kept)


def _check(name: str, serialized: str) -> None:
    if not name.strip():
        raise invalid("Scorer name cannot be empty or contain only whitespace.")
    try:
        held = json.loads(serialized)
    except (ValueError, RecursionError):
        raise invalid("serialized_scorer must be valid JSON") from None
    if _has_code(held):
        raise invalid(_CODE)
    model = _model(held)
    if model is not None and not isinstance(model, str):
        raise invalid(f"Scorer model must be a string, got {type(model).__name__}.")
    if model is not None and not model.strip():
        raise invalid("Scorer model cannot be empty or contain only whitespace.")
    if model and model.startswith("gateway:/"):
        raise missing(f"GatewayEndpoint not found (name='{model.removeprefix('gateway:/')}')")


def _has_code(held: Any) -> bool:
    if isinstance(held, dict):
        return bool(held.get("call_source")) or any(map(_has_code, held.values()))
    return isinstance(held, list) and any(map(_has_code, held))


def _model(held: Any) -> Any:
    if not isinstance(held, dict):
        return None
    for name in (
        "instructions_judge_pydantic_data",
        "builtin_scorer_pydantic_data",
        "third_party_scorer_data",
    ):
        if isinstance(held.get(name), dict):
            return held[name].get("model")
    base = held.get("memory_augmented_judge_data")
    return _model(base.get("base_judge")) if isinstance(base, dict) else None


def _registered(call: Call, scorer: Kept, version: int, kept: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "version": version,
        "scorer_id": scorer.id,
        "experiment_id": experiment_id(call, scorer),
        "name": scorer.name,
        "serialized_scorer": kept["serialized"],
        "creation_time": kept["created"],
    }


def experiment_id(call: Call, held: Kept) -> str:
    """The id of the experiment that something belongs to."""
    assert held.project is not None
    default = held.project.name == ids.DEFAULT and held.namespace.name == ids.workspace(call)
    return "0" if default else str(held.project.id)


def list_scorers(call: Call, fields: dict[str, Any]) -> Any:
    """Answers ``GET scorers/list``: the latest version of each."""
    number = wire.text(fields, "experiment_id")
    if number and "experiment_ids" in fields:
        raise invalid(
            "Cannot specify both 'experiment_id' and 'experiment_ids'. Use 'experiment_ids' to scope the query to "
            "multiple experiments, or 'experiment_id' to scope it to a single experiment."
        )
    if number:
        projects = [ids.active_experiment(call, number)]
    else:
        asked = wire.strings(fields, "experiment_ids") if "experiment_ids" in fields else None
        projects = ids.active_experiments(call, asked)
    found = []
    for project in projects:
        scorers = keeping.of_project(call.store, call.ctx, "scorer", project.info.path)
        for scorer in sorted(scorers, key=lambda scorer: scorer.name):
            versions = _versions(call, scorer)
            if versions:
                found.append(_shown(call, scorer, versions[-1]))
    return {"scorers": found} if found else {}


def versions(call: Call, fields: dict[str, Any]) -> Any:
    """Answers ``GET scorers/versions``."""
    scorer = _find(call, fields)
    held = _versions(call, scorer)
    if not held:
        raise _none(fields)
    return {"scorers": [_shown(call, scorer, item) for item in held]}


def get(call: Call, fields: dict[str, Any]) -> Any:
    """Answers ``GET scorers/get``: a version, or the latest."""
    scorer = _find(call, fields)
    held = _asked(fields, _versions(call, scorer))
    return {"scorer": _shown(call, scorer, held[-1])}


def delete(call: Call, fields: dict[str, Any]) -> Any:
    """Answers ``DELETE scorers/delete``: a version, or all of them."""
    scorer = _find(call, fields)
    held = _asked(fields, _versions(call, scorer))
    if "version" not in fields:
        keeping.remove(call.store, call.ctx, "scorer", scorer.id)
    else:
        keeping.change(
            call.store,
            call.ctx,
            "scorer",
            scorer.id,
            lambda now: (now.fields, {item.key: None for item in held}),
        )
    return {}


def online_configs(call: Call, fields: dict[str, Any]) -> Any:
    """Answers ``GET scorers/online-configs``."""
    found = []
    for scorer in wire.strings(fields, "scorer_ids"):
        try:
            config = keeping.get(call.store, call.ctx, "scorer", scorer).fields.get("online")
        except Missing:
            continue
        found += [config] if config else []
    return {"configs": found}


def put_online_config(call: Call, fields: dict[str, Any]) -> Any:
    """Answers ``PUT scorers/online-config``. Scoring as traces come takes a gateway model, which there are none of here."""
    text = fields.get("filter_string")
    if text is not None and not isinstance(text, str):
        kind = type(text).__name__
        raise invalid(
            f"Invalid value {text!r} for parameter 'filter_string' supplied: Value was of type '{kind}'. Expected type 'str' or None."
        )
    rate = wire.real("sample_rate", fields["sample_rate"])
    if not 0.0 <= rate <= 1.0:
        raise invalid(f"sample_rate must be between 0.0 and 1.0, got {rate}")
    grammar.parse(text or "")
    scorer = _find(call, fields)
    if rate > 0:
        raise invalid(
            f"Scorer '{scorer.name}' does not use a gateway model. Automatic evaluation is only supported for scorers that "
            "use gateway models."
        )
    config = {
        "online_scoring_config_id": secrets.token_hex(16),
        "scorer_id": scorer.id,
        "sample_rate": rate,
        "experiment_id": experiment_id(call, scorer),
        **({"filter_string": text} if text is not None else {}),
    }
    keeping.change(
        call.store, call.ctx, "scorer", scorer.id, lambda held: (held.fields | {"online": config}, {})
    )
    return {"config": config}


def _find(call: Call, fields: dict[str, Any]) -> Kept:
    project = ids.active_experiment(call, wire.text(fields, "experiment_id"))
    scorer = keeping.named(call.store, call.ctx, "scorer", project.info.path, wire.text(fields, "name"))
    if scorer is None:
        raise _none(fields)
    return scorer


def _versions(call: Call, scorer: Kept) -> list[Item]:
    return sorted(keeping.items(call.store, scorer), key=_number)


def _asked(fields: dict[str, Any], held: list[Item]) -> list[Item]:
    """The versions that a request names, or all; raises when there are none."""
    if "version" not in fields:
        if not held:
            raise _none(fields)
        return held
    number = wire.whole(fields, "version")
    found = [item for item in held if _number(item) == number]
    if not found:
        raise missing(
            f"Scorer with name '{fields['name']}' and version {number} not found for experiment {fields['experiment_id']}."
        )
    return found


def _none(fields: dict[str, Any]) -> Exception:
    return missing(f"Scorer with name '{fields['name']}' not found for experiment {fields['experiment_id']}.")


def _shown(call: Call, scorer: Kept, item: Item) -> dict[str, Any]:
    return {
        "experiment_id": int(experiment_id(call, scorer)),
        "scorer_name": scorer.name,
        "scorer_version": _number(item),
        "serialized_scorer": item.fields["serialized"],
        "creation_time": item.fields["created"],
        "scorer_id": scorer.id,
    }


def _key(number: int) -> str:
    return f"{number:0{_DIGITS}}"


def _number(item: Item) -> int:
    return int(item.key)


_ONE = {"experiment_id": (REQUIRED, STRING), "name": (REQUIRED, STRING)}
ROUTES = (
    *wire.routes(
        "POST",
        "scorers/register",
        register,
        "Registers a version of a scorer.",
        {**_ONE, "serialized_scorer": (REQUIRED, STRING)},
        version="3.0",
    ),
    *wire.routes(
        "GET", "scorers/list", list_scorers, "Scorers.", {"experiment_id": (STRING,)}, version="3.0"
    ),
    *wire.routes("GET", "scorers/versions", versions, "A scorer's versions.", _ONE, version="3.0"),
    *wire.routes("GET", "scorers/get", get, "A scorer.", {**_ONE, "version": (INTEGER,)}, version="3.0"),
    *wire.routes(
        "DELETE",
        "scorers/delete",
        delete,
        "Deletes a scorer.",
        {**_ONE, "version": (INTEGER,)},
        version="3.0",
    ),
    *wire.routes(
        "GET",
        "scorers/online-configs",
        online_configs,
        "Scorers' sampling.",
        {"scorer_ids": (REQUIRED,)},
        version="3.0",
    ),
    *wire.routes(
        "PUT",
        "scorers/online-config",
        put_online_config,
        "Sets a scorer's sampling.",
        {**_ONE, "sample_rate": (REQUIRED,)},
        version="3.0",
    ),
)
