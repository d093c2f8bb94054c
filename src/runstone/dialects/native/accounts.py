"""Users, keys, namespaces and their members."""

from __future__ import annotations

from typing import Literal

from runstone.dialects.native.wire import Answer, Listing, NoQuery, Number, Page, Request, number, page
from runstone.dialects.routing import Call, Raw, Route
from runstone.domain import accounts, keys
from runstone.types import KeyInfo, MemberInfo, NamespaceInfo, NewKey, Role, UserInfo

USERS = "/api/v1/users"
NAMESPACES = "/api/v1/namespaces"


class WhoAmI(Answer):
    """The principal of the request, its role if a key caps it, and the namespaces it may read."""

    name: str
    admin: bool
    role: str
    namespaces: tuple[str, ...]


class NewUser(Request):
    """A user to be made, with a namespace of its own name."""

    name: str
    kind: Literal["person", "service"] = "person"
    admin: bool = False
    email: str = ""
    full_name: str = ""


class UserChange(Request):
    """What to change of a user; null leaves a field as it is."""

    admin: bool | None = None
    disabled: bool | None = None
    email: str | None = None
    full_name: str | None = None


class KeyRequest(Request):
    """A key to be made. ``expires`` is 0 for never; ``role`` caps what it may do."""

    name: str
    expires: Number = 0
    role: Role | Literal[""] = ""


class NewNamespace(Request):
    """A team or organisation to be made. Bytes of namespaces in different regions are never shared."""

    name: str
    kind: Literal["team", "organisation"] = "team"
    description: str = ""
    region: str = ""


class Membership(Request):
    """A role in a namespace, and the field classes that come with it (none named: the role's usual ones)."""

    role: Role
    classes: tuple[str, ...] = ()


def who_am_i(call: Call) -> WhoAmI:
    """Answers ``GET /whoami``."""
    principal = call.ctx.principal
    found = accounts.namespaces(call.store, call.ctx, limit=1000)
    return WhoAmI(
        name=principal.name,
        admin=principal.admin,
        role=principal.role,
        namespaces=tuple(namespace.name for namespace in found),
    )


def list_users(call: Call) -> Listing[UserInfo]:
    """Answers ``GET /users``."""
    asked: Page = call.query
    found = accounts.users(call.store, call.ctx, asked.after, asked.limit + 1)
    return page(found, asked.limit, lambda user: user.name)


def create_user(call: Call) -> UserInfo:
    """Answers ``POST /users``."""
    new: NewUser = call.body
    return accounts.create_user(
        call.store,
        call.ctx,
        new.name,
        kind=new.kind,
        admin=new.admin,
        email=new.email,
        full_name=new.full_name,
    )


def get_user(call: Call) -> UserInfo:
    """Answers ``GET /users/{user}``."""
    return accounts.get_user(call.store, call.ctx, call.path["user"])


def update_user(call: Call) -> UserInfo:
    """Answers ``PATCH /users/{user}``."""
    change: UserChange = call.body
    return accounts.update_user(
        call.store,
        call.ctx,
        call.path["user"],
        admin=change.admin,
        disabled=change.disabled,
        email=change.email,
        full_name=change.full_name,
    )


def list_keys(call: Call) -> Listing[KeyInfo]:
    """Answers ``GET /users/{user}/keys``: all of them, revoked ones included."""
    return Listing(items=tuple(keys.list_keys(call.store, call.ctx, call.path["user"])))


def create_key(call: Call) -> NewKey:
    """Answers ``POST /users/{user}/keys``."""
    new: KeyRequest = call.body
    return keys.create(call.store, call.ctx, call.path["user"], new.name, expires=new.expires, role=new.role)


def revoke_key(call: Call) -> Raw:
    """Answers ``DELETE /keys/{id}``."""
    keys.revoke(call.store, call.ctx, number(call.path["id"], "a key's id"))
    return Raw(status=204)


