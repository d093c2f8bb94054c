"""Calls of a server's API: the requests that the methods of the remote twin make, and how names become paths."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from typing import Any, Self, TypeVar

import msgspec

from runstone.client import names, origin
from runstone.client.cache import Cache
from runstone.client.http import Http, Retries
from runstone.client.names import Name
from runstone.client.origin import query, quote
from runstone.client.servers import CONSUMER, addresses_of, default_key
from runstone.errors import Invalid
from runstone.types import PageOf

T = TypeVar("T")

API = "/api/v1"
MAX_PAGE = 1000
NoneType = type(None)


class Named(msgspec.Struct):
    """What has a name."""

    name: str


class Calls:
    """One server, and who asks it. See :class:`runstone.client.remote.Remote`."""

    def __init__(
        self,
        url: str | Sequence[str] | None = None,
        *,
        key: str | None = None,
        timeout: float = 30.0,
        retries: int = 4,
        cache: str | os.PathLike[str] | None = None,
        consumer: str = "",
    ) -> None:
        first, *others = map(origin.parse, addresses_of(url))
        self._http = Http(
            first,
            default_key() if key is None else key,
            timeout=timeout,
            retries=Retries(times=retries),
            headers={CONSUMER: quote(consumer)} if consumer else None,
            fallbacks=others,
        )
        self._cache_directory = cache
        self._own = ""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def close(self) -> None:
        """Closes the connections."""
        self._http.close()

    @property
    def url(self) -> str:
        """The server's address; of several, the one that answers."""
        return str(self._http.origin)

    def _cache(self) -> Cache:
        return Cache(self._cache_directory)

    def _get(self, path: str, answer: type[T]) -> T:
        return self._http.call("GET", path, answer)

    def _send(self, method: str, path: str, answer: type[T], value: Any = None, reason: str = "") -> T:
        headers = {"X-Runstone-Reason": quote(reason)} if reason else None
        return self._http.call(method, path, answer, value=value, headers=headers)

    def _list(self, path: str, item: type[T], limit: int, **asked: Any) -> list[T]:
        """Items from as many pages as it takes to have ``limit``."""
        found: list[T] = []
        while len(found) < limit:
            page = self._get(path + query(limit=min(limit - len(found), MAX_PAGE), **asked), PageOf)
            found += msgspec.convert(page.items, list[item])  # type: ignore[valid-type]
            if not page.next:
                break
            asked["after"] = page.next
        return found

    def _name(self, text: str) -> Name:
        name = names.parse(text)
        return name if name.namespace else name._replace(namespace=self._own_namespace())

    def _collection(self, text: str) -> str:
        return names.collection_url(self._name(text))

    def _version(self, text: str) -> str:
        return names.version_url(self._name(text))

    def _alias(self, text: str, alias: str) -> str:
        return f"{self._collection(text)}/aliases/{quote(alias)}"

    def _project_parts(self, text: str) -> tuple[str, str]:
        namespace, slash, project = text.rpartition("/")
        if not project or "/" in namespace or (slash and not namespace):
            raise Invalid(f"{text!r:.200} is not a project name: use namespace/project")
        return namespace or self._own_namespace(), project

    def _project(self, text: str) -> str:
        return f"{API}/projects/" + "/".join(quote(part) for part in self._project_parts(text))

    def _own_namespace(self) -> str:
        if not self._own:
            self._own = self._get(f"{API}/whoami", Named).name
        return self._own


def listed(values: Iterable[str] | None) -> list[str] | None:
    """What JSON has for a collection of names that may be left out."""
    return None if values is None else list(values)
