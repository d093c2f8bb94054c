"""What a store is made to do, and the ledger of what it has acknowledged.

A *lane* is one collection with one client. An operation is a JSON object with an id of its own, which is also its command id: one that
was not acknowledged when the process died is tried again with the same id, and must then have been done exactly once.
"""

from __future__ import annotations

import functools
import hashlib
import random
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from typing import Any

from runstone.errors import RunstoneError
from runstone.library import Library
from runstone.storage.chunks import transact
from runstone.storage.index import Txn
from runstone.storage.tables import PINS

PROJECT = "reliability"
ALIASES = ("prod", "next")
#: Few enough that lanes and versions share files, and that the collector meets files that come back.
CONTENTS = 60
_LIVE = 8

Op = dict[str, Any]


@functools.lru_cache(maxsize=4 * CONTENTS)
def content(seed: int) -> bytes:
    """The bytes of a file: mostly small, some of several chunks, one empty. Neighbours share most of their chunks."""
    if seed % 15 == 7:
        shared = random.Random(1).randbytes(400_000)
        return shared[: 1000 * seed] + random.Random(seed).randbytes(3000) + shared[1000 * seed :]
    return random.Random(seed).randbytes(0 if seed == 3 else seed * 397 % 20_000)


@functools.lru_cache(maxsize=4 * CONTENTS)
def digest(seed: int) -> str:
    """The SHA-256 of a file."""
    return hashlib.sha256(content(seed)).hexdigest()


@dataclass
class Lane:
    """One collection as its client knows it: live versions by number with the put that made them, and what is under way."""

    number: int
    versions: dict[int, Op] = field(default_factory=dict)
    deleted: set[int] = field(default_factory=set)
    aliases: dict[str, int] = field(default_factory=dict)
    pending: Op | None = None
    acknowledged: int = 0
    collected: int = 0

    @property
    def name(self) -> str:
        return f"{PROJECT}/lane-{self.number}"

    def next_op(self, chance: random.Random) -> Op:
        """What to do next; what was left undone, first."""
        if self.pending is not None:
            return self.pending
        idle = [number for number in sorted(self.versions) if number not in self.aliases.values()]
        do = chance.choices(("put", "alias", "delete", "gc"), (45, 30, 10 if len(idle) < _LIVE else 80, 12))[
            0
        ]
        if do == "alias" and self.versions:
            return self._move(chance)
        if do == "delete" and idle:
            return self._op(chance, "delete", version=chance.choice(idle))
        if do == "gc":
            return self._op(chance, "gc")
        files = {f"dir/{n}.bin": chance.randrange(CONTENTS) for n in range(chance.randint(1, 4))}
        aliases = chance.sample(ALIASES, chance.choice((0, 0, 1)))
        way = chance.choice(("folder", "uploads"))
        return self._op(chance, "put", files=files, aliases=aliases, way=way)

    def _move(self, chance: random.Random) -> Op:
        alias = chance.choice(ALIASES)
        expected = self.aliases.get(alias, 0) if chance.random() < 0.7 else None
        return self._op(
            chance, "alias", alias=alias, to=chance.choice(sorted(self.versions)), expected=expected
        )

    def _op(self, chance: random.Random, do: str, **rest: Any) -> Op:
        return {"lane": self.number, "id": chance.randbytes(16).hex(), "do": do, **rest}

    def tried(self, op: Op) -> None:
        """Notes that an operation was begun."""
        self.pending = op

    def done(self, op: Op, result: Any) -> None:
        """Notes that an operation was acknowledged."""
        assert self.pending == op
        self.pending = None
        self.acknowledged += 1
        if op["do"] == "put":
            self.versions[result] = op
            self.aliases.update(dict.fromkeys(op["aliases"], result))
        elif op["do"] == "alias":
            self.aliases[op["alias"]] = op["to"]
        elif op["do"] == "delete":
            del self.versions[op["version"]]
            self.deleted.add(op["version"])
        elif op["do"] == "gc":
            self.collected += result or 0

    def as_json(self) -> Any:
        return {**asdict(self), "deleted": sorted(self.deleted)}

    @classmethod
    def from_json(cls, found: Any) -> Lane:
        versions = {int(number): op for number, op in found["versions"].items()}
        return cls(**{**found, "versions": versions, "deleted": set(found["deleted"])})


def set_up(library: Library, lanes: int) -> list[Lane]:
    """The collections of some lanes."""
    made = [Lane(number) for number in range(lanes)]
    library.create_project(PROJECT, exist_ok=True)
    for lane in made:
        library.create_collection(lane.name, exist_ok=True)
    return made


