"""Xorbs and shards on their way in.

Source: huggingface/xet-core, openapi/cas.openapi.yaml, and for ``/v2/shards`` xet_client/src/cas_types/mod.rs (ShardUploadEvent).
"""

from __future__ import annotations

from functools import partial
from typing import Any

from runstone._native.digests import parse_xet_hex
from runstone.dialects.hub.wire import Anything
from runstone.dialects.hub.xet import shard
from runstone.dialects.hub.xet.tokens import STORE
from runstone.dialects.routing import LINES, Call, Progress, Route, Work
from runstone.domain import xet
from runstone.errors import Invalid, Missing, RunstoneError, TooLarge, TryAgain


def hash_in(call: Call) -> bytes:
    """The hash in a path; raises :class:`Invalid`."""
    try:
        return parse_xet_hex(call.path["hash"])
    except ValueError as error:
        raise Invalid(f"{call.path['hash']!r:.100} is no hash: {error}") from None


async def put_xorb(call: Call) -> dict[str, Any]:
    """Answers ``POST /v1/xorbs/default/{hash}``. That a xorb was here already would tell what others hold, so it is never said."""
    assert call.content is not None
    in_thread = call.services.in_thread
    intake = await in_thread(xet.begin_xorb, call.store, call.ctx, call.path["ns"], hash_in(call))
    try:
        async for piece in call.content:
            await in_thread(intake.take, piece)
        await in_thread(intake.finish)
    except BaseException:
        await in_thread(intake.abort)
        raise
    return {"was_inserted": True}


async def _shard(call: Call) -> bytes:
    assert call.content is not None
    data = bytearray()
    async for piece in call.content:
        data += piece
        if len(data) > shard.MAX_BODY:
            raise TooLarge(f"a shard has at most {shard.MAX_BODY} bytes; send several")
    return bytes(data)


async def put_shard(call: Call) -> dict[str, Any]:
    """Answers ``POST /v1/shards``."""
    data = await _shard(call)
    await call.services.in_thread(_make, call, data)
    return {"result": 1}


def _make(call: Call, data: bytes, progress: Progress = lambda done, total: None) -> int:
    return xet.make_files(call.store, call.ctx, call.path["ns"], shard.files(data), progress)


async def put_shard_with_progress(call: Call) -> Work:
    """Answers ``POST /v2/shards``: an event a line. What is wrong with a shard is an event too: only that is shown to users."""
    data = await _shard(call)
    return Work(
        partial(_make, call, data),
        told=lambda done, total: {"type": "validating", "verified": done, "total": total},
        ended=lambda count: {"type": "result"},
        failed=_failed,
    )


def _failed(error: RunstoneError) -> dict[str, Any]:
    return {"type": "error", "message": error.message, "retryable": isinstance(error, TryAgain)}


async def refuse_grant(call: Call) -> None:
    """Answers ``POST /v1/xorb-grants/default/{hash}``: xorbs come here, so clients send them here."""
    assert call.content is not None
    async for _ in call.content:
        pass  # what the client would send where, which it need not say again on a new connection
    raise Missing("there are no grants here; send the xorb")


ROUTES = (
    Route(
        "POST",
        STORE + "/v1/xorbs/default/{hash}",
        put_xorb,
        "Takes a xorb in.",
        streams=True,
        token=True,
        query=Anything,
    ),
    Route(
        "POST",
        STORE + "/v1/shards",
        put_shard,
        "Makes files of chunks.",
        streams=True,
        token=True,
        query=Anything,
    ),
    Route(
        "POST",
        STORE + "/v2/shards",
        put_shard_with_progress,
        "Makes files of chunks, and tells how far it is.",
        streams=True,
        token=True,
        query=Anything,
        media_type=LINES,
    ),
    Route(
        "POST",
        STORE + "/v1/xorb-grants/default/{hash}",
        refuse_grant,
        "Tells that xorbs are sent here.",
        streams=True,
        token=True,
        query=Anything,
    ),
)
