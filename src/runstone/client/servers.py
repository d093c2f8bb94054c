"""The addresses of one store, tried in order: the server itself, replicas, mirrors."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import TypeVar

from runstone.client import origin
from runstone.client.http import Http, Retries
from runstone.errors import Corrupt, Invalid, RunstoneError, StorageFailed, StorageFull, TryAgain

T = TypeVar("T")

#: The header field that says who fetches, percent-encoded.
CONSUMER = "X-Runstone-Consumer"
MAX_SERVERS = 32


class Servers:
    """Connections to each address. With several, one that fails is not waited for while there are others."""

    def __init__(
        self,
        urls: str | Sequence[str] | None,
        key: str | None,
        *,
        timeout: float = 30.0,
        retries: int = 4,
        consumer: str = "",
    ) -> None:
        addresses = addresses_of(urls)
        headers = {CONSUMER: origin.quote(consumer)} if consumer else None
        times = retries if len(addresses) == 1 else min(retries, 1)
        self.https = [
            Http(
                origin.parse(address),
                default_key() if key is None else key,
                timeout=timeout,
                retries=Retries(times=times),
                headers=headers,
            )
            for address in addresses
        ]

    def close(self) -> None:
        """Closes the connections."""
        for http in self.https:
            http.close()

    def first(self, work: Callable[[Http], T]) -> T:
        """What the first server gives that can; raises what the first one failed with. A refusal is final."""
        failed: RunstoneError | None = None
        for http in self.https:
            try:
                return work(http)
            except RunstoneError as error:
                if not is_gone(error) and not (isinstance(error, Corrupt) and len(self.https) > 1):
                    raise
                failed = failed if failed is not None and is_gone(failed) else error
        assert failed is not None
        raise failed


def addresses_of(urls: str | Sequence[str] | None) -> list[str]:
    """The addresses in a list, or in a text with commas; by default of ``RUNSTONE_URL``."""
    if urls is None or urls == "":
        urls = os.environ.get("RUNSTONE_URL", "")
    found = urls.split(",") if isinstance(urls, str) else list(urls)
    found = [address.strip() for address in found if address.strip()]
    if not found:
        raise Invalid("no server was named: give its URL, or set RUNSTONE_URL")
    if len(found) > MAX_SERVERS:
        raise Invalid(f"{len(found)} servers are over the limit of {MAX_SERVERS}")
    return found


def default_key() -> str:
    """The API key of the environment."""
    return os.environ.get("RUNSTONE_API_KEY", "")


def is_gone(error: BaseException) -> bool:
    """Whether an error says that the server cannot be asked now, as against that it refuses."""
    return isinstance(error, TryAgain) and not isinstance(error, StorageFull | StorageFailed)
