"""What is sent for a file: the header fields, the pieces of its content, and the segments that those lie in.

Source: RFC 9110 (header fields, multipart/byteranges), RFC 6266 and RFC 8187 (Content-Disposition).
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterator, Mapping, Sequence
from typing import Protocol
from urllib.parse import quote

from aiohttp import hdrs, web

from runstone.errors import Corrupt
from runstone.server.ranges import Outcome, Selection, format_http_date

FIRST_WINDOW = 32 << 20
"""Bytes whose extents are checked before the first is sent: it sets the time to a large file's first byte."""
WINDOW = 256 << 20
"""Bytes whose extents are checked while the previous window is on the wire."""

STATUS = {
    Outcome.WHOLE: 200,
    Outcome.PARTS: 206,
    Outcome.NOT_MODIFIED: 304,
    Outcome.PRECONDITION_FAILED: 412,
    Outcome.UNSATISFIABLE: 416,
}
_OURS = frozenset(
    name.lower()
    for name in (
        hdrs.ACCEPT_RANGES, hdrs.CONTENT_ENCODING, hdrs.CONTENT_LENGTH, hdrs.CONTENT_RANGE,
        hdrs.ETAG, hdrs.LAST_MODIFIED, hdrs.TRANSFER_ENCODING,
    )
)  # fmt: skip
_CONTROL_OR_TAB = re.compile(r"[\x00-\x1f\x7f]")
_NOT_PLAIN = re.compile(r"[^A-Za-z0-9 !#$&+.^_`|~()\[\]{}@,;=-]")

Segment = tuple[int, int, int]
Piece = bytes | tuple[int, int]
"""Bytes to be sent as they are, or (start, stop) of the body."""


class Body(Protocol):
    """What is served. Whoever passes one to ``Streamer.send`` gives it away: it is closed there, once."""

    @property
    def size(self) -> int:
        """Length in bytes."""

    @property
    def etag(self) -> str:
        """A strong entity tag, with its quotes."""

    @property
    def media_type(self) -> str:
        """Value of Content-Type."""

    @property
    def last_modified(self) -> float | None:
        """Seconds since the epoch, if known."""

    @property
    def name(self) -> str | None:
        """What a browser would save it as; any text."""

    def segments(self, start: int, stop: int) -> Sequence[bytes | Segment]:
        """Consecutive pieces that cover [start, stop): bytes that are made, or (file descriptor, offset, length).

        Blocks, and is called from another thread when the range is large. The descriptors stay open until
        ``close``. Raises Corrupt when the bytes fail their check.
        """

    def close(self) -> None:
        """Nothing reads the descriptors any more."""


def compose(
    response: web.StreamResponse, body: Body, selection: Selection, extra: Mapping[str, str]
) -> list[Piece]:
    """Sets the header fields, and answers what the content of a GET consists of.

    Raises ValueError if ``extra`` names a field that describes the bytes.
    """
    if clash := [name for name in extra if name.lower() in _OURS]:
        raise ValueError(f"a caller may not set {', '.join(clash)} on a file's response")
    headers, outcome, size = response.headers, selection.outcome, body.size
    headers[hdrs.ETAG] = body.etag
    headers[hdrs.ACCEPT_RANGES] = "bytes"
    if body.last_modified is not None:
        headers[hdrs.LAST_MODIFIED] = format_http_date(body.last_modified)
    pieces: list[Piece] = []
    if outcome in (Outcome.WHOLE, Outcome.PARTS):
        headers[hdrs.CONTENT_TYPE] = body.media_type
        if body.name is not None:
            headers[hdrs.CONTENT_DISPOSITION] = content_disposition(body.name)
        pieces = [(0, size)] if size else []
    headers.update(extra)
    if outcome is Outcome.UNSATISFIABLE:
        headers[hdrs.CONTENT_RANGE] = f"bytes */{size}"
    elif len(selection.parts) == 1:
        headers[hdrs.CONTENT_RANGE] = _content_range(selection.parts[0], size)
        pieces = list(selection.parts)
    elif selection.parts:
        boundary = secrets.token_hex(16)
        pieces = _multipart(selection.parts, size, headers[hdrs.CONTENT_TYPE], boundary)
        headers[hdrs.CONTENT_TYPE] = f"multipart/byteranges; boundary={boundary}"
    if outcome is not Outcome.NOT_MODIFIED:
        response.content_length = sum(map(length_of, pieces))
    return pieces


def _multipart(parts: tuple[tuple[int, int], ...], size: int, media_type: str, boundary: str) -> list[Piece]:
    if _CONTROL_OR_TAB.search(media_type):
        raise ValueError("a media type contains a control character")
    pieces: list[Piece] = []
    for part in parts:
        fields = f"Content-Type: {media_type}\r\nContent-Range: {_content_range(part, size)}"
        pieces += (f"\r\n--{boundary}\r\n{fields}\r\n\r\n".encode(), part)
    pieces.append(f"\r\n--{boundary}--\r\n".encode())
    return pieces


def _content_range(part: tuple[int, int], size: int) -> str:
    return f"bytes {part[0]}-{part[1] - 1}/{size}"


def length_of(piece: Piece) -> int:
    """Bytes on the wire."""
    return len(piece) if isinstance(piece, bytes) else piece[1] - piece[0]


def windows(pieces: list[Piece]) -> Iterator[list[Piece]]:
    """The pieces in groups of at most a window's bytes, longer ranges cut."""
    window: list[Piece] = []
    room = FIRST_WINDOW
    for piece in pieces:
        if isinstance(piece, bytes):
            window.append(piece)
            continue
        start, stop = piece
        while start < stop:
            cut = min(stop, start + room)
            window.append((start, cut))
            room -= cut - start
            start = cut
            if room == 0:
                yield window
                window, room = [], WINDOW
    if window:
        yield window


def resolve(body: Body, window: list[Piece]) -> list[bytes | Segment]:
    """Where the pieces of a window lie. Blocks as ``Body.segments`` does; raises Corrupt."""
    segments: list[bytes | Segment] = []
    for piece in window:
        if isinstance(piece, bytes):
            segments.append(piece)
            continue
        found = body.segments(*piece)
        # The length has been announced: a byte too many or too few would be read as the next response.
        if sum([len(part) if isinstance(part, bytes) else part[2] for part in found]) != length_of(piece):
            raise damaged(body, "its extents do not cover the range")
        segments += found
    return segments


def content_disposition(name: str) -> str:
    """An attachment under the last component of ``name``, which may be any text (RFC 6266, RFC 8187)."""
    base = _CONTROL_OR_TAB.sub("_", re.split(r"[/\\]", name)[-1])
    if base in ("", ".", ".."):
        base = "_"
    plain = _NOT_PLAIN.sub("_", base)
    value = f'attachment; filename="{plain}"'
    if plain == base:
        return value
    return f"{value}; filename*=UTF-8''{quote(base.encode('utf-8', 'replace'), safe='!#$&+.^_`|~-')}"


def damaged(body: Body, reason: str) -> Corrupt:
    """The error for a body whose stored bytes cannot be sent."""
    return Corrupt(f"{body.name or body.etag}: {reason}")
