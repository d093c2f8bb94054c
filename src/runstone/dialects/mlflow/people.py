"""Users, roles and permissions, as mlflow's own authentication app has them, over principals and namespaces.

A password is an API key: one that the client chose, of the shape that keys have. A workspace is a namespace, and its roles are the three
that members have. Rights in single experiments or models are not granted here, only told.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

from runstone.dialects.mlflow import ids, models, wire
from runstone.dialects.mlflow.problem import EXISTS, NOT_IMPLEMENTED, invalid, missing, refusal
from runstone.dialects.mlflow.wire import BOOLEAN, INTEGER, REQUIRED, STRING
from runstone.dialects.routing import Call, Route
from runstone.domain import accounts, described, keys
from runstone.errors import Exists, Invalid, Missing, RunstoneError
from runstone.types import UserInfo

#: The name that keys have which came as passwords.
PASSWORD = "mlflow password"
ROLES = ("reader", "member", "owner")
PERMISSIONS = {"reader": "READ", "member": "EDIT", "owner": "MANAGE"}
_GRANTED = {"READ": "reader", "USE": "reader", "EDIT": "member", "MANAGE": "owner"}
_DEFAULT = "default"


def create(call: Call, fields: dict[str, Any]) -> Any:
    """Answers ``users/create``; a user that was deleted may come back."""
    name, password = wire.text(fields, "username"), wire.text(fields, "password")
    _require_key(password)
    try:
        user = accounts.create_user(call.store, call.ctx.without_id(), name)
    except Exists:
        held = accounts.get_user(call.store, call.ctx, name)
        if not held.disabled:
            raise refusal(EXISTS, f"User (username={name}) already exists.") from None
        user = accounts.update_user(call.store, call.ctx.without_id(), name, disabled=False, admin=False)
    _set_password(call, name, password)
    return {"user": _shown(call, user)}


def get(call: Call, fields: dict[str, Any]) -> Any:
    """Answers ``users/get``."""
    return {"user": _shown(call, _found(call, wire.text(fields, "username")))}


def current(call: Call, fields: dict[str, Any]) -> Any:
    """Answers ``users/current``."""
    name = call.ctx.principal.name
    return {"user": _shown(call, accounts.get_user(call.store, call.ctx, name)), "is_basic_auth": True}


def list_all(call: Call, fields: dict[str, Any]) -> Any:
    """Answers ``users/list``."""
    return {"users": [_shown(call, user) | {"roles": _roles_of(call, user.name)} for user in _users(call)]}


def update_password(call: Call, fields: dict[str, Any]) -> Any:
    """Answers ``users/update-password``: the key that takes the place of the one set before."""
    name, password = wire.text(fields, "username"), wire.text(fields, "password")
    _require_key(password)
    _found(call, name)
    if name == call.ctx.principal.name:
        held = wire.text(fields, "current_password")
        if not held:
            raise invalid("Current password is required when changing your own password.")
        if not _stands_for(call, held, name):
            raise invalid("Current password does not match.")
        if held == password:
            raise invalid("New password must differ from the current password.")
    _set_password(call, name, password)
    return {}


def update_admin(call: Call, fields: dict[str, Any]) -> Any:
    """Answers ``users/update-admin``."""
    name = _found(call, wire.text(fields, "username")).name
    accounts.update_user(call.store, call.ctx, name, admin=wire.flag(fields, "is_admin"))
    return {}


def delete(call: Call, fields: dict[str, Any]) -> Any:
    """Answers ``users/delete``: the user's keys end, what it made stays."""
    name = _found(call, wire.text(fields, "username")).name
    if name == call.ctx.principal.name:
        raise refusal(
            "BAD_REQUEST",
            "Users cannot delete their own account. Ask another admin to delete this user instead.",
        )
    accounts.update_user(call.store, call.ctx, name, disabled=True)
    return {}


def list_roles(call: Call, fields: dict[str, Any]) -> Any:
    """Answers ``roles/list``: of one workspace, or of all that are seen."""
    asked = wire.text(fields, "workspace")
    names = [_namespace(call, asked)] if asked else _namespaces(call)
    return {"roles": [_role(call, name, role) for name in names for role in ROLES]}


def get_role(call: Call, fields: dict[str, Any]) -> Any:
    """Answers ``roles/get``."""
    return {"role": _role(call, *_role_numbered(call, fields))}


def role_permissions(call: Call, fields: dict[str, Any]) -> Any:
    """Answers ``roles/permissions/list``."""
    return {"role_permissions": _role(call, *_role_numbered(call, fields))["permissions"]}


def assign(call: Call, fields: dict[str, Any]) -> Any:
    """Answers ``roles/assign``."""
    namespace, role = _role_numbered(call, fields)
    user = _found(call, wire.text(fields, "username"))
    accounts.set_member(call.store, call.ctx, namespace, user.name, role)
    number = wire.whole(fields, "role_id")
    return {"assignment": {"id": number, "user_id": _number(call, user.name), "role_id": number}}


