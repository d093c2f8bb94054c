"""Requests of mlflow's REST interface: their fields, checked in mlflow's words, and the routes that take them."""

from __future__ import annotations

import base64
import binascii
import json
import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any
from urllib.parse import quote

from runstone.dialects.mlflow.problem import invalid
from runstone.dialects.routing import Call, Pairs, Route

PREFIXES = ("/api/{version}/mlflow/", "/ajax-api/{version}/mlflow/")
#: Header fields that mlflow's clients send.
FIELDS = ("X-MLflow-Workspace", "X-MLflow-Client-Version")
HINT = " See the API docs for more information about request parameters."
Check = str
REQUIRED, STRING, INTEGER, FLOAT, ARRAY, BOOLEAN = "required", "string", "integer", "float", "array", "bool"
Schema = Mapping[str, tuple[Check, ...]]
Handler = Callable[[Call, dict[str, Any]], Any]


def routes(
    method: str,
    path: str,
    handler: Handler,
    summary: str,
    schema: Schema | None = None,
    *,
    version: str = "2.0",
    quick: bool = False,
    large: bool = False,
    hot: bool = False,
) -> Iterator[Route]:
    """The routes of a path below ``/api/2.0/mlflow/``: that one, and its mirror below ``/ajax-api``.

    A ``quick`` one needs no thread; ``large`` allows a large body. A ``hot`` one is for the server's hot lane: at once if it is quick, and if
    not, remembered.
    """

    def answered(call: Call) -> Any:
        fields = _fields(call)
        _check(fields, schema or {})
        return handler(call, fields)

    for prefix in PREFIXES:
        yield Route(
            method,
            prefix.format(version=version) + path,
            answered,
            summary,
            body=None if method == "GET" else Any,
            query=Pairs,
            blocking=not quick,
            manifest=large,
            remembered=hot and not quick,
            hot=answered if hot and quick else None,
            fields=FIELDS,
        )


def _fields(call: Call) -> dict[str, Any]:
    """The fields of a request: its JSON, or its query. A field that is repeated in a query is a list."""
    if call.method in ("GET", "HEAD"):
        found: dict[str, Any] = {}
        for name, value in call.query or ():
            if name in found:
                found[name] = [*(found[name] if isinstance(found[name], list) else [found[name]]), value]
            else:
                found[name] = value
        return found
    body = call.body
    if isinstance(body, str):  # old clients encode it twice
        try:
            body = json.loads(body)
        except ValueError:
            body = None
    if body is None:
        return {}
    if not isinstance(body, dict):
        raise invalid("the body must be a JSON object")
    return {name: value for name, value in body.items() if value is not None}


def _check(fields: dict[str, Any], schema: Schema) -> None:
    if "run_uuid" in fields:
        fields.setdefault("run_id", fields["run_uuid"])
    parsed = all(
        _fits(check, fields[name]) for name, checks in schema.items() if name in fields for check in checks
    )
    for name, checks in schema.items():
        value = fields.get(name)
        for check in checks:
            if check == REQUIRED:
                if value is None or value == "":
                    raise invalid(f"Missing value for required parameter '{name}'." + HINT)
            elif not parsed and name in fields and not _fits(check, value):
                kind = type(value).__name__
                raise invalid(invalid_value(name, value, f" Hint: Value was of type '{kind}'.") + HINT)


def _fits(check: Check, value: Any) -> bool:
    if check == STRING:
        return isinstance(value, str)
    if check == ARRAY:
        return isinstance(value, list)
    if check == BOOLEAN:
        return isinstance(value, bool) or value in ("true", "false", "True", "False")
    if check == INTEGER:
        return _integral(value)
    if check == FLOAT:
        return _floating(value)
    return True


def _integral(value: Any) -> bool:
    try:
        return not isinstance(value, bool) and int(value) == float(value)
    except (TypeError, ValueError, OverflowError):
        return False


def _floating(value: Any) -> bool:
    try:
        return isinstance(float(value), float)
    except (TypeError, ValueError, OverflowError):
        return False


def invalid_value(path: str, value: Any, message: str = "") -> str:
    """mlflow's words for a value that a parameter cannot have."""
    shown = json.dumps(value, sort_keys=True, separators=(",", ":"))
    return f"Invalid value {shown} for parameter '{path}' supplied" + (f": {message}" if message else ".")


