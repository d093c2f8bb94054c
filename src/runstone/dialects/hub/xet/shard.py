"""Shards: how a client describes files by their chunks, and how it is told of chunks that are here.

Source: huggingface/xet-core, xet_core_structures/src/metadata_shard: shard_file.rs, file_structs.rs, xorb_structs.rs. A shard is a header
and two lists of 48-byte entries, files and xorbs, each closed by an entry whose hash is all ones; then, in one that is stored, lookup
tables and a footer of 200 bytes. Clients send it without those, and take it with empty tables.
"""

from __future__ import annotations

import struct
import time
from collections.abc import Sequence

from runstone.domain.xet import NewFile, Term
from runstone.errors import Invalid

MAX_BODY = 64 << 20
MAX_FILES = 100_000
_TAG = b"HFRepoMetaData\0" + bytes(
    (85, 105, 103, 69, 106, 123, 129, 87, 131, 165, 189, 217, 92, 205, 209, 74, 169)
)
_HEAD = struct.Struct("<32sQQ")
_FILE = struct.Struct("<32sIIQ")
_TERM = struct.Struct("<32sIIII")
_XORB = struct.Struct("<32sIIII")
_CHUNK = struct.Struct("<32sIIII")
#: Version; six offsets and counts of what is empty here; key; created, expires; six that are reserved; sizes; where the footer is.
_FOOTER = struct.Struct("<Q8Q32sQQ48xQQQQ")
_VERSION, _FOOTER_VERSION = 2, 1
_END = b"\xff" * 32
_VERIFIED, _WITH_SHA256 = 1 << 31, 1 << 30
#: Seconds that a client may go on using what it is told.
LIFETIME = 24 * 3600


def files(data: bytes) -> list[NewFile]:
    """The files that a shard describes; raises :class:`Invalid` for one that is malformed. Its xorbs are looked up, not read."""
    if len(data) < _HEAD.size:
        raise Invalid(f"a shard has {_HEAD.size} bytes or more, not {len(data)}")
    tag, version, _ = _HEAD.unpack_from(data)
    if tag != _TAG or version != _VERSION:
        raise Invalid(f"this is no shard of version {_VERSION}")
    found: list[NewFile] = []
    at = _HEAD.size
    while True:
        head = _FILE.unpack(_entries(data, at, 1))
        at += _FILE.size
        if head[0] == _END:
            return found
        if len(found) == MAX_FILES:
            raise Invalid(f"a shard of over {MAX_FILES} files; send several")
        _, flags, count, _ = head
        extra = (count if flags & _VERIFIED else 0) + (1 if flags & _WITH_SHA256 else 0)
        block = _entries(data, at, count + extra)
        at += len(block)
        found.append(_file(head[0], flags, count, block))


def _entries(data: bytes, at: int, count: int) -> bytes:
    stop = at + count * _TERM.size
    if stop > len(data):
        raise Invalid(f"the shard ends at byte {len(data)}, inside {count} entries that begin at {at}")
    return data[at:stop]


def _file(digest: bytes, flags: int, count: int, block: bytes) -> NewFile:
    checks: Sequence[bytes] = [b""] * count
    at = count * _TERM.size
    if flags & _VERIFIED:
        checks = [block[at + number * _TERM.size :][:32] for number in range(count)]
        at += count * _TERM.size
    terms = tuple(
        Term(xorb, size, start, stop, check)
        for (xorb, _, size, start, stop), check in zip(
            _TERM.iter_unpack(block[: count * _TERM.size]), checks, strict=True
        )
    )
    # Xet writes every hash alike, so a SHA-256 too is in four words of eight bytes; in memory that is its own order of bytes.
    sha256 = block[at : at + 32] if flags & _WITH_SHA256 else b""
    return NewFile(digest, terms, _swapped(sha256))


def _swapped(digest: bytes) -> bytes:
    """A SHA-256 out of an entry: its hexadecimal text was read as four numbers, which are stored little-endian."""
    return b"".join(digest[at : at + 8][::-1] for at in range(0, len(digest), 8))


def of_xorbs(xorbs: Sequence[tuple[bytes, Sequence[tuple[bytes, int]]]]) -> bytes:
    """A shard that tells of xorbs, each a hash and its chunks (hash, length)."""
    out = bytearray(_HEAD.pack(_TAG, _VERSION, _FOOTER.size))
    files_at = len(out)
    out += _FILE.pack(_END, 0, 0, 0)
    xorbs_at, stored = len(out), 0
    for digest, chunks in xorbs:
        size = sum(length for _, length in chunks)
        on_disk = size + 8 * len(chunks)
        out += _XORB.pack(digest, 0, len(chunks), size, on_disk)
        start = 0
        for chunk, length in chunks:
            out += _CHUNK.pack(chunk, start, length, 0, 0)
            start += length
        stored += size
    out += _XORB.pack(_END, 0, 0, 0, 0)
    end, now = len(out), int(time.time())
    offsets = (files_at, xorbs_at, end, 0, end, 0, end, 0)
    out += _FOOTER.pack(_FOOTER_VERSION, *offsets, bytes(32), now, now + LIFETIME, stored, 0, stored, end)
    return bytes(out)
