"""A program that turns bits over in copies of a store and says what became of it: ``python -m reliability.flipper DATA WORK``.

Places (file, offset, bit) are read as JSON from standard input. What looks at a damaged copy runs in a child process of its own, for
damage to an index can crash LMDB. For each place one line of JSON is printed:

``reads``   how each observation went: ``same``, ``refused`` (an error of ours), ``wrong``; or how the child ended
``check``   ``clean``, ``found`` (a damage was named), or how the child ended: verification for the index, a scrub for a pack
``rows``    for an index that verification found clean: whether every row, by scan and by key, is as it was
``named``   for a pack: whether the place lies in a damage that the scrub named, or in no blob
"""

from __future__ import annotations

import gc
import hashlib
import json
import os
import resource
import shutil
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import runstone
from runstone.errors import Corrupt, RunstoneError
from runstone.library import Library
from runstone.storage.index import Index
from runstone.storage.parts import extents
from runstone.storage.tables import BLOB_PARTS, TABLES


def observations(library: Library, name: str) -> dict[str, Callable[[], Any]]:
    """What a user may ask of a store, each apart."""
    found: dict[str, Callable[[], Any]] = {
        "versions": lambda: [(v.number, v.state, v.metadata) for v in library.versions(name, limit=1000)],
        "aliases": lambda: [(a.alias, a.version) for a in library.aliases(name)],
        "history": lambda: [(r.seq, r.kind) for r in library.history(name, limit=1000)],
        "log": lambda: [r.seq for r in library.log(limit=1000)],
    }
    for alias in ("prod", "next"):
        found[alias] = lambda alias=alias: library.resolve(f"{name}@{alias}").version
        found[f"{alias} steps"] = lambda alias=alias: [s.version for s in library.alias_history(name, alias)]
    return found


def files_of(library: Library, name: str, number: int) -> dict[str, str]:
    """The digests of what is read of a version, file by file."""
    read = {}
    for file in library.files(f"{name}@v{number}"):
        with library.open_file(f"{name}@v{number}", file.path) as stored:
            read[file.path] = hashlib.sha256(stored.read()).hexdigest()
    return read


def observe(library: Library, name: str, numbers: list[int]) -> dict[str, Any]:
    """Every observation's answer, or its error."""
    asked = observations(library, name)
    for number in numbers:
        asked[f"v{number}"] = lambda number=number: library.resolve(f"{name}@v{number}").digest
        asked[f"v{number} files"] = lambda number=number: files_of(library, name, number)
    found = {}
    for key, ask in asked.items():
        try:
            found[key] = ask()
        except RunstoneError as error:
            found[key] = error
    return found


def every_row(index: Index) -> str:
    """A digest of every row, by scan and by key, and of the number of rows of every table."""
    seen = hashlib.sha256()
    for table in TABLES.values():
        with index.read() as view:
            seen.update(b"%d" % view.count(table))
            for key, body in view.scan_bodies(table):
                seen.update(key + b"\0" + body)
                assert view.get_body(table, key) == body
    return seen.hexdigest()


def in_child(work: Callable[[], str]) -> str:
    """What a function answers in a child process, or how the child ended."""
    reading, writing = os.pipe()
    pid = os.fork()
    if not pid:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        resource.setrlimit(resource.RLIMIT_AS, (1 << 38, 1 << 38))
        try:
            result = work()
        except RunstoneError as error:
            result = f"refused: {type(error).__name__}: {error.message}"
        except BaseException as error:
            result = f"raised {type(error).__name__}: {error}"
        os.write(writing, result.encode())
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as file:
        result = file.read().decode()
    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    return result or f"ended with {status}"


class Flipper:
    """One store, the truth about it, and a place for damaged copies."""

    def __init__(self, data: Path, work: Path, name: str) -> None:
        self._data, self._work, self._name = data, work, name
        with runstone.open(data, readonly=True) as library:
            self._numbers = [version.number for version in library.versions(name, limit=1000)]
            self._truth = observe(library, name, self._numbers)
            self._rows = every_row(library.store.index)
            self._extents = [
                extent
                for _, body in library.store.index.rows(BLOB_PARTS)
                for extent in extents(BLOB_PARTS.decode(body))
            ]
        assert not any(isinstance(answer, RunstoneError) for answer in self._truth.values())
        gc.freeze()

    def damaged(self, file: str, offset: int, bit: int) -> Path:
        """A fresh copy of the store with one bit turned over; of what is not damaged, packs are shared."""
        shutil.rmtree(self._work, ignore_errors=True)
        in_pack = file.startswith("packs/")
        ignored = () if in_pack else ("packs",)
        shutil.copytree(self._data, self._work, ignore=shutil.ignore_patterns("lock.mdb", *ignored))
        if not in_pack:
            (self._work / "packs").symlink_to(self._data / "packs")
        with (self._work / file).open("r+b") as damaged:
            byte = os.pread(damaged.fileno(), 1, offset)
            os.pwrite(damaged.fileno(), bytes([byte[0] ^ 1 << bit]), offset)
        return self._work

    def reads(self, path: Path) -> str:
        """How observations of a copy went, counted."""
        with runstone.open(path) as library:
            found = observe(library, self._name, self._numbers)
        went = Counter(self._judged(key, answer) for key, answer in found.items())
        return " ".join(f"{kind}={went[kind]}" for kind in sorted(went))

    def _judged(self, key: str, answer: Any) -> str:
        if isinstance(answer, RunstoneError):
            return "refused"
        return "same" if answer == self._truth[key] else f"wrong({key.replace(' ', '-')})"

    def verify(self, path: Path) -> str:
        """Whether verification finds a damaged index."""
        try:
            with runstone.open(path) as library:
                library.verify()
        except Corrupt as error:
            return f"found: {error.message}"
        return "clean"

    def rows(self, path: Path) -> str:
        """Whether every row is as it was."""
        with runstone.open(path, readonly=True) as library:
            return "same" if every_row(library.store.index) == self._rows else "wrong"

    def scrub(self, path: Path, pack: int, offset: int) -> str:
        """Whether a scrub names a damaged place in a pack."""
        with runstone.open(path) as library:
            library.scrub()
            damages = library.damages()
        named = [
            d
            for d in damages
            if int(d.pack, 16) == pack and d.pack_offset <= offset < d.pack_offset + d.length
        ]
        affected = all(damage.versions for damage in named)
        return f"found named={len(named)} affected={affected}" if damages else "clean"

    def one(self, file: str, offset: int, bit: int) -> dict[str, Any]:
        """Damages one place and looks at the damage in every way."""
        answer: dict[str, Any] = {"place": [file, offset, bit]}
        answer["reads"] = in_child(lambda: self.reads(self.damaged(file, offset, bit)))
        if file.startswith("packs/"):
            pack = int(Path(file).stem, 16)
            answer["live"] = any(pack == own and at <= offset < at + n for own, at, n in self._extents)
            answer["check"] = in_child(lambda: self.scrub(self.damaged(file, offset, bit), pack, offset))
        else:
            answer["check"] = in_child(lambda: self.verify(self.damaged(file, offset, bit)))
            if answer["check"] == "clean":
                answer["rows"] = in_child(lambda: self.rows(self.damaged(file, offset, bit)))
        return answer


def main() -> None:
    """Reads the places and prints what became of each."""
    data, work, name = sys.argv[1:]
    flipper = Flipper(Path(data), Path(work), name)
    for file, offset, bit in json.load(sys.stdin):
        print(json.dumps(flipper.one(file, offset, bit)), flush=True)


if __name__ == "__main__":
    main()
