"""What may be logged: keys and values, checked where they are given, so that the error names the line that gave them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from runstone.client.runs.records import MAX_PAYLOAD, encode
from runstone.errors import Invalid, TooLarge

#: In bytes of UTF-8, with the keys of the dictionaries around it and the dots between them (docs/format/points.md).
MAX_KEY = 400
MAX_NESTING = 32
#: Types that are logged as they are, and whose values need no look.
PLAIN = frozenset({float, int, bool, str, type(None)})
_INT_MIN, _INT_MAX = -(1 << 63), (1 << 64) - 1


def checked(values: Any, what: str = "log") -> dict[str, Any]:
    """Values of plain types, nested as they were given; raises :class:`Invalid` naming the key that cannot be logged."""
    if not isinstance(values, Mapping):
        raise Invalid(f"{what} takes a dictionary of text keys and values, not a {type(values).__name__}")
    return {_key(name, ""): plain(value, name, 0) for name, value in values.items()}


def _key(name: Any, prefix: str) -> str:
    if not isinstance(name, str):
        where = f" (in {prefix[:-1]!r:.80})" if prefix else ""
        raise Invalid(f"a key is text, not {type(name).__name__}: {name!r:.80}{where}")
    whole = prefix + name
    try:
        length = len(whole.encode())
    except UnicodeEncodeError:
        raise Invalid(f"the key {whole!r:.80} is not valid Unicode: it holds a lone surrogate") from None
    if not name or length > MAX_KEY or "\0" in name:
        raise Invalid(
            f"a key is 1 to {MAX_KEY} bytes of text without NUL, with the keys around it; {whole!r:.80} is not"
        )
    return str(name)


def plain(value: Any, name: str, depth: int) -> Any:
    """A value of plain types; ``name`` is the key that an error names."""
    kind = type(value)
    if kind is float or kind is bool or value is None:
        return value
    if isinstance(value, str):
        return str(value)
    if isinstance(value, int):
        number = int(value)
        return number if _INT_MIN <= number <= _INT_MAX else str(number)
    if isinstance(value, float):
        return float(value)
    if isinstance(value, bytes | bytearray):
        return bytes(value)
    if depth >= MAX_NESTING:
        raise Invalid(f"the value of {name!r:.80} is nested more than {MAX_NESTING} deep")
    if isinstance(value, Mapping):
        prefix = f"{name}."
        return {_key(key, prefix): plain(each, prefix + key, depth + 1) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [plain(each, name, depth + 1) for each in value]
    return _foreign(value, name, depth)


def _foreign(value: Any, name: str, depth: int) -> Any:
    """The number in a scalar of numpy, JAX, PyTorch or TensorFlow, or the list of numbers in an array."""
    for method in ("item", "tolist", "__index__", "__float__"):
        if hasattr(value, method):
            try:
                found = getattr(value, method)()
            except (ValueError, RuntimeError, TypeError):
                continue
            if type(found) is not type(value):
                return plain(found, name, depth + 1)
    raise Invalid(
        f"the value of {name!r:.80} has the type {type(value).__name__}, which cannot be logged; log numbers, text, or lists and "
        "dictionaries of them"
    )


def too_large(values: dict[str, Any]) -> TooLarge:
    """The error for values that are over :data:`MAX_PAYLOAD` together; names the largest."""
    name = max(values, key=lambda key: len(encode(values[key])))
    return TooLarge(
        f"{len(encode(values))} bytes in one call are over the limit of {MAX_PAYLOAD}; the largest is {name!r:.80} "
        f"with {len(encode(values[name]))}. Save it as a file, and log a reference to that"
    )


def not_encodable(values: dict[str, Any], error: Exception) -> Invalid:
    """The error for plain values that are no MessagePack; names the first such key."""
    for name, value in values.items():
        try:
            encode(value)
        except (OverflowError, TypeError, ValueError, RecursionError) as why:
            return Invalid(f"the value of {name!r:.80} cannot be logged: {why}")
    return Invalid(f"this cannot be logged: {error}")


def checked_step(step: Any) -> int:
    """A step as an int of 64 bits."""
    return _whole(step, "a step")


def checked_time(time: Any) -> int:
    """A time in microseconds since 1970, from such an int or from an aware ``datetime``."""
    if hasattr(time, "timestamp"):
        if time.tzinfo is None:
            raise Invalid("a time needs a time zone: use datetime.now(timezone.utc)")
        seconds = int(time.replace(microsecond=0).timestamp())
        return seconds * 1_000_000 + int(time.microsecond)
    return _whole(time, "a time (microseconds since 1970, or an aware datetime)")


def _whole(value: Any, what: str) -> int:
    if hasattr(value, "item") and not isinstance(value, int):
        value = value.item()
    if isinstance(value, bool) or not hasattr(value, "__index__"):
        raise Invalid(f"{what} is a whole number, not {value!r:.80}")
    number = int(value.__index__())
    if not -(1 << 63) <= number < 1 << 63:
        raise Invalid(f"{what} is a number of 64 bits, and {number} is not")
    return number
