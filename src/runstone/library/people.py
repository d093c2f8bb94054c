"""Users, namespaces, members and keys of an open store."""

from __future__ import annotations

from collections.abc import Iterable

from runstone import domain
from runstone.library.calls import Calls
from runstone.types import KeyInfo, MemberInfo, NamespaceInfo, NewKey, UserInfo


class People(Calls):
    """Says who is who, and lets in."""

    def whoami(self) -> UserInfo:
        """The principal."""
        return domain.accounts.get_user(self.store, self.ctx, self.ctx.principal.name)

    def create_user(
        self, name: str, *, kind: str = "person", admin: bool = False, email: str = "", full_name: str = ""
    ) -> UserInfo:
        """Makes a user with a namespace of its own."""
        return domain.accounts.create_user(
            self.store, self.ctx, name, kind=kind, admin=admin, email=email, full_name=full_name
        )

    def update_user(
        self,
        name: str,
        *,
        admin: bool | None = None,
        disabled: bool | None = None,
        email: str | None = None,
        full_name: str | None = None,
    ) -> UserInfo:
        """Changes a user; a disabled one's keys are refused."""
        return domain.accounts.update_user(
            self.store, self.ctx, name, admin=admin, disabled=disabled, email=email, full_name=full_name
        )

    def user(self, name: str) -> UserInfo:
        """A user by name."""
        return domain.accounts.get_user(self.store, self.ctx, name)

    def users(self, *, after: str = "", limit: int = 100) -> list[UserInfo]:
        """Users by name."""
        return domain.accounts.users(self.store, self.ctx, after, limit)

    def create_namespace(
        self, name: str, *, kind: str = "team", description: str = "", region: str = ""
    ) -> NamespaceInfo:
        """Makes a team or organisation."""
        return domain.accounts.create_namespace(
            self.store, self.ctx, name, kind=kind, description=description, region=region
        )

    def namespace(self, name: str) -> NamespaceInfo:
        """A namespace by name."""
        return domain.accounts.get_namespace(self.store, self.ctx, name)

    def namespaces(self, *, after: str = "", limit: int = 100) -> list[NamespaceInfo]:
        """The namespaces that one may read, by name."""
        return domain.accounts.namespaces(self.store, self.ctx, after, limit)

    def set_member(self, namespace: str, user: str, role: str, *, classes: Iterable[str] = ()) -> MemberInfo:
        """Gives a user a role (reader, member, owner) in a namespace, and field classes other than the role's usual ones."""
        return domain.accounts.set_member(self.store, self.ctx, namespace, user, role, tuple(classes))

    def remove_member(self, namespace: str, user: str) -> None:
        """Takes a user's role in a namespace away."""
        domain.accounts.remove_member(self.store, self.ctx, namespace, user)

    def members(self, namespace: str) -> list[MemberInfo]:
        """Who belongs to a namespace."""
        return domain.accounts.members(self.store, self.ctx, namespace)

    def create_key(self, user: str, name: str, *, expires: int = 0, role: str = "") -> NewKey:
        """Makes an API key; it is shown this once."""
        return domain.keys.create(self.store, self.ctx, user, name, expires=expires, role=role)

    def revoke_key(self, key_id: int) -> None:
        """Ends an API key at once."""
        domain.keys.revoke(self.store, self.ctx, key_id)

    def keys(self, user: str) -> list[KeyInfo]:
        """A user's keys, oldest first."""
        return domain.keys.list_keys(self.store, self.ctx, user)
