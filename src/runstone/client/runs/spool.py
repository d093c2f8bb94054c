"""The spool: the directory of a host in which journals wait until they are delivered.

Layout of ``<spool>/v1``::

    <journal id>/head               what the journal is of, MessagePack (Head)
    <journal id>/lock               flock, held by the process that writes or delivers the journal
    <journal id>/delivered          how far it is delivered; two slots of position u64 and xxh3-64 of that, written in turn
    <journal id>/<position>.segment the records (records.py); the name is the position of the first byte in hexadecimal
    <journal id>/spare              the next segment, before its time
    <journal id>/rejected           what the store refused, and why: JSON lines (Rejected)
    .new-<journal id>/              a journal that is being made
"""

from __future__ import annotations

import os
import stat
import struct
import time
from contextlib import suppress
from pathlib import Path

import msgspec

from runstone._native.digests import xxh3_64
from runstone.client.local import wrapping
from runstone.client.lock import FileLock
from runstone.client.runs.segment import Segment, found_in
from runstone.client.runs.sink import RunSpec
from runstone.errors import Invalid

FORMAT = 1
_SLOT = struct.Struct("<QQ")
_NEW = ".new-"
#: So long after its last change a directory without records is nobody's.
_LEFT_NS = 3600 * 10**9


class Head(msgspec.Struct, frozen=True, kw_only=True):
    """What a journal is of. ``destination`` names the store (a URL, or a path), never a key; ``stretch`` is the most bytes of
    records that are delivered together: it decides where batches end, and so never changes for a journal.
    """

    format: int
    id: str
    destination: str
    stretch: int
    created: int
    pid: int
    spec: RunSpec


class Rejected(msgspec.Struct, frozen=True, kw_only=True):
    """Something that the store refused: ``content`` is what it would have been as JSON can say it, ``id`` its command id in hexadecimal."""

    id: str
    kind: str
    time: int
    code: str
    reason: str
    content: object