def list_namespaces(call: Call) -> Listing[NamespaceInfo]:
    """Answers ``GET /namespaces``."""
    asked: Page = call.query
    found = accounts.namespaces(call.store, call.ctx, asked.after, asked.limit + 1)
    return page(found, asked.limit, lambda namespace: namespace.name)


def create_namespace(call: Call) -> NamespaceInfo:
    """Answers ``POST /namespaces``."""
    new: NewNamespace = call.body
    return accounts.create_namespace(
        call.store, call.ctx, new.name, kind=new.kind, description=new.description, region=new.region
    )


def get_namespace(call: Call) -> NamespaceInfo:
    """Answers ``GET /namespaces/{ns}``."""
    return accounts.get_namespace(call.store, call.ctx, call.path["ns"])


def list_members(call: Call) -> Listing[MemberInfo]:
    """Answers ``GET /namespaces/{ns}/members``: all of them."""
    return Listing(items=tuple(accounts.members(call.store, call.ctx, call.path["ns"])))


def set_member(call: Call) -> MemberInfo:
    """Answers ``PUT /namespaces/{ns}/members/{user}``."""
    given: Membership = call.body
    return accounts.set_member(
        call.store, call.ctx, call.path["ns"], call.path["user"], given.role, given.classes
    )


def remove_member(call: Call) -> Raw:
    """Answers ``DELETE /namespaces/{ns}/members/{user}``."""
    accounts.remove_member(call.store, call.ctx, call.path["ns"], call.path["user"])
    return Raw(status=204)


ROUTES = (
    Route("GET", "/api/v1/whoami", who_am_i, "Who the request is made as.", answer=WhoAmI, query=NoQuery),
    Route("GET", USERS, list_users, "Users by name.", query=Page, answer=Listing[UserInfo]),
    Route(
        "POST", USERS, create_user, "Makes a user.", body=NewUser, answer=UserInfo, status=201, blocking=True
    ),
    Route("GET", USERS + "/{user}", get_user, "A user.", query=NoQuery, answer=UserInfo),
    Route(
        "PATCH",
        USERS + "/{user}",
        update_user,
        "Changes a user.",
        body=UserChange,
        answer=UserInfo,
        blocking=True,
    ),
    Route("GET", USERS + "/{user}/keys", list_keys, "A user's keys.", query=NoQuery, answer=Listing[KeyInfo]),
    Route(
        "POST",
        USERS + "/{user}/keys",
        create_key,
        "Makes a key; it is shown this once.",
        body=KeyRequest,
        answer=NewKey,
        status=201,
        blocking=True,
    ),
    Route("DELETE", "/api/v1/keys/{id}", revoke_key, "Ends a key.", status=204, blocking=True),
    Route(
        "GET",
        NAMESPACES,
        list_namespaces,
        "Namespaces that may be read.",
        query=Page,
        answer=Listing[NamespaceInfo],
        blocking=True,
    ),
    Route(
        "POST",
        NAMESPACES,
        create_namespace,
        "Makes a team or organisation.",
        body=NewNamespace,
        answer=NamespaceInfo,
        status=201,
        blocking=True,
    ),
    Route("GET", NAMESPACES + "/{ns}", get_namespace, "A namespace.", query=NoQuery, answer=NamespaceInfo),
    Route(
        "GET",
        NAMESPACES + "/{ns}/members",
        list_members,
        "Who belongs to it.",
        query=NoQuery,
        answer=Listing[MemberInfo],
    ),
    Route(
        "PUT",
        NAMESPACES + "/{ns}/members/{user}",
        set_member,
        "Gives a user a role.",
        body=Membership,
        answer=MemberInfo,
        blocking=True,
    ),
    Route(
        "DELETE",
        NAMESPACES + "/{ns}/members/{user}",
        remove_member,
        "Takes a user's role away.",
        status=204,
        blocking=True,
    ),
)