def unassign(call: Call, fields: dict[str, Any]) -> Any:
    """Answers ``roles/unassign``."""
    namespace, role = _role_numbered(call, fields)
    name = _found(call, wire.text(fields, "username")).name
    if _held(call, namespace, name) != role:
        raise missing(f"Role assignment not found for user {name}")
    accounts.remove_member(call.store, call.ctx, namespace, name)
    return {}


def user_roles(call: Call, fields: dict[str, Any]) -> Any:
    """Answers ``users/roles/list``."""
    return {"roles": _roles_of(call, _found(call, wire.text(fields, "username")).name)}


def role_users(call: Call, fields: dict[str, Any]) -> Any:
    """Answers ``roles/users/list``."""
    namespace, role = _role_numbered(call, fields)
    number = wire.whole(fields, "role_id")
    found = [member for member in accounts.members(call.store, call.ctx, namespace) if member.role == role]
    return {
        "assignments": [
            {"id": number, "user_id": _number(call, member.user), "role_id": number} for member in found
        ]
    }


def grant(call: Call, fields: dict[str, Any]) -> Any:
    """Answers ``users/permissions/grant``: of a workspace."""
    namespace, name = _granted_in(call, fields), _found(call, wire.text(fields, "username")).name
    permission = wire.text(fields, "permission")
    if permission in ("NO_PERMISSIONS", "DENY"):
        with contextlib.suppress(Missing):
            accounts.remove_member(call.store, call.ctx, namespace, name)
        return {}
    if permission not in _GRANTED:
        raise invalid(f"Invalid permission '{permission}'. Valid permissions are: {tuple(_GRANTED)}")
    accounts.set_member(call.store, call.ctx, namespace, name, _GRANTED[permission])
    return {}


def revoke(call: Call, fields: dict[str, Any]) -> Any:
    """Answers ``users/permissions/revoke``: of a workspace."""
    namespace, name = _granted_in(call, fields), _found(call, wire.text(fields, "username")).name
    accounts.remove_member(call.store, call.ctx, namespace, name)
    return {}


def get_permission(call: Call, fields: dict[str, Any]) -> Any:
    """Answers ``users/permissions/get``: what the user may do with an experiment, a registered model or a workspace."""
    user = _found(call, wire.text(fields, "username"))
    namespace = _namespace_of(call, wire.text(fields, "resource_type"), wire.text(fields, "resource_id"))
    role = "owner" if user.admin else _held(call, namespace, user.name)
    permission = PERMISSIONS.get(role, "NO_PERMISSIONS")
    return {"allowed": permission in ("EDIT", "MANAGE"), "permission": permission}


def list_permissions(call: Call, fields: dict[str, Any]) -> Any:
    """Answers ``users/permissions/list`` and ``users/current/permissions``."""
    name = wire.text(fields, "username") or call.ctx.principal.name
    rows = [
        {
            "role_id": role["id"],
            "role_name": role["name"],
            "workspace": role["workspace"],
            "resource_type": "workspace",
            "resource_pattern": "*",
            "permission": role["permissions"][0]["permission"],
        }
        for role in _roles_of(call, _found(call, name).name)
    ]
    return {"permissions": rows}


def refuse(call: Call, fields: dict[str, Any]) -> Any:
    """Answers what would make or change roles: there are three, and their permissions are what they are."""
    raise refusal(
        NOT_IMPLEMENTED,
        "a workspace of runstone has the roles reader, member and owner; assign users to them instead",
    )


def _found(call: Call, name: str) -> UserInfo:
    try:
        found = accounts.get_user(call.store, call.ctx, name) if name else None
    except Missing:
        found = None
    if found is None or found.disabled:
        raise missing(f"User with username={name} not found")
    return found


def _users(call: Call) -> Iterator[UserInfo]:
    after = ""
    while page := accounts.users(call.store, call.ctx, after=after, limit=1000):
        yield from (user for user in page if not user.disabled)
        after = page[-1].name


def _shown(call: Call, user: UserInfo) -> dict[str, Any]:
    return {"id": _number(call, user.name), "username": user.name, "is_admin": user.admin}


def _number(call: Call, name: str) -> int:
    return accounts.user_number(call.store, call.ctx, name)


def _require_key(password: str) -> None:
    if not keys.SHAPE.match(password):
        raise invalid(
            "a password here is an API key that you choose: 'hf_' followed by 34 to 253 random letters and digits"
        )


def _set_password(call: Call, name: str, password: str) -> None:
    ctx = call.ctx.without_id()
    old = [
        key.id for key in keys.list_keys(call.store, ctx, name) if key.name == PASSWORD and not key.revoked
    ]
    try:
        keys.create(call.store, ctx, name, PASSWORD, key=password)
    except (Exists, Invalid) as error:
        raise invalid(error.message) from None
    for key in old:
        keys.revoke(call.store, ctx, key)


def _stands_for(call: Call, password: str, name: str) -> bool:
    try:
        return keys.authenticate(call.store, password).name == name
    except RunstoneError:
        return False


