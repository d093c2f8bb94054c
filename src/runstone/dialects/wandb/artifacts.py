"""Artifacts as they are logged, used and changed."""

from __future__ import annotations

import math
import secrets
from typing import Any

from runstone.dialects.routing import Call
from runstone.dialects.wandb import artifactfiles, manifests, naming, parts, wire
from runstone.dialects.wandb.artifactnodes import ArtifactNode, DraftNode, MembershipNode, manifest
from runstone.domain import (
    aliases,
    artifacts,
    assembling,
    collections,
    digested,
    drafts,
    limits,
    lineage,
    links,
    projects,
    versions,
)
from runstone.domain.artifacts import ArtifactInfo
from runstone.domain.runs import lifecycle
from runstone.errors import Conflict, Gone, Invalid, Missing

_KINDS = {"FULL": "full", "INCREMENTAL": "incremental", "PATCH": "patch"}
#: How many files may be announced in one request.
MAX_FILES = 10_000
DISABLED, INHERITED = -2, -1


def shown(call: Call, number: int) -> ArtifactNode | DraftNode:
    """The artifact with an id."""
    found = artifacts.by_id(call.store, call.ctx, number)
    return ArtifactNode(call, found) if isinstance(found, ArtifactInfo) else DraftNode(call, found)


def by_id(call: Call, text: str) -> ArtifactNode | DraftNode | None:
    """The artifact with an id, or None."""
    try:
        return shown(call, _number(text))
    except (Missing, Gone):
        return None


def _number(text: str) -> int:
    return wire.number_of("Artifact", text)


def create(call: Call, given: dict[str, Any]) -> dict[str, Any]:
    """Begins an artifact; one with the same content is answered as it is, and gets the aliases."""
    entity, project = given["entityName"], given["projectName"]
    name = given.get("artifactCollectionName") or next(iter(given.get("artifactCollectionNames") or ()), None)
    if not name:
        raise Invalid("an artifact needs the name of its collection")
    if naming.kind(project) == "registry":
        raise Invalid(f"artifacts are linked into the registry {project}, and not logged to it")
    path = naming.project(call, entity, project)
    digest, metadata = wire.hex_bytes(given["digest"], 16), _metadata(given.get("metadata"))
    named, tags = _aliases(given.get("aliases")), tuple(each["tagName"] for each in given.get("tags") or ())
    run = f"{path}/{given['runName']}" if given.get("runName") else ""
    _check(call, metadata, named, tags, run)
    _make_collection(call, path, name, given["artifactTypeName"])
    number, known = drafts.create(
        call.store,
        call.ctx,
        f"{path}/{name}",
        digest=digest,
        metadata=metadata,
        description=given.get("description") or "",
        tags=tags,
        aliases=named,
        ttl=max(0, given.get("ttlDurationSeconds") or 0),
        step=given.get("historyStep"),
        run=run,
        distributed=given.get("distributedID") or "",
        client=given.get("clientID") or "",
    )
    if known:
        held = artifacts.name_of(call.store, call.ctx, number)
        _point(call, held, named)
        if run:
            lineage.link(call.store, call.ctx.without_id(), f"run:{run}", "produced", held)
    return {"artifact": shown(call, number)}


def _check(
    call: Call, metadata: dict[str, Any] | None, named: tuple[str, ...], tags: tuple[str, ...], run: str
) -> None:
    """Refuses what no artifact can have, before its collection is made."""
    limits.metadata(metadata or {})
    limits.tags(tags)
    for alias in named:
        limits.alias(alias)
    if run:
        lifecycle.get(call.store, call.ctx, run)


def _make_collection(call: Call, project: str, name: str, kind: str) -> None:
    path = f"{project}/{name}"
    try:
        found = collections.get(call.store, call.ctx, path)
    except Missing:
        _make_project(call, project, "project")
        collections.create(call.store, call.ctx.without_id(), path, type=kind, exist_ok=True)
        return
    if found.type != kind:
        raise Conflict(
            f"{path} holds artifacts of type {found.type}, and this one is of type {kind}; use another name"
        )


def _make_project(call: Call, path: str, kind: str) -> None:
    try:
        found = projects.get(call.store, call.ctx, path)
    except Missing:
        projects.create(call.store, call.ctx.without_id(), path, kind=kind, exist_ok=True)
        return
    if found.kind != kind:
        raise Conflict(f"{path} is a {found.kind} and no {kind}; use another name")


