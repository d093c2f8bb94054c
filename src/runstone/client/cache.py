"""The cache that the processes of a host share: whole, verified, read-only files named by their content.

Layout of ``<cache>/v1``::

    files/<root[:2]>/<root>           the bytes; mode 0444; access time = last use
    files/<root[:2]>/<root>.chunks    header below, then the packed records of its chunks
    partial/<root>[.journal|.lock]    files on their way in (partial.py)
    pins/<name>                       roots in use by a process that is alive, 32 bytes each (eviction.py)
    plans/<server>/<collection>/      the last good plan of each name (plans.py)
    views/<key>/                      versions fetched without a target: links into files/
    uploads/                          uploads that may be resumed (upload.py)
    lock                              held while files are evicted

Header of ``.chunks``, little-endian: ``RSCHUNK1``, size u64, modification time in ns i64, inode u64, boot id [16],
settled u32, zero u32. A file whose size, time or inode is another one is verified again before it is used. So is one
that was written before the last boot: nothing is synced when a file is admitted, and after a power cut its pages may
be missing. One such verification settles it, for then it was read from the disk.
"""

from __future__ import annotations

import os
import struct
import time
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from runstone.client import verify
from runstone.client.local import wrapping
from runstone.client.lock import FileLock
from runstone.client.partial import Partial
from runstone.client.plan import Content
from runstone.errors import Invalid

MAGIC = b"RSCHUNK1"
DEFAULT_SIZE = 64 << 30
_HEADER = struct.Struct("<8sQqQ16sI4x")
_UNITS = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}
_TAG = b"Signature: 8a477f597d28d172789f06886806bc55\n# Made by runstone; what is in here can be fetched again.\n"


class Cache:
    """A cache directory, made if need be. ``limit`` is the size in bytes that eviction holds it to."""

    def __init__(self, directory: str | os.PathLike[str] | None = None, limit: int | None = None) -> None:
        self.limit = default_limit() if limit is None else limit
        base = default_directory() if directory is None else Path(directory)
        self.directory = base.absolute() / "v1"
        with wrapping(f"making the cache {base} (set RUNSTONE_CACHE to put it elsewhere)"):
            for name in ("files", "partial", "pins", "plans", "views", "uploads"):
                (self.directory / name).mkdir(parents=True, exist_ok=True)
            tag = base / "CACHEDIR.TAG"
            if not tag.exists():
                tag.write_bytes(_TAG)

    def path_of(self, content: Content) -> Path:
        """Where a content lies once it is here."""
        return self.directory / "files" / content.root[:2] / content.root

    def partial_of(self, content: Content) -> Path:
        """Where a content lies that is here in part."""
        return self.directory / "partial" / content.root

    def find(self, content: Content) -> Path | None:
        """The file with these bytes, if it is here and still what was verified; one that is not is removed."""
        path = self.path_of(content)
        try:
            held = path.stat()
        except FileNotFoundError:
            return None
        known = read_header(path)
        if known is not None and known.vouches_for(held):
            return path
        return self._verified(path, content)

    def _verified(self, path: Path, content: Content) -> Path | None:
        with wrapping(f"verifying {path}"):
            handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
            try:
                if verify.is_whole(handle, content):
                    self._settle(path, content, handle)
                    return path
            finally:
                os.close(handle)
            remove(path)
        return None

    def _settle(self, path: Path, content: Content, handle: int) -> None:
        with suppress(PermissionError):  # another user's file: good now, and verified again next time
            os.fchmod(handle, 0o444)
            self._write_header(path, content, os.fstat(handle), settled=True)

    def touch(self, path: Path) -> None:
        """Notes that a file is used now, for the eviction of what was not used for longest."""
        # It may be another user's file in a shared cache, or evicted just now: only its age is less exact.
        with suppress(OSError):
            os.utime(path, ns=(time.time_ns(), path.stat().st_mtime_ns))

    def lock(self, content: Content) -> FileLock | None:
        """The right to bring a content, or None while another process brings it."""
        with wrapping(f"locking in {self.directory}"):
            return FileLock.try_acquire(self.directory / "partial" / f"{content.root}.lock")

    def begin(self, content: Content, runs: tuple[tuple[int, int], ...] | None = None) -> Partial:
        """The partial file of a content, of which these runs of chunks are wanted, whose lock the caller holds."""
        return Partial(self.directory / "partial", content, runs)

    def admit(self, partial: Partial) -> Path:
        """Takes a complete partial file into the cache."""
        content, path = partial.content, self.path_of(partial.content)
        with wrapping(f"taking {content.size} bytes into {self.directory}"):
            path.parent.mkdir(exist_ok=True)
            brought = partial.finish()
            self._write_header(path, content, brought.stat(), settled=False)
            brought.rename(path)
        return path

    def _write_header(self, path: Path, content: Content, held: os.stat_result, *, settled: bool) -> None:
        header = _HEADER.pack(MAGIC, held.st_size, held.st_mtime_ns, held.st_ino, boot_id(), settled)
        # Not by a rename: one that is read while it is written, or torn, vouches for nothing and is written again.
        Path(f"{path}.chunks").write_bytes(header + content.chunks)


