"""Users and entities: the SDK's word for namespaces."""

from __future__ import annotations

from typing import Any

from runstone.dialects.routing import Call
from runstone.dialects.wandb import wire
from runstone.dialects.wandb.registryfields import EntityRegistry
from runstone.domain import accounts, keys, names, usage
from runstone.errors import Missing
from runstone.types import NamespaceInfo


class EntityNode(EntityRegistry):
    """A namespace."""

    __typename = "Entity"
    available = False
    photo_url = limits = None
    read_only = read_only_admin = private_only = is_paid = False
    code_saving_enabled = True
    default_access = "PRIVATE"

    def __init__(self, call: Call, name: str, entity_type: str = "") -> None:
        self._call, self.name, self._type = call, name, entity_type

    def id(self) -> str:
        """The id of the namespace."""
        with self._call.store.index.read() as view:
            found = names.visible_namespace(self._call.store, view, self._call.ctx, self.name)
        return wire.make_id("Entity", found.id)

    @property
    def is_team(self) -> bool:
        """Whether it is a team's."""
        return self._held().kind != "user"

    @property
    def entity_type(self) -> str:
        """``team`` or ``user``, or ``organization`` where it stands for one."""
        return self._type or ("team" if self.is_team else "user")

    def storage_bytes(self) -> int:
        """The bytes of the files in it."""
        return usage.logical_bytes(self._call.store, self._call.ctx, self.name)

    def triggers(
        self,
        after: str | None = None,
        first: int | None = None,
        order: str | None = None,
        filters: str | None = None,
    ) -> dict[str, Any]:
        """Its automations."""
        from runstone.dialects.wandb import automations

        return automations.listed(self._call, self.name, filters, after, first)

    def default_resource_config(self, id: str) -> dict[str, Any]:
        """A configuration that jobs of Launch begin with."""
        from runstone.dialects.wandb import launch

        return launch.config(self._call, id)

    def integrations(self, after: str | None = None, first: int | None = None) -> dict[str, Any]:
        """What its automations may use."""
        from runstone.dialects.wandb import automations

        return automations.integrations(self._call, self.name, after, first)

    def members(self) -> list[Any]:
        """Who belongs to it."""
        from runstone.dialects.wandb import teams

        return teams.members(self._call, self.name)

    def _held(self) -> NamespaceInfo:
        return accounts.get_namespace(self._call.store, self._call.ctx, self.name)


class UserNode:
    """A user as the SDK is told of one; of others than the caller only the name."""

    flags = "{}"
    deleted_at = photo_url = None

    def __init__(self, call: Call, name: str) -> None:
        self._call = call
        self.name = self.username = self.entity = name

    @property
    def id(self) -> str:
        """The id of the user; that of nobody for one who is gone."""
        try:
            return wire.make_id("User", accounts.number_of(self._call.store, self._call.ctx, self.name))
        except Missing:
            return wire.make_id("User", 0)

    def projects(self, after: str | None = None, first: int | None = None) -> dict[str, Any]:
        """The projects in the user's own namespace."""
        from runstone.dialects.wandb import projects

        return projects.listed(self._call, self.name, after, first)

    def _own(self) -> bool:
        return self.name == self._call.ctx.principal.name

    @property
    def email(self) -> str | None:
        """The address of mail, where the caller may know it."""
        try:
            return accounts.get_user(self._call.store, self._call.ctx, self.name).email or None
        except Missing:
            return None

    @property
    def admin(self) -> bool:
        """Whether the caller administers the store."""
        return self._own() and self._call.ctx.principal.admin

    @property
    def api_keys(self) -> dict[str, Any]:
        """The caller's own keys, without what makes them keys."""
        found = keys.list_keys(self._call.store, self._call.ctx, self.name) if self._own() else []
        nodes = [
            {"id": wire.make_id("ApiKey", key.id), "name": f"{key.hint:*>40}", "description": key.name}
            for key in found
            if not key.revoked
        ]
        return {"edges": [{"node": node} for node in nodes]}

    @property
    def teams(self) -> dict[str, Any]:
        """The namespaces that the caller may see."""
        found = accounts.namespaces(self._call.store, self._call.ctx, limit=1000) if self._own() else []
        return {"edges": [{"node": EntityNode(self._call, each.name)} for each in found]}


def entity(call: Call, name: str | None) -> EntityNode | None:
    """The namespace of a name, or the caller's own; None when there is none to be seen."""
    node = EntityNode(call, name or call.ctx.principal.name)
    try:
        accounts.get_namespace(call.store, call.ctx, node.name)
    except Missing:
        return None
    return node
