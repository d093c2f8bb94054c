"""The bytes of files: ``/{repo}/resolve/{revision}/{path}``."""

from __future__ import annotations

from functools import partial
from hashlib import sha256

from msgspec.structs import replace

from runstone.dialects.hub import revisions
from runstone.dialects.hub.naming import KINDS
from runstone.dialects.hub.problem import ENTRY, missing
from runstone.dialects.hub.wire import Anything, origin, repo_and_commit, repo_routes, xet_hash
from runstone.dialects.routing import BYTES, Call, Download, Raw
from runstone.domain import content
from runstone.domain.context import Context
from runstone.errors import Conflict, Invalid, Missing
from runstone.types import FileEntry

FOLLOWED = ("https://", "http://")
#: Parts of a User-Agent that name a library; what is not here (Python's version, torch's) is not who fetches.
_NOT_LIBRARIES = frozenset({"unknown", "python", "torch", "agent", "origin", "session_id", "file_type"})


def resolve(kind: str, call: Call) -> Download | Raw:
    """Answers ``GET`` and ``HEAD …/resolve/{rev}/{path}``: the bytes, or a redirect to where they are."""
    repo, commit = repo_and_commit(kind, call)
    path = call.path["path"]
    headers = {"X-Repo-Commit": commit.id}
    try:
        if commit.version is None:
            raise Missing("there is no file yet")
        file = content.open_file(call.store, call.ctx, f"{repo.path}@v{commit.number}", path)
    except Missing:
        raise missing(ENTRY, f"{repo.id} has no file {path:.500} at {commit.id}", commit.id) from None
    except Invalid as error:
        (entry,) = revisions.files(call.store, call.ctx, repo, commit, prefix=path, limit=1)
        return _elsewhere(error, entry, headers)
    if call.method == "GET":
        call.services.fetched(attributed(call), file.version_id)
    headers["X-Linked-Etag"] = file.etag
    headers["X-Linked-Size"] = str(file.size)
    if call.services.xet_reads and (xet := xet_hash(call, repo, file.sha256)):
        headers["X-Xet-Hash"] = xet
        token = f"{origin(call)}/api/{kind}/{repo.id}/xet-read-token/{commit.id}"
        headers["Link"] = f'<{token}>; rel="xet-auth"'
    return Download(file, headers)


def _elsewhere(error: Invalid, entry: FileEntry, headers: dict[str, str]) -> Raw:
    if not entry.url:
        raise error
    if not (entry.url.startswith(FOLLOWED) and entry.url.isascii() and entry.url.isprintable()):
        raise Conflict(error.message) from None
    # Clients take what they know of the file from here: they do not ask the other host for it.
    headers["X-Linked-Etag"] = f'"{entry.sha256 or sha256(entry.etag.encode()).hexdigest()}"'
    headers["X-Linked-Size"] = str(entry.size)
    return Raw(status=302, headers={**headers, "Location": entry.url})


def attributed(call: Call) -> Context:
    """The context of a fetch: who, and with which library and agent by the client's own account."""
    if call.ctx.consumer:
        return call.ctx
    with_what = described_agent(call.headers.get("User-Agent", ""))
    consumer = f"{call.ctx.principal.name} with {with_what}" if with_what else call.ctx.principal.name
    return replace(call.ctx, consumer=consumer[:256])


def described_agent(user_agent: str) -> str:
    """The library that a User-Agent of huggingface_hub's form names first, and the agent if there is one."""
    parts = [part.strip() for part in user_agent.split(";")]
    parts = [part for part in parts if part.isascii() and part.isprintable()]
    library = next((part for part in parts if part and part.partition("/")[0] not in _NOT_LIBRARIES), "")
    agent = next((part.removeprefix("agent/") for part in parts if part.startswith("agent/")), "")
    return f"{library} for {agent}" if agent else library


ROUTES = tuple(
    route
    for kind in KINDS
    for route in repo_routes(
        "GET",
        "" if kind == "models" else f"/{kind}",
        "/resolve/{rev}/{path...}",
        partial(resolve, kind),
        "The bytes of a file, with ranges and preconditions.",
        query=Anything,
        anonymous=True,
        media_type=BYTES,
        also=(206, 302, 304),
    )
)
