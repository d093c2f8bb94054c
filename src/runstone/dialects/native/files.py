"""The files of a version: their list, their bytes and their chunks."""

from __future__ import annotations

from typing import Annotated
from urllib.parse import quote

from msgspec import Meta

from runstone.dialects.native.versions import VERSION
from runstone.dialects.native.wire import (
    Answer,
    Limit,
    Listing,
    NoQuery,
    Request,
    page,
    version_name,
)
from runstone.dialects.routing import BYTES, Call, Download, Raw, Route
from runstone.domain import content, versions
from runstone.errors import Conflict, Invalid
from runstone.types import FileEntry

SIGNED = "/api/v1/signed/files/{ns}/{project}/{collection}/{version}/{path...}"
FOLLOWED = ("https://", "http://")


class FilePage(Request):
    """Which files of a version."""

    prefix: str = ""
    after: str = ""
    limit: Limit = 100


class SignFile(Request):
    """For which file an address shall be signed, and for how many seconds it shall hold."""

    path: str
    seconds: Annotated[float, Meta(gt=0, le=604_800)] = 3600


class SignedUrl(Answer):
    """An address that needs no credentials, and expires."""

    url: str


def list_files(call: Call) -> Listing[FileEntry]:
    """Answers ``GET …/files``."""
    asked: FilePage = call.query
    found = versions.files(
        call.store,
        call.ctx,
        version_name(call),
        prefix=asked.prefix,
        after=asked.after,
        limit=asked.limit + 1,
    )
    return page(found, asked.limit, lambda file: file.path)


def get_file(call: Call) -> Download | Raw:
    """Answers ``GET`` and ``HEAD …/files/{path}``: the bytes, or a redirect to where they are."""
    try:
        file = content.open_file(call.store, call.ctx, version_name(call), call.path["path"])
    except Invalid as error:
        return _elsewhere(error)
    if _is_fetch(call):
        call.services.fetched(call.ctx, file.version_id)
    return Download(file)


def _is_fetch(call: Call) -> bool:
    """Whether the lineage shall know of it: the request says who fetches, and asks for more than a header."""
    return bool(call.ctx.consumer) and call.method == "GET"


def _elsewhere(error: Invalid) -> Raw:
    url = error.details.get("url")
    if url is None:
        raise error
    if url.startswith(FOLLOWED) and url.isascii() and url.isprintable():
        return Raw(status=302, headers={"Location": url})
    raise Conflict(error.message, **error.details) from None


def get_chunks(call: Call) -> Raw:
    """Answers ``GET …/chunks/{path}``."""
    with content.open_file(call.store, call.ctx, version_name(call), call.path["path"]) as file:
        return Raw(file.chunks(), BYTES, headers={"ETag": file.etag})


def sign_file(call: Call) -> SignedUrl:
    """Answers ``POST …/sign``: the version is fixed now, whatever becomes of the alias."""
    asked: SignFile = call.body
    with content.open_file(call.store, call.ctx, version_name(call), asked.path) as file:
        number = file.version.rpartition(":v")[2]
    parts = (*(call.path[part] for part in ("ns", "project", "collection")), number, *asked.path.split("/"))
    path = "/api/v1/signed/files/" + "/".join(quote(part, safe="") for part in parts)
    return SignedUrl(url=call.services.sign(call.ctx, ("GET", "HEAD"), path, asked.seconds))


ROUTES = (
    Route(
        "GET",
        VERSION + "/files",
        list_files,
        "The files of a version.",
        query=FilePage,
        answer=Listing[FileEntry],
        blocking=True,
    ),
    Route(
        "GET",
        VERSION + "/files/{path...}",
        get_file,
        "The bytes of a file, with ranges and preconditions.",
        query=NoQuery,
        media_type=BYTES,
        also=(206, 302, 304),
    ),
    Route(
        "GET",
        VERSION + "/chunks/{path...}",
        get_chunks,
        "The chunks of a file: packed records of BLAKE3 (32 bytes), xxh3 (u64 LE) and length (u32 LE), in order.",
        query=NoQuery,
        media_type=BYTES,
        blocking=True,
    ),
    Route(
        "POST",
        VERSION + "/sign",
        sign_file,
        "Signs an address of a file.",
        body=SignFile,
        answer=SignedUrl,
    ),
    Route(
        "GET",
        SIGNED,
        get_file,
        "The bytes of a file, by a signed address.",
        media_type=BYTES,
        also=(206, 304),
        signed=True,
    ),
)
