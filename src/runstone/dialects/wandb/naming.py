"""Projects as the SDK names them: a registry ``R`` is its project ``wandb-registry-R``.

To the SDK the project ``R`` and the registry ``R`` are two; here a path names one of them. So whichever comes second is kept under a name of its own:
the registry under the SDK's whole name of it, the project with an ending. The SDK is told the name that it gave.
"""

from __future__ import annotations

from runstone.dialects.routing import Call
from runstone.domain import projects
from runstone.errors import Conflict, Invalid

REGISTRY = "wandb-registry-"
#: The project that the SDK links models into when it is told no registry, and the registry that it is here.
MODELS, MODEL_REGISTRY = "model-registry", "models"
DEFAULT = "uncategorized"
#: What ends the name of a project that a registry was there before.
SECOND = ".project"
#: What the SDK calls our roles.
ROLES = {"owner": "admin", "member": "member", "reader": "viewer"}
#: What the SDK calls who may read a project.
ACCESS = {"private": "PRIVATE", "restricted": "RESTRICTED", "public": "USER_READ"}


def project(call: Call, entity: str | None, name: str | None) -> str:
    """The path of a project by the SDK's names of it and of its entity."""
    wanted, space = kind(name), entity or call.ctx.principal.name
    first = MODEL_REGISTRY if name == MODELS else (name or DEFAULT).removeprefix(REGISTRY)
    there = projects.kind_of(call.store, call.ctx, f"{space}/{first}")
    if there == wanted:
        return f"{space}/{first}"
    second = REGISTRY + first if wanted == "registry" else first + SECOND
    if there or projects.kind_of(call.store, call.ctx, f"{space}/{second}") == wanted:
        return f"{space}/{second}"
    return f"{space}/{first}"


def run(call: Call, entity: str | None, name: str | None, run: str) -> str:
    """The path of a run by the SDK's names of it, its project and entity; raises :class:`Conflict` for one in a registry."""
    if kind(name) == "registry":
        raise Conflict(f"{name} is a registry and holds no runs; use another project")
    return f"{project(call, entity, name)}/{run}"


def kind(name: str | None) -> str:
    """Whether the SDK's name is that of a project or of a registry."""
    return "registry" if name == MODELS or (name or "").startswith(REGISTRY) else "project"


def shown(kind: str, name: str) -> str:
    """The name of a project or registry as the SDK is told it."""
    return REGISTRY + name.removeprefix(REGISTRY) if kind == "registry" else name.removesuffix(SECOND)


def version(text: str) -> str:
    """``collection:vN`` of the SDK, whose first version is v0, as a name here; ``collection:alias`` as it is."""
    collection, colon, alias = text.partition(":")
    if not collection or (colon and not alias):
        raise Invalid(f"{text!r:.100} is not the name of an artifact: use collection:alias or collection:v0")
    number = index_of(alias)
    return f"{collection}@{alias or 'latest'}" if number is None else f"{collection}@v{number + 1}"


def index_of(alias: str) -> int | None:
    """The number in ``vN``, or None for an alias that is none."""
    digits = alias[1:]
    return (
        int(digits)
        if alias[:1] == "v" and digits.isascii() and digits.isdigit() and len(digits) < 9
        else None
    )


def visibility(access: str | None) -> str | None:
    """Who may read a project, by the SDK's name of it; None for none given."""
    known = {"PRIVATE": "private", "RESTRICTED": "restricted", "USER_READ": "public", "USER_WRITE": "public"}
    if access and access not in known:
        raise Invalid(f"access {access!r:.80} must be one of {', '.join(known)}")
    return known[access] if access else None
