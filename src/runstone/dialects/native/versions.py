"""Versions."""

from __future__ import annotations

from typing import Any

from runstone.dialects.native.projects import COLLECTION
from runstone.dialects.native.wire import (
    Listing,
    NoQuery,
    Number,
    NumberedPage,
    Request,
    Tags,
    collection_name,
    page,
    version_name,
)
from runstone.dialects.routing import Call, Raw, Reply, Route
from runstone.domain import versions
from runstone.types import FileEntry, VersionInfo

VERSIONS = COLLECTION + "/versions"
VERSION = VERSIONS + "/{version}"


class NewFile(FileEntry, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A file of a version to be committed: its bytes by ``sha256``, or a ``url`` of bytes elsewhere with their ``etag``."""


class NewVersion(Request):
    """A version to be committed, of files whose bytes were uploaded or are elsewhere.

    With ``reuse``, a live version of equal files and metadata is answered instead (status 200).
    """

    files: tuple[NewFile, ...]
    metadata: Any = None
    description: str = ""
    tags: Tags = ()
    aliases: tuple[str, ...] = ()
    expires: Number = 0
    reuse: bool = True


class VersionChange(Request):
    """What to change of a version; null leaves a field as it is. An empty ``hold`` lifts a legal hold."""

    description: str | None = None
    tags: Tags | None = None
    expires: Number | None = None
    hold: str | None = None


class Deletion(Request):
    """Whether aliases that point at the version go with it; else they forbid it."""

    with_aliases: bool = False


def list_versions(call: Call) -> Listing[VersionInfo]:
    """Answers ``GET …/versions``, newest first."""
    asked: NumberedPage = call.query
    found = versions.list_versions(
        call.store, call.ctx, collection_name(call), before=asked.after or 0, limit=asked.limit + 1
    )
    return page(found, asked.limit, lambda version: version.number)


def commit(call: Call) -> Reply:
    """Answers ``POST …/versions``."""
    new: NewVersion = call.body
    version, reused = versions.commit_or_find(
        call.store,
        call.ctx,
        collection_name(call),
        new.files,
        metadata=new.metadata,
        description=new.description,
        tags=new.tags,
        aliases=new.aliases,
        expires=new.expires,
        reuse=new.reuse,
    )
    return Reply(version, 200 if reused else 201)


def get_version(call: Call) -> VersionInfo:
    """Answers ``GET …/versions/{version}``."""
    return versions.get(call.store, call.ctx, version_name(call))


def update_version(call: Call) -> VersionInfo:
    """Answers ``PATCH …/versions/{version}``."""
    change: VersionChange = call.body
    return versions.update(
        call.store,
        call.ctx,
        version_name(call),
        description=change.description,
        tags=change.tags,
        expires=change.expires,
        hold=change.hold,
    )


def delete_version(call: Call) -> Raw:
    """Answers ``DELETE …/versions/{version}``."""
    asked: Deletion = call.query
    versions.delete(call.store, call.ctx, version_name(call), with_aliases=asked.with_aliases)
    return Raw(status=204)


ROUTES = (
    Route(
        "GET",
        VERSIONS,
        list_versions,
        "Versions, newest first.",
        query=NumberedPage,
        answer=Listing[VersionInfo],
        blocking=True,
    ),
    Route(
        "POST",
        VERSIONS,
        commit,
        "Commits a version.",
        body=NewVersion,
        answer=VersionInfo,
        status=201,
        also=(200,),
        blocking=True,
        manifest=True,
    ),
    Route(
        "GET", VERSION, get_version, "A version, in whatever state it is.", query=NoQuery, answer=VersionInfo
    ),
    Route(
        "PATCH",
        VERSION,
        update_version,
        "Changes what may change of a version.",
        body=VersionChange,
        answer=VersionInfo,
        blocking=True,
    ),
    Route(
        "DELETE",
        VERSION,
        delete_version,
        "Deletes a version; its number is not given again.",
        query=Deletion,
        status=204,
        blocking=True,
    ),
)
