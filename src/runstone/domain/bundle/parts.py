"""Parts of a bundle: files of records of one kind each, which are read, checked and made one record after the other.

What is not needed to make runs, collections and versions is such a part. A bundle that was written before there was a part has none of it.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterator, Mapping
from typing import Any, NamedTuple, Protocol

from runstone.domain.bundle.records import Record
from runstone.domain.bundle.source import Source
from runstone.types import FileEntry


class Known(NamedTuple):
    """What a bundle was found to have, for records that speak of it. ``versions`` are digests by number, empty for deleted ones."""

    runs: Container[str]
    versions: Mapping[str, list[str]]
    blobs: Mapping[str, int]
    #: By name and digest, as they come.
    datasets: set[tuple[str, str]]

    def digest(self, version: str) -> str | None:
        """The digest of a version (``collection@v3``), empty for a deleted one; None if there is none."""
        collection, _, number = version.rpartition("@v")
        known = self.versions.get(collection, [])
        if not number.isascii() or not number.isdigit() or len(number) > 9:
            return None
        return known[int(number) - 1] if 0 < int(number) <= len(known) else None


class Taker(Protocol):
    """An import, for those who make something of a record."""

    #: The project, with its namespace.
    name: str

    def once(self, item: str, make: Callable[..., Any], *arguments: Any, **options: Any) -> None:
        """Makes a change by a function of the domain, unless an earlier run of this import has."""

    def put_bytes(self, entries: tuple[FileEntry, ...]) -> None:
        """Takes in the bytes of files."""


class Part(NamedTuple):
    """One file, ``name`` with ``.jsonl``. ``check`` is made anew for each bundle; ``make`` is told the item that a record is.

    ``state`` says what of a record is equal in equal projects (None: nothing); without it, all but what tells of the store is.
    """

    name: str
    kind: type[Record]
    read: Callable[[Source], Iterator[Any]]
    check: Callable[[Known], Callable[[Any], None]]
    make: Callable[[Taker, str, Any], None]
    state: Callable[[Any], Any] | None = None

    @property
    def path(self) -> str:
        """Its file in a bundle."""
        return f"{self.name}.jsonl"


def all_parts() -> tuple[Part, ...]:
    """Every part, in the order in which they are made."""
    from runstone.domain.bundle import facts, inputs

    return (*facts.PARTS, *inputs.PARTS)
