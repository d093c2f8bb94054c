"""Collections of artifacts and their types as GraphQL objects, and the changes of them."""

from __future__ import annotations

from typing import Any

from runstone.dialects.routing import Call
from runstone.dialects.wandb import naming, wire
from runstone.domain import aliases, artifacts, cataloguing, described, registries
from runstone.domain import collections as held
from runstone.errors import Gone, Invalid, Missing
from runstone.types import CollectionInfo


class CollectionNode:
    """A collection: a sequence of what was logged, or a portfolio of links."""

    def __init__(self, call: Call, info: CollectionInfo, sequence: bool, state: str = "READY") -> None:
        self._call, self._info, self._path = call, info, info.path
        self.__typename = "ArtifactSequence" if sequence else "ArtifactPortfolio"
        self.id = wire.make_id("ArtifactCollection", info.id)
        self.name, self.description, self.state = info.name, info.description or None, state
        self.created_at, self.updated_at = wire.time_text(info.created), wire.time_text(info.updated)
        self.digest_algorithm = "MANIFEST_MD5"
        self.tags = {"edges": [{"node": {"id": f"Tag:{tag}", "name": tag}} for tag in info.tags]}

    def project(self) -> Any:
        """The project or registry that it lies in."""
        from runstone.dialects.wandb.projects import held_in

        return held_in(self._call, f"{self._info.namespace}/{self._info.project}")

    def default_artifact_type(self) -> TypeNode:
        """The type of its versions."""
        return TypeNode(self._call, self._path, self._info.type)

    def aliases(self, after: str | None = None, first: int | None = None) -> dict[str, Any]:
        """Its aliases, ``latest`` among them."""
        from runstone.dialects.wandb.artifactnodes import AliasNode

        found = {each.alias for each in aliases.list_aliases(self._call.store, self._call.ctx, self._path, limit=100_000)}  # fmt: skip
        if self._info.latest:
            found.add("latest")
        nodes = [AliasNode(self._call, alias, self._path, self._info.id) for alias in sorted(found)]
        return wire.page(nodes, after, 1000 if first is None else first)

    def artifact_membership(self, alias_name: str) -> Any:
        """Its version by ``vN`` or alias."""
        return membership(self._call, self._path.rpartition("/")[0], f"{self._info.name}:{alias_name}")

    def artifact_memberships(self, after: str | None = None, first: int | None = None) -> dict[str, Any]:
        """Its versions, newest first."""
        from runstone.dialects.wandb.artifactnodes import MembershipNode

        found = artifacts.listed(self._call.store, self._call.ctx, self._path)
        return wire.page([MembershipNode(self._call, each) for each in found], after, first)

    def artifacts(
        self,
        after: str | None = None,
        first: int | None = None,
        filters: str | None = None,
        order: str | None = None,
    ) -> dict[str, Any]:
        """Its artifacts that a filter finds, newest first or in an order."""
        from runstone.dialects.wandb.artifactnodes import MembershipNode

        listed = artifacts.listed(self._call.store, self._call.ctx, self._path)
        found = wire.page(cataloguing.artifacts(listed, filters, order), after, first)
        for edge in found["edges"]:
            number = edge["node"].version.number
            edge["node"] = MembershipNode(self._call, edge["node"]).artifact()
            edge["version"] = f"v{number - 1}"
        return found

    def latest_artifact(self) -> Any:
        """Its latest version, as an artifact."""
        found = self.artifact_membership("latest")
        return found.artifact() if found else None


class TypeNode:
    """A type of collections of a project. ``inside`` is a collection or the project."""

    description = None

    def __init__(self, call: Call, inside: str, name: str) -> None:
        self._call, self._project = call, "/".join(inside.split("/")[:2])
        self.name = name

    def id(self) -> str:
        """An id."""
        return f"{wire.make_id('ArtifactType', 0)}/{self._project}/{self.name}"

    def created_at(self) -> str | None:
        """When the first collection of it was made."""
        found = described.list_collections(self._call.store, self._call.ctx, self._project)
        times = [each.info.created for each in found if each.info.type == self.name]
        return wire.time_text(min(times, default=1))

    def artifact_collection(self, name: str) -> CollectionNode | None:
        """A collection of the type by name."""
        return collection(self._call, self._project, name, self.name)

    def artifact_collections(
        self,
        after: str | None = None,
        first: int | None = None,
        filters: str | None = None,
        order: str | None = None,
    ) -> dict[str, Any]:
        """The collections of the type."""
        return listed(self._call, self._project, after, first, filters, order, type=self.name)


