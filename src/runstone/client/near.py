"""A server on this machine whose files this process can read: nothing is moved, its bytes are mapped where they lie.

See ``docs/http.md``, *Plans*: the token shows the server that we can, a read lock on the range keeps its collector away.
"""

from __future__ import annotations

import fcntl
import os
import struct
from pathlib import Path
from typing import NamedTuple

from runstone.client.origin import Origin
from runstone.client.plan import PlannedFile

HEADER = "X-Runstone-Near"
#: ``struct flock`` of 64-bit Linux: type, whence, start, length, pid.
_FLOCK = struct.Struct("hhqqi4x")
#: A file in more pieces is brought: each costs a lock, and what looks for a lock passes by all of them.
MAX_PIECES = 1024
_LOOPBACK = frozenset({"localhost", "::1"})


def token_for(origin: Origin) -> str:
    """What a server on this machine left for who may read its files; empty for any other server."""
    if not (origin.host in _LOOPBACK or origin.host.startswith("127.")) or origin.prefix:
        return ""
    user = os.getuid()
    for directory in (Path(f"/run/user/{user}/runstone"), Path(f"/tmp/runstone-{user}")):
        try:
            with open(directory / str(origin.port), "rb", buffering=0) as file:  # noqa: PTH123 (one read, no buffer)
                text = file.read(256).decode("ascii")
            if text.isalnum() and directory.stat().st_uid == user:
                return text
        except (OSError, UnicodeDecodeError):
            continue
    return ""


class Piece(NamedTuple):
    """``length`` bytes of a file, from ``start`` on, which lie at ``offset`` of an open descriptor."""

    start: int
    handle: int
    offset: int
    length: int


def hold(file: PlannedFile) -> tuple[Piece, ...] | None:
    """Where the file lies, locked until the descriptors are closed, of which there is one for each pack; None if it cannot be had so."""
    if len(file.places) > MAX_PIECES:
        return None
    handles: dict[str, int] = {}
    pieces: list[Piece] = []
    start = 0
    for path, offset, length in file.places:
        if path not in handles:
            try:
                handles[path] = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
            except (OSError, ValueError):
                break
        if not _is_held(handles[path], offset, length):
            break
        pieces.append(Piece(start, handles[path], offset, length))
        start += length
    else:
        return tuple(pieces)
    for handle in handles.values():
        os.close(handle)
    return None


def _is_held(handle: int, offset: int, length: int) -> bool:
    try:
        fcntl.fcntl(handle, fcntl.F_OFD_SETLK, _FLOCK.pack(fcntl.F_RDLCK, os.SEEK_SET, offset, length, 0))
        # A hole is what a collector has freed before the range was locked: what it frees is never written to again.
        return os.lseek(handle, offset, os.SEEK_HOLE) >= offset + length
    except OSError:
        return False
