"""What the tests of blobs share: a store on a real disk with a clock to turn, and a check of all that must always hold."""

from __future__ import annotations

import hashlib
import os
import random
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from runstone._native.digests import verify_chunks
from runstone.storage.backends.packs import LocalPacks
from runstone.storage.blobs import Blobs
from runstone.storage.index import Index
from runstone.storage.intervals import Intervals
from runstone.storage.openpacks import faults
from runstone.storage.parts import PLACE, Run, extents, placed
from runstone.storage.state import State
from runstone.storage.tables import (
    BLOB_PARTS,
    BLOB_VERSIONS,
    BLOBS,
    CHUNKS,
    DAMAGES,
    PACKS,
    PINS,
    SETTINGS,
    UPLOAD_PARTS,
    UPLOADS,
)
from runstone.storage.uploads import UploadLimits

DAY = 24 * 3600 * 1_000_000
MIB = 1 << 20


class Clock:
    """Microseconds that pass when told to."""

    def __init__(self) -> None:
        self.now = 1_700_000_000_000_000

    def __call__(self) -> int:
        return self.now

    def turn(self, seconds: float) -> None:
        self.now += int(seconds * 1_000_000)


@contextmanager
def open_blobs(
    directory: Path, *, clock=None, checkpoint: int = 64 * MIB, backend=None, size: int = 1 << 40
) -> Iterator[Blobs]:
    index = Index(directory / "index")
    limits = UploadLimits(size=size, checkpoint=checkpoint, lifetime=DAY)
    blobs = Blobs(index, directory, clock=clock or Clock(), limits=limits, backend=backend)
    try:
        yield blobs
    finally:
        with suppress(OSError):
            blobs.close()
        index.close()


def another(blobs: Blobs) -> Blobs:
    """A second door to the same directory, as another process has it."""
    return Blobs(blobs.index, blobs.backend.directory.parent, clock=blobs.clock, limits=blobs.uploads.limits)


def noise(size: int, seed: int = 0) -> bytes:
    return random.Random(seed).randbytes(size)


def sha(data: bytes) -> bytes:
    return hashlib.sha256(data).digest()


def send(
    blobs: Blobs, upload: bytes, data: bytes, start: int = 0, stop: int | None = None, piece: int = MIB
) -> int:
    """Sends bytes ``start`` to ``stop`` of ``data``."""
    stop = len(data) if stop is None else stop
    while start < stop:
        start = blobs.write(upload, start, data[start : min(stop, start + piece)])
    return start


def refer(blobs: Blobs, data: bytes, version: int = 1, domain: int = 0, owner: str = "") -> None:
    """What a commit by ``owner`` does: the guard, then a version's reference, in one transaction."""
    with blobs.index.write() as txn:
        state = State(txn)
        blobs.guard(domain, {sha(data): len(data)}, owner)(state)
        state.put(BLOB_VERSIONS, domain, sha(data), version, 1)
        state.accept()
        state.write()


def let_go(blobs: Blobs, data: bytes, version: int = 1) -> None:
    with blobs.index.write() as txn:
        txn.delete(BLOB_VERSIONS, 0, sha(data), version)


def stored_bytes(directory: Path) -> int:
    """What the packs take on the disk."""
    return sum(path.stat().st_blocks * 512 for path in (directory / "packs").glob("??/*.pack"))


def pack_paths(directory: Path) -> list[Path]:
    return sorted((directory / "packs").glob("??/*.pack"))


def parts_of(blobs: Blobs, data: bytes, domain: int = 0):
    with blobs.index.read() as view:
        return [part for _, part in view.scan(BLOB_PARTS, domain, sha(data))]


def extents_of(blobs: Blobs, data: bytes, domain: int = 0) -> list[tuple[int, int, int]]:
    """A blob's extents, joined where they touch across parts."""
    joined: list[tuple[int, int, int]] = []
    for part in parts_of(blobs, data, domain):
        for pack, offset, length in extents(part):
            if joined and joined[-1][0] == pack and joined[-1][1] + joined[-1][2] == offset:
                joined[-1] = (pack, joined[-1][1], joined[-1][2] + length)
            else:
                joined.append((pack, offset, length))
    return joined


