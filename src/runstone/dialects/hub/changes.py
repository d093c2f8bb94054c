"""What a commit changes: the lines of its body, and the files that come of them."""

from __future__ import annotations

import base64
import binascii
from collections.abc import AsyncIterator, Callable, Iterable
from typing import Any

import msgspec

from runstone.domain import limits
from runstone.errors import Invalid, Malformed, TooLarge
from runstone.types import FileEntry

#: The largest file whose bytes come in the body of a commit.
REGULAR = 5 << 20
MAX_LINE = REGULAR * 4 // 3 + (64 << 10)
README = "README.md"


class Header(msgspec.Struct, rename="camel"):
    """What a commit says of itself, and what it must stand on."""

    summary: str = ""
    description: str = ""
    parent_commit: str | None = None


class File(msgspec.Struct):
    """A file whose bytes are in the line."""

    path: str
    content: str
    encoding: str = "utf-8"


class LfsFile(msgspec.Struct):
    """A file whose bytes were uploaded; no ``size`` says that they are in the repo already."""

    path: str
    oid: str
    algo: str = "sha256"
    size: int | None = None


class Path(msgspec.Struct):
    """A file or folder that goes."""

    path: str


class CopyFile(msgspec.Struct, rename="camel"):
    """A file that is another's copy, at a revision or at the parent commit."""

    path: str
    src_path: str
    src_revision: str | None = None


class Put(msgspec.Struct):
    """A file of known bytes; ``text`` is the content of a model card."""

    path: str
    sha256: str
    size: int | None
    text: str = ""


class Drop(msgspec.Struct):
    """A file, or with ``folder`` all files in it."""

    path: str
    folder: bool = False


Change = Put | Drop | CopyFile
_LINES: dict[str, Any] = {
    "header": Header, "file": File, "lfsFile": LfsFile, "deletedFile": Path, "deletedFolder": Path, "copyFile": CopyFile
}  # fmt: skip


class _Line(msgspec.Struct):
    key: str
    value: msgspec.Raw


async def lines(pieces: AsyncIterator[bytes]) -> AsyncIterator[Any]:
    """The values of newline-delimited JSON as they come, none held longer than it takes; a pair of key and value."""
    waiting = bytearray()
    async for piece in pieces:
        waiting += piece
        # A long line comes in many pieces, and is looked through once.
        if b"\n" in piece:
            *whole, waiting = waiting.split(b"\n")
            for line in whole:
                if line.strip():
                    yield _decoded(bytes(line))
        if len(waiting) > MAX_LINE:
            raise TooLarge(
                f"a line of the commit has over {MAX_LINE} bytes, the limit here; upload the file first"
            )
    if waiting.strip():
        yield _decoded(bytes(waiting))


def _decoded(line: bytes) -> tuple[str, Any]:
    try:
        outer = msgspec.json.decode(line, type=_Line)
        if outer.key not in _LINES:
            raise Invalid(f"a commit has no lines of kind {outer.key!r:.80}")
        return outer.key, msgspec.json.decode(outer.value, type=_LINES[outer.key])
    except (msgspec.MsgspecError, UnicodeError) as error:
        raise Malformed(f"a line of the commit does not parse: {error}") from None


def content_of(file: File) -> bytes:
    """The bytes of a file that came in a line."""
    try:
        data = (
            base64.b64decode(file.content, validate=True)
            if file.encoding == "base64"
            else file.content.encode()
        )
    except (binascii.Error, ValueError) as error:
        raise Malformed(f"the content of {file.path!r:.200} does not decode: {error}") from None
    if len(data) > REGULAR:
        raise TooLarge(f"{file.path!r:.200} has {len(data)} bytes; over {REGULAR} a file is uploaded first")
    return data


def card_of(path: str, data: bytes) -> str:
    """The text of a model card, if the file is one and its text can describe a version."""
    if path != README or len(data) > limits.MAX_DESCRIPTION or b"\0" in data:
        return ""
    try:
        return data.decode()
    except UnicodeError:
        return ""


def applied(
    files: Iterable[FileEntry],
    changes: Iterable[Change],
    copied: Callable[[CopyFile], FileEntry],
    size_of: Callable[[str], int | None],
) -> dict[str, FileEntry]:
    """The files by path after changes, in order; raises :class:`Invalid` for one that cannot be made."""
    found = {file.path: file for file in files}
    sizes = {file.sha256: file.size for file in found.values()}
    for change in changes:
        if isinstance(change, Drop):
            _drop(found, change)
        elif isinstance(change, CopyFile):
            source = found.get(change.src_path) if change.src_revision is None else copied(change)
            if source is None:
                raise Invalid(f"there is no file {change.src_path!r:.500} to copy")
            found[change.path] = msgspec.structs.replace(source, path=limits.path(change.path))
        else:
            size = (
                change.size if change.size is not None else sizes.get(change.sha256, size_of(change.sha256))
            )
            if size is None:
                raise Invalid(
                    f"the bytes of {change.path!r:.500} ({change.sha256}) are not here; upload them first"
                )
            found[change.path] = FileEntry(path=change.path, size=size, sha256=change.sha256)
    return found


def _drop(found: dict[str, FileEntry], change: Drop) -> None:
    if not change.folder:
        if found.pop(change.path, None) is None:
            raise Invalid(f"there is no file {change.path!r:.500} to delete")
        return
    prefix = change.path.strip("/") + "/" if change.path.strip("/.") else ""
    gone = [path for path in found if path.startswith(prefix)]
    if not gone:
        raise Invalid(f"there is no folder {change.path!r:.500} to delete")
    for path in gone:
        del found[path]
