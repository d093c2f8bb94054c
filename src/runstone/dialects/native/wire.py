"""What the native API takes: the queries that many routes share, and how names are put together from paths."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Annotated, Any, Generic, TypeVar

import msgspec
from msgspec import Meta

from runstone.dialects.routing import Call
from runstone.errors import Invalid

T = TypeVar("T")

Limit = Annotated[int, Meta(ge=1, le=1000, description="The most items of a page.")]
Number = Annotated[int, Meta(ge=0, le=(1 << 53) - 1)]
Tags = tuple[str, ...]


class Request(msgspec.Struct, forbid_unknown_fields=True):
    """The body or the query of a request; what it does not name is refused."""


class Answer(msgspec.Struct):
    """The body of an answer that is not a type of :mod:`runstone.types`."""


class Listing(msgspec.Struct, Generic[T], frozen=True, kw_only=True):
    """One page of a listing; ``next`` is the cursor of the page after it, or empty."""

    items: tuple[T, ...]
    next: str = ""


class NoQuery(Request):
    """No query parameter is understood."""


class Page(Request):
    """Which part of a listing: ``after`` is the ``next`` of the page before."""

    limit: Limit = 100
    after: str = ""


class NumberedPage(Request):
    """Which part of a listing whose cursor is a number."""

    limit: Limit = 100
    after: Number | None = None


def page(found: Sequence[T], limit: int, cursor: Callable[[T], Any]) -> Listing[T]:
    """A page of ``limit`` items, for which one more was asked for than is shown."""
    if len(found) <= limit:
        return Listing(items=tuple(found))
    return Listing(items=tuple(found[:limit]), next=str(cursor(found[limit - 1])))


def project_name(call: Call) -> str:
    """``namespace/project`` from the path."""
    return f"{plain(call.path['ns'])}/{plain(call.path['project'])}"


def collection_name(call: Call) -> str:
    """``namespace/project/collection`` from the path."""
    return f"{project_name(call)}/{plain(call.path['collection'])}"


def version_name(call: Call) -> str:
    """``namespace/project/collection@version`` from the path."""
    return f"{collection_name(call)}@{call.path['version']}"


def plain(text: str) -> str:
    """One part of a name; raises :class:`Invalid` for what would change the meaning of the name as a whole."""
    if "/" in text or "@" in text or ":" in text:
        raise Invalid(f"{text!r:.200} is not a name: it must not contain '/', '@' or ':'")
    return text


def number(text: str, what: str) -> int:
    """A number from a path; raises :class:`Invalid`."""
    if not text.isascii() or not text.isdigit() or len(text) > 16:
        raise Invalid(f"{what} must be a number, not {text!r:.80}")
    return int(text)
