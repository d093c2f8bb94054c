"""Files from the cache put where the user wants them: by reflink, hard link or copy, each whole or not at all."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import stat
from pathlib import Path
from typing import Literal

from runstone.client import verify
from runstone.client.local import wrapping
from runstone.client.plan import Content
from runstone.errors import Conflict, Invalid

Link = Literal["auto", "hard", "reflink", "copy"]
LINKS = ("auto", "hard", "reflink", "copy")
_FICLONE = 0x40049409
_CANNOT = frozenset(
    {
        errno.EXDEV,
        errno.EOPNOTSUPP,
        errno.ENOTTY,
        errno.EINVAL,
        errno.EPERM,
        errno.EMLINK,
        errno.ENOSYS,
        errno.EACCES,
    }
)
_PIECE = 64 << 20


class Target:
    """The directory that a version is put into, made if need be.

    No symbolic link below it is followed or written through. A hard link shares its bytes with the cache and so is
    read-only; a reflink or a copy is the user's own file. ``auto`` takes a reflink, else a hard link, else a copy;
    ``copy`` lets the file system share the blocks where it can.
    """

    def __init__(self, path: Path, link: Link) -> None:
        if link not in LINKS:
            raise Invalid(f"link {link!r} must be one of {', '.join(LINKS)}")
        self.path = path
        self._link = link
        with wrapping(f"writing to {path}"):
            path.mkdir(parents=True, exist_ok=True)
            self._root = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        self._open: list[tuple[str, int]] = []

    def close(self) -> None:
        """Lets the directories go."""
        self._leave(0)
        os.close(self._root)

    def _leave(self, depth: int) -> None:
        while len(self._open) > depth:
            os.close(self._open.pop()[1])

    def _directory(self, parts: list[str]) -> int:
        """The directory of a file, made if need be. Those on the way stay open for the next file in sorted order."""
        shared = 0
        for (name, _), part in zip(self._open, parts, strict=False):
            if name != part:
                break
            shared += 1
        self._leave(shared)
        for part in parts[shared:]:
            above = self._open[-1][1] if self._open else self._root
            with contextlib.suppress(FileExistsError):
                os.mkdir(part, dir_fd=above)
            flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
            try:
                self._open.append((part, os.open(part, flags, dir_fd=above)))
            except NotADirectoryError:
                raise self._in_the_way(part, above) from None
        return self._open[-1][1] if self._open else self._root

    def _in_the_way(self, part: str, above: int) -> Conflict:
        is_link = stat.S_ISLNK(os.stat(part, dir_fd=above, follow_symlinks=False).st_mode)
        what = "a symbolic link" if is_link else "not a directory"
        return Conflict(
            f"{part!r} in {self.path} is {what}, and a directory is to be put there; move it away"
        )

    def holds(self, path: str, content: Content) -> bool:
        """Whether the target has a file with exactly these bytes already."""
        *parts, name = path.split("/")
        with wrapping(f"reading {self.path / path}"):
            try:
                flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
                handle = os.open(name, flags, dir_fd=self._directory(parts))
            except (FileNotFoundError, PermissionError):
                return False
            except OSError as error:
                if error.errno in (errno.ELOOP, errno.ENXIO, errno.EISDIR):
                    return False
                raise
            try:
                return stat.S_ISREG(os.fstat(handle).st_mode) and verify.is_whole(handle, content)
            finally:
                os.close(handle)

    def put(self, path: str, source: Path) -> None:
        """Puts a cached file at a path, in one rename; a symbolic link that lies there is replaced, not followed."""
        *parts, name = path.split("/")
        with wrapping(f"writing {self.path / path}"):
            directory = self._directory(parts)
            if self._link in ("auto", "hard") and _is_linked(source, name, directory):
                return
            temporary = f".{os.urandom(8).hex()}.part"
            try:
                self._make(source, temporary, directory)
                os.rename(temporary, name, src_dir_fd=directory, dst_dir_fd=directory)
            except IsADirectoryError:
                raise Conflict(
                    f"{self.path / path} is a directory, and a file is to be put there; move it away"
                ) from None
            finally:
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(temporary, dir_fd=directory)

    def _make(self, source: Path, name: str, directory: int) -> None:
        tries = (_reflink, _hard_link, _copy) if self._link == "auto" else (_BY_NAME[self._link],)
        for make in tries:
            try:
                make(source, name, directory)
                return
            except OSError as error:
                if make is tries[-1] or error.errno not in _CANNOT:
                    raise


def _is_linked(source: Path, name: str, directory: int) -> bool:
    try:
        there = os.stat(name, dir_fd=directory, follow_symlinks=False)
    except FileNotFoundError:
        return False
    here = source.stat()
    return (there.st_dev, there.st_ino) == (here.st_dev, here.st_ino)


def _hard_link(source: Path, name: str, directory: int) -> None:
    os.link(source, name, dst_dir_fd=directory)


def _reflink(source: Path, name: str, directory: int) -> None:
    with _between(source, name, directory) as (reading, writing):
        fcntl.ioctl(writing, _FICLONE, reading)


def _copy(source: Path, name: str, directory: int) -> None:
    with _between(source, name, directory) as (reading, writing):
        left = os.fstat(reading).st_size
        while left:
            moved = _copy_piece(reading, writing, min(left, _PIECE))
            if not moved:
                raise OSError(errno.EIO, "the cached file ended early")
            left -= moved


def _copy_piece(reading: int, writing: int, length: int) -> int:
    try:
        return os.copy_file_range(reading, writing, length)
    except OSError as error:
        if error.errno not in _CANNOT:
            raise
    return os.sendfile(writing, reading, None, length)  # both go on from where they stand


@contextlib.contextmanager
def _between(source: Path, name: str, directory: int):  # type: ignore[no-untyped-def]  # noqa: ANN202
    reading = os.open(source, os.O_RDONLY | os.O_CLOEXEC)
    try:
        writing = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666, dir_fd=directory)
        try:
            yield reading, writing
        except BaseException:
            os.unlink(name, dir_fd=directory)
            raise
        finally:
            os.close(writing)
    finally:
        os.close(reading)


_BY_NAME = {"hard": _hard_link, "reflink": _reflink, "copy": _copy}
