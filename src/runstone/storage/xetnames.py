"""Blobs found by their Xet hash, and by the hashes of the chunks that Xet clients ask for.

A client asks for the first chunk of a file and for those whose hash is divisible by 1024 (huggingface/xet-core,
xet_core_structures/src/metadata_shard/constants.rs): one in 64 MiB. Small blobs come another way and have no rows.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from runstone.storage.parts import DIGEST_SIZE, RECORD_SIZE, lengths
from runstone.storage.tables import BLOB_PARTS, XET_NAMES

if TYPE_CHECKING:
    from runstone.storage.index import Txn, View

#: The smallest blob that has rows.
NAMED = 1 << 20
#: The value of the row of a blob's own hash.
WHOLE = -1


def note(txn: Txn, domain: int, sha256: bytes, xet: bytes, size: int) -> None:
    """Writes the rows of a blob whose parts are there."""
    if size < NAMED:
        return
    txn.put(XET_NAMES, domain, xet, sha256, WHOLE)
    for (_, _, base), part in txn.scan(BLOB_PARTS, domain, sha256):
        for digest, at in _asked_for(part.chunks, base):
            txn.put(XET_NAMES, domain, digest, sha256, at)


def _asked_for(records: bytes, base: int) -> Iterator[tuple[bytes, int]]:
    """The chunks that clients ask for, and where they begin."""
    # The hash modulo 1024 is the low ten bits of its last 64-bit word.
    low, high = records[24::RECORD_SIZE], records[25::RECORD_SIZE]
    numbers = [0] if base == 0 and records else []
    at = low.find(0)
    while at >= 0:
        if high[at] & 3 == 0 and at not in numbers:
            numbers.append(at)
        at = low.find(0, at + 1)
    if numbers:
        sizes = lengths(records)
        for number in numbers:
            start = number * RECORD_SIZE
            yield records[start : start + DIGEST_SIZE], base + sum(sizes[:number])


def named(view: View, domain: int, digest: bytes) -> Iterator[tuple[bytes, int]]:
    """The blobs that have a hash, or a chunk of that hash: SHA-256, and where the chunk begins or :data:`WHOLE`."""
    for (_, _, sha256), at in view.scan(XET_NAMES, domain, digest):
        yield sha256, at


def has(view: View, domain: int, digest: bytes, sha256: bytes) -> bool:
    """Whether a blob is found by its Xet hash."""
    return view.get(XET_NAMES, domain, digest, sha256) is not None
