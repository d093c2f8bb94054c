"""The files of a folder that is put as a version."""

from __future__ import annotations

import os
from pathlib import Path

from runstone.client.plan import is_safe
from runstone.errors import Invalid, Missing


def find(source: Path) -> list[tuple[str, Path]]:
    """The files below a folder with their paths in the version, sorted; or the one file that ``source`` is.

    Links to files inside the folder are followed. Raises :class:`Invalid` for a link that leads out of it or to a directory, for
    what is neither file nor directory, and for names that no version may have.
    """
    if source.is_file():
        return [(_checked(source.name, source), source)]
    if not source.is_dir():
        raise Missing(f"{source} does not exist")
    root = source.resolve()
    found = []
    for directory, folders, files in os.walk(source, onerror=_refuse):
        if ".git" in folders:
            folders.remove(".git")
        for name in [*files, *(folder for folder in folders if Path(directory, folder).is_symlink())]:
            path = Path(directory, name)
            real = path.resolve()
            if not real.is_file() or not real.is_relative_to(root):
                raise Invalid(
                    f"{path} is not a file inside {source}; remove the link, or put what it leads to"
                )
            found.append((_checked(path.relative_to(source).as_posix(), path), path))
    if not found:
        raise Invalid(f"{source} holds no files")
    return sorted(found)


def _checked(name: str, path: Path) -> str:
    if not is_safe(name):
        raise Invalid(f"{os.fspath(path)!r} has a name that a version cannot hold; rename it")
    return name


def _refuse(error: OSError) -> None:
    raise Invalid(f"cannot read {error.filename}: {error.strerror}") from error
