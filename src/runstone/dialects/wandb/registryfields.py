"""Organisations, and the fields of entities and projects that are of registries."""

from __future__ import annotations

from typing import Any

from runstone.dialects.routing import Call
from runstone.dialects.wandb import collections, naming, wire
from runstone.dialects.wandb.fields import Fields
from runstone.domain import artifacts, cataloguing, described, registries
from runstone.domain.described import DescribedCollection, DescribedProject


class OrganizationNode:
    """An organisation: a namespace, which is its own org entity."""

    org_type = "ORGANIZATION"
    core_weave_organization_id = None

    def __init__(self, call: Call, name: str) -> None:
        self._call, self.name = call, name

    def id(self) -> str:
        """The id of the namespace."""
        return wire.make_id("Organization", registries.number_of(self._call.store, self._call.ctx, self.name))

    def org_entity(self) -> Any:
        """The entity that its registries lie in."""
        from runstone.dialects.wandb.people import EntityNode

        return EntityNode(self._call, self.name, entity_type="organization")

    def feature_flags(self, ramp_idtype: str) -> list[Any]:
        """None."""
        return []

    def advanced_registry_features(self) -> dict[str, bool]:
        """The search of registries knows sizes and times of linking too."""
        return {"advancedSearch": True}


class EntityRegistry(Fields):
    """The fields of an entity that are of its organisations and registries."""

    name: str
    xxhash_digests_enabled = False

    @property
    def organization(self) -> OrganizationNode | None:
        """The organisation that is meant without a name, or None when there are several."""
        own = registries.organisations(self._call.store, self._call.ctx, self.name).own
        return OrganizationNode(self._call, own) if own else None

    def user(self) -> dict[str, Any] | None:
        """The organisations to choose from."""
        found = registries.organisations(self._call.store, self._call.ctx, self.name).all
        return {"organizations": [OrganizationNode(self._call, each) for each in found]}

    def project(self, name: str | None = None) -> Any:
        """A project or registry of it, or None."""
        from runstone.dialects.wandb import projects

        return projects.project(self._call, name, self.name)

    def projects(
        self,
        filters: str | None = None,
        after: str | None = None,
        first: int | None = None,
        order: str | None = None,
    ) -> dict[str, Any]:
        """Its registries that a filter finds."""
        from runstone.dialects.wandb.projects import ProjectNode

        found = wire.page(self._registries(filters, order), after, first)
        for edge in found["edges"]:
            edge["node"] = ProjectNode(self._call, edge["node"].info)
        return found

    def _registries(self, filters: str | None, order: str | None = None) -> list[DescribedProject]:
        store, ctx = self._call.store, self._call.ctx
        found = registries.listed(store, ctx, self.name)
        number = registries.number_of(store, ctx, self.name)
        return cataloguing.registries(found, filters, order, lambda name: naming.REGISTRY + name, number)

    def _collections(
        self, projects: str | None, filters: str | None, order: str | None
    ) -> list[DescribedCollection]:
        found = [
            each
            for registry in self._registries(projects)
            for each in described.list_collections(self._call.store, self._call.ctx, registry.info.path)
        ]
        return cataloguing.collections_of(found, filters, order)

    def artifact_collections(
        self,
        project_filters: str | None = None,
        filters: str | None = None,
        collection_types: list[str] | None = None,
        after: str | None = None,
        first: int | None = None,
        order: str | None = None,
    ) -> dict[str, Any]:
        """The collections of its registries that filters find."""
        found = wire.page(self._collections(project_filters, filters, order), after, first)
        for edge in found["edges"]:
            edge["node"] = collections.node(self._call, edge["node"])
        return found

    def artifact_memberships(
        self,
        project_filters: str | None = None,
        collection_filters: str | None = None,
        filters: str | None = None,
        after: str | None = None,
        first: int | None = None,
        order: str | None = None,
    ) -> dict[str, Any]:
        """The versions in its registries that filters find."""
        from runstone.dialects.wandb.artifactnodes import MembershipNode

        listed = [
            each
            for collection in self._collections(project_filters, collection_filters, None)
            for each in artifacts.listed(self._call.store, self._call.ctx, collection.info.path)
        ]
        found = wire.page(cataloguing.artifacts(listed, filters, order), after, first)
        for edge in found["edges"]:
            edge["node"] = MembershipNode(self._call, edge["node"])
        return found


class ProjectRegistry(Fields):
    """The fields of a registry."""

    _project: str

    def allow_all_artifact_types_in_registry(self) -> bool:
        """Whether it takes any type."""
        return not registries.types(self._call.store, self._call.ctx, self._project)

    def members(self) -> list[dict[str, Any]]:
        """The users with a role in it."""
        return [
            {
                "id": wire.make_id("User", each.id),
                "name": each.full_name or each.name,
                "username": each.name,
                "email": None,
                "role": {"name": naming.ROLES[each.role]},
            }
            for each in registries.members(self._call.store, self._call.ctx, self._project)
            if each.kind == "user"
        ]

    def team_members(self) -> list[dict[str, Any]]:
        """The teams with a role in it."""
        from runstone.dialects.wandb.people import EntityNode

        return [
            {"team": EntityNode(self._call, each.name), "role": {"name": naming.ROLES[each.role]}}
            for each in registries.members(self._call.store, self._call.ctx, self._project)
            if each.kind == "team"
        ]
