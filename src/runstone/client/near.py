"""A server on this machine whose files this process can read: nothing is moved, its bytes are mapped where they lie.

See ``docs/http.md``, *Plans*: the token shows the server that we can, a read lock on the range keeps its collector away.
"""

from __future__ import annotations

import fcntl
import os
import struct
from pathlib import Path

from runstone.client.origin import Origin
from runstone.client.plan import PlannedFile

HEADER = "X-Runstone-Near"
#: ``struct flock`` of 64-bit Linux: type, whence, start, length, pid.
_FLOCK = struct.Struct("hhqqi4x")
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


def hold(file: PlannedFile) -> tuple[int, int] | None:
    """A descriptor and an offset from which the file lies whole, locked until the descriptor is closed; None if it cannot be had so."""
    if len(file.places) != 1:
        return None
    path, offset, length = file.places[0]
    try:
        handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    except (OSError, ValueError):
        return None
    try:
        fcntl.fcntl(handle, fcntl.F_OFD_SETLK, _FLOCK.pack(fcntl.F_RDLCK, os.SEEK_SET, offset, length, 0))
        # A hole is what a collector has freed before the range was locked: what it frees is never written to again.
        if os.lseek(handle, offset, os.SEEK_HOLE) >= offset + length:
            return handle, offset
    except OSError:
        pass
    os.close(handle)
    return None
