"""Who asks."""

from __future__ import annotations

from typing import Any

from runstone.dialects.hub.wire import Anything
from runstone.dialects.routing import Call, Route
from runstone.domain import accounts


def whoami(call: Call) -> dict[str, Any]:
    """Answers ``GET /api/whoami-v2``: the principal, and the namespaces that it may read as its organisations."""
    principal = call.ctx.principal
    user = accounts.get_user(call.store, call.ctx, principal.name)
    role = "read" if principal.role == "reader" else "write"
    orgs = [
        {"type": "org", "name": space.name, "fullname": space.name, "id": space.name, "isEnterprise": False}
        for space in accounts.namespaces(call.store, call.ctx, limit=1000)
        if space.name != user.name
    ]
    return {
        "type": "user",
        "id": user.name,
        "name": user.name,
        "fullname": user.full_name or user.name,
        "email": user.email,
        "emailVerified": True,
        "isPro": False,
        "canPay": False,
        "orgs": orgs,
        "auth": {"type": "access_token", "accessToken": {"displayName": "runstone", "role": role}},
    }


ROUTES = (Route("GET", "/api/whoami-v2", whoami, "Who asks.", query=Anything, blocking=True),)
