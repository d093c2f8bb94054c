"""Uploads by the Git LFS batch API, in one piece or, where the client offers it, in parts.

Source: https://github.com/git-lfs/git-lfs/blob/main/docs/api/batch.md; the ``multipart`` transfer is that of huggingface_hub's ``lfs.py``.
The addresses are signed: clients send no key to them.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import msgspec

from runstone.dialects.hub import naming
from runstone.dialects.hub.naming import KINDS
from runstone.dialects.hub.wire import Anything, origin
from runstone.dialects.routing import Call, Raw, Route
from runstone.domain import content, limits
from runstone.errors import Conflict, Invalid, RunstoneError

UPLOAD = "/api/lfs-uploads/{id}"
SECONDS = 24 * 3600.0
#: Above this many bytes a file goes in parts of this many, at most MAX_PARTS of them.
PART = 64 << 20
MAX_PARTS = 1000
MAX_OBJECTS = 1000


class Wanted(msgspec.Struct):
    """An object that the client wants to move."""

    oid: str
    size: int


class Batch(msgspec.Struct):
    """What a client wants to move, and how it can."""

    objects: list[Wanted]
    operation: str = "upload"
    transfers: tuple[str, ...] = ("basic",)
    hash_algo: str = "sha256"


class Completion(msgspec.Struct):
    """The end of an upload in parts."""

    oid: str
    parts: list[dict[str, Any]] = []


def batch(kind: str, call: Call) -> dict[str, Any]:
    """Answers ``POST /{repo}.git/info/lfs/objects/batch``."""
    asked: Batch = call.body
    if asked.operation != "upload" or asked.hash_algo != "sha256":
        raise Invalid("only uploads named by SHA-256 are moved this way; files are downloaded at /resolve/")
    if len(asked.objects) > MAX_OBJECTS:
        raise Invalid(f"{len(asked.objects)} objects are over the limit of {MAX_OBJECTS} a batch")
    repo = naming.find(call.store, call.ctx, kind, call.path["ns"], call.path["name"].removesuffix(".git"))
    parts = "multipart" in asked.transfers
    found = [_object(call, repo.collection.namespace, wanted, parts) for wanted in asked.objects]
    return {"transfer": "multipart" if parts else "basic", "objects": found, "hash_algo": "sha256"}


def _object(call: Call, namespace: str, wanted: Wanted, parts: bool) -> dict[str, Any]:
    told: dict[str, Any] = {"oid": wanted.oid, "size": wanted.size, "authenticated": True}
    limits.digest(wanted.oid)
    held = content.held_size(call.store, call.ctx, namespace, wanted.oid)
    if held == wanted.size:
        return told
    if held is not None:
        message = f"{wanted.oid} has {held} bytes, not {wanted.size}"
        return told | {"error": {"code": 422, "message": message}}
    upload = content.begin_upload(
        call.store, call.ctx.without_id(), namespace, size=wanted.size, sha256=wanted.oid
    )
    if parts and wanted.size > PART:
        return told | {"actions": {"upload": _in_parts(call, upload.id, wanted.size)}}
    href = _signed(call, ("PUT",), f"{UPLOAD.format(id=upload.id)}/whole")
    return told | {"actions": {"upload": {"href": href, "header": {}, "expires_in": int(SECONDS)}}}


def _in_parts(call: Call, upload: str, size: int) -> dict[str, Any]:
    piece = max(PART, -(-size // MAX_PARTS))
    where = UPLOAD.format(id=upload)
    header = {"chunk_size": str(piece)}
    for number, start in enumerate(range(0, size, piece), 1):
        header[str(number)] = _signed(call, ("PUT",), f"{where}/parts/{start}")
    return {
        "href": _signed(call, ("POST",), f"{where}/complete"),
        "header": header,
        "expires_in": int(SECONDS),
    }


def _signed(call: Call, methods: tuple[str, ...], path: str) -> str:
    return origin(call) + call.services.sign(call.ctx, methods, path, SECONDS)


async def put_whole(call: Call) -> Raw:
    """Answers ``PUT`` of a whole file, and ends its upload. What an attempt before it has brought is not taken again."""
    await _take(call, 0)
    upload = call.path["id"]
    with call.services.alone(f"upload {upload.lower()}"):
        found = await call.services.in_thread(content.finish_upload, call.store, call.ctx, upload)
    return Raw(headers={"ETag": f'"{found.sha256}"'})


async def put_part(call: Call) -> Raw:
    """Answers ``PUT`` of a part; parts come in order."""
    start = call.path["start"]
    if not start.isascii() or not start.isdigit() or len(start) > 16:
        raise Invalid(f"a part begins at a byte, not at {start!r:.80}")
    await _take(call, int(start))
    return Raw(headers={"ETag": f'"{call.path["id"]}-{start}"'})


async def _take(call: Call, start: int) -> None:
    """Takes the body in as the bytes from ``start`` on, leaving out those that are here already."""
    assert call.content is not None
    upload, in_thread = call.path["id"], call.services.in_thread
    with call.services.alone(f"upload {upload.lower()}"):
        stands = (await in_thread(content.upload_state, call.store, call.ctx, upload)).offset
        if stands < start:
            raise Conflict(f"the part before the one from byte {start} is not here whole: {stands} bytes are")
        at = start
        try:
            async for piece in call.content:
                fresh = memoryview(piece)[max(0, stands - at) :]
                at += len(piece)
                if fresh:
                    stands = await in_thread(
                        content.write_upload, call.store, call.ctx, upload, stands, bytes(fresh)
                    )
        finally:
            # The next part may come to another process, or after a crash.
            await in_thread(_paused, call, upload)


def _paused(call: Call, upload: str) -> None:
    try:
        content.pause_upload(call.store, call.ctx, upload)
    except RunstoneError as error:
        raise Conflict(f"the upload does not stand any more ({error.message}); begin it again") from None


def complete(call: Call) -> dict[str, Any]:
    """Answers the end of an upload in parts."""
    asked: Completion = call.body
    upload = call.path["id"]
    with call.services.alone(f"upload {upload.lower()}"):
        found = content.finish_upload(call.store, call.ctx, upload, sha256=asked.oid)
    return {"oid": found.sha256, "size": found.size}


ROUTES = (
    *(
        Route(
            "POST",
            f"{prefix}/{{ns}}/{{name}}/info/lfs/objects/batch",
            partial(batch, kind),
            "How files are uploaded.",
            body=Batch,
            query=Anything,
            blocking=True,
        )
        for kind in KINDS
        for prefix in ([""] if kind == "models" else [f"/{kind}"])
    ),
    Route("PUT", UPLOAD + "/whole", put_whole, "Takes a file in.", streams=True, signed=True),
    Route("PUT", UPLOAD + "/parts/{start}", put_part, "Takes a part in.", streams=True, signed=True),
    Route(
        "POST", UPLOAD + "/complete", complete, "Ends an upload.", body=Completion, signed=True, blocking=True
    ),
)
