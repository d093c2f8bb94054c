"""Blobs by MD5, for the clients whose manifests know a file by nothing better.

An MD5 finds candidates and is never an identity: whoever looks one up checks which of the blobs the asker may use.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

from msgspec.structs import replace

from runstone.storage.chunks import transact
from runstone.storage.holdings import Rows, held, require
from runstone.storage.index import Index, Txn
from runstone.storage.reading import Reader
from runstone.storage.tables import BLOBS, MD5S

_PIECE = 4 << 20


def find(rows: Rows, domain: int, md5: bytes) -> list[bytes]:
    """The SHA-256 of the blobs of a domain that are here and whose MD5 is known to be this one."""
    keys = (sha256 for (_, _, sha256), _ in rows.scan(MD5S, domain, md5))
    return [sha256 for sha256 in keys if held(rows, domain, sha256) is not None]


def of(index: Index, reader: Reader, domain: int, sha256: bytes) -> bytes:
    """The MD5 of a blob: from its row, or else from its bytes, and then remembered. Raises :class:`Missing`."""
    with index.read() as view:
        row = require(view, domain, sha256)
    if row.md5:
        return row.md5
    hasher = hashlib.md5(usedforsecurity=False)
    with reader.open(domain, sha256) as blob:
        for start in range(0, row.size, _PIECE):
            hasher.update(blob.read(start, min(start + _PIECE, row.size)))
    found = hasher.digest()

    def remember(txn: Txn) -> None:
        now = held(txn, domain, sha256)
        if now is not None:
            txn.put(BLOBS, domain, sha256, replace(now, md5=found))
            txn.put(MD5S, domain, found, sha256, 1)

    transact(index, remember)
    return found


def of_many(index: Index, reader: Reader, domain: int, digests: Iterable[bytes]) -> dict[bytes, bytes]:
    """The MD5 of each of some blobs, by SHA-256; see :func:`of`."""
    wanted = list(digests)
    with index.read() as view:
        found = {sha256: require(view, domain, sha256).md5 for sha256 in wanted}
    return {sha256: md5 or of(index, reader, domain, sha256) for sha256, md5 in found.items()}
