"""Resumable uploads of files' bytes."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Annotated

from msgspec import Meta

from runstone.dialects.native.files import SignedUrl
from runstone.dialects.native.wire import NoQuery, Number, Request
from runstone.dialects.routing import Call, Raw, Reply, Route
from runstone.domain import content
from runstone.errors import Malformed, OffsetMismatch
from runstone.types import UploadedFile, UploadInfo

UPLOADS = "/api/v1/uploads"
UPLOAD = UPLOADS + "/{id}"
SIGNED = "/api/v1/signed/uploads/{id}"
OFFSET = "Upload-Offset"
LENGTH = "Upload-Length"
_NEEDS = {OFFSET: "The offset in the file of the first byte of the body."}


class NewUpload(Request):
    """The namespace that the bytes belong to, and what they must turn out to be."""

    namespace: str
    size: Number | None = None
    sha256: str = ""


class Finish(Request):
    """What the bytes must have turned out to be."""

    size: Number | None = None
    sha256: str = ""


class SignUpload(Request):
    """For how many seconds an address shall hold."""

    seconds: Annotated[float, Meta(gt=0, le=604_800)] = 3600


def begin(call: Call) -> Reply:
    """Answers ``POST /uploads``."""
    new: NewUpload = call.body
    upload = content.begin_upload(call.store, call.ctx, new.namespace, size=new.size, sha256=new.sha256)
    return Reply(upload, 201, {"Location": f"{UPLOADS}/{upload.id}", OFFSET: str(upload.offset)})


def state(call: Call) -> Raw:
    """Answers ``HEAD /uploads/{id}``."""
    upload = content.upload_state(call.store, call.ctx, call.path["id"])
    headers = {OFFSET: str(upload.offset), "Cache-Control": "no-store"}
    if upload.size is not None:
        headers[LENGTH] = str(upload.size)
    return Raw(status=204, headers=headers)


async def append(call: Call) -> Raw:
    """Answers ``PATCH /uploads/{id}``: takes the body in piece by piece, and keeps what arrived of one that breaks off."""
    offset = _offset(call)
    stands = content.upload_state(call.store, call.ctx, call.path["id"])
    with call.services.alone(f"upload {stands.id.lower()}"):
        if stands.offset != offset:
            raise OffsetMismatch(
                f"the upload stands at byte {stands.offset}, and this body begins at {offset}",
                offset=stands.offset,
            )
        assert call.content is not None
        try:
            offset = await _take_in(call, offset, call.content)
        finally:
            # The next PATCH may come to another process, or after a crash.
            await call.services.in_thread(content.pause_upload, call.store, call.ctx, call.path["id"])
    return Raw(status=204, headers={OFFSET: str(offset)})


async def _take_in(call: Call, offset: int, pieces: AsyncIterator[bytes]) -> int:
    async for piece in pieces:
        offset = await call.services.in_thread(
            content.write_upload, call.store, call.ctx, call.path["id"], offset, piece
        )
    return offset


def _offset(call: Call) -> int:
    text = call.headers.get(OFFSET, "")
    if not text.isascii() or not text.isdigit() or len(text) > 16:
        raise Malformed(
            f"the header {OFFSET} must say at which byte of the file the body begins, not {text!r:.80}"
        )
    return int(text)


def finish(call: Call) -> UploadedFile:
    """Answers ``POST /uploads/{id}/finish``."""
    asked: Finish = call.body
    upload = call.path["id"]
    with call.services.alone(f"upload {upload.lower()}"):
        return content.finish_upload(call.store, call.ctx, upload, size=asked.size, sha256=asked.sha256)


def abort(call: Call) -> Raw:
    """Answers ``DELETE /uploads/{id}``."""
    content.abort_upload(call.store, call.ctx, call.path["id"])
    return Raw(status=204)


def sign(call: Call) -> SignedUrl:
    """Answers ``POST /uploads/{id}/sign``."""
    asked: SignUpload = call.body
    upload = content.upload_state(call.store, call.ctx, call.path["id"])
    path = SIGNED.replace("{id}", upload.id)
    return SignedUrl(url=call.services.sign(call.ctx, ("PATCH", "HEAD"), path, asked.seconds))


ROUTES = (
    Route(
        "POST",
        UPLOADS,
        begin,
        "Begins an upload.",
        body=NewUpload,
        answer=UploadInfo,
        status=201,
        blocking=True,
    ),
    Route("HEAD", UPLOAD, state, "Where an upload stands.", query=NoQuery, status=204),
    Route(
        "PATCH",
        UPLOAD,
        append,
        "Takes bytes in at an offset.",
        status=204,
        streams=True,
        needs=_NEEDS,
    ),
    Route(
        "POST",
        UPLOAD + "/finish",
        finish,
        "Ends an upload.",
        body=Finish,
        answer=UploadedFile,
        blocking=True,
    ),
    Route("DELETE", UPLOAD, abort, "Drops an upload.", status=204, blocking=True),
    Route(
        "POST", UPLOAD + "/sign", sign, "Signs an address for the bytes.", body=SignUpload, answer=SignedUrl
    ),
    Route("HEAD", SIGNED, state, "Where an upload stands, by a signed address.", status=204, signed=True),
    Route(
        "PATCH",
        SIGNED,
        append,
        "Takes bytes in, by a signed address.",
        status=204,
        streams=True,
        signed=True,
        needs=_NEEDS,
    ),
)
