"""Large files, which the SDK sends in parts of 100 MiB, many at a time.

The parts are taken in one after the other into one upload: a part that comes early waits, unread, until those before it are here. So
nothing is kept twice, memory stays flat, and each part that is here stays here when a later one breaks off.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

from runstone.dialects.routing import Call, Raw, Route
from runstone.dialects.wandb import wire
from runstone.domain import content
from runstone.errors import Conflict, Invalid, TryAgain

#: What the SDK cuts a file of up to 1,000 GiB into; larger ones come whole.
PART = 100 << 20
MAX_PARTS = 9_000
#: The SDK sends up to 128 parts at a time in any order, so that more could wait for one that is not sent yet.
MAX_WAITING = 128
PART_PATH = "/wandb/parts/{upload}/{number}"
_PATIENCE = 600.0
_PAUSE = 0.05


def begin(call: Call, entity: str, md5: bytes, asked: list[dict[str, Any]] | None) -> dict[str, Any] | None:
    """Where the parts of a file are put to, or None for a file that comes whole."""
    if (
        not asked
        or len(asked) > MAX_WAITING
        or [each["partNumber"] for each in asked] != [*range(1, len(asked) + 1)]
    ):
        return None
    upload = content.begin_upload(call.store, call.ctx, entity, md5=True).id
    urls = [
        {"partNumber": number, "uploadUrl": wire.signed(call, ("PUT",), ["parts", upload, str(number)])}
        for number in range(1, len(asked) + 1)
    ]
    return {"uploadID": f"{upload}.{md5.hex()}", "uploadUrlParts": urls}


async def put(call: Call) -> Raw:
    """Takes a part in, once those before it are here; what of it is here already is not taken again."""
    upload, number = call.path["upload"], wire.whole(call.path["number"])
    if not 1 <= number <= MAX_PARTS:
        raise Invalid(f"{number} is not the number of a part")
    start = (number - 1) * PART
    stop = start + _length(call)
    at = await _turn(call, upload, start)
    assert call.content is not None
    await _take(call, upload, start, at, call.content)
    end = await call.services.in_thread(content.pause_upload, call.store, call.ctx, upload)
    if end < stop:
        raise TryAgain(f"part {number} broke off at {end - start} bytes; send it again", retry_after=1)
    return Raw(status=200, headers={"ETag": f'"{upload}-{number}"'})


def _length(call: Call) -> int:
    length = wire.whole(call.headers.get("Content-Length", ""))
    if length > PART:
        raise Invalid(f"a part has at most {PART} bytes, and this one has {length}")
    return length


async def _turn(call: Call, upload: str, start: int) -> int:
    """Waits until the upload has come to a part; where it stands."""
    for _ in range(int(_PATIENCE / _PAUSE)):
        at = (await call.services.in_thread(content.upload_state, call.store, call.ctx, upload)).offset
        if at >= start:
            return int(at)
        await asyncio.sleep(_PAUSE)
    raise TryAgain("the parts before this one did not come; send it again", retry_after=5)


async def _take(call: Call, upload: str, start: int, at: int, pieces: AsyncIterator[bytes]) -> None:
    write, offset = content.write_upload, start
    async for piece in pieces:
        fresh = piece[max(0, at - offset) :]
        offset += len(piece)
        if fresh:
            try:
                at = await call.services.in_thread(
                    write, call.store, call.ctx, upload, offset - len(fresh), fresh
                )
            except Conflict as error:
                raise TryAgain(f"{error.message}; send the part again", retry_after=1) from None


def complete(call: Call, given: dict[str, Any]) -> dict[str, Any]:
    """Ends the upload of a file whose parts are all here, if it is what was announced."""
    upload, _, md5 = given["uploadID"].partition(".")
    wire.hex_bytes(md5, 16)
    if given["completeMultipartAction"] == "Abort":
        content.abort_upload(call.store, call.ctx, upload)
        return {"digest": None}
    content.finish_upload(call.store, call.ctx, upload, md5=md5)
    return {"digest": md5}


ROUTES = (
    Route(
        "PUT",
        PART_PATH,
        put,
        "Takes a part of a large file in, by a signed address.",
        streams=True,
        signed=True,
    ),
)
