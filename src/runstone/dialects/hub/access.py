"""Gated repos: who asks to be let in, and who is."""

from __future__ import annotations

from functools import partial
from typing import Any

import msgspec

from runstone.dialects.hub.naming import KINDS
from runstone.dialects.hub.wire import Anything, for_each_kind, moment, repo_of
from runstone.dialects.routing import Call, Route
from runstone.domain import gates
from runstone.domain.gates import AdmissionInfo
from runstone.errors import Invalid


class Handled(msgspec.Struct, rename="camel"):
    """What is decided of a request."""

    status: str
    user: str = ""
    request_id: str = ""
    rejection_reason: str | None = None


class Granted(msgspec.Struct):
    """Who is let in without having asked."""

    user: str


async def ask(kind: str, call: Call) -> dict[str, Any]:
    """Answers ``POST /{repo}/ask-access``: what a form sends is not kept."""
    assert call.content is not None
    async for _ in call.content:
        pass
    return {"status": await call.services.in_thread(_ask, kind, call)}


def _ask(kind: str, call: Call) -> str:
    return gates.ask(call.store, call.ctx, repo_of(kind, call).path)


def listed(kind: str, call: Call) -> list[dict[str, Any]]:
    """Answers ``GET …/user-access-request/{status}``."""
    found = gates.admissions(call.store, call.ctx, repo_of(kind, call).path, call.path["status"])
    return [_shown(admission) for admission in found]


def _shown(admission: AdmissionInfo) -> dict[str, Any]:
    person = {"user": admission.user, "fullname": admission.full_name or admission.user}
    return {
        "requestId": admission.user,
        "user": person,
        "status": admission.state,
        "timestamp": moment(admission.asked),
        "fields": admission.fields,
    }


def handle(kind: str, call: Call) -> dict[str, Any]:
    """Answers ``POST …/user-access-request/handle``."""
    asked: Handled = call.body
    user = asked.user or asked.request_id
    if not user:
        raise Invalid("a decision names a user or a requestId")
    gates.decide(
        call.store, call.ctx, repo_of(kind, call).path, user, asked.status, asked.rejection_reason or ""
    )
    return {}


def grant(kind: str, call: Call) -> dict[str, Any]:
    """Answers ``POST …/user-access-request/grant``."""
    gates.decide(call.store, call.ctx, repo_of(kind, call).path, call.body.user, "accepted")
    return {}


ROUTES = (
    *for_each_kind("GET", "/user-access-request/{status}", listed, "Who asked to be let in."),
    *for_each_kind("POST", "/user-access-request/handle", handle, "Lets somebody in, or not.", body=Handled),
    *for_each_kind("POST", "/user-access-request/grant", grant, "Lets somebody in.", body=Granted),
    *(
        Route(
            "POST",
            f"{prefix}/{{ns}}/{{name}}/ask-access",
            partial(ask, kind),
            "Asks to be let in.",
            query=Anything,
            streams=True,
        )
        for kind in KINDS
        for prefix in ([""] if kind == "models" else [f"/{kind}"])
    ),
)
