"""The files of a folder that is put as a version: one rule for a store opened in this process and for a server's.

Links to directories are refused, neither skipped (a version would lack files that its maker saw in the folder) nor followed (a link
upwards has no end, and files would be stored under several names).
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from runstone.errors import Invalid, Missing


def find(source: Path, checked: Callable[[str], str]) -> list[tuple[str, Path]]:
    """The files below a folder with their paths in the version, sorted; or the one file that ``source`` is.

    ``checked`` answers a path that a version may have, and raises for another. Links to files inside the folder are followed, and
    a ``.git`` folder is left out. Raises :class:`Missing`; and :class:`Invalid` for any other link, for what is neither file nor
    directory, for a directory that cannot be read, and for a folder without files.
    """
    if source.is_file():
        return [(checked(source.name), source)]
    if not source.is_dir():
        raise Missing(f"{source} does not exist")
    root = source.resolve()
    found = []
    for directory, folders, files in os.walk(source, onerror=_unreadable):
        if ".git" in folders:
            folders.remove(".git")
        for name in folders:
            if Path(directory, name).is_symlink():
                raise Invalid(
                    f"{Path(directory, name)} is a link to a directory; remove the link, or put what it leads to"
                )
        for name in files:
            path = Path(directory, name)
            real = path.resolve()
            if not real.is_file() or not real.is_relative_to(root):
                raise Invalid(
                    f"{path} is not a file inside {source}; remove it, or put what it leads to if it is a link"
                )
            found.append((checked(path.relative_to(source).as_posix()), path))
    if not found:
        raise Invalid(f"{source} holds no files")
    return sorted(found)


def _unreadable(error: OSError) -> None:
    raise Invalid(f"cannot read {error.filename}: {error.strerror}") from error
