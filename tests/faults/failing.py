"""System calls that fail on purpose: every k-th write, sync, rename, … on the files of one directory.

``shim.c`` is compiled at test time and preloaded into the process under test and its children. The rules
live in a small mapped file, so a test arms and disarms them while the process runs, and reads the counters
of all its processes.

Kinds of call:

==========  ==================================================================================================
``write``   write, pwrite, writev, pwritev, pwritev2, copy_file_range, sendfile and splice into a file,
            (f)truncate, fallocate, posix_fallocate; also LMDB's write of a meta page, through a descriptor
            opened with O_DSYNC
``sync``    fsync, fdatasync, msync, sync_file_range, syncfs; of the directory itself too
``name``    rename, link, symlink: where either name lies in the directory
``create``  open with O_CREAT or O_TMPFILE, creat, mkdir
``unlink``  unlink, rmdir
==========  ==================================================================================================

A failed call has no effect. Not seen: raw syscalls, io_uring, static binaries, ``ioctl(FICLONE)``, and what
libc does by itself (stdio, ``mkstemp``). LMDB and CPython call libc through the dynamic linker and are seen.
"""

from __future__ import annotations

import atexit
import errno
import functools
import mmap
import os
import shutil
import struct
import subprocess
import tempfile
from pathlib import Path
from types import TracebackType
from typing import Self

KINDS = ("write", "sync", "name", "create", "unlink")

_MAGIC = 0x32746C7561667372
_FIELDS = ("rule", "turn", "tripped", "seen", "injected")
_EVERY, _SHORT, _STICKY, _ARMED = 1 << 48, 1 << 49, 1 << 50, 1 << 63
_WORD = struct.Struct("=Q")


def available() -> str | None:
    """Answers why calls cannot be made to fail here, or None when they can."""
    return None if _compiler() else "no C compiler to build the preloaded library with"


class Failing:
    """Makes calls on the files of one directory fail, in every process started with ``env``.

    Starts disarmed: calls are counted and pass. The directory must exist; its symbolic links are resolved
    now.
    """

    def __init__(self, directory: Path | str) -> None:
        reason = available()
        if reason:
            raise RuntimeError(reason)
        self.directory = Path(directory).resolve(strict=True)
        self._home = tempfile.TemporaryDirectory(prefix="runstone-failing-")
        control = Path(self._home.name) / "control"
        control.write_bytes(_WORD.pack(_MAGIC) + bytes(mmap.PAGESIZE - _WORD.size))
        with control.open("r+b") as file:
            self._words = mmap.mmap(file.fileno(), mmap.PAGESIZE)
        self.env = {
            **os.environ,
            "LD_PRELOAD": " ".join(filter(None, (str(_library()), os.environ.get("LD_PRELOAD")))),
            "RUNSTONE_FAULTS_DIRECTORY": str(self.directory),
            "RUNSTONE_FAULTS_CONTROL": str(control),
        }

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.disarm()
        self._words.close()
        self._home.cleanup()

    def arm(
        self,
        kind: str,
        *,
        every: int | None = None,
        nth: int | None = None,
        error: int = errno.EIO,
        short: bool = False,
        sticky: bool = False,
    ) -> None:
        """Makes every k-th, or exactly the k-th, call of a kind from now on fail with an errno.

        ``short``: a write of two bytes or more writes its first half and says so, instead of failing.
        ``sticky``: once it has hit, all later calls of the kind fail with the errno, as on a full disk.
        Each kind has a rule of its own; arming a kind again replaces its rule.
        """
        if kind not in KINDS:
            raise ValueError(f"kind {kind!r} is none of {', '.join(KINDS)}")
        k = every if nth is None else nth
        if k is None or (every is not None and nth is not None) or not 0 < k < 1 << 32:
            raise ValueError("give either every=k or nth=k, at least 1")
        if not 0 < error < 1 << 16:
            raise ValueError(f"{error} is not an errno")
        rule = _ARMED | k | error << 32
        rule |= (_EVERY if nth is None else 0) | (_SHORT if short else 0) | (_STICKY if sticky else 0)
        self._write(kind, "rule", 0)
        self._write(kind, "turn", 0)
        self._write(kind, "tripped", 0)
        self._write(kind, "rule", rule)

    def disarm(self, kind: str | None = None) -> None:
        """Lets the calls of one kind, or of all, pass again."""
        for each in KINDS if kind is None else (kind,):
            self._write(each, "rule", 0)

    @property
    def seen(self) -> dict[str, int]:
        """Calls on the directory's files since the start, by kind, failed or not."""
        return {kind: self._read(kind, "seen") for kind in KINDS}

    @property
    def injected_by_kind(self) -> dict[str, int]:
        """Faults injected since the start, by kind."""
        return {kind: self._read(kind, "injected") for kind in KINDS}

    @property
    def injected(self) -> int:
        """Faults injected since the start."""
        return sum(self.injected_by_kind.values())

    def _read(self, kind: str, field: str) -> int:
        value: int = _WORD.unpack_from(self._words, _offset(kind, field))[0]
        return value

    def _write(self, kind: str, field: str, value: int) -> None:
        _WORD.pack_into(self._words, _offset(kind, field), value)


def _offset(kind: str, field: str) -> int:
    return _WORD.size * (1 + KINDS.index(kind) * len(_FIELDS) + _FIELDS.index(field))


def _compiler() -> str | None:
    return shutil.which(os.environ.get("CC", "cc")) or shutil.which("gcc") or shutil.which("clang")


@functools.cache
def _library() -> Path:
    compiler = _compiler()
    assert compiler is not None
    home = tempfile.mkdtemp(prefix="runstone-shim-")
    atexit.register(shutil.rmtree, home, ignore_errors=True)
    library = Path(home) / "shim.so"
    source = Path(__file__).with_name("shim.c")
    command = [compiler, "-std=gnu11", "-O2", "-Wall", "-Wextra", "-Werror", "-fPIC", "-shared"]
    command += ["-o", str(library), str(source), "-ldl"]
    built = subprocess.run(command, capture_output=True, text=True, check=False)
    if built.returncode:
        raise RuntimeError(f"the preloaded library does not build:\n{built.stderr}")
    return library
