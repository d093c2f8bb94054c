"""Names: the repository ``namespace/project/collection`` is a collection as an artifact, and the same with ``/image`` as images."""

from __future__ import annotations

from typing import Any, NamedTuple

from msgspec.structs import replace

from runstone.dialects.oci.problem import CHALLENGE, CODE, NAME
from runstone.dialects.routing import Call
from runstone.domain import collections
from runstone.domain.context import ANONYMOUS, Context
from runstone.errors import Missing, Unauthenticated

ARTIFACT, IMAGE = "artifact", "image"
#: What of a repository's name says the form.
FORMS = {ARTIFACT: "", IMAGE: "/image"}


class Repository(NamedTuple):
    """A repository's name as the client has it, the full name and type of its collection, and its form."""

    name: str
    collection: str
    type: str
    form: str


def repository(call: Call, form: str) -> Repository:
    """The repository that a path names; one that nobody without a key may see asks for one."""
    path = "/".join(call.path[part] for part in ("ns", "project", "name"))
    name = path + FORMS[form]
    try:
        found = collections.get(call.store, call.ctx, path)
    except Missing as error:
        raise unknown(call, name, NAME, error.message) from None
    return Repository(name, found.path, found.type, form)


def unknown(call: Call, name: str, code: str, message: str) -> Missing | Unauthenticated:
    """What is missing for the principal; for nobody, that a key is needed."""
    details: dict[str, Any] = {CODE: code}
    if call.ctx.principal != ANONYMOUS:
        return Missing(message, **details)
    scope = f"repository:{name}:pull"
    return Unauthenticated(message, **{CHALLENGE: challenge(call, scope), "given": False})


def challenge(call: Call, scope: str = "") -> str:
    """The WWW-Authenticate field that says where tokens are."""
    wanted = f',scope="{scope}"' if scope else ""
    return f'Bearer realm="{origin(call)}/v2/token",service="runstone"{wanted}'


def attributed(call: Call) -> Context:
    """The context of a pull: who, and with which tool by its own account."""
    tool = call.headers.get("User-Agent", "").partition(" ")[0]
    if call.ctx.consumer or not (tool and tool.isascii() and tool.isprintable()):
        return call.ctx
    return replace(call.ctx, consumer=f"{call.ctx.principal.name} with {tool}"[:256])


def origin(call: Call) -> str:
    """The address that the client reached this server at."""
    scheme = "https" if call.headers.get("X-Forwarded-Proto") == "https" else "http"
    return f"{scheme}://{call.headers.get('Host', 'localhost')}"