def _namespace(call: Call, text: str) -> str:
    """The namespace of a workspace's name; ``default`` is the principal's own."""
    name = ids.workspace(call) if text in ("", _DEFAULT, "*") else text
    try:
        return accounts.get_namespace(call.store, call.ctx, name).name
    except Missing:
        raise missing(f"Workspace '{text}' not found") from None


def _namespaces(call: Call) -> list[str]:
    return [each.name for each in accounts.namespaces(call.store, call.ctx, limit=1000)]


def _granted_in(call: Call, fields: dict[str, Any]) -> str:
    if wire.text(fields, "resource_type") != "workspace":
        raise refusal(
            NOT_IMPLEMENTED,
            "runstone grants rights by workspace: grant on the resource type 'workspace', or assign a role",
        )
    return _namespace(call, wire.text(fields, "resource_id"))


def _namespace_of(call: Call, kind: str, text: str) -> str:
    if kind == "workspace":
        return _namespace(call, text)
    if kind == "experiment":
        return ids.experiment(call, text).info.namespace
    if kind in ("registered_model", "prompt"):
        return models.find(call, text).info.namespace
    raise invalid(f"Unknown resource_type '{kind}'")


def _held(call: Call, namespace: str, user: str) -> str:
    found = [
        member.role for member in accounts.members(call.store, call.ctx, namespace) if member.user == user
    ]
    return found[0] if found else ""


def _roles_of(call: Call, user: str) -> list[dict[str, Any]]:
    found = []
    for namespace in _namespaces(call):
        with contextlib.suppress(RunstoneError):  # of a namespace whose members may not be seen
            if role := _held(call, namespace, user):
                found.append(_role(call, namespace, role))
    return found


def _role(call: Call, namespace: str, role: str) -> dict[str, Any]:
    number = described.namespace_number(call.store, call.ctx, namespace) * len(ROLES) + ROLES.index(role)
    permission = {
        "id": number,
        "role_id": number,
        "resource_type": "workspace",
        "resource_pattern": "*",
        "permission": PERMISSIONS[role],
    }
    return {
        "id": number,
        "name": role,
        "workspace": namespace,
        "description": f"{role}s of {namespace}",
        "permissions": [permission],
    }


def _role_numbered(call: Call, fields: dict[str, Any]) -> tuple[str, str]:
    number = wire.whole(fields, "role_id")
    try:
        namespace = described.namespace_numbered(call.store, call.ctx, number // len(ROLES))
    except Missing:
        raise missing(f"Role with id={number} not found") from None
    return namespace, ROLES[number % len(ROLES)]


_USER = {"username": (REQUIRED, STRING)}
_ROLE = {"role_id": (REQUIRED, INTEGER)}
_GRANT = {**_USER, "resource_type": (REQUIRED, STRING), "resource_id": (REQUIRED, STRING)}


_Row = tuple[str, str, wire.Handler, wire.Schema]


def _routes() -> Iterator[Route]:
    of_users: tuple[_Row, ...] = (
        ("POST", "create", create, {**_USER, "password": (REQUIRED, STRING)}),
        ("GET", "get", get, _USER),
        ("GET", "current", current, {}),
        ("GET", "list", list_all, {}),
        ("PATCH", "update-password", update_password, {**_USER, "password": (REQUIRED, STRING)}),
        ("PATCH", "update-admin", update_admin, {**_USER, "is_admin": (REQUIRED, BOOLEAN)}),
        ("DELETE", "delete", delete, _USER),
    )
    for method, path, handler, schema in of_users:
        yield from wire.routes(method, f"users/{path}", handler, "Users, as mlflow has them.", schema)
    others: tuple[_Row, ...] = (
        ("GET", "users/permissions/list", list_permissions, {}),
        ("GET", "users/current/permissions", list_permissions, {}),
        ("POST", "users/permissions/grant", grant, {**_GRANT, "permission": (REQUIRED, STRING)}),
        ("POST", "users/permissions/revoke", revoke, _GRANT),
        ("GET", "users/permissions/get", get_permission, _GRANT),
        ("GET", "users/roles/list", user_roles, _USER),
        ("GET", "roles/list", list_roles, {}),
        ("GET", "roles/get", get_role, _ROLE),
        ("GET", "roles/users/list", role_users, _ROLE),
        ("GET", "roles/permissions/list", role_permissions, _ROLE),
        ("POST", "roles/assign", assign, {**_USER, **_ROLE}),
        ("DELETE", "roles/unassign", unassign, {**_USER, **_ROLE}),
        ("POST", "roles/create", refuse, {}),
        ("PATCH", "roles/update", refuse, {}),
        ("DELETE", "roles/delete", refuse, {}),
        ("POST", "roles/permissions/add", refuse, {}),
        ("PATCH", "roles/permissions/update", refuse, {}),
        ("DELETE", "roles/permissions/remove", refuse, {}),
    )
    for method, path, handler, schema in others:
        yield from wire.routes(method, path, handler, "Roles and permissions.", schema, version="3.0")


ROUTES = tuple(_routes())