def named(call: Call, path: str, *, sequence: bool | None = None) -> CollectionNode:
    """A collection by its path; ``sequence`` says what it is told to be, in the place of what it is."""
    found = described.collection(call.store, call.ctx, path)
    return node(call, found, sequence=sequence)


def node(call: Call, found: described.DescribedCollection, *, sequence: bool | None = None) -> CollectionNode:
    """A collection as an object."""
    if sequence is None:
        sequence = not found.portfolio
    return CollectionNode(call, found.info, sequence)


def collection(call: Call, project: str, name: str, type: str = "") -> CollectionNode | None:
    """A collection of a project by name, or None."""
    try:
        found = named(call, f"{project}/{name}")
    except (Missing, Invalid):
        return None
    return found if type in ("", found.default_artifact_type().name) else None


def listed(
    call: Call,
    project: str,
    after: str | None,
    first: int | None,
    filters: str | None,
    order: str | None,
    type: str = "",
) -> dict[str, Any]:
    """The collections of a project that a filter finds, newest first or in an order, by page."""
    found = [each for each in described.list_collections(call.store, call.ctx, project) if type in ("", each.info.type)]  # fmt: skip
    page = wire.page(cataloguing.collections_of(found, filters, order), after, first)
    for edge in page["edges"]:
        edge["node"] = node(call, edge["node"])
    return page


def types(call: Call, project: str, after: str | None, first: int | None, everything: bool) -> dict[str, Any]:
    """The types of a project's collections, and with ``everything`` those that its registry allows."""
    found = {each.info.type for each in described.list_collections(call.store, call.ctx, project)}
    if everything:
        found |= set(registries.types(call.store, call.ctx, project))
    return wire.page([TypeNode(call, project, name) for name in sorted(found)], after, first)


def membership(call: Call, project: str, name: str) -> Any:
    """A version of a project's collection by ``collection:alias`` or ``collection:vN``, or None."""
    from runstone.dialects.wandb.artifactnodes import MembershipNode

    try:
        info = artifacts.get(call.store, call.ctx, f"{project}/{naming.version(name)}")
    except (Missing, Gone, Invalid):
        return None
    return MembershipNode(call, info)


def _path(call: Call, text: str) -> str:
    return held.named(call.store, call.ctx, wire.number_of("ArtifactCollection", text))


def by_id(call: Call, text: str) -> CollectionNode | None:
    """The collection with an id, or None."""
    try:
        return named(call, _path(call, text))
    except Missing:
        return None


def update(call: Call, given: dict[str, Any]) -> dict[str, Any]:
    """Renames a collection and describes it."""
    path = _path(call, given.get("artifactSequenceID") or given["artifactPortfolioID"])
    name = given.get("name")
    info = held.update(
        call.store,
        call.ctx,
        path,
        new_name=name if name and name != path.rpartition("/")[2] else None,
        description=given.get("description"),
    )
    return {"artifactCollection": named(call, info.path)}


def change_type(call: Call, given: dict[str, Any]) -> dict[str, Any]:
    """Gives a collection another type."""
    path = _path(call, given["artifactSequenceID"])
    cataloguing.set_type(call.store, call.ctx, path, given["destinationArtifactTypeName"])
    return {"artifactCollection": named(call, path)}


def delete(call: Call, text: str) -> dict[str, Any]:
    """Deletes a collection with its versions."""
    path = _path(call, text)
    found = described.collection(call.store, call.ctx, path)
    cataloguing.delete(call.store, call.ctx, path)
    gone = CollectionNode(call, found.info, not found.portfolio, "DELETED")
    return {"artifactCollection": gone}


def set_tags(call: Call, given: dict[str, Any], *, add: bool) -> list[str]:
    """Adds tags to a collection, or takes some away; those that it has then."""
    path = (
        f"{naming.project(call, given['entityName'], given['projectName'])}/{given['artifactCollectionName']}"
    )
    asked = {each["tagName"] for each in given["tags"]}
    tags = set(held.get(call.store, call.ctx, path).tags)
    tags = tags | asked if add else tags - asked
    return list(held.update(call.store, call.ctx, path, tags=tuple(tags)).tags)
