"""The plan of a version: what a fetch has to bring, checked as the hostile input that it is."""

from __future__ import annotations

import struct
from itertools import accumulate
from typing import NamedTuple

import msgspec

from runstone._native.digests import verify_chunks, xet_file_hash
from runstone.errors import Corrupt
from runstone.types import VersionInfo

#: Bytes of an answer.
MAX_PLAN = 1 << 30
CHUNK_RECORD = 44
CHUNK_HASH = 32
MAX_CHUNK = 128 << 10
MAX_PATH = 4096
MAX_PART = 255
MAX_FILES = 1_000_000
_LENGTHS = struct.Struct("<40xI")


class PlannedFile(msgspec.Struct, frozen=True, kw_only=True):
    """A file of a plan. ``chunks`` are its packed records: BLAKE3, xxh3-64, length; 44 bytes each, in order.

    ``head`` are the bytes of its first chunks, if a safetensors header lies in them; ``places`` where its bytes lie on this machine.
    """

    path: str
    size: int
    sha256: str = ""
    url: str = ""
    etag: str = ""
    media_type: str = ""
    chunks: bytes = b""
    head: bytes = b""
    places: tuple[tuple[str, int, int], ...] = ()


class Plan(msgspec.Struct, frozen=True):
    """All that a fetch needs to know of a version, in one answer."""

    version: VersionInfo
    files: tuple[PlannedFile, ...]
    seq: int = 0


class Content(NamedTuple):
    """The bytes of a file, named by ``root``: the Xet hash over its chunks, and so by what is verified as they land.

    A name that the server merely asserts (the SHA-256 of its listing) would let one server fill another's place in a
    shared cache.
    """

    root: str
    size: int
    chunks: bytes

    @property
    def chunk_count(self) -> int:
        """How many chunks there are."""
        return len(self.chunks) // CHUNK_RECORD

    def records(self, start: int, stop: int) -> bytes:
        """The packed records of a run of chunks."""
        return self.chunks[start * CHUNK_RECORD : stop * CHUNK_RECORD]

    def hash_of(self, chunk: int) -> bytes:
        """The BLAKE3 of a chunk."""
        return self.chunks[chunk * CHUNK_RECORD : chunk * CHUNK_RECORD + CHUNK_HASH]

    def offsets(self) -> list[int]:
        """Where each chunk begins, and at the end where the last one ends."""
        return list(accumulate((length for (length,) in _LENGTHS.iter_unpack(self.chunks)), initial=0))


def read(content: bytes) -> Plan:
    """A plan from its MessagePack; raises :class:`Corrupt` unless it describes files that can safely be written."""
    try:
        plan = msgspec.msgpack.decode(content, type=Plan)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Corrupt(f"the server's plan cannot be read: {error}") from None
    check_paths([file.path for file in plan.files])
    for file in plan.files:
        check_chunks(file)
        check_head(file)
    return plan


def read_near(content: bytes) -> Plan:
    """A plan that says where its files lie on this machine; raises :class:`Corrupt` unless the places add up."""
    try:
        plan = msgspec.msgpack.decode(content, type=Plan)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Corrupt(f"the server's plan cannot be read: {error}") from None
    check_paths([file.path for file in plan.files])
    for file in plan.files:
        wrong = any(offset < 0 or length <= 0 for _, offset, length in file.places)
        if not file.url and (wrong or sum(length for _, _, length in file.places) != file.size):
            raise Corrupt(
                f"the server's plan is damaged: the places of {file.path!r} do not make up the file"
            )
    return plan


def check_head(file: PlannedFile) -> None:
    """Raises :class:`Corrupt` unless the head of a file is its first chunks."""
    if not file.head:
        return
    stop, length = 0, 0
    for (size,) in _LENGTHS.iter_unpack(file.chunks):
        if length >= len(file.head):
            break
        stop, length = stop + 1, length + size
    if length != len(file.head) or verify_chunks(file.head, file.chunks[: stop * CHUNK_RECORD]) >= 0:
        raise Corrupt(f"the server's plan is damaged: the head of {file.path!r} is not what its chunks say")


def content_of(file: PlannedFile) -> Content:
    """What a file's bytes are; the file has been checked and is held by the server."""
    return Content(xet_file_hash(file.chunks).hex(), file.size, file.chunks)


def check_chunks(file: PlannedFile) -> None:
    """Raises :class:`Corrupt` unless a file's chunks add up to its size; an external reference has none."""
    if file.url:
        return
    if file.size < 0 or len(file.chunks) % CHUNK_RECORD:
        raise Corrupt(f"the server's plan is damaged: the chunk list of {file.path!r} is cut off")
    total = 0
    for (length,) in _LENGTHS.iter_unpack(file.chunks):
        if not 0 < length <= MAX_CHUNK:
            raise Corrupt(f"the server's plan is damaged: {file.path!r} has a chunk of {length} bytes")
        total += length
    if total != file.size:
        raise Corrupt(
            f"the server's plan is damaged: the chunks of {file.path!r} make {total} bytes, not {file.size}"
        )


def check_paths(paths: list[str]) -> None:
    """Raises :class:`Corrupt` for paths that could leave the target or name one file twice."""
    if len(paths) > MAX_FILES:
        raise Corrupt(f"the server's plan has {len(paths)} files, over the limit of {MAX_FILES}")
    for path in paths:
        if not is_safe(path):
            raise Corrupt(
                f"the server's plan has the path {path!r:.200}, which is not safe to write; nothing was fetched"
            )
    known = set(paths)
    if len(known) != len(paths):
        raise Corrupt("the server's plan gives a path twice; nothing was fetched")
    for path in known:
        at = path.find("/")
        while at >= 0:
            if path[:at] in known:
                raise Corrupt(
                    f"the server's plan has {path[:at]!r} as a file and as a directory; nothing was fetched"
                )
            at = path.find("/", at + 1)


def is_safe(path: str) -> bool:
    """Whether a path stays below the directory that it is joined to; the rule is the one that versions are committed by."""
    if not path or len(path) > MAX_PATH or "\\" in path:
        return False
    if any(character < " " or "\x7f" <= character <= "\x9f" for character in path):
        return False
    return all(_is_safe_part(part) for part in path.split("/"))


def _is_safe_part(part: str) -> bool:
    try:
        return part.lower() not in ("", ".", "..", ".git") and len(part.encode()) <= MAX_PART
    except UnicodeEncodeError:  # a lone surrogate
        return False
