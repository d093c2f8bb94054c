"""Files and directories of a commit as the Hub shows them.

Every file is shown as a Git LFS object, whose identity is the SHA-256 that is kept here; its Git id is that of its pointer file, as in a
repository of Git. Source: the Git LFS pointer format, https://github.com/git-lfs/git-lfs/blob/main/docs/spec.md.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from hashlib import sha1, sha256
from typing import Any

from runstone.types import FileEntry


def git_blob_id(content: bytes) -> str:
    """The id that Git gives to a file."""
    return sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()


def pointer(file: FileEntry) -> bytes:
    """The pointer file of Git LFS that stands for a file."""
    digest = file.sha256 or sha256(file.etag.encode()).hexdigest()
    return b"version https://git-lfs.github.com/spec/v1\noid sha256:%s\nsize %d\n" % (
        digest.encode(),
        file.size,
    )


def shown_file(file: FileEntry) -> dict[str, Any]:
    """A file in a tree."""
    text = pointer(file)
    found: dict[str, Any] = {
        "type": "file",
        "path": file.path,
        "size": file.size,
        "oid": git_blob_id(text),
    }
    if file.sha256:
        found["lfs"] = {"oid": file.sha256, "size": file.size, "pointerSize": len(text)}
    return found


def shown_directory(path: str, commit: str) -> dict[str, Any]:
    """A directory in a tree; its id is unique to the commit and path."""
    oid = sha1(f"{commit}:{path}".encode(), usedforsecurity=False).hexdigest()
    return {"type": "directory", "path": path, "oid": oid, "size": 0}


def shown_sibling(file: FileEntry, details: bool) -> dict[str, Any]:
    """A file in the information about a repo."""
    found: dict[str, Any] = {"rfilename": file.path}
    if details:
        text = pointer(file)
        found |= {"size": file.size, "blobId": git_blob_id(text)}
        if file.sha256:
            found["lfs"] = {"sha256": file.sha256, "size": file.size, "pointerSize": len(text)}
    return found


def walked(files: Iterable[FileEntry], after: str, commit: str) -> Iterator[dict[str, Any]]:
    """Files by path, each directory before the first file in it; ``after`` is the last path of the page before."""
    known = set(_parents(after))
    for file in files:
        for directory in _parents(file.path):
            if directory not in known:
                known.add(directory)
                yield shown_directory(directory, commit)
        yield shown_file(file)


def level(files: Iterable[FileEntry], prefix: str, commit: str) -> Iterator[dict[str, Any]]:
    """What lies directly under ``prefix``, which is empty or ends in ``/``."""
    known: set[str] = set()
    for file in files:
        name, slash, _ = file.path[len(prefix) :].partition("/")
        if not slash:
            yield shown_file(file)
        elif name not in known:
            known.add(name)
            yield shown_directory(prefix + name, commit)


def _parents(path: str) -> list[str]:
    return [path[:at] for at, character in enumerate(path) if character == "/"]
