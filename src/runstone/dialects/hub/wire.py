"""What the Hub's routes take and how their answers are written."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from functools import partial
from typing import Any
from urllib.parse import urlencode

import msgspec

from runstone.dialects.hub import naming, revisions
from runstone.dialects.hub.naming import KINDS, Repo
from runstone.dialects.hub.problem import REPO, missing
from runstone.dialects.hub.revisions import Commit
from runstone.dialects.routing import Call, Route
from runstone.domain import xet
from runstone.errors import Missing

MAX_PAGE = 1000
Handler = Callable[[str, Call], Any]


class Anything(msgspec.Struct):
    """A query whose parameters make no difference here; clients send some of them always."""


def repo_of(kind: str, call: Call) -> Repo:
    """The repo that a path names: of the owner that it names, or else of whoever asks."""
    name = call.path["name"]
    if "ns" in call.path:
        return naming.find(call.store, call.ctx, kind, call.path["ns"], name)
    try:
        return naming.find(call.store, call.ctx, kind, call.ctx.principal.name, name)
    except Missing as error:
        raise missing(REPO, f"{error.message}; for another owner's, write owner/name") from None


def xet_hash(call: Call, repo: Repo, sha256: str, *, readable: bool = True) -> str:
    """The hash by which a file of a repo can be read by xet, if it is large enough to be; or else its xet hash."""
    namespace = repo.collection.namespace
    return xet.hash_of(call.store, call.ctx, namespace, sha256, readable=readable) if sha256 else ""


def repo_and_commit(kind: str, call: Call) -> tuple[Repo, Commit]:
    """The repo and the commit that a path names; the head of ``main`` where it names none."""
    repo = repo_of(kind, call)
    return repo, revisions.find(call.store, call.ctx, repo, call.path.get("rev", revisions.MAIN))


def repo_routes(
    method: str, prefix: str, path: str, handler: Callable[[Call], Any], summary: str, **options: Any
) -> Iterator[Route]:
    """The routes ``{prefix}/{owner}/{name}{path}`` and, for one's own repos, ``{prefix}/{name}{path}``.

    What can be read in both ways names an owner: so no name of a repo is taken by what comes behind names. With one segment behind it, an id
    without an owner could not be told from one with an owner; it has no route.
    """
    yield Route(method, f"{prefix}/{{ns}}/{{name}}{path}", handler, summary, **options)
    if path.count("/") != 1:
        own = f"{prefix}/{{name}}{path}"
        yield Route(method, own, handler, f"{summary} One's own repo.", behind=True, **options)


def for_each_kind(method: str, path: str, handler: Handler, summary: str, **options: Any) -> Iterator[Route]:
    """The routes ``/api/{kind}/{repo}…`` of models, datasets and spaces."""
    options = {"query": Anything, "blocking": not options.get("streams"), **options}
    for kind in KINDS:
        yield from repo_routes(method, f"/api/{kind}", path, partial(handler, kind), summary, **options)


def moment(microseconds: int) -> str:
    """A time as the Hub writes it."""
    text = datetime.fromtimestamp(microseconds / 1e6, UTC).isoformat(timespec="milliseconds")
    return text.replace("+00:00", "Z")


def origin(call: Call) -> str:
    """The address that the client reached this server at."""
    scheme = call.headers.get("X-Forwarded-Proto", "http")
    return f"{'https' if scheme == 'https' else 'http'}://{call.headers.get('Host', 'localhost')}"


def next_page(call: Call, path: str, **query: Any) -> dict[str, str]:
    """The Link field to the page after this one (RFC 8288)."""
    return {"Link": f'<{origin(call)}{path}?{urlencode(query, doseq=True)}>; rel="next"'}
