"""Registered models and prompts: collections of those types in the workspace's registries.

Those of the registry ``models`` have plain names, those of another ``registry.name``.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from typing import Any

from runstone.dialects.mlflow import ids, validation, wire
from runstone.dialects.mlflow.problem import EXISTS, invalid, missing, refusal
from runstone.dialects.mlflow.wire import ARRAY, INTEGER, REQUIRED, STRING
from runstone.dialects.routing import Call
from runstone.domain import aliases, collections, described, labels, lineage, versions
from runstone.domain.described import DescribedCollection, DescribedVersion
from runstone.domain.queries import mlflow, rows
from runstone.errors import Exists, Missing, RunstoneError

#: What a version is beside its files, in its metadata, and its stage among its properties.
ORIGIN, STAGE = "mlflow", "mlflow.stage"
MODEL, PROMPT = "model", "prompt"
#: What makes a registered model a prompt.
PROMPT_TAG = "mlflow.prompt.is_prompt"
STAGES = ("None", "Staging", "Production", "Archived")
MAX_RESULTS = 1000


def full_name(call: Call, name: str) -> str:
    """The collection of a registered model. A name with a dot means one of another registry when there is that registry, and nothing of
    the whole name in the first.
    """
    plain = f"{ids.registry(call)}/{ids.plain_name(name)}"
    if "." not in name or _exists(call, plain):
        return plain
    for registry in ids.registries(call)[1:]:
        rest = name.removeprefix(f"{registry}.")
        if rest and rest != name:
            return f"{ids.workspace(call)}/{registry}/{ids.plain_name(rest)}"
    return plain


def _exists(call: Call, path: str) -> bool:
    try:
        collections.get(call.store, call.ctx, path)
    except Missing:
        return False
    return True


def find(call: Call, name: str) -> DescribedCollection:
    """A registered model by its name."""
    try:
        if name:
            found = described.collection(call.store, call.ctx, full_name(call, name))
            if found.info.type in (MODEL, PROMPT):
                return found
    except Missing:
        pass
    raise missing(f"Registered Model with name={name} not found")


def no_version(name: str, number: str) -> RunstoneError:
    """What is answered for a version that is not there."""
    return missing(f"Model Version (name={name}, version={number}) not found")


def is_prompt(tags: Mapping[str, str], type: str = MODEL) -> bool:
    """Whether a registered model, or one to be made, is a prompt."""
    return type == PROMPT or tags.get(PROMPT_TAG, "").lower() == "true"


def versions_of(call: Call, model: DescribedCollection) -> list[DescribedVersion]:
    """A registered model's versions, oldest first."""
    return described.list_versions(call.store, call.ctx, model.info.path)


def create(call: Call, fields: dict[str, Any]) -> Any:
    """Answers ``registered-models/create``."""
    name = validation.model_name(wire.text(fields, "name"))
    tags = dict(validation.registry_tag(*tag) for tag in wire.pairs(fields, "tags"))
    path = full_name(call, name)
    if path.startswith(f"{ids.registry(call)}/"):
        ids.make_registry(call)
    try:
        collections.create(
            call.store,
            call.ctx,
            path,
            type=PROMPT if is_prompt(tags) else MODEL,
            description=wire.text(fields, "description"),
            label=tags,
            properties=_titled(path, name),
        )
    except Exists:
        raise _taken(call, path, name, tags) from None
    return {"registered_model": shown(call, find(call, name))}


def _taken(call: Call, path: str, name: str, tags: Mapping[str, str]) -> RunstoneError:
    """What is answered when a name is taken, by a thing of the same kind or of the other."""
    held = described.collection(call.store, call.ctx, path)
    old, new = (
        "Prompt" if prompt else "Registered Model"
        for prompt in (is_prompt(held.tags, held.info.type), is_prompt(tags))
    )
    if old != new:
        return refusal(
            EXISTS,
            f"Tried to create a {new.lower()} with name {name!r}, but the name is already taken by a "
            f"{old.lower()}. MLflow does not allow creating a model and a prompt with the same name.",
        )
    return refusal(EXISTS, f"{new} (name={name}) already exists.")


def get(call: Call, fields: dict[str, Any]) -> Any:
    """Answers ``registered-models/get``."""
    return {"registered_model": shown(call, find(call, wire.text(fields, "name")))}


def search(call: Call, fields: dict[str, Any]) -> Any:
    """Answers ``registered-models/search``."""
    limit, offset = wire.whole(fields, "max_results", 100), wire.page_offset(fields)
    wire.at_most(fields, "max_results", MAX_RESULTS)
    if limit <= 0:
        raise invalid(f"Invalid value for max_results. It must be a positive integer, but got {limit}")
    condition = mlflow.condition(wire.text(fields, "filter"), mlflow.REGISTERED_MODELS)
    orders = mlflow.orders(wire.strings(fields, "order_by"), mlflow.REGISTERED_MODELS)
    found = [(row, each) for each in listed(call) if rows.matches(condition, row := _row(each))]
    found = rows.ordered(found, orders, lambda pair: pair[0])
    answer: dict[str, Any] = {}
    if page := found[offset : offset + limit]:
        answer["registered_models"] = [shown(call, each) for _, each in page]
        for each in answer["registered_models"]:  # mlflow's searches tell the latest versions by stage
            each.get("latest_versions", []).sort(key=lambda version: version["current_stage"])
    if len(found) > offset + limit:
        answer["next_page_token"] = wire.page_token(offset + limit)
    return answer


