"""Parts of a bundle: files of records of one kind each, which are read, checked and made one record after the other.

What is not needed to make runs, collections and versions is such a part. A bundle that was written before there was a part has none of it.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Iterator, Mapping
from typing import Any, NamedTuple, Protocol, TypeVar

from runstone.domain.bundle.records import Record, line
from runstone.domain.bundle.source import Source
from runstone.types import FileEntry

#: The longest record of a part, as MessagePack: a change of the log takes little more.
MAX_RECORD = 63 << 20
_CHUNK = 8 << 20
R = TypeVar("R", bound=Record)


class Known(NamedTuple):
    """What a bundle was found to have, for records that speak of it. ``versions`` are digests by number, empty for deleted ones."""

    runs: Container[str]
    versions: Mapping[str, list[str]]
    blobs: Mapping[str, int]
    #: By name and digest, as they come.
    datasets: set[tuple[str, str]]
    #: The names of their runs, as they come.
    sweeps: dict[str, set[str]]
    #: How many spans of them are to come.
    traces: dict[str, int]
    #: The keys of their parts by kind and id, as they come.
    entities: dict[tuple[str, str], set[str]]

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
    left_out: list[str]

    def leave_out(self, what: str) -> None:
        """Notes what cannot be made here."""

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


def chunks(records: Iterable[R], most: int) -> Iterator[tuple[R, ...]]:
    """Records as many together as one change takes: at most so many, and of some size."""
    taken: list[R] = []
    size = 0
    for record in records:
        weight = len(line(record))
        if taken and (len(taken) == most or size + weight > _CHUNK):
            yield tuple(taken)
            taken, size = [], 0
        taken.append(record)
        size += weight
    if taken:
        yield tuple(taken)


def all_parts() -> tuple[Part, ...]:
    """Every part, in the order in which they are made."""
    from runstone.domain.bundle import facts, inputs, kept, traces, work

    return (*facts.PARTS, *inputs.PARTS, *work.PARTS, *traces.PARTS, *kept.PARTS)
