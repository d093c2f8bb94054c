"""The change log itself: where it stands, its entries, its Merkle tree."""

from __future__ import annotations

from runstone.storage.tables.table import Record, log_table

#: The Merkle root of a log without entries: SHA-256 of nothing (RFC 6962, section 2.1).
EMPTY_ROOT = bytes.fromhex("e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855")


class Head(Record, frozen=True):
    """Where the log stands: entries, Merkle root, state hash, time of the last entry (microseconds), and the tree's right edge."""

    size: int = 0
    root: bytes = EMPTY_ROOT
    state: bytes = bytes(32)
    time: int = 0
    peaks: tuple[bytes, ...] = ()


class Stored(Record, frozen=True):
    """A log entry's payload with its salt, and what applying it answered (MessagePack)."""

    salt: bytes
    payload: bytes | None
    result: bytes


class Erasure(Record, frozen=True):
    """What an erased payload leaves: the log entry that erased it, and the command without its contents (MessagePack)."""

    by: int
    left: bytes


HEAD = log_table(1, "head", "zero:u8", Head)
LOG_HEADERS = log_table(2, "log_headers", "seq:u64", bytes)
LOG_PAYLOADS = log_table(3, "log_payloads", "seq:u64", Stored)
COMMANDS = log_table(4, "commands", "id:b16", int)
TILES = log_table(5, "tiles", "level:u8 index:u64", bytes)
ERASURES = log_table(101, "erasures", "seq:u64", Erasure)
