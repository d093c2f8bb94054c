"""Registered models: collections of type model in the workspace's registry."""

from __future__ import annotations

from typing import Any

from runstone.dialects.mlflow import ids, validation, wire
from runstone.dialects.mlflow.problem import EXISTS, invalid, missing, refusal
from runstone.dialects.mlflow.wire import ARRAY, INTEGER, REQUIRED, STRING
from runstone.dialects.routing import Call
from runstone.domain import aliases, collections, described, labels, versions
from runstone.domain.described import DescribedCollection, DescribedVersion
from runstone.domain.queries import mlflow, rows
from runstone.errors import Exists, Missing

#: What a version is beside its files, in its metadata, and its stage among its properties.
ORIGIN, STAGE = "mlflow", "mlflow.stage"
STAGES = ("None", "Staging", "Production", "Archived")
MAX_RESULTS = 1000


def full_name(call: Call, name: str) -> str:
    """The collection of a registered model."""
    return f"{ids.registry(call)}/{ids.plain_name(name)}"


def find(call: Call, name: str) -> DescribedCollection:
    """A registered model by its name."""
    try:
        if name:
            return described.collection(call.store, call.ctx, full_name(call, name))
    except Missing:
        pass
    raise missing(f"Registered Model with name={name} not found")


def versions_of(call: Call, model: DescribedCollection) -> list[DescribedVersion]:
    """A registered model's versions, oldest first."""
    info = model.info
    return described.list_versions(call.store, call.ctx, f"{info.namespace}/{info.project}/{info.name}")


def create(call: Call, fields: dict[str, Any]) -> Any:
    """Answers ``registered-models/create``."""
    name = validation.model_name(wire.text(fields, "name"))
    tags = dict(validation.registry_tag(*tag) for tag in wire.pairs(fields, "tags"))
    ids.make_registry(call)
    path = full_name(call, name)
    try:
        collections.create(
            call.store, call.ctx, path, type="model", description=wire.text(fields, "description")
        )
    except Exists:
        raise refusal(EXISTS, f"Registered Model (name={name}) already exists.") from None
    _keep_title(call, path, name)
    if tags:
        labels.label_collection(call.store, call.ctx.without_id(), path, tags)
    return {"registered_model": shown(call, find(call, name))}


def get(call: Call, fields: dict[str, Any]) -> Any:
    """Answers ``registered-models/get``."""
    return {"registered_model": shown(call, find(call, wire.text(fields, "name")))}


def search(call: Call, fields: dict[str, Any]) -> Any:
    """Answers ``registered-models/search``."""
    limit, offset = wire.whole(fields, "max_results", 100), wire.page_offset(fields)
    if not 0 < limit <= MAX_RESULTS:
        raise invalid(
            "Invalid value for request parameter max_results. It must be at most "
            f"{MAX_RESULTS}, but got value {limit}"
        )
    condition = mlflow.condition(wire.text(fields, "filter"), mlflow.REGISTERED_MODELS)
    orders = mlflow.orders(wire.strings(fields, "order_by"), mlflow.REGISTERED_MODELS)
    found = [(row, each) for each in listed(call) if rows.matches(condition, row := _row(each))]
    found = rows.ordered(found, orders, lambda pair: pair[0])
    answer: dict[str, Any] = {}
    if page := found[offset : offset + limit]:
        answer["registered_models"] = [shown(call, each) for _, each in page]
    if len(found) > offset + limit:
        answer["next_page_token"] = wire.page_token(offset + limit)
    return answer


def listed(call: Call) -> list[DescribedCollection]:
    """Every registered model."""
    return described.list_collections(call.store, call.ctx, ids.registry(call))


def update(call: Call, fields: dict[str, Any]) -> Any:
    """Answers ``registered-models/update``."""
    name = wire.text(fields, "name")
    find(call, name)
    collections.update(
        call.store, call.ctx, full_name(call, name), description=wire.text(fields, "description")
    )
    return {"registered_model": shown(call, find(call, name))}


def rename(call: Call, fields: dict[str, Any]) -> Any:
    """Answers ``registered-models/rename``."""
    name, new = wire.text(fields, "name"), validation.model_name(wire.text(fields, "new_name"))
    find(call, name)
    try:
        if ids.plain_name(new) != ids.plain_name(name):
            collections.update(call.store, call.ctx, full_name(call, name), new_name=ids.plain_name(new))
    except Exists:
        raise refusal(EXISTS, f"Registered Model (name={new}) already exists.") from None
    _keep_title(call, full_name(call, new), new)
    return {"registered_model": shown(call, find(call, new))}


def delete(call: Call, fields: dict[str, Any]) -> Any:
    """Answers ``registered-models/delete``: with all versions and aliases."""
    name = wire.text(fields, "name")
    model, path, ctx = find(call, name), full_name(call, name), call.ctx.without_id()
    for version in versions_of(call, model):
        versions.delete(call.store, ctx, f"{path}@v{version.info.number}", with_aliases=True)
    collections.delete(call.store, ctx, path)
    return {}


def set_tag(call: Call, fields: dict[str, Any]) -> Any:
    """Answers ``registered-models/set-tag``."""
    name = wire.text(fields, "name")
    key, value = validation.registry_tag(wire.text(fields, "key"), wire.text(fields, "value"))
    find(call, name)
    labels.label_collection(call.store, call.ctx, full_name(call, name), {key: value})
    return {}


