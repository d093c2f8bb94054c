"""Users, keys and teams on a server."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from runstone.client.calls import API, Calls, Named, NoneType
from runstone.client.origin import quote
from runstone.types import KeyInfo, MemberInfo, NamespaceInfo, NewKey, PageOf, UserInfo


class People(Calls):
    """Says who there is, and who may do what."""

    def whoami(self) -> UserInfo:
        """The principal."""
        return self.user(self._get(f"{API}/whoami", Named).name)

    def create_user(
        self, name: str, *, kind: str = "person", admin: bool = False, email: str = "", full_name: str = ""
    ) -> UserInfo:
        """Makes a user with a namespace of its own."""
        value = {"name": name, "kind": kind, "admin": admin, "email": email, "full_name": full_name}
        return self._send("POST", f"{API}/users", UserInfo, value)

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
        change = {"admin": admin, "disabled": disabled, "email": email, "full_name": full_name}
        return self._send("PATCH", f"{API}/users/{quote(name)}", UserInfo, change)

    def user(self, name: str) -> UserInfo:
        """A user by name."""
        return self._get(f"{API}/users/{quote(name)}", UserInfo)

    def users(self, *, after: str = "", limit: int = 100) -> list[UserInfo]:
        """Users by name."""
        return self._list(f"{API}/users", UserInfo, limit, after=after or None)

    def create_namespace(
        self, name: str, *, kind: str = "team", description: str = "", region: str = ""
    ) -> NamespaceInfo:
        """Makes a team or organisation."""
        value = {"name": name, "kind": kind, "description": description, "region": region}
        return self._send("POST", f"{API}/namespaces", NamespaceInfo, value)

    def namespace(self, name: str) -> NamespaceInfo:
        """A namespace by name."""
        return self._get(f"{API}/namespaces/{quote(name)}", NamespaceInfo)

    def namespaces(self, *, after: str = "", limit: int = 100) -> list[NamespaceInfo]:
        """The namespaces that one may read, by name."""
        return self._list(f"{API}/namespaces", NamespaceInfo, limit, after=after or None)

    def set_member(self, namespace: str, user: str, role: str, *, classes: Iterable[str] = ()) -> MemberInfo:
        """Gives a user a role (reader, member, owner) in a namespace, and field classes other than the role's usual ones."""
        value = {"role": role, "classes": list(classes)}
        return self._send(
            "PUT", f"{API}/namespaces/{quote(namespace)}/members/{quote(user)}", MemberInfo, value
        )

    def remove_member(self, namespace: str, user: str) -> None:
        """Takes a user's role in a namespace away."""
        self._send("DELETE", f"{API}/namespaces/{quote(namespace)}/members/{quote(user)}", NoneType)

    def members(self, namespace: str) -> list[MemberInfo]:
        """Who belongs to a namespace."""
        page = self._get(f"{API}/namespaces/{quote(namespace)}/members", PageOf)
        return msgspec.convert(page.items, list[MemberInfo])

    def create_key(self, user: str, name: str, *, expires: int = 0, role: str = "") -> NewKey:
        """Makes an API key; it is shown this once."""
        value = {"name": name, "expires": expires, "role": role}
        return self._send("POST", f"{API}/users/{quote(user)}/keys", NewKey, value)

    def revoke_key(self, key_id: int) -> None:
        """Ends an API key at once."""
        self._send("DELETE", f"{API}/keys/{key_id}", NoneType)

    def keys(self, user: str) -> list[KeyInfo]:
        """A user's keys, oldest first."""
        return msgspec.convert(self._get(f"{API}/users/{quote(user)}/keys", PageOf).items, list[KeyInfo])
