"""A disk whose power can be cut: an ext4 file system on a loop device, shut down by an ioctl.

``FS_IOC_SHUTDOWN`` with ``NOLOGFLUSH`` (Linux ``fs/ext4/ioctl.c``) aborts the journal where it stands: pages,
names and sizes that were not made durable are gone after the next mount, which replays the journal. Every
later call on the file system fails with EIO, and touching a page of a mapping that is not in memory is a
SIGBUS: so what is under test runs in processes of its own, never in the process that holds the disk.

Mounted so that little survives by luck: no automatic allocation on rename or truncate (``noauto_da_alloc``),
and the journal commits by itself only every five minutes. What this does not show: a disk that loses or
reorders writes it has confirmed, or tears a sector; and a missing fsync of a directory, where a later fsync
of any file on the disk commits the whole journal and the name with it (an fsync of a new file always makes
its own name durable on ext4).
"""

from __future__ import annotations

import atexit
import contextlib
import errno
import fcntl
import functools
import os
import select
import shutil
import signal
import struct
import subprocess
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self

#: ``_IOR('X', 125, __u32)`` and EXT4_GOING_FLAGS_NOLOGFLUSH of Linux ``fs/ext4/ext4.h``.
_SHUTDOWN = 2 << 30 | 4 << 16 | ord("X") << 8 | 125
_NOLOGFLUSH = 2

_OPTIONS = "loop,noatime,noauto_da_alloc,commit=300,nosuid,nodev"
_PATIENCE = 20.0


class Killable(Protocol):
    """A process under test, such as ``killer.Victim``."""

    def kill(self) -> object:
        """Kills it and waits until it is gone."""


class PowerCutDisk:
    """A mounted file system of its own; ``path`` is where it is, before and after each cut.

    ``close()``, leaving the context, or the end of Python unmounts it, frees the loop device and removes the
    image.
    """

    def __init__(self, image_dir: Path | str, size_mb: int = 128) -> None:
        self._home = Path(tempfile.mkdtemp(prefix="powercut-", dir=image_dir))
        self.path = self._home / "disk"
        self._image = self._home / "image"
        self._mounted = False
        self.cuts = 0
        self.path.mkdir()
        atexit.register(self.close)
        try:
            _make_file_system(self._image, size_mb)
            self._mount()
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def cut(self) -> None:
        """Cuts the power now; processes may be writing. Recover before the next cut."""
        handle = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY)
        try:
            fcntl.ioctl(handle, _SHUTDOWN, struct.pack("I", _NOLOGFLUSH))
        finally:
            os.close(handle)
        self.cuts += 1

    def recover(self, kill: Iterable[int | Killable] = (), *, check: bool = False) -> Path:
        """Kills processes, mounts the disk again with a replay of its journal, and answers where it is.

        kill: process ids or victims; a real power cut takes them too, so name all that use the disk.
        check: e2fsck must find the replayed file system clean, else AssertionError (about 50 ms).
        Something that still holds the old mount is left with it; the disk goes on from a copy of the image.
        """
        for process in kill:
            _kill(process)
        self._unmount()
        self._mount()
        if check:
            self._unmount()
            checked = _run("e2fsck", "-fn", str(self._image), check=False)
            assert checked.returncode == 0, (
                f"the file system is damaged after its recovery:\n{checked.stdout}"
            )
            self._mount()
        return self.path

    def close(self) -> None:
        """Unmounts, frees the loop device and removes the image. Safe to call twice."""
        atexit.unregister(self.close)
        if self._mounted:
            _run("umount", "-l", str(self.path), check=False)
            self._mounted = False
        shutil.rmtree(self._home, ignore_errors=True)

    def _mount(self) -> None:
        _run("mount", "-t", "ext4", "-o", _OPTIONS, str(self._image), str(self.path))
        self._mounted = True

    def _unmount(self) -> None:
        if not _unmounts(self.path):
            # A second mount of one image would be the old, dead file system again: go on from a copy.
            _run("umount", "-l", str(self.path))
            copy = self._image.with_name(f"image-{self.cuts}")
            _run("cp", "--sparse=always", str(self._image), str(copy))
            self._image.unlink()
            self._image = copy
        self._mounted = False


@functools.cache
def available() -> str | None:
    """Answers why the power cannot be cut on this machine, or None when it can; found by cutting it once."""
    if os.geteuid() != 0:
        return "mounting a loop device needs root"
    missing = [tool for tool in ("mkfs.ext4", "e2fsck", "mount", "umount", "cp") if _tool(tool) is None]
    if missing:
        return f"not installed: {', '.join(missing)}"
    with tempfile.TemporaryDirectory(prefix="runstone-powercut-") as home:
        try:
            disk = PowerCutDisk(home, 16)
        except subprocess.CalledProcessError as error:
            return f"no ext4 on a loop device here: {error.stderr.strip()}"
        # From here on a failure is a fault of this module or of a test, never a reason to skip one.
        with disk:
            try:
                disk.cut()
            except OSError as error:
                return f"this kernel does not shut an ext4 down: {error}"
            disk.recover()
    return None


def _tool(name: str) -> str | None:
    return shutil.which(name, path=f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/sbin")


def _run(tool: str, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
    return subprocess.run([_tool(tool) or tool, *arguments], capture_output=True, text=True, check=check)


def _make_file_system(image: Path, size_mb: int) -> None:
    with image.open("xb") as file:
        file.truncate(size_mb << 20)
    # Tables written now, so that no kernel thread writes them later, during a cut.
    extended = "lazy_itable_init=0,lazy_journal_init=0,nodiscard"
    _run("mkfs.ext4", "-q", "-m", "0", "-E", extended, str(image))


def _unmounts(path: Path) -> bool:
    """Unmounts; false if something still holds the file system a second after the last process was killed."""
    deadline = time.monotonic() + 1
    while _run("umount", str(path), check=False).returncode:
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    return True


def _kill(process: int | Killable) -> None:
    if not isinstance(process, int):
        process.kill()
        return
    try:
        handle = os.pidfd_open(process)
    except ProcessLookupError:
        return
    try:
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(handle, signal.SIGKILL)
        _wait_until_gone(handle)
    finally:
        os.close(handle)


def _wait_until_gone(pidfd: int) -> None:
    if not select.select([pidfd], [], [], _PATIENCE)[0]:
        raise OSError(errno.ETIMEDOUT, "a killed process does not end")
