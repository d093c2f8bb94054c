"""Packs open for reading, what of them is verified, and the check of stored chunks against their records.

Bytes are checked when they are first needed after the pack was opened, and again once the file was changed by anybody but this
process's own appends. Checks read with ``pread`` and not through a mapping: a file that is cut short is then an error and no SIGBUS.
"""

from __future__ import annotations

import os
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from runstone._native.digests import check_chunks, verify_chunks
from runstone.errors import Corrupt, StorageFailed
from runstone.storage.backends.packs import PackBackend
from runstone.storage.intervals import Intervals
from runstone.storage.packs import Changes, Signature, signature
from runstone.storage.parts import RECORD_SIZE, Run, lengths

#: Bytes read and checked at a time.
_BATCH = 4 << 20
#: Shorter runs are checked each time: 64 KiB take 5 µs, and remembering them would take more memory than they are worth.
_REMEMBERED = 64 << 10
_MAX_REMEMBERED = 1 << 16
_buffers = threading.local()

Check = Callable[[memoryview, bytes], int]


@dataclass(slots=True)
class OpenPack:
    """A pack's descriptor, shared by all who read it now, and the ranges that were found good."""

    pack: int
    handle: int
    signature: Signature
    chain: int
    references: int = 0
    current: bool = True
    verified: Intervals = field(default_factory=Intervals)


class Fault(NamedTuple):
    """A chunk that fails its check: its place in the blob, its record, its place in the pack, and what is wrong."""

    offset: int
    length: int
    record: bytes
    pack: int
    pack_offset: int
    how: str


class OpenPacks:
    """A bounded number of open packs; a descriptor is not closed while somebody holds it. Safe from threads."""

    def __init__(self, backend: PackBackend, changes: Changes, capacity: int = 256) -> None:
        self._backend = backend
        self._changes = changes
        self._capacity = capacity
        self._lock = threading.Lock()
        self._open: OrderedDict[int, OpenPack] = OrderedDict()

    def hold(self, pack: int) -> OpenPack:
        """The pack, open until :meth:`release`; raises FileNotFoundError when it is not there."""
        found = signature(self._backend.stat(pack))
        chain = self._changes.chain(pack, found)
        with self._lock:
            held = self._open.get(pack)
            if held is not None and held.signature[:2] == found[:2]:
                if held.signature != found and not (chain and chain == held.chain):
                    held.verified = Intervals()
                held.signature, held.chain = found, chain
                self._open.move_to_end(pack)
            else:
                if held is not None:
                    self._drop(held)
                handle = self._backend.open(pack)
                found = signature(os.fstat(handle))
                held = OpenPack(pack, handle, found, self._changes.chain(pack, found))
                self._open[pack] = held
            held.references += 1
            self._evict()
            return held

    def path_of(self, pack: int) -> str:
        """Where a pack lies on this machine."""
        return str(self._backend.path(pack))

    def release(self, held: OpenPack) -> None:
        """Gives back what :meth:`hold` gave."""
        with self._lock:
            held.references -= 1
            if not held.references and not held.current:
                os.close(held.handle)

    def mark_verified(self, held: OpenPack, seen: Signature, start: int, stop: int) -> None:
        """Notes that a range was found good in the file as it was when it was ``seen``."""
        if stop - start < _REMEMBERED:
            return
        with self._lock:
            if held.signature == seen:
                if len(held.verified) >= _MAX_REMEMBERED:
                    held.verified = Intervals()
                held.verified.add(start, stop)

    def is_verified(self, held: OpenPack, start: int, stop: int) -> bool:
        """Whether a range was found good since the file last changed."""
        with self._lock:
            return held.verified.covers(start, stop)

    def forget(self, pack: int) -> None:
        """Drops a pack, and what is known of it; those who hold it keep their descriptor."""
        with self._lock:
            held = self._open.get(pack)
            if held is not None:
                self._drop(held)

    def _drop(self, held: OpenPack) -> None:
        del self._open[held.pack]
        held.current = False
        if not held.references:
            os.close(held.handle)

    def _evict(self) -> None:
        if len(self._open) > self._capacity:
            for held in [held for held in self._open.values() if not held.references]:
                self._drop(held)
                if len(self._open) <= self._capacity:
                    return

    def close(self) -> None:
        """Closes what nobody holds; the rest is closed by its last holder."""
        with self._lock:
            for held in list(self._open.values()):
                self._drop(held)


