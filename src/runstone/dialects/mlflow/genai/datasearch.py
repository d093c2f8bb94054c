"""mlflow's language for evaluation datasets: ``name LIKE 'qa%' AND tags.team = 'a'``, and their orders."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from runstone.dialects.mlflow.problem import invalid
from runstone.domain.entities.keeping import Kept
from runstone.domain.queries.mlflow_clauses import Clause, clauses, order, unquoted, words
from runstone.domain.traces.matching import comparison

_NUMBERS = {"created_time": "created", "last_update_time": "updated"}
_TEXTS = {"created_by": "created_by", "last_updated_by": "updated_by"}
_FILTERED = {"name", *_NUMBERS, *_TEXTS}
_ORDERED = {"name", *_NUMBERS}


def search(held: list[Kept], text: str, order_by: list[str]) -> list[Kept]:
    """Those that a filter finds, in order."""
    tests = [_test(clause) for clause in clauses(text, quoting=False)]
    found = [each for each in held if all(test(each) for test in tests)]
    orders = [_order(source) for source in order_by] or [("created_time", True)]
    found.sort(key=lambda each: each.id, reverse=True)
    for key, descending in reversed(orders):
        found.sort(key=lambda each, key=key: _value(each, key), reverse=descending)  # type: ignore[misc]
    return found


def _order(source: str) -> tuple[str, bool]:
    name, descending = order(source)
    kind, key = _identifier(name, _ORDERED)
    if kind != "attribute":
        raise invalid(f"Invalid order_by entity: {kind}")
    return key, descending


def _identifier(name: str, valid: set[str]) -> tuple[str, str]:
    root, dot, key = name.partition(".")
    if not dot:
        if root not in valid:
            shown = "{" + ", ".join(repr(each) for each in sorted(valid)) + "}"
            raise invalid(f"Invalid attribute key '{root}' specified. Valid keys are: {shown}")
        return "attribute", root
    if root != "tags":
        raise invalid(f"Invalid identifier token '{root}' specified")
    return "tag", key


def _value(held: Kept, key: str) -> Any:
    return held.name if key == "name" else held.fields[_NUMBERS.get(key) or _TEXTS[key]]


def _test(clause: Clause) -> Callable[[Kept], bool]:
    kind, key = _identifier(clause.left.text, _FILTERED)
    operator = clause.operator
    if clause.value is None:
        raise invalid(
            f"IS NULL / IS NOT NULL is only supported for tags and params, not for '{kind}' '{key}'"
        )
    wanted = _wanted(kind, key, clause)
    if kind == "tag" and operator not in ("=", "!=", "LIKE", "ILIKE"):
        raise invalid(f"Invalid comparator for tag: {operator}")
    if key in _NUMBERS and kind == "attribute" and operator not in ("=", "!=", "<", "<=", ">", ">="):
        raise invalid(f"Invalid comparator for numeric attribute: {operator}")
    if kind == "attribute" and key not in _NUMBERS and operator == "NOT IN":
        raise invalid(f"Invalid comparator for string attribute: {operator}")
    test = comparison(operator, wanted)
    if kind == "tag":
        return lambda held: (text := held.fields["tags"].get(key)) is not None and test(text)
    return lambda held: (value := _value(held, key)) is not None and test(value)


def _wanted(kind: str, key: str, clause: Clause) -> Any:
    token = clause.value
    assert token is not None
    if kind == "attribute" and key in _NUMBERS:
        if token.kind == "int":
            return int(token.text)
        raise invalid(f"Expected numeric value type for numeric attribute: {key}. Found {token.text}")
    if token.kind == "list" and kind == "attribute":
        if key != "name":
            raise invalid("Only ['name'] attributes support comparison with a list of quoted string values.")
        if clause.operator != "IN":
            raise invalid("List values for 'name' are only supported with the IN comparator.")
        return words(token)
    if token.kind in ("string", "symbol"):
        if clause.operator == "IN":
            raise invalid(f"Invalid value for '{key}': IN takes a list")
        return unquoted(token.text)
    what = "attributes" if kind == "attribute" else f"{kind} (e.g. 'my-value')"
    if token.kind == "name":
        raise invalid(
            "Parameter value is either not quoted or unidentified quote types used for string value "
            f"{token.text}. Use either single or double quotes."
        )
    raise invalid(f"Expected a quoted string value for {what}. Got value {token.text}")
