"""Artifacts, memberships, aliases and files as GraphQL objects.

The SDK's artifact is a version where it was logged; its membership is the version of a collection, which may be a link to it.
"""

from __future__ import annotations

from typing import Any

from runstone.dialects.routing import Call
from runstone.dialects.wandb import artifactfiles, collections, wire
from runstone.domain import artifacts, content
from runstone.domain.artifacts import ArtifactInfo, DraftInfo
from runstone.domain.runs import finding, lifecycle
from runstone.errors import Gone, Missing
from runstone.types import FileEntry

#: A page of files holds at most so many; the SDK asks for 5,000.
MAX_FILES = 10_000
INHERITED = -1


class DraftNode:
    """An artifact that is not committed: little is known of it."""

    state = "PENDING"

    def __init__(self, call: Call, info: DraftInfo) -> None:
        self._call, self._info = call, info
        self.id = wire.make_id("Artifact", info.id)

    def artifact_sequence(self) -> Any:
        """The collection that it will be a version of."""
        return collections.named(self._call, self._info.collection, sequence=True)


class ArtifactNode:
    """A committed artifact."""

    state = "COMMITTED"
    digest_algorithm = "MANIFEST_MD5"
    commit_hash = None
    labels = None

    def __init__(self, call: Call, info: ArtifactInfo) -> None:
        self._call, self._info, self._number = call, info, info.version.id
        version = info.version
        self.id = wire.make_id("Artifact", version.id)
        self.version_index = version.number - 1
        self.description = version.description or None
        self.tags = [tag(each) for each in version.tags]
        self.history_step = info.step
        self.size = self.storage_bytes = version.size
        self.file_count = version.files
        self.created_at, self.updated_at = wire.time_text(version.created), wire.time_text(info.updated)
        self.ttl_duration_seconds = (
            max(1, (version.expires - version.created) // 1_000_000) if version.expires else INHERITED
        )
        self.ttl_is_inherited = not version.expires

    def metadata(self) -> str:
        """The metadata."""
        return wire.written(self._info.metadata)

    def digest(self) -> str:
        """The MD5 of the manifest."""
        return artifacts.digest(self._call.store, self._call.ctx, self._number)

    def artifact_sequence(self) -> Any:
        """The collection that it is a version of."""
        return collections.named(self._call, self._info.version.collection, sequence=True)

    def artifact_type(self) -> Any:
        """The type of its collection."""
        return collections.TypeNode(self._call, self._info.version.collection, self._info.version.type)

    def aliases(self) -> list[AliasNode]:
        """Its aliases, and those of the links to it."""
        found = [self._info, *artifacts.links_of(self._call.store, self._call.ctx, self._number)]
        return [alias for each in found for alias in aliases_of(self._call, each)]

    def current_manifest(self) -> dict[str, Any]:
        """Its manifest."""
        return manifest(self._number, artifactfiles.manifest_address(self._call, self._number))

    def files(
        self, names: list[str] | None = None, after: str | None = None, first: int | None = None
    ) -> Any:
        """Its files, by page."""
        return files(self._call, self._info, names, after, first)

    def files_by_manifest_entries(
        self,
        storage_layout: str,
        manifest_version: str,
        entries: list[dict[str, Any]] | None = None,
        storage_region: str | None = None,
    ) -> Any:
        """The files of some entries of its manifest."""
        names = [each["name"] for each in entries or ()]
        return files(self._call, self._info, names, None, MAX_FILES)

    def artifact_memberships(self, after: str | None = None, first: int | None = None) -> dict[str, Any]:
        """Its collection, and those that it is linked into."""
        links = artifacts.links_of(self._call.store, self._call.ctx, self._number)
        nodes = [MembershipNode(self._call, each) for each in (self._info, *links)]
        return wire.page(nodes, after, 500 if first is None else first)

    def used_by(self, after: str | None = None, first: int | None = None) -> dict[str, Any]:
        """The runs that used it."""
        numbers = artifacts.used_by(self._call.store, self._call.ctx, self._number)
        found = [run for run in (_run(self._call, number) for number in numbers) if run]
        return wire.page(found, after, 1000 if first is None else first)

    def created_by(self) -> Any:
        """The run that made it."""
        number = artifacts.produced_by(self._call.store, self._call.ctx, self._number)
        return _run(self._call, number) if number else None


def _run(call: Call, number: int) -> Any:
    from runstone.dialects.wandb.runs import RunNode

    try:
        return RunNode(call, lifecycle.get(call.store, call.ctx, finding.named(call.store, call.ctx, number)))
    except (Missing, Gone):
        return None


class AliasNode:
    """An alias of an artifact."""

    def __init__(self, call: Call, alias: str, collection: str, number: int) -> None:
        self._call, self._collection = call, collection
        self.alias = alias
        self.id = f"{wire.make_id('ArtifactAlias', number)}/{alias}"
        self.artifact_collection_name = collection.rpartition("/")[2]

    def artifact_collection(self) -> Any:
        """The collection that it is an alias of."""
        return collections.named(self._call, self._collection)


def aliases_of(call: Call, info: ArtifactInfo) -> list[AliasNode]:
    """The aliases of one version."""
    return [AliasNode(call, alias, info.version.collection, info.version.id) for alias in info.aliases]


class MembershipNode:
    """A version of a collection, and the artifact that it is."""

    def __init__(self, call: Call, info: ArtifactInfo) -> None:
        self._call, self._info = call, info
        self.id = wire.make_id("ArtifactCollectionMembership", info.version.id)
        self.version_index = info.version.number - 1
        self.created_at = wire.time_text(info.version.created)
        self.aliases = aliases_of(call, info)

    def artifact_collection(self) -> Any:
        """The collection."""
        return collections.named(self._call, self._info.version.collection)

    def artifact(self) -> ArtifactNode:
        """The artifact: the one that is linked here, as long as it is there, or this version itself."""
        if self._info.source:
            try:
                found = artifacts.by_id(self._call.store, self._call.ctx, self._info.source)
            except (Missing, Gone):
                found = self._info
            if isinstance(found, ArtifactInfo):
                return ArtifactNode(self._call, found)
        return ArtifactNode(self._call, self._info)

    def files(
        self, names: list[str] | None = None, after: str | None = None, first: int | None = None
    ) -> Any:
        """Its files, by page."""
        return files(self._call, self._info, names, after, first)


def files(
    call: Call, info: ArtifactInfo, names: list[str] | None, after: str | None, first: int | None
) -> dict[str, Any]:
    """A page of an artifact's files; a cursor is the last path."""
    limit = max(0, min(50 if first is None else first, MAX_FILES))
    number = info.version.id
    found = artifacts.files(call.store, call.ctx, number, paths=names, after=after or "", limit=limit + 1)
    edges = [{"node": FileNode(call, info, file), "cursor": file.path} for file in found[:limit]]
    more = {"endCursor": edges[-1]["cursor"] if edges else after, "hasNextPage": len(found) > limit}
    return {"edges": edges, "pageInfo": more, "totalCount": len(set(names)) if names else info.version.files}


class FileNode:
    """A file of an artifact."""

    artifact = upload_url = upload_multipart_urls = None
    upload_headers: tuple[str, ...] = ()

    def __init__(self, call: Call, info: ArtifactInfo, file: FileEntry) -> None:
        self._call, self._info, self._file = call, info, file
        self.name = self.display_name = self.storage_path = file.path
        self.id = f"{wire.make_id('ArtifactFile', info.version.id)}/{file.path}"
        self.size_bytes = file.size
        self.updated_at = wire.time_text(info.version.created)

    def url(self, upload: bool | None = None) -> str:
        """Where it is read from; a reference, where it leads to."""
        return self._file.url or artifactfiles.address(self._call, self._info.version.id, self._file.path)

    direct_url = url

    def mimetype(self) -> str:
        """Its media type."""
        return content.media_type(self._file)

    def md5(self) -> str | None:
        """Its MD5 in base64; none of a reference."""
        if self._file.url:
            return None
        return artifacts.md5(self._call.store, self._call.ctx, self._info.version.id, self._file.sha256)

    def digest(self) -> str | None:
        """What the manifest says of its content."""
        return self._file.etag or None if self._file.url else self.md5()


def of_run(call: Call, run: int, *, used: bool) -> list[ArtifactNode]:
    """The artifacts that a run made or used."""
    found = artifacts.of_run(call.store, call.ctx, run, used=used)
    return [MembershipNode(call, each).artifact() for each in found]


def tag(name: str) -> dict[str, str]:
    """A tag."""
    return {"id": f"Tag:{name}", "name": name}


def manifest(number: int, address: str | None, part: str = "", put: str | None = None) -> dict[str, Any]:
    """A manifest, as an object with a file."""
    held = wire.make_id("ArtifactManifest", number) + (f"/{part}" if part else "")
    file: dict[str, Any] = {
        "id": held,
        "name": "wandb_manifest.json",
        "directUrl": address,
        "uploadUrl": put,
        "uploadHeaders": [],
    }
    return {"id": held, "digest": None, "file": file}