def listed(call: Call) -> list[DescribedCollection]:
    """Every registered model and prompt."""
    return [
        each
        for registry in ids.registries(call)
        for each in described.list_collections(call.store, call.ctx, f"{ids.workspace(call)}/{registry}")
        if each.info.type in (MODEL, PROMPT)
    ]


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
    model, target = find(call, name), full_name(call, new)
    project, _, plain = target.rpartition("/")
    moves = project != f"{model.info.namespace}/{model.info.project}"
    try:
        if target != model.info.path:
            collections.update(
                call.store,
                call.ctx,
                model.info.path,
                new_name=plain,
                project=project if moves else None,
            )
    except Exists:
        raise refusal(EXISTS, f"Registered Model (name={new}) already exists.") from None
    if kept := _titled(target, new):
        labels.label_collection(call.store, call.ctx.without_id(), target, kept, kind="property")
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
    name, key = wire.text(fields, "name"), validation.tag_key(wire.text(fields, "key"))
    find(call, name)
    labels.label_collection(call.store, call.ctx, full_name(call, name), remove=(key,))
    return {}


def delete_alias(call: Call, fields: dict[str, Any]) -> Any:
    """Answers ``DELETE registered-models/alias``."""
    name, alias = wire.text(fields, "name"), wire.text(fields, "alias")
    validation.alias_shape(alias)
    model = find(call, name)
    with contextlib.suppress(Missing):  # as in mlflow, what is not there is gone
        aliases.delete(call.store, call.ctx, model.info.path, alias)
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
            shown_version(call, model, version, aliased=False) for version in latest(found, STAGES)
        ]
    if tags := tags_of(model):
        answer["tags"] = wire.key_values(tags)
    pointing = [
        {"alias": alias, "version": str(version.info.number)}
        for version in found
        for alias in version.info.aliases
    ]
    if pointing:
        answer["aliases"] = sorted(pointing, key=lambda each: each["alias"])
    return answer


def tags_of(model: DescribedCollection) -> dict[str, str]:
    """A registered model's tags; a prompt that was made by other means has the one that makes it a prompt."""
    return {PROMPT_TAG: "true", **model.tags} if model.info.type == PROMPT else model.tags


def version_tags(model: DescribedCollection, version: DescribedVersion) -> dict[str, str]:
    """A version's tags; every version of a prompt has the one that says so."""
    return {PROMPT_TAG: "true", **version.tags} if model.info.type == PROMPT else version.tags


def latest(found: list[DescribedVersion], stages: tuple[str, ...]) -> list[DescribedVersion]:
    """The highest version of each stage."""
    return list({stage(version): version for version in found if stage(version) in stages}.values())


def shown_version(
    call: Call, model: DescribedCollection, version: DescribedVersion, *, aliased: bool = True
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
        "source": given.get("source") or stored_uri(version),
        "run_id": given.get("run_id") or _maker(call, version),
        "status": "READY" if version.info.state == "live" else "FAILED_REGISTRATION",
        "run_link": given.get("run_link", ""),
    }
    if tags := version_tags(model, version):
        answer["tags"] = wire.key_values(tags)
    if aliased and version.info.aliases:
        answer["aliases"] = list(version.info.aliases)
    return answer


def _maker(call: Call, version: DescribedVersion) -> str:
    """The id of the run that made a version of which mlflow was told nothing, by its lineage; empty when there is none."""
    found = None if origin(version) else lineage.maker(call.store, call.ctx, version.info.id)
    return ids.run_id(found.project, found.run, found.name) if found else ""


def stored_uri(version: DescribedVersion) -> str:
    """Where the proxy answers the files of a version."""
    return f"mlflow-artifacts:/versions/{version.info.id}/artifacts"


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
    found = ids.title_of(model.info.name, model.properties)
    return found if model.info.project == ids.REGISTRY else f"{model.info.project}.{found}"


def _titled(path: str, name: str) -> dict[str, str]:
    """What is kept beside a collection of that path so that mlflow sees it under that name."""
    plain = path.rpartition("/")[2]
    registry = path.split("/")[1]
    own = name if registry == ids.REGISTRY else name.removeprefix(f"{registry}.")
    return {ids.TITLE: own} if own != plain else {}


def _row(model: DescribedCollection) -> dict[str, Any]:
    return {
        "name": title(model),
        "updated": model.info.updated,
        **{f"tags.{key}": value for key, value in tags_of(model).items()},
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
    *wire.routes("GET", "registered-models/get", get, "A registered model.", _NAME, hot=True),
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
