"""Values as the SDK writes and reads them: ids, times, JSON that may hold NaN, and addresses."""

from __future__ import annotations

import base64
import binascii
import json
import math
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

import msgspec

from runstone.dialects.routing import Call
from runstone.errors import Invalid

#: The signed addresses hold for a day: the SDK asks for new ones only after an hour without success.
SECONDS = 86_400
_encode = msgspec.json.Encoder().encode


def make_id(kind: str, number: int) -> str:
    """An id as the SDK decodes it: base64 of ``Kind:number``."""
    return base64.b64encode(f"{kind}:{number}".encode()).decode()


def number_of(kind: str, text: str) -> int:
    """The number in an id; raises :class:`Invalid`."""
    try:
        found, _, number = base64.b64decode(text, validate=True).decode().partition(":")
        if found == kind:
            return int(number)
    except (binascii.Error, ValueError):
        pass
    raise Invalid(f"{text!r:.100} is not the id of a {kind}")


def any_number(text: str) -> int:
    """The number in an id of any kind; raises :class:`Invalid`."""
    try:
        return int(base64.b64decode(text, validate=True).decode().partition(":")[2])
    except (binascii.Error, ValueError):
        raise Invalid(f"{text!r:.100} is not an id") from None


def number_of_hex(kind: str, text: str) -> int:
    """The number in an id that is written in hexadecimal digits, as references to artifacts do; raises :class:`Invalid`."""
    try:
        return number_of(kind, base64.b64encode(bytes.fromhex(text)).decode())
    except ValueError:
        raise Invalid(f"{text!r:.100} is not the id of a {kind} in hexadecimal digits") from None


def whole(text: str) -> int:
    """A whole number of an address; raises :class:`Invalid`."""
    if not (text.isascii() and text.isdigit() and len(text) < 20):
        raise Invalid(f"{text!r:.100} is not a number")
    return int(text)


def hex_bytes(text: str, size: int) -> bytes:
    """Bytes in hexadecimal digits; raises :class:`Invalid`."""
    try:
        found = bytes.fromhex(text)
    except ValueError:
        found = b""
    if len(found) != size:
        raise Invalid(f"{text!r:.100} is not {size} bytes in hexadecimal digits")
    return found


def time_text(moment: int) -> str | None:
    """A time in microseconds as ISO 8601 in UTC; None for 0."""
    return datetime.fromtimestamp(moment / 1e6, UTC).strftime("%Y-%m-%dT%H:%M:%SZ") if moment else None


def parsed(text: str | bytes, what: str) -> Any:
    """JSON in which NaN and infinities may stand bare; raises :class:`Invalid`."""
    try:
        return msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        pass
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise Invalid(f"{what} is not JSON: {error}") from None


def document(text: str | None, what: str) -> dict[str, Any] | None:
    """A JSON object, or None for none."""
    if text is None:
        return None
    found = parsed(text, what)
    if not isinstance(found, dict):
        raise Invalid(f"{what} must be a JSON object")
    return found


def written(value: Any) -> str:
    """JSON text, with NaN and infinities bare."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def answered(value: Any) -> bytes:
    """JSON as a client's strict parser takes it: what is no finite number is told by its name."""
    try:
        text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    except ValueError:
        text = json.dumps(_finite(value), ensure_ascii=False, separators=(",", ":"))
    return text.encode("utf-8", "replace")


def _finite(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    if isinstance(value, dict):
        return {key: _finite(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(each) for each in value]
    return value


def base(call: Call) -> str:
    """How the client got here: scheme and host, from what a proxy says if there is one."""
    headers = call.headers
    scheme = headers.get("X-Forwarded-Proto", "http").partition(",")[0].strip()
    host = headers.get("X-Forwarded-Host") or headers.get("Host", "localhost")
    return f"{'https' if scheme == 'https' else 'http'}://{host.partition(',')[0].strip()}"


def signed(call: Call, methods: tuple[str, ...], parts: Sequence[str]) -> str:
    """An absolute address that may be called without credentials."""
    path = "/wandb/" + "/".join(quote(part, safe="") for part in parts)
    return base(call) + call.services.sign(call.ctx, methods, path, SECONDS)


def page(items: list[Any], after: str | None, first: int | None, limit: int = 1000) -> dict[str, Any]:
    """A connection over a list by position; raises :class:`Invalid` for a cursor that is none of ours."""
    if after and not (after.isascii() and after.isdigit() and len(after) < 16):
        raise Invalid(f"{after!r:.100} is not a cursor of this listing")
    start = int(after) if after else 0
    stop = start + max(0, min(50 if first is None else first, limit))
    edges = [{"node": item, "cursor": str(at + 1)} for at, item in enumerate(items[start:stop], start)]
    more = {"endCursor": edges[-1]["cursor"] if edges else after, "hasNextPage": stop < len(items)}
    return {"edges": edges, "pageInfo": more, "totalCount": len(items)}
