"""Which segments make up a table, which of their rows count, and up to which change they go."""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from runstone._native import digests
from runstone.storage import filesystem
from runstone.storage.columns import bitmaps
from runstone.storage.columns.bitmaps import Bits

NAME = "manifest"
MAGIC = b"RSCOLMAN"
VERSION = 1
#: magic, version, reserved, segments, generation, sequence number
HEADER = struct.Struct("<8sHHIQq")
#: segment, rows, reserved
SEGMENT = struct.Struct("<QII")
CHECK = struct.Struct("<Q")

#: What tells one manifest file from another without reading it.
Stamp = tuple[int, int, int, int]
NO_FILE: Stamp = (0, 0, 0, 0)


@dataclass(frozen=True)
class Manifest:
    """A table's segments with the bitmaps of their rows that count; every change up to ``seq`` is in them.

    ``generation`` grows with each manifest that replaces another.
    """

    generation: int = 0
    seq: int = -1
    segments: dict[int, tuple[int, Bits]] = field(default_factory=dict)


def pack(manifest: Manifest) -> bytes:
    """The bytes of the file."""
    out = [HEADER.pack(MAGIC, VERSION, 0, len(manifest.segments), manifest.generation, manifest.seq)]
    for segment, (rows, live) in manifest.segments.items():
        out += [SEGMENT.pack(segment, rows, 0), live.tobytes()]
    body = b"".join(out)
    return body + CHECK.pack(digests.xxh3_64(body))


def unpack(data: bytes) -> Manifest | None:
    """The manifest, or None when the bytes are not one: what it describes can be made again."""
    if len(data) < HEADER.size + CHECK.size:
        return None
    body, (check,) = data[: -CHECK.size], CHECK.unpack(data[-CHECK.size :])
    magic, version, _, count, generation, seq = HEADER.unpack_from(body)
    if digests.xxh3_64(body) != check or (magic, version) != (MAGIC, VERSION):
        return None
    at = HEADER.size
    segments: dict[int, tuple[int, Bits]] = {}
    for _ in range(count):
        segment, rows, _ = SEGMENT.unpack_from(body, at)
        at += SEGMENT.size
        size = bitmaps.words(rows)
        segments[segment] = (rows, np.frombuffer(body, np.uint64, size, at).copy())
        at += 8 * size
    return Manifest(generation, seq, segments)


def stamp(folder: Path) -> Stamp:
    """What changes whenever the manifest is replaced."""
    try:
        found = (folder / NAME).stat()
    except FileNotFoundError:
        return NO_FILE
    return found.st_ino, found.st_mtime_ns, found.st_ctime_ns, found.st_size


def read(folder: Path) -> Manifest:
    """The manifest of a folder; an empty one if there is none that can be used."""
    try:
        return unpack((folder / NAME).read_bytes()) or Manifest()
    except FileNotFoundError:
        return Manifest()


def write(folder: Path, manifest: Manifest) -> None:
    """Replaces the manifest durably."""
    filesystem.write_durably(folder / NAME, pack(manifest))