def faults(handle: int, run: Run, check: Check = check_chunks) -> Iterator[Fault]:
    """The chunks of a run that fail: with ``check_chunks`` against rot, with ``verify_chunks`` (BLAKE3) against anything."""
    at = 0
    for records, length in _batches(run.records):
        data, how = read_into_buffer(handle, run.pack_offset + at, length)
        if how and len(records) > RECORD_SIZE:
            for single in _singles(run, at, records):
                yield from faults(handle, single, check)
        elif how:
            yield Fault(run.offset + at, length, records, run.pack, run.pack_offset + at, how)
        else:
            yield from _wrong(run, at, data, records, check)
        at += length


def _wrong(run: Run, at: int, data: memoryview, records: bytes, check: Check) -> Iterator[Fault]:
    while (bad := check(data, records)) >= 0:
        before = sum(lengths(records[: bad * RECORD_SIZE]))
        record = records[bad * RECORD_SIZE : (bad + 1) * RECORD_SIZE]
        length = lengths(record)[0]
        at += before
        yield Fault(run.offset + at, length, record, run.pack, run.pack_offset + at, "checksum")
        at += length
        data, records = data[before + length :], records[(bad + 1) * RECORD_SIZE :]


def _singles(run: Run, at: int, records: bytes) -> Iterator[Run]:
    for place, length in enumerate(lengths(records)):
        record = records[place * RECORD_SIZE : (place + 1) * RECORD_SIZE]
        yield Run(run.pack, run.pack_offset + at, run.offset + at, length, record)
        at += length


def _batches(records: bytes) -> Iterator[tuple[bytes, int]]:
    begin = total = 0
    for place, length in enumerate(lengths(records)):
        if total and total + length > _BATCH:
            yield records[begin * RECORD_SIZE : place * RECORD_SIZE], total
            begin, total = place, 0
        total += length
    if total:
        yield records[begin * RECORD_SIZE :], total


def read_into_buffer(handle: int, offset: int, length: int) -> tuple[memoryview, str]:
    """Up to 4 MiB of a file in a buffer of this thread, good until its next call; and why they are not all there, or ``""``."""
    buffer: memoryview | None = getattr(_buffers, "buffer", None)
    if buffer is None or len(buffer) < length:
        buffer = _buffers.buffer = memoryview(bytearray(max(length, min(_BATCH, 16 * length))))
    into, done = buffer[:length], 0
    try:
        while done < length:
            count = os.preadv(handle, [into[done:]], offset + done)
            if not count:
                return into[:done], "truncated"
            done += count
    except OSError as error:
        return into[:done], f"unreadable ({error.strerror})"
    return into, ""


def read_pieces(packs: OpenPacks, pack: int, offset: int, length: int) -> Iterator[memoryview]:
    """The bytes of an extent, unverified, in pieces that are good until the next; raises :class:`Corrupt` where they end early."""
    try:
        held = packs.hold(pack)
    except FileNotFoundError:
        raise Corrupt(f"pack {pack:016x} is missing", pack=f"{pack:016x}") from None
    try:
        for at in range(offset, offset + length, _BATCH):
            data, how = read_into_buffer(held.handle, at, min(_BATCH, offset + length - at))
            if how:
                raise Corrupt(f"pack {pack:016x} is {how} at {at}", pack=f"{pack:016x}", pack_offset=at)
            yield data
    finally:
        packs.release(held)


def is_genuine(packs: OpenPacks, record: bytes, pack: int, offset: int) -> bool:
    """Whether the bytes at a place are the chunk of a record, by BLAKE3."""
    run = Run(pack, offset, 0, lengths(record)[0], record)
    try:
        held = packs.hold(pack)
    except (FileNotFoundError, StorageFailed):
        return False
    try:
        return next(faults(held.handle, run, verify_chunks), None) is None
    finally:
        packs.release(held)