class Place:
    """The directory of one journal, under its lock."""

    def __init__(self, path: Path, head: Head, lock: FileLock) -> None:
        self.path, self.head, self._lock = path, head, lock
        self._turn = 0
        self._handle = os.open(path / "delivered", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)

    @classmethod
    def create(cls, spool: Path, head: Head) -> Place:
        """A new one, seen by other processes only when it is whole and locked. Raises what :func:`wrapped` makes of OSError."""
        with wrapping(f"making a journal in {spool} (set RUNSTONE_SPOOL to have it elsewhere)"):
            base = spool / "v1"
            base.mkdir(parents=True, exist_ok=True)
            new, path = base / f"{_NEW}{head.id}", base / head.id
            new.mkdir(mode=0o700)
            lock = FileLock.try_acquire(new / "lock")
            assert lock is not None, "nobody else knows a random name"
            (new / "head").write_bytes(msgspec.msgpack.encode(head))
            new.rename(path)
            lock.path = path / "lock"
            return cls(path, head, lock)

    @classmethod
    def claim(cls, path: Path) -> Place | None:
        """One that its process has left, or None: it lives, another process delivers it, or there is nothing to read."""
        try:
            lock = FileLock.try_acquire(path / "lock")
        except OSError:
            return None
        if lock is None:
            return None
        try:
            head = msgspec.msgpack.decode((path / "head").read_bytes(), type=Head)
            if head.format == FORMAT:
                return cls(path, head, lock)
        except (OSError, msgspec.DecodeError):
            pass
        lock.release()
        return None

    def delivered(self) -> int:
        """The position up to which everything was delivered or rejected."""
        stored = os.pread(self._handle, 2 * _SLOT.size, 0)
        stored += bytes(2 * _SLOT.size - len(stored))
        found = [
            position for position, check in _SLOT.iter_unpack(stored) if check == xxh3_64(_packed(position))
        ]
        return max(found, default=0)

    def set_delivered(self, position: int, *, durable: bool = False) -> None:
        """Moves that position on; ``durable`` before segments are removed on the strength of it."""
        slot = _SLOT.pack(position, xxh3_64(_packed(position)))
        os.pwrite(self._handle, slot, self._turn * _SLOT.size)
        self._turn ^= 1
        if durable:
            os.fdatasync(self._handle)

    def segments(self) -> list[Segment]:
        """The segments of a journal that was left, to be read; a file with a foreign name is passed over."""
        found = []
        for path in found_in(self.path):
            with suppress(ValueError):
                found.append(Segment.open(path))
        return found

    def reject(self, rejected: Rejected) -> None:
        """Adds to what was refused."""
        line = msgspec.json.encode(rejected) + b"\n"
        handle = os.open(self.path / "rejected", os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        try:
            os.write(handle, line)
        finally:
            os.close(handle)

    def release(self) -> None:
        """Lets the journal go: whoever finds it may deliver it. In a forked child, the lock stays with the parent."""
        handle, self._handle = self._handle, -1
        if handle >= 0:
            os.close(handle)
        self._lock.release()

    def remove(self) -> None:
        """Removes what was delivered: everything or, if something was refused, all but that."""
        with suppress(FileNotFoundError):  # somebody tidied up
            for path in found_in(self.path):
                path.unlink(missing_ok=True)
        (self.path / "spare").unlink(missing_ok=True)
        if not (self.path / "rejected").exists():
            (self.path / "delivered").unlink(missing_ok=True)
            (self.path / "head").unlink(missing_ok=True)
            self._lock.release(remove=True)
            with suppress(OSError):
                self.path.rmdir()
        self.release()


def _packed(position: int) -> bytes:
    return position.to_bytes(8, "little")


def rejected_in(path: Path) -> list[Rejected]:
    """What was refused of a journal, each once; a line that is torn is passed over."""
    found: dict[str, Rejected] = {}
    with suppress(FileNotFoundError):
        for line in (path / "rejected").read_bytes().splitlines():
            with suppress(msgspec.DecodeError):
                each = msgspec.json.decode(line, type=Rejected)
                found[each.id] = each
    return list(found.values())


def journals(spool: Path) -> list[Path]:
    """The directories of journals with records in them, whoever they belong to, oldest first."""
    found = []
    with suppress(OSError):
        for path in (spool / "v1").iterdir():
            with suppress(OSError):
                made = path.stat().st_ctime_ns
                if found_in(path) and not path.name.startswith(_NEW):
                    found.append((made, path))
                elif not (path / "rejected").exists() and time.time_ns() - made > _LEFT_NS:
                    _clean(path)
    return [path for _, path in sorted(found)]


def _clean(path: Path) -> None:
    """Removes what a process left that died while it made a journal, or while it removed one."""
    import shutil  # slow to load, and hardly ever needed

    lock = FileLock.try_acquire(path / "lock")
    if lock is not None:
        shutil.rmtree(path, ignore_errors=True)
        lock.release()


def default_spool() -> Path:
    """``RUNSTONE_SPOOL``, or ``runstone/spool`` in the user's state directory; raises :class:`Invalid` for a file."""
    named = os.environ.get("RUNSTONE_SPOOL")
    if named:
        path = Path(named).expanduser()
    else:
        base = os.environ.get("XDG_STATE_HOME")
        path = (Path(base) if base else Path.home() / ".local" / "state") / "runstone" / "spool"
    if path.exists() and not path.is_dir():
        raise Invalid(f"{path} is a file, and cannot be the spool; set RUNSTONE_SPOOL to a directory")
    return path


def fallbacks() -> list[Path]:
    """Directories of this user alone that take journals when the spool cannot; made if need be, those that can be."""
    found = []
    for base in ("/dev/shm", "/tmp"):
        path = Path(base) / f"runstone-spool-{os.getuid()}"
        with suppress(OSError):
            path.mkdir(mode=0o700, exist_ok=True)
            held = path.lstat()
            if stat.S_ISDIR(held.st_mode) and held.st_uid == os.getuid() and not held.st_mode & 0o077:
                found.append(path)
    return found
