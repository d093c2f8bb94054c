"""The rows that say which blobs this machine holds: how a blob becomes present, and how a commit makes sure that it is."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, Protocol

from msgspec.structs import replace

from runstone.errors import Corrupt, DigestMismatch, Missing
from runstone.storage import chunks, xetnames
from runstone.storage.index import Index, Txn, View
from runstone.storage.intervals import Intervals
from runstone.storage.packs import Lease
from runstone.storage.parts import DIGEST_SIZE, PLACE, extents, placed
from runstone.storage.state import State
from runstone.storage.tables import (
    BLOB_PARTS,
    BLOBS,
    CHUNKS,
    DAMAGES,
    MD5S,
    PINS,
    UPLOAD_PARTS,
    Blob,
    Part,
    Pin,
)

#: A commit that brings garbage back indexes its chunks again if it has no more parts than this; else the next collection does.
_PARTS_A_COMMIT = 4


class Rows(Protocol):
    """What the two kinds of transaction have in common: verified reads."""

    def get(self, table: Any, *key: Any) -> Any:
        """The value under a key, or None."""

    def scan(
        self, table: Any, *prefix: Any, after: tuple[Any, ...] | None = None, reverse: bool = False
    ) -> Iterator[tuple[tuple[Any, ...], Any]]:
        """Rows whose key begins with ``prefix``, in key order."""


@dataclass(frozen=True, slots=True)
class BlobInfo:
    """A blob that is held: its digests, its size in bytes, the time it was stored, its number of parts.

    ``garbage`` is the time when nothing referred to it any more, or 0; a commit or an upload of it makes that 0 again.
    """

    domain: int
    sha256: bytes
    size: int
    xet: bytes
    md5: bytes
    created: int
    parts: int
    garbage: int = 0


@dataclass(slots=True)
class Incoming:
    """A blob that was taken in whole: its digests, its size, and the parts that are not in ``upload_parts`` yet.

    ``indexed`` is false when it refers to chunks that the index has lost in the meantime. ``foreign`` says that somebody else cut the
    chunks, perhaps not where they are cut here: such a blob takes the place of no other, and gives way to one that was cut here.
    """

    sha256: bytes
    xet: bytes
    md5: bytes
    size: int
    parts: Sequence[tuple[int, Part]]
    upload: bytes = b""
    indexed: bool = True
    foreign: bool = False


def held(rows: Rows, domain: int, sha256: bytes) -> Blob | None:
    """The row of a blob that is present; one that is being deleted is not."""
    row: Blob | None = rows.get(BLOBS, domain, sha256)
    return None if row is None or row.dying else row


def describe(domain: int, sha256: bytes, row: Blob) -> BlobInfo:
    """What a row says about a blob."""
    return BlobInfo(domain, sha256, row.size, row.xet, row.md5, row.created, row.parts, row.garbage)


def damaged(rows: Rows, domain: int, sha256: bytes) -> bool:
    """Whether a chunk of a blob is known to be damaged."""
    return next(iter(rows.scan(DAMAGES, domain, sha256)), None) is not None


def is_pinned(rows: Rows, domain: int, sha256: bytes, now: int) -> bool:
    """Whether somebody has asked for a blob to be kept."""
    return any(pin.expires > now for _, pin in rows.scan(PINS, domain, sha256))


def complete(rows: Rows, domain: int, sha256: bytes, size: int) -> bool:
    """Whether the parts of a blob are all there, can be read, and add up to its size."""
    at = 0
    while at < size:
        try:
            part = rows.get(BLOB_PARTS, domain, sha256, at)
        except Corrupt:
            return False
        if part is None or not part.size or sum(length for _, _, length in extents(part)) != part.size:
            return False
        at += part.size
    return at == size


def keep(txn: Txn, lease: Lease, blob: Incoming, now: int) -> bool:
    """Makes a blob that was taken in present. False when a good copy of it is here already; that one is kept.

    Only the chunks of the first parts are indexed here: call :func:`index_rest` after the transaction.
    """
    domain = lease.domain
    row = held(txn, domain, blob.sha256)
    whole = row is not None and complete(txn, domain, blob.sha256, row.size)
    if (
        row is not None
        and whole
        and (blob.foreign or row.xet == blob.xet)
        and not damaged(txn, domain, blob.sha256)
    ):
        md5 = row.md5 or blob.md5
        if row.garbage or md5 != row.md5:
            txn.put(BLOBS, domain, blob.sha256, replace(row, garbage=0, epoch=0, md5=md5))
        _note_md5(txn, domain, blob)
        if not blob.foreign and not xetnames.has(txn, domain, blob.xet, blob.sha256):
            xetnames.note(txn, domain, blob.sha256, blob.xet, blob.size)
        return False
    old = _take_parts(txn, domain, blob.sha256)
    prefix = BLOB_PARTS.key.pack(domain, blob.sha256)
    for key_bytes, body in list(txn.scan_bodies(UPLOAD_PARTS, blob.upload)) if blob.upload else ():
        txn.put_body(BLOB_PARTS, prefix + key_bytes[len(blob.upload) :], body)
    for offset, part in blob.parts:
        txn.put(BLOB_PARTS, domain, blob.sha256, offset, part)
    count = 0
    for _, part in txn.scan(BLOB_PARTS, domain, blob.sha256):
        count += 1
        if count <= chunks.PARTS_A_TRANSACTION:
            chunks.index_own(txn, domain, part, lease.ranges)
    if not blob.foreign:
        xetnames.note(txn, domain, blob.sha256, blob.xet, blob.size)
    created = row.created if row is not None else now
    indexed = blob.indexed and count <= chunks.PARTS_A_TRANSACTION
    txn.put(
        BLOBS, domain, blob.sha256, Blob(blob.size, blob.xet, created, blob.md5, parts=count, indexed=indexed)
    )
    _note_md5(txn, domain, blob)
    if old or row is not None:
        _let_go(txn, domain, blob.sha256, old)
    if row is not None and not whole:
        chunks.ask_for_audit(txn)  # of the parts that are lost nobody knows which rows point into them
    return True


def _note_md5(txn: Txn, domain: int, blob: Incoming) -> None:
    if blob.md5:
        txn.put(MD5S, domain, blob.md5, blob.sha256, 1)


def _take_parts(txn: Txn, domain: int, sha256: bytes) -> list[Part]:
    """Deletes the parts of a blob; those that could be read."""
    keys, parts, after = [], [], None
    prefix = BLOB_PARTS.key.pack(domain, sha256)
    while True:
        try:
            for key, body in txn.scan_bodies(BLOB_PARTS, prefix, after):
                keys.append(key)
                parts.append(BLOB_PARTS.decode(body))
            break
        except Corrupt as error:
            after = bytes.fromhex(error.details["key"])
            if not after.startswith(prefix):
                break  # the row that follows the blob's
            keys.append(after)
    for key in keys:
        txn.delete_body(BLOB_PARTS, key)
    return parts


def index_rest(index: Index, lease: Lease, sha256: bytes) -> None:
    """Indexes the chunks that :func:`keep` left out, in transactions of bounded size."""
    ranges = list(lease.ranges)
    with index.read() as view:
        row = held(view, lease.domain, sha256)
    if row is not None and row.parts > chunks.PARTS_A_TRANSACTION:
        chunks.index_blob(
            index, lease.domain, sha256, lambda txn, part: chunks.index_own(txn, lease.domain, part, ranges)
        )


def _let_go(txn: Txn, domain: int, sha256: bytes, old: list[Part]) -> None:
    """After new parts took the place of damaged ones: no row may point into bytes that only the old ones covered."""
    covered: dict[int, list[tuple[int, int]]] = {}
    for _, part in txn.scan(BLOB_PARTS, domain, sha256):
        for pack, offset, length in extents(part):
            covered.setdefault(pack, []).append((offset, offset + length))
    still = {pack: Intervals(ranges) for pack, ranges in covered.items()}
    for part in old:
        chunks.unindex(txn, domain, part, still)
    for key in [key for key, _ in txn.scan(DAMAGES, domain, sha256)]:
        txn.delete(DAMAGES, *key)
    chunks.note_repair(txn)


def pin(txn: Txn, domain: int, sha256: bytes, holder: bytes, owner: str, expires: int) -> None:
    """Keeps a blob from the collector until ``expires``; ``holder`` is the upload that asks for it."""
    txn.put(PINS, domain, sha256, holder, Pin(expires, owner))


def guard(domain: int, blobs: Mapping[bytes, int], owner: str = "") -> Callable[[State], None]:
    """A check to be run in the transaction that commits references to blobs, given as SHA-256 and size.

    It raises :class:`Missing` naming the digests that are not here whole, :class:`DigestMismatch` for a wrong size and
    :class:`Corrupt` for a damaged blob. Blobs that were marked as garbage are live again, with the rows of their chunks. The pins that
    ``owner`` has on them are taken out: the reference keeps them from here on.
    """
    wanted = dict(sorted(blobs.items()))

    def check(state: State) -> None:
        absent = [sha256 for sha256, size in wanted.items() if not _present(state, domain, sha256, size)]
        if absent:
            names = ", ".join(sha256.hex() for sha256 in absent[:8])
            more = f" and {len(absent) - 8} more" if len(absent) > 8 else ""
            raise Missing(
                f"the store does not hold {names}{more}; upload the bytes, then commit",
                sha256=[sha256.hex() for sha256 in absent],
            )
        pins = [
            key for sha256 in wanted for key, pin in state.scan(PINS, domain, sha256) if pin.owner == owner
        ]
        for key in pins:
            state.delete(PINS, *key)
        for sha256 in wanted:
            _revive(state, domain, sha256)

    return check


def _present(state: State, domain: int, sha256: bytes, size: int) -> bool:
    row = held(state, domain, sha256)
    if row is None:
        return False
    if row.size != size:
        raise DigestMismatch(
            f"blob {sha256.hex()} has {row.size} bytes, and the manifest says {size}",
            sha256=sha256.hex(),
            size=row.size,
        )
    if damaged(state, domain, sha256):
        raise Corrupt(
            f"blob {sha256.hex()} is damaged here; upload it again to repair it", sha256=sha256.hex()
        )
    return complete(state, domain, sha256, size)


def _revive(state: State, domain: int, sha256: bytes) -> None:
    row = held(state, domain, sha256)
    assert row is not None
    if not row.garbage:
        return
    few = [part for _, part in islice(state.scan(BLOB_PARTS, domain, sha256), _PARTS_A_COMMIT + 1)]
    whole = len(few) <= _PARTS_A_COMMIT
    if whole:
        for part in few:
            for record, pack, at, _ in placed(part):
                if state.get(CHUNKS, domain, record[:DIGEST_SIZE]) is None:
                    state.put(
                        CHUNKS, domain, record[:DIGEST_SIZE], PLACE.pack(pack, at) + record[DIGEST_SIZE:]
                    )
    state.put(BLOBS, domain, sha256, replace(row, garbage=0, epoch=0, indexed=row.indexed or whole))


def require(view: View, domain: int, sha256: bytes) -> Blob:
    """The row of a blob that is present; raises :class:`Missing`."""
    row = held(view, domain, sha256)
    if row is None:
        raise Missing(f"the store does not hold the blob {sha256.hex()}", sha256=sha256.hex())
    return row
