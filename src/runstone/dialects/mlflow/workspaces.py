"""Workspaces: namespaces as mlflow's clients see them. The one called ``default`` is the principal's own."""

from __future__ import annotations

from typing import Any

from runstone.dialects.mlflow import ids, wire
from runstone.dialects.mlflow.problem import EXISTS, NOT_IMPLEMENTED, invalid, missing, refusal
from runstone.dialects.mlflow.wire import REQUIRED, STRING
from runstone.dialects.routing import Call, Reply
from runstone.domain import accounts
from runstone.errors import Exists, Missing
from runstone.types import NamespaceInfo

DEFAULT = "default"


def list_all(call: Call, fields: dict[str, Any]) -> Any:
    """Answers ``GET workspaces``."""
    own = ids.own_workspace(call)
    found = accounts.namespaces(call.store, call.ctx, limit=1000)
    shown = [_shown(each) for each in found if each.name != own]
    return {"workspaces": [_default(call), *shown]}


def get(call: Call, fields: dict[str, Any]) -> Any:
    """Answers ``GET workspaces/{name}``."""
    return {"workspace": _found(call)}


def create(call: Call, fields: dict[str, Any]) -> Any:
    """Answers ``POST workspaces``: a namespace, owned by who makes it."""
    name = wire.text(fields, "name")
    if name == DEFAULT:
        raise invalid(f"The '{DEFAULT}' workspace is reserved and cannot be created")
    try:
        made = accounts.create_namespace(
            call.store, call.ctx, name, description=wire.text(fields, "description")
        )
    except Exists:
        raise refusal(EXISTS, f"Workspace '{name}' already exists.") from None
    return Reply({"workspace": _shown(made)}, status=201)


def refuse(call: Call, fields: dict[str, Any]) -> Any:
    """Answers what would change or delete a workspace."""
    _found(call)
    raise refusal(
        NOT_IMPLEMENTED, "a workspace is a namespace of runstone, which is neither renamed nor deleted"
    )


def _found(call: Call) -> dict[str, Any]:
    name = call.path["name"]
    if name == DEFAULT:
        return _default(call)
    try:
        return _shown(accounts.get_namespace(call.store, call.ctx, name))
    except Missing:
        raise missing(f"Workspace '{name}' not found") from None


def _default(call: Call) -> dict[str, Any]:
    return {"name": DEFAULT, "description": f"the namespace {ids.own_workspace(call)}"}


def _shown(namespace: NamespaceInfo) -> dict[str, Any]:
    return wire.without_empty({"name": namespace.name, "description": namespace.description}.items())


_ONE = "workspaces/{name}"
_NAMED = {"name": (REQUIRED, STRING), "description": (STRING,)}
ROUTES = (
    *wire.routes("GET", "workspaces", list_all, "Workspaces.", version="3.0"),
    *wire.routes("POST", "workspaces", create, "Makes a workspace.", _NAMED, version="3.0"),
    *wire.routes("GET", _ONE, get, "A workspace.", version="3.0"),
    *wire.routes("PATCH", _ONE, refuse, "Not supported.", version="3.0"),
    *wire.routes("DELETE", _ONE, refuse, "Not supported.", version="3.0"),
)
