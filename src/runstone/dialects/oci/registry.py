"""What a registry is asked beside content: whether it is there, for a token, and which tags a repository has."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from functools import partial
from typing import Any
from urllib.parse import urlencode

import msgspec

from runstone.dialects.oci.problem import CHALLENGE, VERSION
from runstone.dialects.oci.repository import FORMS, Repository, challenge, repository
from runstone.dialects.routing import JSON, Call, Raw, Route
from runstone.domain import aliases, versions
from runstone.domain.context import ANONYMOUS
from runstone.errors import Invalid, Missing, Unauthenticated

SECONDS = 3600.0
MAX_TAGS = 1000
_TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}\Z")
_SCOPE = re.compile(r"repository:([a-z0-9._/-]{1,400}):[a-z,*]+\Z")
_PAGE = 1000


class TokenQuery(msgspec.Struct):
    """For what a token is asked; other parameters make no difference."""

    scope: tuple[str, ...] = ()


class TagsQuery(msgspec.Struct):
    """Which part of the tags: at most ``n``, from just past ``last``."""

    n: int = MAX_TAGS
    last: str = ""


def ping(call: Call) -> Raw:
    """Answers ``GET /v2/``: who gave no key is told where a token is to be had, also one for what is public."""
    if call.path.get("rest"):
        raise Missing(f"there is nothing at /v2/{call.path['rest']:.300}")
    if call.ctx.principal == ANONYMOUS:
        raise Unauthenticated("this needs a token", **{CHALLENGE: challenge(call)})
    return Raw(b"{}", JSON, headers=VERSION)


def token(call: Call) -> dict[str, Any]:
    """Answers ``GET /v2/token``: for the API key that comes as a password, or for nobody; good for one repository if one is named."""
    asked: TokenQuery = call.query
    folder = "/v2"
    if len(asked.scope) == 1:
        found = _SCOPE.match(asked.scope[0])
        if found is None:
            raise Invalid(f"scope {asked.scope[0]!r:.200} is not repository:name:pull")
        folder = f"/v2/{found[1].strip('/')}"
    made = call.services.token(call.ctx, folder, SECONDS, read_only=True)
    issued = datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
    return {"token": made, "access_token": made, "expires_in": int(SECONDS), "issued_at": issued}


def tags(form: str, call: Call) -> Raw:
    """Answers ``GET …/tags/list``: aliases that can be tags, and the live versions by number."""
    asked: TagsQuery = call.query
    found = repository(call, form)
    limit = max(0, min(asked.n, MAX_TAGS))
    names = sorted(name for name in _tags(call, found) if name > asked.last)
    page, headers = names[:limit], dict(VERSION)
    if limit and len(names) > limit:
        query = urlencode({"n": limit, "last": page[-1]})
        headers["Link"] = f'</v2/{found.name}/tags/list?{query}>; rel="next"'
    return Raw(msgspec.json.encode({"name": found.name, "tags": page}), JSON, headers=headers)


def _tags(call: Call, found: Repository) -> set[str]:
    names, after, before = set[str](), "", 0
    while page := aliases.list_aliases(call.store, call.ctx, found.collection, after=after, limit=_PAGE):
        names |= {row.alias for row in page if _TAG.match(row.alias)}
        after = page[-1].alias
    while some := versions.list_versions(call.store, call.ctx, found.collection, before=before, limit=_PAGE):
        names |= {f"v{version.number}" for version in some if version.state == "live"}
        before = some[-1].number
    return names | ({"latest"} if names else set())


ROUTES = (
    Route(
        "GET",
        "/v2/{rest...}",
        ping,
        "Whether a registry is here.",
        token=True,
        anonymous=True,
        query=TokenQuery,
    ),
    Route("GET", "/v2/token", token, "A token to pull.", anonymous=True, query=TokenQuery),
    *(
        Route(
            "GET",
            f"/v2/{{ns}}/{{project}}/{{name}}{path}/tags/list",
            partial(tags, form),
            "The tags of a repository.",
            query=TagsQuery,
            blocking=True,
            token=True,
            anonymous=True,
        )
        for form, path in FORMS.items()
    ),
)