def delete_tag(call: Call, fields: dict[str, Any]) -> Any:
    """Answers ``registered-models/delete-tag``."""
    name, key = wire.text(fields, "name"), wire.text(fields, "key")
    find(call, name)
    labels.label_collection(call.store, call.ctx, full_name(call, name), remove=(key,))
    return {}


def delete_alias(call: Call, fields: dict[str, Any]) -> Any:
    """Answers ``DELETE registered-models/alias``."""
    name, alias = wire.text(fields, "name"), validation.alias(wire.text(fields, "alias"))
    find(call, name)
    try:
        aliases.delete(call.store, call.ctx, full_name(call, name), alias)
    except Missing:
        return {}  # as in mlflow, what is not there is gone
    return {}


def shown(call: Call, model: DescribedCollection) -> dict[str, Any]:
    """A registered model as mlflow writes it."""
    found = versions_of(call, model)
    changed = max([model.info.updated, *(version.updated for version in found)])
    answer: dict[str, Any] = {
        "name": title(model),
        "creation_timestamp": wire.milliseconds(model.info.created),
        "last_updated_timestamp": wire.milliseconds(changed),
    }
    if model.info.description:
        answer["description"] = model.info.description
    if found:
        answer["latest_versions"] = [
            shown_version(model, version, aliased=False) for version in latest(found, STAGES)
        ]
    if model.tags:
        answer["tags"] = wire.key_values(model.tags)
    pointing = [
        {"alias": alias, "version": str(version.info.number)}
        for version in found
        for alias in version.info.aliases
    ]
    if pointing:
        answer["aliases"] = sorted(pointing, key=lambda each: each["alias"])
    return answer


def latest(found: list[DescribedVersion], stages: tuple[str, ...]) -> list[DescribedVersion]:
    """The highest version of each stage."""
    return list({stage(version): version for version in found if stage(version) in stages}.values())


def shown_version(
    model: DescribedCollection, version: DescribedVersion, *, aliased: bool = True
) -> dict[str, Any]:
    """A version as mlflow writes it."""
    given = origin(version)
    answer: dict[str, Any] = {
        "name": title(model),
        "version": str(version.info.number),
        "creation_timestamp": wire.milliseconds(version.info.created),
        "last_updated_timestamp": wire.milliseconds(version.updated),
        "current_stage": stage(version),
        "description": version.info.description,
        "source": given.get("source") or stored_uri(model, version),
        "run_id": given.get("run_id", ""),
        "status": "READY" if version.info.state == "live" else "FAILED_REGISTRATION",
        "run_link": given.get("run_link", ""),
    }
    if given.get("model_id"):
        answer["model_id"] = given["model_id"]
    if version.tags:
        answer["tags"] = wire.key_values(version.tags)
    if aliased and version.info.aliases:
        answer["aliases"] = list(version.info.aliases)
    return answer


def stored_uri(model: DescribedCollection, version: DescribedVersion) -> str:
    """Where the proxy answers the files of a version."""
    return f"mlflow-artifacts:/registry/{model.info.name}/{version.info.number}/artifacts"


def origin(version: DescribedVersion) -> dict[str, str]:
    """What mlflow said of a version when it was made; nothing of one that was made by other means."""
    metadata = version.info.metadata
    found = metadata.get(ORIGIN) if isinstance(metadata, dict) else None
    return found if isinstance(found, dict) else {}


def stage(version: DescribedVersion) -> str:
    """The stage of a version."""
    return version.properties.get(STAGE, "None")


def title(model: DescribedCollection) -> str:
    """The name of a registered model."""
    return ids.title_of(model.info.name, model.properties)


def _keep_title(call: Call, path: str, name: str) -> None:
    if ids.plain_name(name) != name:
        labels.label_collection(call.store, call.ctx.without_id(), path, {ids.TITLE: name}, kind="property")


def _row(model: DescribedCollection) -> dict[str, Any]:
    return {
        "name": title(model),
        "updated": model.info.updated,
        **{f"tags.{key}": value for key, value in model.tags.items()},
    }


_NAME = {"name": (STRING, REQUIRED)}
_TAG = {**_NAME, "key": (STRING, REQUIRED)}
ROUTES = (
    *wire.routes(
        "POST",
        "registered-models/create",
        create,
        "Makes a registered model.",
        {**_NAME, "tags": (ARRAY,), "description": (STRING,)},
    ),
    *wire.routes("GET", "registered-models/get", get, "A registered model.", _NAME),
    *wire.routes(
        "GET",
        "registered-models/search",
        search,
        "Registered models that are asked for.",
        {"filter": (STRING,), "max_results": (INTEGER,), "page_token": (STRING,)},
    ),
    *wire.routes(
        "PATCH",
        "registered-models/update",
        update,
        "Describes a registered model.",
        {**_NAME, "description": (STRING,)},
    ),
    *wire.routes(
        "POST",
        "registered-models/rename",
        rename,
        "Renames a registered model.",
        {**_NAME, "new_name": (STRING, REQUIRED)},
    ),
    *wire.routes("DELETE", "registered-models/delete", delete, "Deletes a registered model.", _NAME),
    *wire.routes("POST", "registered-models/set-tag", set_tag, "Sets a tag.", {**_TAG, "value": (STRING,)}),
    *wire.routes("DELETE", "registered-models/delete-tag", delete_tag, "Takes a tag away.", _TAG),
    *wire.routes(
        "DELETE",
        "registered-models/alias",
        delete_alias,
        "Takes an alias away.",
        {**_NAME, "alias": (STRING, REQUIRED)},
    ),
)
