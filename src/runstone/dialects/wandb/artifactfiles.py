"""Bytes of artifacts: where files and manifests are put to and read from. The SDK sends no credentials there, so the addresses are signed."""

from __future__ import annotations

from typing import Any

from runstone.dialects.routing import BYTES, JSON, Call, Download, Raw, Route
from runstone.dialects.wandb import manifests, naming, wire
from runstone.domain import artifacts, content, drafts
from runstone.errors import DigestMismatch

UPLOAD = "/wandb/uploads/{entity}/{md5}"
MANIFEST_UPLOAD = "/wandb/manifest-uploads/{draft}/{kind}/{base}/{part}"
MANIFEST = "/wandb/manifests/{artifact}"
FILE = "/wandb/artifact-files/{artifact}/{path...}"
_V2 = "/artifactsV2/{region}/{entity}/{project}/{collection}"


def upload_address(call: Call, entity: str, md5: bytes) -> str:
    """Where the bytes with an MD5 are put to."""
    return wire.signed(call, ("PUT",), ["uploads", entity, md5.hex()])


def manifest_upload_address(call: Call, draft: int, kind: str, base: int, part: str) -> str:
    """Where a manifest of a draft is put to."""
    return wire.signed(call, ("PUT",), ["manifest-uploads", str(draft), kind, str(base), part])


def manifest_address(call: Call, artifact: int) -> str:
    """Where the manifest of an artifact is read from."""
    return wire.signed(call, ("GET", "HEAD"), ["manifests", str(artifact)])


def address(call: Call, artifact: int, path: str) -> str:
    """Where a file of an artifact is read from."""
    return wire.signed(call, ("GET", "HEAD"), ["artifact-files", str(artifact), *path.split("/")])


async def put(call: Call) -> Raw:
    """Takes a file's bytes in, if they have the MD5 of the address."""
    md5 = call.path["md5"]
    await take_in(call, call.path["entity"], md5)
    return Raw(status=200, headers={"ETag": f'"{md5}"'})


async def take_in(call: Call, namespace: str, md5: str = "") -> Any:
    """Uploads the body of a request into a namespace; what it turned out to be. One that breaks off, or differs, leaves nothing."""
    run, store, ctx = call.services.in_thread, call.store, call.ctx
    assert call.content is not None
    upload = (await run(_begin, store, ctx, namespace)).id
    offset = 0
    try:
        async for piece in call.content:
            offset = await run(content.write_upload, store, ctx, upload, offset, piece)
        return await run(_finish, store, ctx, upload, md5)
    except DigestMismatch:
        raise
    except BaseException:
        await run(content.abort_upload, store, ctx, upload)
        raise


def _begin(store: Any, ctx: Any, namespace: str) -> Any:
    return content.begin_upload(store, ctx, namespace, md5=True)


def _finish(store: Any, ctx: Any, upload: str, md5: str) -> Any:
    return content.finish_upload(store, ctx, upload, md5=md5)


async def put_manifest(call: Call) -> Raw:
    """Takes a manifest of a draft in."""
    run, path = call.services.in_thread, call.path
    number = wire.whole(path["draft"])
    place = await run(drafts.place_of, call.store, call.ctx, number)
    found = await take_in(call, place.namespace.name)
    await run(
        drafts.put_manifest,
        call.store,
        call.ctx,
        number,
        path["part"],
        path["kind"],
        found.sha256,
        wire.whole(path["base"]),
    )
    return Raw(status=200, headers={"ETag": f'"{found.sha256}"'})


def get_manifest(call: Call) -> Raw:
    """The manifest of an artifact."""
    number = wire.whole(call.path["artifact"])
    found = artifacts.contents(call.store, call.ctx, number)
    return Raw(manifests.written(found, number), JSON)


def get(call: Call) -> Download:
    """A file of an artifact."""
    number = wire.whole(call.path["artifact"])
    name = artifacts.name_of(call.store, call.ctx, number)
    return Download(content.open_file(call.store, call.ctx, name, call.path["path"]))


def get_by_digest(call: Call) -> Download:
    """A file by its MD5, for an SDK whose signed address has expired."""
    path = call.path
    md5 = wire.hex_bytes(path["digest"], 16)
    if "artifact" in path:
        number = wire.number_of("Artifact", path["artifact"])
        return Download(artifacts.open_by_digest(call.store, call.ctx, md5, path["name"], number=number))
    name = path.get("name", path["digest"])
    if "project" not in path:
        return Download(artifacts.open_by_digest(call.store, call.ctx, md5, name, inside=path["entity"]))
    project = naming.project(call, path["entity"], path["project"])
    inside = f"{project}/{path['collection']}"
    return Download(artifacts.open_by_digest(call.store, call.ctx, md5, name, inside=inside))


_READ: dict[str, Any] = {"media_type": BYTES, "also": (206, 304), "blocking": True}
ROUTES = (
    Route(
        "PUT", UPLOAD, put, "Takes a file of an artifact in, by a signed address.", streams=True, signed=True
    ),
    Route(
        "PUT",
        MANIFEST_UPLOAD,
        put_manifest,
        "Takes the manifest of an artifact in.",
        streams=True,
        signed=True,
    ),
    Route(
        "GET",
        MANIFEST,
        get_manifest,
        "The manifest of an artifact, by a signed address.",
        signed=True,
        blocking=True,
    ),
    Route("GET", FILE, get, "A file of an artifact, by a signed address.", signed=True, **_READ),
    Route(
        "GET",
        _V2 + "/{artifact}/{birth}/{digest}/{name}",
        get_by_digest,
        "A file of an artifact by its MD5.",
        **_READ,
    ),
    Route(
        "GET", _V2 + "/{birth}/{digest}/{name}", get_by_digest, "A file of a collection by its MD5.", **_READ
    ),
    Route("GET", "/artifacts/{entity}/{digest}", get_by_digest, "A file of an entity by its MD5.", **_READ),
)
