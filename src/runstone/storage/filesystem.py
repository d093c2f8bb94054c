"""What the store needs of a file system: names that survive a power cut, and a local disk under it."""

from __future__ import annotations

import contextlib
import os
import threading
from pathlib import Path

from runstone.errors import Invalid

#: LMDB needs a coherent shared mapping and working locks, which none of these gives.
NETWORK_FILE_SYSTEMS = frozenset(
    {
        "nfs",
        "nfs4",
        "cifs",
        "smb3",
        "smbfs",
        "9p",
        "afs",
        "ceph",
        "coda",
        "glusterfs",
        "lustre",
        "gpfs",
        "beegfs",
        "ocfs2",
        "gfs2",
        "fuse.sshfs",
        "fuse.glusterfs",
        "fuse.s3fs",
        "fuse.gcsfuse",
        "fuse.rclone",
        "fuse.ceph",
        "fuse.juicefs",
    }
)


def fsync_directory(path: Path) -> None:
    """Makes the names in a directory durable."""
    handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def make_directory(path: Path) -> None:
    """Creates a directory and its missing parents, each one durably named in its parent."""
    if path.is_dir():
        return
    make_directory(path.parent)
    with contextlib.suppress(FileExistsError):
        path.mkdir(mode=0o700)
    fsync_directory(path.parent)


def write_durably(path: Path, content: bytes, mode: int = 0o600) -> None:
    """Writes a whole file so that after a power cut it is the old one or the new one, never a part."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.{threading.get_ident()}.tmp")
    handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    fsync_directory(path.parent)


def create_durably(path: Path, content: bytes, mode: int = 0o600) -> bool:
    """Like :func:`write_durably`, but leaves an existing file alone; says whether this call made it."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.{threading.get_ident()}.tmp")
    write_durably(temporary, content, mode)
    try:
        path.hardlink_to(temporary)
    except FileExistsError:
        return False
    finally:
        temporary.unlink(missing_ok=True)
        fsync_directory(path.parent)
    return True


def file_system_of(path: Path) -> str:
    """The type of the file system that holds a path, as the kernel names it (``ext4``, ``nfs4``); empty if unknown."""
    real = os.path.realpath(path)
    best, found = "", ""
    try:
        mounts = Path("/proc/self/mountinfo").read_text()
    except OSError:
        return ""
    for line in mounts.splitlines():
        fields, _, tail = line.partition(" - ")
        mount = fields.split()[4].encode().decode("unicode_escape")
        inside = real == mount or real.startswith(mount.rstrip("/") + "/")
        if inside and len(mount) >= len(best):
            best, found = mount, tail.split()[0]
    return found


def refuse_network_file_system(path: Path, kind: str | None = None) -> None:
    """Raises :class:`Invalid` when the path lies on a network file system; ``kind`` overrides detection."""
    kind = kind or file_system_of(path)
    if kind in NETWORK_FILE_SYSTEMS:
        raise Invalid(
            f"{path} is on a network file system ({kind}), where a memory-mapped index is not safe; "
            "put the data directory on a local disk and share it with 'runstone up'"
        )