def a_day_later(library: Library) -> None:
    """What was uploaded is kept for a day even if no version refers to it; after this, it is garbage."""
    blobs = library.store.blobs
    blobs.uploads.sweep(blobs.clock() + 25 * 3600 * 1_000_000)

    def forget(txn: Txn) -> None:
        for key in [key for key, _ in txn.scan(PINS)]:
            txn.delete(PINS, *key)

    transact(library.store.index, forget)


def check(library: Library, lanes: list[Lane], *, read: bool = True) -> int:
    """Everything acknowledged is there, once, and nothing else is; the bytes of how many files were read and compared.

    What was under way may have been done, or not.
    """
    return sum(_check_lane(library, lane, read) for lane in lanes)


def _check_lane(library: Library, lane: Lane, read: bool) -> int:
    pending = lane.pending or {"do": "nothing", "id": ""}
    infos = {info.number: info for info in library.versions(lane.name, limit=100_000)}
    assert set(infos) == set(range(1, len(infos) + 1)), f"{lane.name}: numbers are missing: {sorted(infos)}"
    live = {number: info for number, info in infos.items() if info.state == "live"}
    strange = {number: info.state for number, info in infos.items() if info.state not in ("live", "deleted")}
    assert not strange, f"{lane.name}: {strange}"
    ops = [info.metadata["op"] for info in live.values()]
    assert len(ops) == len(set(ops)), f"{lane.name}: something was done twice: {ops}"
    for number, op in lane.versions.items():
        deleting = pending["do"] == "delete" and pending["version"] == number
        assert deleting or number in live, (
            f"{lane.name}: acknowledged version {number} is {infos.get(number)}"
        )
        assert number not in live or live[number].metadata["op"] == op["id"]
    assert not lane.deleted & set(live), f"{lane.name}: deleted versions are back"
    for number in set(infos) - set(lane.versions) - lane.deleted:
        assert pending["do"] == "put" and infos[number].metadata.get("op") == pending["id"], infos[number]
    _check_aliases(library, lane, pending, live)
    known = {op["id"]: op for op in (*lane.versions.values(), pending)}
    return sum(_check_files(library, lane, n, known[live[n].metadata["op"]]) for n in live) if read else 0


def _check_aliases(library: Library, lane: Lane, pending: Op, live: dict[int, Any]) -> None:
    found = {info.alias: info.version for info in library.aliases(lane.name)}
    expected = dict(lane.aliases)
    if found != expected and pending["do"] == "alias":
        expected[pending["alias"]] = pending["to"]
    if found != expected and pending["do"] == "put":
        made = [number for number, info in live.items() if info.metadata["op"] == pending["id"]]
        expected.update((alias, number) for number in made for alias in pending["aliases"])
    assert found == expected, (
        f"{lane.name}: aliases {found}, acknowledged {lane.aliases}, under way {pending}"
    )
    for alias, version in found.items():
        steps = library.alias_history(lane.name, alias, limit=1_000_000)
        assert steps[-1].version == version
        assert [step.previous for step in steps] == [0, *(step.version for step in steps[:-1])], (
            "history has a gap"
        )


def _check_files(library: Library, lane: Lane, number: int, op: Op) -> int:
    name = f"{lane.name}@v{number}"
    listed = {file.path: file.sha256 for file in library.files(name)}
    assert listed == {path: digest(seed) for path, seed in op["files"].items()}
    for path, seed in op["files"].items():
        with library.open_file(name, path) as file:
            assert file.read() == content(seed), f"{name}: {path} is not what was put"
    return len(listed)


def check_all(library: Library, lanes: list[Lane]) -> int:
    """All of :func:`check`; the index equals the log; and no byte of the store is damaged. How many files were compared."""
    library.verify()
    files = check(library, lanes)
    report = library.scrub(deep=True)
    assert not report["damages"] and not report["index"] and not library.damages(), report
    return files


def attempts(execute: Any, op: Op, tries: int = 50) -> Any:
    """The answer to an operation; asked again while the store says that the same may succeed later."""
    for left in range(tries - 1, -1, -1):
        try:
            return execute(op)
        except RunstoneError as error:
            if op["do"] == "gc" and error.code == "conflict":
                return None
            if not left or error.code != "try_again":
                raise
    raise AssertionError


def replay(lanes: list[Lane], events: Iterator[tuple[str, Any]]) -> int:
    """Brings lanes up to date with what a writer printed; how many operations it was acknowledged."""
    count = 0
    for kind, body in events:
        lane = lanes[body["lane"]]
        if kind == "TRY":
            lane.tried(body)
        else:
            assert lane.pending is not None and lane.pending["id"] == body["id"]
            lane.done(lane.pending, body["result"])
            count += 1
    return count
