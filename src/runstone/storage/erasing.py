"""Erasing payloads of log entries: what a purge takes out of the state is taken out of the log too, in the same transaction.

The header stays, and with it every proof. Beside it stays the command without its contents, for a rebuild to apply in its place: up to
the entry that erased it the state is then another, and from there on the same.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import groupby
from operator import itemgetter

import msgspec

from runstone.errors import Corrupt, Gone
from runstone.storage.commands import Remains, kind_numbered
from runstone.storage.entry import Header, unpack_header
from runstone.storage.index import Txn, View
from runstone.storage.tables import ERASURES, LOG_HEADERS, LOG_PAYLOADS, Erasure, Stored

_encode = msgspec.msgpack.Encoder().encode


def erase(txn: Txn, doomed: Iterable[tuple[int, int]]) -> None:
    """Erases the payloads of log entries, each given with the entry that erases it.

    Of one that is erased already less is left then: it had been kept for something that has gone since.
    """
    for by, found in groupby(sorted(set(doomed), key=lambda each: each[::-1]), itemgetter(1)):
        known: set[str] = set()
        for seq, _ in found:
            _erase(txn, seq, by, known)


def _erase(txn: Txn, seq: int, by: int, known: set[str]) -> None:
    packed, stored = txn.get(LOG_HEADERS, seq), txn.get(LOG_PAYLOADS, seq)
    if packed is None or stored is None:
        return
    payload = stored.payload
    if payload is None:
        before = txn.get(ERASURES, seq)
        if before is None or before.by >= by:
            return
        payload = before.left
    left = kind_numbered(unpack_header(packed).kind).decode(payload).erased(Remains(seq, txn, known))
    if left is not None:
        txn.put(LOG_PAYLOADS, seq, Stored(b"", None, stored.result))
        txn.put(ERASURES, seq, Erasure(by, _encode(left)))


def erasures(
    view: View, entries: Iterable[tuple[Header, Stored]], upto: int
) -> Iterator[tuple[int, Erasure]]:
    """What the erased ones of these entries left, by entry, for a replay that ends before entry ``upto``.

    Raises :class:`Gone` when the entry that erased one lies at the end or behind it: the state in between cannot be had any more.
    """
    for header, stored in entries:
        erasure = None if stored.payload is not None else left_of(view, header)
        if erasure is None:
            continue
        if erasure.by >= upto:
            raise Gone(
                f"log entry {erasure.by} erased the payload of entry {header.seq}, so nothing between the two can be made again: "
                f"go to entry {erasure.by + 1} or later, or use a backup from before it"
            )
        yield header.seq, erasure


def left_of(view: View, header: Header) -> Erasure | None:
    """What an erased entry left; None when its payload was compacted. Raises :class:`Corrupt` when no later entry erased it."""
    erasure = view.get(ERASURES, header.seq)
    if erasure is not None and (erasure.by <= header.seq or view.get(LOG_HEADERS, erasure.by) is None):
        raise Corrupt(f"log entry {header.seq} is erased, and entry {erasure.by}, which did it, is not there")
    return erasure
