"""Versions of registered models, their aliases and stages. A version's files are those of what it was made from, and share their bytes."""

from __future__ import annotations

import re
from typing import Any

from runstone.dialects.mlflow import artifacts, ids, logged, models, sources, validation, wire
from runstone.dialects.mlflow.problem import invalid, missing
from runstone.dialects.mlflow.wire import ARRAY, BOOLEAN, INTEGER, REQUIRED, STRING
from runstone.dialects.routing import BYTES, Call, Download, Pairs, Route
from runstone.domain import aliases, content, described, labels, versions
from runstone.domain.described import DescribedCollection, DescribedVersion
from runstone.domain.queries import mlflow, rows
from runstone.errors import Missing

MAX_RESULTS = 200_000


def create(call: Call, fields: dict[str, Any]) -> Any:
    """Answers ``model-versions/create``."""
    name = validation.model_name(wire.text(fields, "name"))
    tags = dict(validation.registry_tag(*tag) for tag in wire.pairs(fields, "tags"))
    given = sources.of_prompt(fields) if models.is_prompt(tags) else sources.of_model(call, fields)
    model = models.find(call, name)
    origin = {
        "source": given.source,
        "run_id": given.run_id,
        "run_link": wire.text(fields, "run_link"),
        "model_id": given.model_id,
    }
    made = versions.commit(
        call.store,
        call.ctx,
        model.info.path,
        given.files,
        metadata={models.ORIGIN: {key: value for key, value in origin.items() if value}},
        description=wire.text(fields, "description"),
        label=tags,
        reuse=False,
    )
    if given.model_id and not models.is_prompt(tags):
        logged.note_version(call, given.model_id, name, made.number)
    exact = f"{model.info.path}@v{made.number}"
    return {
        "model_version": models.shown_version(call, model, described.version(call.store, call.ctx, exact))
    }


def find(call: Call, name: str, number: Any) -> tuple[DescribedCollection, DescribedVersion, str]:
    """A version by the name of its model and its number, with its full name."""
    name, text = validation.model_name(name), _number(number)
    try:
        model = models.find(call, name)
        path = f"{model.info.path}@v{int(text)}"
        if int(text):
            return model, described.version(call.store, call.ctx, path), path
    except Missing:
        pass
    raise models.no_version(name, text)


def _number(number: Any) -> str:
    text = str(number)
    if not re.fullmatch(r"[0-9]{1,9}", text):
        raise invalid(f"Parameter 'version' must be an integer, got '{text}'.")
    return text


def get(call: Call, fields: dict[str, Any]) -> Any:
    """Answers ``model-versions/get``."""
    model, version, _ = find(call, wire.text(fields, "name"), fields.get("version"))
    return {"model_version": models.shown_version(call, model, version)}


def download_uri(call: Call, fields: dict[str, Any]) -> Any:
    """Answers ``model-versions/get-download-uri``: the version's own files, or where it said they are when none are held."""
    _, version, _ = find(call, wire.text(fields, "name"), fields.get("version"))
    if version.info.files:
        return {"artifact_uri": models.stored_uri(version)}
    return {"artifact_uri": models.origin(version).get("source", "")}


def get_artifact(call: Call) -> Download:
    """Answers ``GET /model-versions/get-artifact?name=…&version=…&path=…``."""
    query = dict(call.query or ())
    path = artifacts.checked(query.get("path", ""))
    _, _, name = find(call, query.get("name", ""), query.get("version", ""))
    try:
        return artifacts.named(content.open_file(call.store, call.ctx, name, path))
    except Missing:
        raise missing(f"No such artifact: '{path}'") from None


def update(call: Call, fields: dict[str, Any]) -> Any:
    """Answers ``model-versions/update``."""
    name, number = wire.text(fields, "name"), fields.get("version")
    _, _, path = find(call, name, number)
    versions.update(call.store, call.ctx, path, description=wire.text(fields, "description"))
    return get(call, fields)


def delete(call: Call, fields: dict[str, Any]) -> Any:
    """Answers ``model-versions/delete``; the number is never given again."""
    _, _, path = find(call, wire.text(fields, "name"), fields.get("version"))
    versions.delete(call.store, call.ctx, path, with_aliases=True)
    return {}