def require_sound(blobs: Blobs) -> None:
    """Everything that must hold whatever has happened: see the docstrings of ``chunks`` and ``gc``."""
    with blobs.index.read() as view:
        covered: dict[int, list[tuple[int, int]]] = {}
        sizes = {pack: row.size for (pack,), row in view.scan(PACKS)}
        handles = {pack: os.open(LocalPacks.path(blobs.backend, pack), os.O_RDONLY) for pack in sizes}
        try:
            held: dict[tuple[int, bytes], int] = {}
            for (domain, digest, offset), part in view.scan(BLOB_PARTS):
                assert held.get((domain, digest), 0) == offset, "parts follow each other"
                held[domain, digest] = offset + part.size
                for record, pack, at, length in placed(part):
                    assert at + length <= sizes[pack], "a blob lies in accounted bytes"
                    assert not list(faults(handles[pack], Run(pack, at, 0, length, record), verify_chunks))
                    covered.setdefault(pack, []).append((at, at + length))
            for key, row in view.scan(BLOBS):
                assert row.dying or held.get(key, 0) == row.size, "a blob is whole"
            for key, part in view.scan(UPLOAD_PARTS):
                assert view.get(UPLOADS, key[0]) is not None, "a part belongs to an upload"
                for pack, offset, length in extents(part):
                    assert offset + length <= sizes[pack]
            by_pack = {pack: Intervals(ranges) for pack, ranges in covered.items()}
            for (_, digest), row in view.scan(CHUNKS):
                pack, at = PLACE.unpack_from(row)
                length = int.from_bytes(row[24:], "little")
                assert pack in by_pack and by_pack[pack].covers(at, at + length), (
                    "an indexed chunk is part of a blob"
                )
                run = Run(pack, at, 0, length, digest + row[PLACE.size :])
                assert not list(faults(handles[pack], run, verify_chunks))
        finally:
            for handle in handles.values():
                os.close(handle)


def explain(blobs: Blobs, data: bytes, found: bytes, contents: list[bytes], domain: int = 0) -> str:
    """What there is to know of a blob that did not read back right: which bytes, where they lie, whose they are, and what the rows say."""
    lines, at = [f"blob {sha(data).hex()} of {len(data)} bytes, of which {len(found)} were read"], 0
    for pack, offset, length in extents_of(blobs, data, domain):
        path = LocalPacks.path(blobs.backend, pack)
        stored = b""
        with suppress(OSError), path.open("rb") as file:
            file.seek(offset)
            stored = file.read(length)
        lines.append(
            f"  {at}+{length} in pack {pack:016x} at {offset}, on the disk: {_judge(stored, data[at : at + length])}"
        )
        at += length
    lines += _differences(data, found, contents)
    with blobs.index.read() as view:
        lines.append(f"  row {view.get(BLOBS, domain, sha(data))}")
        lines.append(f"  versions {[key[2] for key, _ in view.scan(BLOB_VERSIONS, domain, sha(data))]}")
        for table, prefix in (
            (PINS, (domain, sha(data))),
            (DAMAGES, (domain, sha(data))),
            (UPLOADS, ()),
            (PACKS, ()),
        ):
            lines += [f"  {table.name} {key[-1]!r} {row}" for key, row in view.scan(table, *prefix)]
        for key, row in view.scan(SETTINGS):
            lines.append(f"  {key[0]} {int.from_bytes(row, 'little')}")
    lines.append(f"  read in this process or another: {blobs.held.holds(sha(data))}")
    return "\n".join(lines)


def _judge(found: bytes, right: bytes) -> str:
    if found == right:
        return "right"
    return (
        "zeros"
        if not any(found)
        else f"{sum(a != b for a, b in zip(found, right, strict=False))} bytes differ"
    )


def _differences(right: bytes, found: bytes, contents: list[bytes], step: int = 512) -> list[str]:
    lines, last = [], ""
    for place in range(0, len(right), step):
        piece = found[place : place + step]
        if piece == right[place : place + step]:
            what = ""
        elif not any(piece):
            what = "zeros" if piece else "nothing"
        else:
            owners = [
                f"{number} shifted by {content.find(piece) - place}"
                for number, content in enumerate(contents)
                if piece in content
            ]
            what = f"bytes of contents {', '.join(owners)}" if owners else "bytes of nobody"
        if what != last and what:
            lines.append(f"  from {place} on {what}")
        elif what != last:
            lines.append(f"  from {place} on right again")
        last = what
    return lines
