"""Teams, their members and service accounts, users and keys, as the SDK changes them."""

from __future__ import annotations

import re
import time
from typing import Any

from runstone.dialects.routing import Call
from runstone.dialects.wandb import naming, wire
from runstone.dialects.wandb.people import EntityNode, UserNode
from runstone.domain import accounts, keys
from runstone.domain.store import Store
from runstone.errors import Exists, Invalid, Missing
from runstone.types import UserInfo

#: Seconds for which a new service account's key can be read by the one who made it, from the process that made it.
SHOWN = 300.0
MAX_FOUND = 1000
_OTHER = re.compile(r"[^A-Za-z0-9._-]+")


class MemberNode:
    """A member of a team."""

    pending = False
    photo_url = None

    def __init__(self, call: Call, team: str, user: UserInfo, role: str) -> None:
        self.id = wire.make_id("Member", accounts.number_of(call.store, call.ctx, user.name))
        self.admin, self.email = role == "owner", user.email or None
        self.role = naming.ROLES[role]
        self.username = user.name
        self.name = user.full_name or user.name
        self.account_type = "SERVICE" if user.kind == "service" else "MEMBER"
        self.api_key = _shown(call.store, call.ctx.principal.name, user.name)


def members(call: Call, team: str) -> list[MemberNode]:
    """Who belongs to a team."""
    found = accounts.members(call.store, call.ctx, team)
    return [
        MemberNode(call, team, accounts.get_user(call.store, call.ctx, each.user), each.role)
        for each in found
    ]


def create(call: Call, given: dict[str, Any]) -> dict[str, Any]:
    """Makes a team, of which the named user becomes an owner beside the caller."""
    name, owner = given["teamName"], given.get("teamAdminUserName")
    if owner:
        accounts.get_user(call.store, call.ctx, owner)
    accounts.create_namespace(call.store, call.ctx, name)
    if owner and owner != call.ctx.principal.name:
        accounts.set_member(call.store, call.ctx.without_id(), name, owner, "owner")
    return {"entity": EntityNode(call, name)}


def invite(call: Call, given: dict[str, Any]) -> dict[str, Any]:
    """Makes a user a member; one that is known here needs no letter, and one that is not is refused."""
    wanted = given.get("username") or given.get("email")
    if not wanted:
        raise Invalid("an invitation needs a username or an email")
    user = next(iter(_matching(call, wanted)), None)
    if user is None:
        raise Missing(
            f"nobody here is known as {wanted!r:.100}; make the user first, with 'runstone users add'"
        )
    role = "owner" if given.get("admin") else "member"
    member = accounts.set_member(call.store, call.ctx, given["entityName"], user.name, role)
    made = {
        "id": wire.make_id("Member", accounts.number_of(call.store, call.ctx, user.name)),
        "name": user.name,
    }
    return {
        "invite": made
        | {
            "email": user.email or None,
            "createdAt": wire.time_text(member.since),
            "toUser": {"name": user.name},
        }
    }


def dismiss(call: Call, given: dict[str, Any]) -> dict[str, Any]:
    """Takes a member out of a team."""
    if not given.get("id") or not given.get("entityName"):
        raise Invalid("which member of which entity is to go must be said")
    user = accounts.named(call.store, call.ctx, wire.number_of("Member", given["id"]))
    accounts.remove_member(call.store, call.ctx, given["entityName"], user)
    return {"success": True}


def create_service_account(call: Call, given: dict[str, Any]) -> dict[str, Any]:
    """Makes a service account that is a member of a team. Its key can be read for a few minutes by who made it."""
    store, ctx, team = call.store, call.ctx, given["entityName"]
    accounts.get_namespace(store, ctx, team)
    name = f"{team}-{_plain(given['description'])}"[:100]
    user = accounts.create_user(store, ctx, name, kind="service", full_name=given["description"][:256])
    accounts.set_member(store, ctx.without_id(), team, user.name, "member")
    key = keys.create(store, ctx.without_id(), user.name, "first").key
    _fresh(store)[ctx.principal.name, user.name] = (time.monotonic() + SHOWN, key)
    return {"user": {"id": wire.make_id("Member", accounts.number_of(store, ctx, user.name))}}


def create_user(call: Call, given: dict[str, Any]) -> dict[str, Any]:
    """Makes a user of an address of mail; the name is what stands before the ``@``."""
    email = given["email"]
    name = _plain(email.partition("@")[0])
    if any(each.email == email for each in _matching(call, email)):
        raise Exists(f"somebody has the address {email!r:.320} already")
    accounts.create_user(call.store, call.ctx, name, admin=bool(given.get("admin")), email=email)
    return {"user": UserNode(call, name)}


def search(call: Call, query: str | None) -> dict[str, Any]:
    """Users by name or address of mail: the one who has it, or else those whose name holds it."""
    return {"edges": [{"node": UserNode(call, each.name)} for each in _matching(call, query or "")]}


def generate_key(call: Call, given: dict[str, Any]) -> dict[str, Any]:
    """Makes a key for the caller; only here is its ``name`` the key itself."""
    made = keys.create(call.store, call.ctx, call.ctx.principal.name, given.get("description") or "")
    found = {"id": wire.make_id("ApiKey", made.info.id), "name": made.key, "description": made.info.name}
    return {"apiKey": found}


def delete_key(call: Call, given: dict[str, Any]) -> dict[str, Any]:
    """Ends a key."""
    keys.revoke(call.store, call.ctx, wire.number_of("ApiKey", given["id"]))
    return {"success": True}


def _matching(call: Call, query: str) -> list[UserInfo]:
    found = accounts.users(call.store, call.ctx, limit=100_000)
    exact = [user for user in found if query in (user.name, user.email)]
    return exact or [user for user in found if query in user.name][:MAX_FOUND]


def _plain(text: str) -> str:
    return _OTHER.sub("-", text).strip("-._") or "account"


def _fresh(store: Store) -> dict[tuple[str, str], tuple[float, str]]:
    held: dict[tuple[str, str], tuple[float, str]] = store.part("wandb-new-keys", lambda _: {})
    now = time.monotonic()
    for who in [who for who, (until, _) in held.items() if until < now]:
        held.pop(who, None)
    return held


def _shown(store: Store, maker: str, user: str) -> str | None:
    return _fresh(store).get((maker, user), (0.0, None))[1]
