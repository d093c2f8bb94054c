"""What a document can begin with of organisations and registries."""

from __future__ import annotations

from typing import Any

from runstone.dialects.wandb import registry, wire
from runstone.dialects.wandb.fields import Fields
from runstone.dialects.wandb.projects import ProjectNode
from runstone.dialects.wandb.registryfields import OrganizationNode
from runstone.domain import registries
from runstone.errors import Missing

#: What works of it, of what the SDK asks after.
FEATURES = {"ARTIFACT_REGISTRY_SEARCH": True, "INCLUDE_ARTIFACT_TYPES_IN_REGISTRY_CREATION": True}


class RegistryFields(Fields):
    """Fields of Query and Mutation."""

    def organization(self, name: str) -> OrganizationNode | None:
        """An organisation: any namespace can be one."""
        try:
            registries.number_of(self._call.store, self._call.ctx, name)
        except Missing:
            return None
        return OrganizationNode(self._call, name)

    def rename_project(self, input: dict[str, Any]) -> dict[str, Any]:
        """Gives a project or registry another name."""
        node = ProjectNode(self._call, registry.rename(self._call, input))
        return {"project": node, "model": node, "inserted": False}

    def delete_model(self, input: dict[str, Any]) -> dict[str, Any]:
        """Deletes a registry or an empty project."""
        return registry.delete(self._call, input)

    def create_project_members(self, input: dict[str, Any]) -> dict[str, Any]:
        """Lets users and teams view a registry."""
        return registry.add_members(self._call, input)

    def delete_project_members(self, input: dict[str, Any]) -> dict[str, Any]:
        """Takes users and teams out of a registry."""
        return registry.remove_members(self._call, input)

    def update_project_member(self, input: dict[str, Any]) -> dict[str, Any]:
        """Gives a user a role in a registry."""
        member = wire.number_of("User", input["userId"])
        return registry.set_role(self._call, input["projectId"], member, input["userProjectRole"])

    def update_project_team_member(self, input: dict[str, Any]) -> dict[str, Any]:
        """Gives a team a role in a registry."""
        member = wire.number_of("Entity", input["teamId"])
        return registry.set_role(self._call, input["projectId"], member, input["teamProjectRole"])
