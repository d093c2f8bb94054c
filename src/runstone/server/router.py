"""Which route a method and a path mean."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple
from urllib.parse import unquote_to_bytes

import msgspec

from runstone.dialects.routing import Dialect, Route
from runstone.errors import Malformed


class Endpoint(msgspec.Struct):
    """A route with the dialect that brought it."""

    route: Route
    dialect: Dialect


class Match(NamedTuple):
    """The endpoints of a path by method, and what the names in the path's template stand for."""

    endpoints: dict[str, Endpoint]
    names: dict[str, str]


class _Node(msgspec.Struct):
    """What may come after a prefix of segments. ``one`` takes any segment, ``rest`` all that are left."""

    literal: dict[str, _Node] = {}
    one: _Node | None = None
    rest: _Node | None = None
    names: tuple[str, ...] = ()
    endpoints: dict[str, Endpoint] = {}


class Router:
    """Trees of path segments; a literal segment goes before a name, and a name before the rest of the path.

    Routes that are ``behind`` have a tree of their own, which is looked at when the other one does not know a path.
    """

    def __init__(self) -> None:
        self._root, self._behind = _Node(), _Node()

    def add(self, dialect: Dialect, routes: Iterable[Route]) -> None:
        """Takes routes of a dialect in; raises ValueError when two have the same method and path."""
        for route in routes:
            self._add(route, dialect)

    def _add(self, route: Route, dialect: Dialect) -> None:
        node, names = self._behind if route.behind else self._root, []
        for part in route.path.strip("/").split("/"):
            if part.endswith("...}"):
                names.append(part[1:-4])
                node.rest = node.rest or _Node()
                node = node.rest
            elif part.startswith("{"):
                names.append(part[1:-1])
                node.one = node.one or _Node()
                node = node.one
            else:
                node = node.literal.setdefault(part, _Node())
        taken = node.endpoints.get(route.method)
        if taken is not None and taken.route.method == route.method:
            raise ValueError(f"two routes for {route.method} {route.path}")
        endpoint = Endpoint(route, dialect)
        node.names = tuple(names)
        node.endpoints[route.method] = endpoint
        if route.method == "GET":
            node.endpoints.setdefault("HEAD", endpoint)

    def find(self, segments: list[str]) -> Match | None:
        """What a path means; ``segments`` are decoded."""
        return _find(self._root, segments, 0, ()) or _find(self._behind, segments, 0, ())


def _find(node: _Node, segments: list[str], at: int, values: tuple[str, ...]) -> Match | None:
    if at == len(segments):
        return Match(node.endpoints, dict(zip(node.names, values, strict=True))) if node.endpoints else None
    following = node.literal.get(segments[at])
    found = _find(following, segments, at + 1, values) if following else None
    if found is None and node.one is not None and segments[at]:
        found = _find(node.one, segments, at + 1, (*values, segments[at]))
    if found is None and node.rest is not None:
        found = Match(
            node.rest.endpoints, dict(zip(node.rest.names, (*values, "/".join(segments[at:])), strict=True))
        )
    return found


def segments_of(raw_path: str) -> list[str]:
    """The decoded segments of a path as it came; raises :class:`Malformed` when one is not UTF-8."""
    parts = raw_path[1:].split("/")
    if "%" not in raw_path and raw_path.isascii():
        return parts
    try:
        return [unquote_to_bytes(part).decode() if "%" in part else _checked(part) for part in parts]
    except UnicodeError:
        raise Malformed("the path is not valid UTF-8 once it is decoded") from None


def _checked(part: str) -> str:
    part.encode()  # what was not UTF-8 came as lone surrogates
    return part