class Header(NamedTuple):
    """What a cached file was like when it was verified, and in which boot; ``settled`` if it had outlived one by then."""

    size: int
    mtime: int
    inode: int
    boot: bytes
    settled: int

    def vouches_for(self, held: os.stat_result) -> bool:
        """Whether the file is still the one that was verified."""
        same = (self.size, self.mtime, self.inode) == (held.st_size, held.st_mtime_ns, held.st_ino)
        return same and (bool(self.settled) or self.boot == boot_id())


def read_header(path: Path) -> Header | None:
    """The header of a cached file, or None if it has none that can be read."""
    try:
        with open(f"{path}.chunks", "rb", buffering=0) as file:  # noqa: PTH123 (one read, no buffer)
            magic, *fields = _HEADER.unpack(file.read(_HEADER.size))
    except (OSError, struct.error):
        return None
    return Header(*fields) if magic == MAGIC else None


def remove(path: Path) -> None:
    """Takes a file out of the cache; the bytes first, so that records never vouch for what is not there."""
    path.unlink(missing_ok=True)
    path.with_name(f"{path.name}.chunks").unlink(missing_ok=True)


def write_whole(path: Path, content: bytes) -> None:
    """Replaces a small file at once; not durable, as nothing in a cache has to be."""
    temporary = path.with_name(f".{path.name}.{os.urandom(4).hex()}")
    try:
        temporary.write_bytes(content)
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def boot_id() -> bytes:
    """16 bytes that are others after every boot or, where the kernel does not tell, in every process."""
    global _boot
    if _boot is None:
        try:
            text = Path("/proc/sys/kernel/random/boot_id").read_text()
            _boot = bytes.fromhex(text.strip().replace("-", ""))
        except (OSError, ValueError):
            _boot = os.urandom(16)
    return _boot


_boot: bytes | None = None


def default_directory() -> Path:
    """``RUNSTONE_CACHE``, or ``runstone`` in the user's cache directory."""
    named = os.environ.get("RUNSTONE_CACHE")
    if named:
        return Path(named).expanduser()
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "runstone"


def default_limit() -> int:
    """``RUNSTONE_CACHE_SIZE`` in bytes (``500M``, ``64G``), or :data:`DEFAULT_SIZE`."""
    text = os.environ.get("RUNSTONE_CACHE_SIZE")
    return parse_size(text) if text else DEFAULT_SIZE


def limit_of(size: int | str | None) -> int | None:
    """A limit that was given in bytes or as a text, or not at all."""
    return parse_size(size) if isinstance(size, str) else size


def parse_size(text: str) -> int:
    """Bytes from a number with an optional unit K, M, G or T (of 1024), with or without B or iB behind it."""
    bare = text.strip().upper().removesuffix("IB").removesuffix("B")
    digits = bare.rstrip("KMGT ")
    unit = bare[len(digits) :].strip()
    if not digits.isascii() or not digits.isdigit() or unit not in _UNITS:
        raise Invalid(f"{text!r} is not a size: write bytes, or a number with K, M, G or T")
    return int(digits) * _UNITS[unit]
