"""Conditions on the few fields that an event has, in MongoDB's form: ``{"$or": [{"$and": [{"alias": {"$regex": "^prod"}}]}]}``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from runstone.domain.queries import mongo
from runstone.domain.queries.rows import matches as row_matches
from runstone.errors import Invalid
from runstone.query import Match

MAX_DEPTH = 20
_GROUPS = ("$and", "$or", "$nor")


def check(document: Any, fields: frozenset[str], depth: int = 0) -> None:
    """Raises :class:`Invalid` for what is no condition on these fields."""
    if not isinstance(document, dict) or depth > MAX_DEPTH:
        raise Invalid("a filter must be an object, not nested too deeply")
    for key, value in document.items():
        if key in _GROUPS:
            if not isinstance(value, list):
                raise Invalid(f"{key} must be a list of filters")
            for each in value:
                check(each, fields, depth + 1)
        elif key == "$not":
            check(value, fields, depth + 1)
        elif key not in fields:
            raise Invalid(
                f"{key!r:.100} is not a field of this event; use one of {', '.join(sorted(fields))}"
            )
        else:
            _test("", value)


#: What an event says in its fields: one text, or several, as the aliases that a new version has.
Fields = Mapping[str, str | tuple[str, ...]]
_NEGATIVE = ("$ne", "$nin", "$not")


def holds(document: Mapping[str, Any], fields: Fields) -> bool:
    """Whether an event with these fields fits; a field that the event lacks fits nothing.

    Of several texts one must fit, and with ``$ne``, ``$nin`` and ``$not`` all of them.
    """
    for key, value in document.items():
        if key in _GROUPS:
            found = [holds(each, fields) for each in value]
            fits = {"$and": all(found), "$or": any(found) or not found, "$nor": not any(found)}[key]
        elif key == "$not":
            fits = not holds(value, fields)
        else:
            fits = key in fields and _test(fields[key], value)
        if not fits:
            return False
    return True


def _test(field: str | tuple[str, ...], wanted: Any) -> bool:
    tests = wanted if isinstance(wanted, dict) else {"$eq": wanted}
    texts = (field,) if isinstance(field, str) else field
    for name, operand in tests.items():
        enough = all if name in _NEGATIVE else any
        if not enough(_one(text, name, operand) for text in texts):
            return False
    return True


def _one(field: str, name: str, operand: Any) -> bool:
    if name == "$not":
        return not _test(field, operand)
    if name in ("$in", "$nin") and isinstance(operand, list):
        return bool((field in operand) == (name == "$in"))
    if name in ("$eq", "$ne"):
        return bool((field == operand) == (name == "$eq"))
    if name == "$contains" and isinstance(operand, str):
        return operand in field
    if name == "$regex" and isinstance(operand, str):
        return row_matches(Match("text", "regex", operand), {"text": field})
    raise Invalid(
        f"{name!r:.100} of {operand!r:.100} cannot be asked of an event; use $eq, $ne, $in, $nin, $contains, $regex or $not"
    )


def run_filter(document: Any) -> Any:
    """A filter of runs as a condition; raises :class:`Invalid`."""
    return mongo.condition(_said(document) or None)


def _said(document: Any) -> Any:
    """A filter without groups of nothing, as the SDK writes "any run"."""
    if not isinstance(document, dict):
        return document
    return {key: value for key, value in document.items() if not (key in _GROUPS and value == [])}
