"""A file system whose files can share blocks: XFS on a loop device, which needs root. Also for tests."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path


class Unavailable(Exception):
    """This machine cannot mount one."""


@contextlib.contextmanager
def xfs(megabytes: int) -> Iterator[Path]:
    """A mounted XFS of some size (300 MB is the least); what is in it is gone afterwards. Raises :class:`Unavailable`."""
    if os.geteuid() != 0 or not all(map(shutil.which, ("mkfs.xfs", "mount", "umount"))):
        raise Unavailable("needs root and mkfs.xfs")
    home = Path(tempfile.mkdtemp(prefix="xfs-"))
    where, image = home / "disk", home / "image"
    where.mkdir()
    try:
        with image.open("wb") as file:
            file.truncate(megabytes << 20)
        try:
            _run("mkfs.xfs", "-q", "-m", "reflink=1", image)
            _run("mount", "-t", "xfs", "-o", "loop", image, where)
        except subprocess.CalledProcessError as error:
            raise Unavailable(f"no XFS on a loop device here: {error.stderr.strip()}") from None
        try:
            yield where
        finally:
            _run("umount", "-l", where)
    finally:
        shutil.rmtree(home)


def _run(*command: object) -> None:
    subprocess.run(list(map(str, command)), check=True, capture_output=True, text=True)