def set_tag(call: Call, fields: dict[str, Any]) -> Any:
    """Answers ``model-versions/set-tag``."""
    _number(fields.get("version"))
    key, value = validation.registry_tag(wire.text(fields, "key"), wire.text(fields, "value"))
    _, _, path = find(call, wire.text(fields, "name"), fields.get("version"))
    labels.label_version(call.store, call.ctx, path, {key: value})
    return {}


def delete_tag(call: Call, fields: dict[str, Any]) -> Any:
    """Answers ``model-versions/delete-tag``."""
    _number(fields.get("version"))
    key = validation.tag_key(wire.text(fields, "key"))
    _, _, path = find(call, wire.text(fields, "name"), fields.get("version"))
    labels.label_version(call.store, call.ctx, path, remove=(key,))
    return {}


def transition(call: Call, fields: dict[str, Any]) -> Any:
    """Answers ``model-versions/transition-stage``."""
    name, stage = wire.text(fields, "name"), _stage(wire.text(fields, "stage"))
    model, version, path = find(call, name, fields.get("version"))
    if wire.flag(fields, "archive_existing_versions"):
        if stage not in models.STAGES[1:3]:
            raise invalid(
                "Model version transition cannot archive existing model versions because "
                f"'{stage}' is not an Active stage. Valid stages are ['Staging', 'Production']"
            )
        for other in models.versions_of(call, model):
            if models.stage(other) == stage and other.info.number != version.info.number:
                _put_stage(call, f"{model.info.path}@v{other.info.number}", other, "Archived")
    _put_stage(call, path, version, stage)
    return get(call, fields)


def latest(call: Call, fields: dict[str, Any]) -> Any:
    """Answers ``registered-models/get-latest-versions``."""
    model = models.find(call, wire.text(fields, "name"))
    asked = tuple(_stage(text) for text in wire.strings(fields, "stages")) or models.STAGES
    found = models.latest(models.versions_of(call, model), asked)
    return (
        {"model_versions": [models.shown_version(call, model, version) for version in found]} if found else {}
    )


def set_alias(call: Call, fields: dict[str, Any]) -> Any:
    """Answers ``POST registered-models/alias``."""
    alias = validation.alias(wire.text(fields, "alias"))
    _, _, path = find(call, wire.text(fields, "name"), fields.get("version"))
    aliases.move(call.store, call.ctx, path, alias)
    return {}


def by_alias(call: Call, fields: dict[str, Any]) -> Any:
    """Answers ``GET registered-models/alias``; ``latest`` is the highest version."""
    name, alias = validation.model_name(wire.text(fields, "name")), wire.text(fields, "alias")
    validation.alias_shape(alias)
    ctx = call.ctx
    key = ("mlflow alias", ctx.asker, ids.workspace(call), name, alias)
    return call.store.cached(key, lambda: _by_alias(call, name, alias))


def _by_alias(call: Call, name: str, alias: str) -> Any:
    model = models.find(call, name)
    try:
        if re.fullmatch(r"[vV]?\d+", alias):
            raise Missing(alias)
        path = f"{model.info.path}@{'latest' if alias.lower() == 'latest' else alias}"
        return {
            "model_version": models.shown_version(call, model, described.version(call.store, call.ctx, path))
        }
    except Missing:
        if alias.lower() == "latest":
            raise missing(f"Latest version not found for model {name}.") from None
        raise invalid(f"Registered model alias {alias} not found.") from None


def search(call: Call, fields: dict[str, Any]) -> Any:
    """Answers ``model-versions/search``."""
    limit, offset = wire.whole(fields, "max_results", 10_000), wire.page_offset(fields)
    wire.at_most(fields, "max_results", MAX_RESULTS)
    if limit <= 0:
        raise invalid(f"Invalid value for max_results. It must be a positive integer, but got {limit}")
    condition = mlflow.condition(wire.text(fields, "filter"), mlflow.MODEL_VERSIONS)
    orders = mlflow.orders(wire.strings(fields, "order_by"), mlflow.MODEL_VERSIONS)
    found = [
        (row, model, version)
        for model in models.listed(call)
        for version in models.versions_of(call, model)
        if rows.matches(condition, row := _row(call, model, version))
    ]
    found = rows.ordered(found, orders, lambda each: each[0])
    answer: dict[str, Any] = {}
    if page := found[offset : offset + limit]:
        answer["model_versions"] = [
            models.shown_version(call, model, version, aliased=False) for _, model, version in page
        ]
    if len(found) > offset + limit:
        answer["next_page_token"] = wire.page_token(offset + limit)
    return answer


