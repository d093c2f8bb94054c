"""Who there is: namespaces, users, members, API keys."""

from __future__ import annotations

from runstone.storage.tables.table import Record, state_table


class Namespace(Record, frozen=True):
    """A user's, team's or organisation's space. ``domain`` is the residency domain its bytes stay in."""

    id: int
    name: str
    kind: str
    created: int
    description: str = ""
    domain: int = 0
    region: str = ""


class User(Record, frozen=True):
    """A person or a service account. ``namespace`` is the space of the same name."""

    id: int
    name: str
    kind: str
    created: int
    admin: bool = False
    disabled: bool = False
    email: str = ""
    full_name: str = ""
    namespace: int = 0


class Member(Record, frozen=True):
    """A user's role in a namespace, or a user's or team's in one project. ``mask`` is the bit set of field classes the member may read."""

    role: str
    since: int
    mask: int = 0


class Key(Record, frozen=True):
    """An API key: only its HMAC-SHA256 is kept. ``expires`` is 0 for never."""

    id: int
    user: int
    name: str
    digest: bytes
    hint: str
    created: int
    expires: int = 0
    revoked: int = 0
    role: str = ""


NAMESPACES = state_table(16, "namespaces", "id:u64", Namespace)
NAMESPACE_NAMES = state_table(17, "namespace_names", "name:text", int)
USERS = state_table(18, "users", "id:u64", User)
USER_NAMES = state_table(19, "user_names", "name:text", int)
MEMBERS = state_table(20, "members", "namespace:u64 user:u64", Member)  # or project:u64, and user or team
USER_NAMESPACES = state_table(21, "user_namespaces", "user:u64 namespace:u64", str)
KEYS = state_table(22, "keys", "id:u64", Key)
KEY_DIGESTS = state_table(23, "key_digests", "digest:b32", int)
USER_KEYS = state_table(24, "user_keys", "user:u64 key:u64", int)