def _aliases(given: list[dict[str, Any]] | None) -> tuple[str, ...]:
    """Aliases of an input; a ``vN`` is what a version has by itself."""
    return tuple(each["alias"] for each in given or () if naming.index_of(each["alias"]) is None)


def _metadata(text: str | None) -> dict[str, Any] | None:
    """Metadata of an input; NaN and infinities, which no JSON has, become texts."""
    found = wire.document(text, "metadata")
    return None if found is None else _finite(found)


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_finite(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    return value


def _point(call: Call, name: str, named: tuple[str, ...]) -> None:
    for alias in named:
        aliases.give(call.store, call.ctx.without_id(), name, alias)


def create_manifest(call: Call, given: dict[str, Any]) -> dict[str, Any]:
    """A manifest of a draft, and where it is put to. Its id says all that there is to know of it."""
    kind = _KINDS[given.get("type") or "FULL"]
    base = _number(given["baseArtifactID"]) if given.get("baseArtifactID") and kind != "full" else 0
    part = "full" if kind == "full" else secrets.token_hex(8)
    return _manifest(call, _number(given["artifactID"]), kind, base, part)


def update_manifest(call: Call, given: dict[str, Any]) -> dict[str, Any]:
    """Where the manifest with an id is put to."""
    held, _, rest = given["artifactManifestID"].partition("/")
    kind, base, part = (*rest.split("."), "", "")[:3]
    number = wire.number_of("ArtifactManifest", held)
    if kind not in _KINDS.values() or not part:
        raise Invalid(f"{given['artifactManifestID']!r:.100} is not the id of a manifest")
    return _manifest(call, number, kind, wire.whole(base), part)


def _manifest(call: Call, number: int, kind: str, base: int, part: str) -> dict[str, Any]:
    drafts.place_of(call.store, call.ctx, number)
    put = artifactfiles.manifest_upload_address(call, number, kind, base, part)
    return {"artifactManifest": manifest(number, put, f"{kind}.{base}.{part}", put)}


def create_files(call: Call, files: list[dict[str, Any]]) -> dict[str, Any]:
    """Where files of drafts are put to, in the order asked; nowhere for bytes that are here."""
    if len(files) > MAX_FILES:
        raise Invalid(f"{len(files)} files in one request are over the limit of {MAX_FILES}")
    places: dict[str, Any] = {}
    for each in files:
        if each["artifactID"] not in places:
            places[each["artifactID"]] = drafts.place_of(call.store, call.ctx, _number(each["artifactID"]))
    wanted = [
        (places[each["artifactID"]].namespace, digested.md5_of(each["md5"], each["name"])) for each in files
    ]
    known = digested.held(call.store, call.ctx, {(space.name, md5) for space, md5 in wanted})
    nodes = [
        _file(call, each, space.name, md5, (space.name, md5) in known)
        for each, (space, md5) in zip(files, wanted, strict=True)
    ]
    return {"files": {"edges": [{"node": node} for node in nodes], "pageInfo": {"hasNextPage": False}}}


def _file(call: Call, given: dict[str, Any], entity: str, md5: bytes, known: bool) -> dict[str, Any]:
    split = None if known else parts.begin(call, entity, md5, given.get("uploadPartsInput"))
    put = None if known else artifactfiles.upload_address(call, entity, md5)
    return {
        "id": f"{given['artifactID']}/{given['name']}",
        "name": given["name"],
        "displayName": given["name"],
        "storagePath": f"{entity}/{md5.hex()}",
        "uploadUrl": put,
        "uploadHeaders": [] if known else [f"Content-MD5:{digested.written(md5)}"],
        "uploadMultipartUrls": split,
        "artifact": {"id": given["artifactID"]},
    }


def commit(call: Call, given: dict[str, Any]) -> dict[str, Any]:
    """Makes a version of a draft."""
    number = assembling.commit(call.store, call.ctx, _number(given["artifactID"]), manifests.parsed)
    return {"artifact": shown(call, number)}


def use(call: Call, given: dict[str, Any]) -> dict[str, Any]:
    """Notes that a run used an artifact, as the member of the project that it was found in."""
    number = _number(given["artifactID"])
    name = artifacts.name_of(call.store, call.ctx, number)
    if given.get("artifactProjectName"):
        inside = naming.project(call, given.get("artifactEntityName"), given["artifactProjectName"])
        name = links.in_project(call.store, call.ctx, number, inside) or name
    run = naming.run(call, given["entityName"], given["projectName"], given["runName"])
    lineage.link(call.store, call.ctx, name, "used_by", f"run:{run}")
    return {"artifact": shown(call, number)}


def update(call: Call, given: dict[str, Any]) -> dict[str, Any]:
    """Changes what is said of an artifact; null leaves a field as it is."""
    number, store, ctx = _number(given["artifactID"]), call.store, call.ctx
    name = artifacts.name_of(store, ctx, number, "write")
    info = versions.get(store, ctx, name)
    add = {each["tagName"] for each in given.get("tagsToAdd") or ()}
    remove = {each["tagName"] for each in given.get("tagsToDelete") or ()}
    tags = (set(info.tags) | add) - remove
    ttl = given.get("ttlDurationSeconds")
    expires = (
        None if ttl is None else 0 if ttl in (DISABLED, INHERITED, 0) else info.created + ttl * 1_000_000
    )
    described = given.get("description")
    if (
        tags != set(info.tags)
        or expires not in (None, info.expires)
        or described not in (None, info.description)
    ):
        versions.update(
            store,
            ctx,
            name,
            description=described,
            tags=tuple(tags) if add or remove else None,
            expires=expires,
        )
    if given.get("metadata") is not None:
        artifacts.amend(store, ctx.without_id(), number, _metadata(given["metadata"]))
    _point(call, name, _aliases(given.get("aliases")))
    return {"artifact": shown(call, number)}


def delete(call: Call, given: dict[str, Any]) -> dict[str, Any]:
    """Deletes an artifact; with aliases only if that is said."""
    number = _number(given["artifactID"])
    found = shown(call, number)
    artifacts.delete(call.store, call.ctx, number, with_aliases=bool(given.get("deleteAliases")))
    return {"artifact": found}


def set_aliases(call: Call, given: dict[str, Any], *, add: bool) -> dict[str, Any]:
    """Gives an artifact aliases in collections, or takes them away."""
    number = _number(given["artifactID"])
    for each in given["aliases"]:
        project = naming.project(call, each["entityName"], each["projectName"])
        name = links.member(call.store, call.ctx, number, f"{project}/{each['artifactCollectionName']}")
        change = aliases.give if add else aliases.take
        change(call.store, call.ctx.without_id(), name, each["alias"])
    return {"success": True}


def link(call: Call, given: dict[str, Any]) -> dict[str, Any]:
    """Links an artifact into a collection of a project or registry."""
    number = _linked(call, given)
    if given.get("artifactPortfolioID"):
        target = collections.named(
            call.store, call.ctx, wire.number_of("ArtifactCollection", given["artifactPortfolioID"])
        )
    elif given.get("artifactPortfolioName"):
        project = naming.project(call, given.get("entityName"), given.get("projectName"))
        _make_project(call, project, naming.kind(given.get("projectName")))
        target = f"{project}/{given['artifactPortfolioName']}"
    else:
        raise Invalid("say into which collection the artifact shall be linked")
    made = links.link(call.store, call.ctx, number, target, _aliases(given.get("aliases")))
    found = artifacts.by_id(call.store, call.ctx, made)
    assert isinstance(found, ArtifactInfo)
    node = MembershipNode(call, found)
    return {"versionIndex": node.version_index, "artifactMembership": node}


def _linked(call: Call, given: dict[str, Any]) -> int:
    if given.get("artifactID"):
        return _number(given["artifactID"])
    number = drafts.resolved(call.store, given.get("clientID") or "")
    if number is None:
        raise Missing("the artifact that was to be linked is not logged; log it first")
    return number


def unlink(call: Call, given: dict[str, Any]) -> dict[str, Any]:
    """Takes an artifact out of a collection that it is linked into."""
    path = collections.named(
        call.store, call.ctx, wire.number_of("ArtifactCollection", given["artifactPortfolioID"])
    )
    links.unlink(call.store, call.ctx, _number(given["artifactID"]), path)
    return {"success": True}
