"""Files read by the chunk: which chunks make a file, the chunks, and chunks that a client need not send."""

from __future__ import annotations

import re
from functools import partial
from typing import Any

from runstone.dialects.hub.wire import Anything, origin
from runstone.dialects.hub.xet import shard
from runstone.dialects.hub.xet.tokens import STORE
from runstone.dialects.hub.xet.uploads import hash_in
from runstone.dialects.routing import BYTES, Call, Download, Raw, Route
from runstone.domain import xet
from runstone.domain.xet import Piece
from runstone.errors import Invalid, RangeUnsatisfiable

CHUNKS = "/api/xet-chunks/{ns}/{sha256}/{start}/{stop}"
SECONDS = 6 * 3600.0
_RANGE = re.compile(r"bytes=(\d{1,18})-(\d{0,19})\Z", re.ASCII)


def reconstruct(version: int, call: Call) -> dict[str, Any]:
    """Answers ``GET /v{version}/reconstructions/{hash}``."""
    start, stop = _range(call.headers.get("Range"))
    found = xet.reconstruction(call.store, call.ctx, call.path["ns"], hash_in(call), start, stop)
    terms = [
        {
            "hash": piece.hash,
            "unpacked_length": piece.size,
            "range": {"start": piece.first, "end": piece.last},
        }
        for piece in found.pieces
    ]
    where: dict[str, list[Any]] = {}
    for piece in found.pieces:
        where.setdefault(piece.hash, []).append(_place(version, call, found.sha256, piece))
    return {
        "offset_into_first_range": found.skip,
        "terms": terms,
        "fetch_info" if version == 1 else "xorbs": where,
    }


def _place(version: int, call: Call, sha256: str, piece: Piece) -> dict[str, Any]:
    path = CHUNKS.format(ns=call.path["ns"], sha256=sha256, start=piece.start, stop=piece.stop)
    url = origin(call) + call.services.sign(call.ctx, ("GET",), path, SECONDS)
    chunks = {"start": piece.first, "end": piece.last}
    within = {"start": piece.begin, "end": piece.end - 1}
    if version == 1:
        return {"range": chunks, "url": url, "url_range": within}
    return {"url": url, "ranges": [{"chunks": chunks, "bytes": within}]}


def _range(text: str | None) -> tuple[int, int | None]:
    if text is None:
        return 0, None
    found = _RANGE.match(text)
    if found is None:
        raise Invalid(f"the range of a reconstruction is bytes=first-last, not {text!r:.80}")
    start, last = int(found[1]), found[2]
    if last and int(last) < start:
        raise RangeUnsatisfiable(f"the range {text} is empty")
    return start, int(last) + 1 if last else None


def chunks(call: Call) -> Download:
    """Answers ``GET`` of an address in a reconstruction: the chunks of a part of a file, each behind its header."""
    start, stop = (_number(call.path[name]) for name in ("start", "stop"))
    return Download(xet.open_window(call.store, call.ctx, call.path["ns"], call.path["sha256"], start, stop))


def _number(text: str) -> int:
    if not text.isascii() or not text.isdigit() or len(text) > 16:
        raise Invalid(f"a part of a file begins and ends at a byte, not at {text!r:.80}")
    return int(text)


def known_chunk(call: Call) -> Raw:
    """Answers ``GET /v1/chunks/default/{hash}``: a shard with chunks that the client need not send, if it may know of them."""
    windows = xet.known_chunk(call.store, call.ctx, call.path["ns"], hash_in(call))
    told = [(window.hash, window.chunks()) for window in windows]
    return Raw(shard.of_xorbs(told), BYTES)


ROUTES = (
    *(
        Route(
            "GET",
            STORE + f"/v{version}/reconstructions/{{hash}}",
            partial(reconstruct, version),
            "Which chunks make a file.",
            token=True,
            blocking=True,
            query=Anything,
        )
        for version in (1, 2)
    ),
    Route(
        "GET",
        STORE + "/v1/chunks/{prefix}/{hash}",
        known_chunk,
        "Chunks that need not be sent.",
        token=True,
        blocking=True,
        query=Anything,
        media_type=BYTES,
    ),
    Route(
        "GET",
        CHUNKS,
        chunks,
        "Chunks of a file.",
        signed=True,
        blocking=True,
        media_type=BYTES,
        also=(206, 304),
    ),
)