def _stage(text: str) -> str:
    for stage in models.STAGES:
        if stage.lower() == text.lower():
            return stage
    raise invalid(f"Invalid Model Version stage: {text}. Value must be one of {', '.join(models.STAGES)}.")


def _put_stage(call: Call, path: str, version: DescribedVersion, stage: str) -> None:
    ctx = call.ctx.without_id()
    labels.label_version(call.store, ctx, path, {models.STAGE: stage}, kind="property")
    versions.update(call.store, ctx, path, description=version.info.description)  # it was changed now


def _row(call: Call, model: DescribedCollection, version: DescribedVersion) -> dict[str, Any]:
    shown = models.shown_version(call, model, version)
    return {
        "name": shown["name"],
        "version": version.info.number,
        "run_id": shown["run_id"],
        "source": shown["source"],
        "created": version.info.created,
        "updated": version.updated,
        **{f"tags.{key}": value for key, value in models.version_tags(model, version).items()},
    }


_NAME = {"name": (STRING, REQUIRED)}
_ONE = {**_NAME, "version": (REQUIRED,)}
_TAG = {**_ONE, "key": (STRING, REQUIRED)}
_ALIAS = {**_NAME, "alias": (STRING, REQUIRED)}
ROUTES = (
    *wire.routes(
        "POST",
        "model-versions/create",
        create,
        "Makes a version.",
        {
            **_NAME,
            "source": (STRING, REQUIRED),
            "run_id": (STRING,),
            "tags": (ARRAY,),
            "run_link": (STRING,),
            "description": (STRING,),
            "model_id": (STRING,),
        },
    ),
    *wire.routes("GET", "model-versions/get", get, "A version.", _ONE, quick=True, hot=True),
    *wire.routes(
        "GET",
        "model-versions/get-download-uri",
        download_uri,
        "Where a version's files are.",
        _ONE,
        quick=True,
        hot=True,
    ),
    *wire.routes(
        "PATCH", "model-versions/update", update, "Describes a version.", {**_ONE, "description": (STRING,)}
    ),
    *wire.routes("DELETE", "model-versions/delete", delete, "Deletes a version.", _ONE),
    *wire.routes("POST", "model-versions/set-tag", set_tag, "Sets a tag.", {**_TAG, "value": (STRING,)}),
    *wire.routes("DELETE", "model-versions/delete-tag", delete_tag, "Takes a tag away.", _TAG),
    *wire.routes(
        "POST",
        "model-versions/transition-stage",
        transition,
        "Puts a version into a stage.",
        {**_ONE, "stage": (STRING, REQUIRED), "archive_existing_versions": (BOOLEAN,)},
    ),
    *wire.routes(
        "GET",
        "model-versions/search",
        search,
        "Versions that are asked for.",
        {"filter": (STRING,), "max_results": (INTEGER,), "page_token": (STRING,)},
    ),
    *wire.routes("POST", "registered-models/get-latest-versions", latest, "The latest versions.", _NAME),
    *wire.routes("GET", "registered-models/get-latest-versions", latest, "The latest versions.", _NAME),
    *wire.routes(
        "POST", "registered-models/alias", set_alias, "Points an alias.", {**_ALIAS, "version": (REQUIRED,)}
    ),
    *wire.routes(
        "GET", "registered-models/alias", by_alias, "The version of an alias.", _ALIAS, quick=True, hot=True
    ),
    *(
        Route(
            "GET", path, get_artifact, "A file of a version.", query=Pairs, media_type=BYTES, also=(206, 304)
        )
        for path in ("/model-versions/get-artifact", "/ajax-api/2.0/mlflow/model-versions/get-artifact")
    ),
)