def whole(fields: Mapping[str, Any], name: str, default: int = 0) -> int:
    """A whole number of 64 bits, perhaps as text."""
    value = fields.get(name, default)
    if not _integral(value) or not -(1 << 63) <= int(value) < 1 << 63:
        raise invalid(invalid_value(name, value))
    return int(value)


def at_most(fields: Mapping[str, Any], name: str, limit: int) -> None:
    """Raises when a whole number is over a limit."""
    if whole(fields, name) > limit:
        value = fields[name]
        raise invalid(
            invalid_value(name, value, f" Hint: Value was of type '{type(value).__name__}'.") + HINT
        )


def real(path: str, value: Any) -> float:
    """A number, perhaps as text (``NaN``, ``Infinity``)."""
    if not _floating(value):
        raise invalid(
            invalid_value(path, value, "Please specify value as a valid double (64-bit floating point)")
        )
    return float(value)


def text(fields: Mapping[str, Any], name: str, default: str = "") -> str:
    """A text."""
    value = fields.get(name, default)
    if not isinstance(value, str):
        raise invalid(invalid_value(name, value))
    return value


def strings(fields: Mapping[str, Any], name: str) -> list[str]:
    """A list of texts; one alone stands for a list of one."""
    value = fields.get(name, [])
    found = value if isinstance(value, list) else [value]
    for each in found:
        if not isinstance(each, str):
            raise invalid(invalid_value(name, value))
    return found


def flag(fields: Mapping[str, Any], name: str) -> bool:
    """A truth value."""
    return str(fields.get(name, "false")).lower() == "true"


def pairs(fields: Mapping[str, Any], name: str) -> list[tuple[str, str]]:
    """A list of ``{"key", "value"}`` objects; a value that is absent is empty."""
    value = fields.get(name, [])
    found = []
    for at, each in enumerate(value if isinstance(value, list) else [value]):
        if not isinstance(each, dict):
            raise invalid(invalid_value(name, value))
        key, held = each.get("key"), each.get("value", "")
        if key is None or key == "":
            raise invalid(f"Missing value for required parameter '{name}[{at}].key'." + HINT)
        if not isinstance(key, str) or not isinstance(held, str | None):
            raise invalid(invalid_value(name, value))
        found.append((key, held or ""))
    return found


def key_values(values: Mapping[str, str]) -> list[dict[str, str]]:
    """A map as mlflow writes it."""
    return [{"key": key, "value": value} for key, value in values.items()]


def shown_number(value: Any) -> float | str:
    """A metric's value as mlflow answers it: infinities as the greatest double, NaN as text."""
    number = float(value)
    if math.isfinite(number):
        return number
    if math.isnan(number):
        return "NaN"
    return max(-1.7976931348623157e308, min(1.7976931348623157e308, number))


def milliseconds(micros: int) -> int:
    """A time as mlflow writes it."""
    return micros // 1000


def page_token(offset: int) -> str:
    """The token of the page that begins at a row."""
    return base64.b64encode(json.dumps({"offset": offset}).encode()).decode()


def page_offset(fields: Mapping[str, Any]) -> int:
    """The row that a page begins at."""
    token = fields.get("page_token")
    if not token:
        return 0
    try:
        offset = json.loads(base64.b64decode(str(token)))["offset"]
        if isinstance(offset, int) and 0 <= offset < 1 << 53:
            return offset
    except (binascii.Error, ValueError, KeyError, TypeError):
        pass
    raise invalid("Invalid page token, could not base64-decode")


def place_token(place: str) -> str:
    """The token of the page behind a place that the domain told."""
    return base64.b64encode(json.dumps({"after": place}).encode()).decode()


def page_place(fields: Mapping[str, Any]) -> str:
    """The place that a page begins behind; nothing for the first page."""
    token = fields.get("page_token")
    if not token:
        return ""
    try:
        place = json.loads(base64.b64decode(str(token)))["after"]
        if isinstance(place, str):
            return place
    except (binascii.Error, ValueError, KeyError, TypeError):
        pass
    raise invalid("Invalid page token, could not base64-decode")


def escaped(part: str) -> str:
    """One part of a path in an address."""
    return quote(part, safe="")


def without_empty(values: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    """An object without what has no value: mlflow leaves such fields out."""
    return {name: value for name, value in values if value not in (None, "", [], {})}
