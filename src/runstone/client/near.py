"""A server on this machine whose files this process can read: nothing is moved, its bytes are mapped where they lie.

See ``docs/http.md``, *Plans*: the token shows the server that we can, a read lock on the range keeps its collector away.
"""

from __future__ import annotations

import bisect
import fcntl
import os
import struct
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from runstone.client import names
from runstone.client.http import MSGPACK, Http
from runstone.client.names import Name
from runstone.client.origin import Origin
from runstone.client.plan import MAX_PLAN, Plan, PlannedFile, read_near
from runstone.errors import TryAgain

Run = tuple[int, int]

HEADER = "X-Runstone-Near"
#: ``struct flock`` of 64-bit Linux: type, whence, start, length, pid.
_FLOCK = struct.Struct("hhqqi4x")
#: A file in more pieces is brought: each costs a lock, and what looks for a lock passes by all of them.
MAX_PIECES = 1024
_LOOPBACK = frozenset({"localhost", "::1"})


def token_files(port: int) -> tuple[Path, ...]:
    """Where this user's server on a port may have left its token; one that was killed leaves it there."""
    user = os.getuid()
    return Path(f"/run/user/{user}/runstone/{port}"), Path(f"/tmp/runstone-{user}/{port}")


def token_for(origin: Origin) -> str:
    """What a server on this machine left for who may read its files; empty for any other server."""
    if not (origin.host in _LOOPBACK or origin.host.startswith("127.")) or origin.prefix:
        return ""
    for path in token_files(origin.port):
        try:
            with open(path, "rb", buffering=0) as file:  # noqa: PTH123 (one read, no buffer)
                text = file.read(256).decode("ascii")
            if text.isalnum() and path.parent.stat().st_uid == os.getuid():
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


def ask(http: Http, name: Name) -> Plan | None:
    """Where a version's files lie; None from a server that is not on this machine, or whose files this process cannot read."""
    token = token_for(http.origin)
    if not token:
        return None
    headers = {"Accept": MSGPACK, HEADER: token}
    try:
        response = http.exchange("GET", f"{names.version_url(name)}/plan", headers=headers)
        body = http.body_of(response, MAX_PLAN)
    except TryAgain:
        return None  # the other way asks again, and says so
    return read_near(body) if response.status == 200 and b".pack" in body else None


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


def release(pieces: Iterable[Piece]) -> None:
    """Closes the descriptors of pieces."""
    for handle in {piece.handle for piece in pieces}:
        os.close(handle)


def in_pieces(
    pieces: Iterable[Piece], offsets: Sequence[int], runs: Iterable[Run]
) -> tuple[list[tuple[Piece, int, int]], list[Run]]:
    """Of runs of chunks, which begin at these offsets, those that lie whole in a piece, with it; and those that lie in none."""
    found: list[tuple[Piece, int, int]] = []
    lacking: list[Run] = []
    for start, stop in runs:
        at = start
        for piece in pieces:
            first = bisect.bisect_left(offsets, piece.start, at, stop)
            end = bisect.bisect_right(offsets, piece.start + piece.length, first, stop + 1) - 1
            if first < end:
                if at < first:
                    lacking.append((at, first))
                found.append((piece, first, end))
                at = end
        if at < stop:
            lacking.append((at, stop))
    return found, lacking
