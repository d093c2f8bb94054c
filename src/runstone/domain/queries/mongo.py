"""MongoDB-style JSON filters, as ``wandb.Api().runs(filters=...)`` sends them, and its order strings, compiled to the query tree.

MongoDB's meaning of what is missing: ``null`` finds fields that are missing or null, ``$ne`` and ``$nin`` find those that lack the field.
Values are compared with values of their own type. The names of fields are wandb's; docs/queries.md lists them and the differences.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable
from typing import Any

from runstone.domain.queries import attributes, bounds
from runstone.domain.queries.bounds import all_of, any_of
from runstone.errors import Invalid, Malformed, TooLarge
from runstone.query import (
    MAX_DEPTH,
    And,
    Compare,
    Condition,
    Exists,
    In,
    IsNull,
    Match,
    Not,
    Operator,
    Or,
    Order,
    Scalar,
)

#: wandb's names of attributes, and ours. Both of its spellings are taken, and our own.
ATTRIBUTES: dict[str, str] = {
    "name": "id",
    "run_id": "id",
    "display_name": "name",
    "displayName": "name",
    "state": "state",
    "username": "user",
    "user": "user",
    "group": "group",
    "group_name": "group",
    "groupName": "group",
    "job_type": "job_type",
    "jobType": "job_type",
    "sweep": "sweep",
    "sweep_name": "sweep",
    "sweepName": "sweep",
    "notes": "notes",
    "host": "host",
    "commit": "commit",
    "created_at": "created",
    "createdAt": "created",
    "updated_at": "updated",
    "updatedAt": "updated",
    "heartbeat_at": "heartbeat",
    "heartbeatAt": "heartbeat",
    "duration": "duration",
}

_COMPARE: dict[str, Operator] = {"$gt": ">", "$gte": ">=", "$lt": "<", "$lte": "<="}
_FLAGS = frozenset("ims")
_HISTORY = "keys_info.keys."


#: What may be asked of a field: an operator, its operand, and the field as the asker named it.
Test = Callable[[str, Any, str], Condition]
#: The test of a field by its name in a filter; raises :class:`Invalid` for one that is not known.
Fields = Callable[[str], Test]


def condition(filters: Any, fields: Fields | None = None) -> Condition:
    """The condition that a filter means: a JSON document, its text, or None, which finds all. Invalid names what cannot be asked.

    ``fields`` says what can be asked; by default, what can be asked of runs.
    """
    if isinstance(filters, str):
        filters = _decoded(filters)
    return bounds.checked(_document({} if filters is None else filters, 1, fields or _run_field))


def orders(source: str | None) -> tuple[Order, ...]:
    """The orders of ``-summary_metrics.loss, +created_at``; without a sign ascending; by default the oldest first, as in wandb."""
    found: list[Order] = []
    for part in bounds.text(source or "+created_at", "order").split(","):
        each = part.strip()
        sign, name = (each[0], each[1:].strip()) if each[:1] in ("+", "-") else ("+", each)
        if not name:
            raise Invalid(
                f"order {source!r}: each part must name a field, such as -created_at or +summary_metrics.loss"
            )
        if name == "tags" or name.startswith(_HISTORY):
            raise Invalid(
                f"order {source!r}: {name} has no order; order by created_at, heartbeat_at, config.* or summary_metrics.*"
            )
        found.append(Order(_field(name), sign == "-"))
    if len(found) > 16:
        raise TooLarge(f"order {source[:80] if source else ''!r} names more than 16 fields")
    return tuple(found)


def _decoded(source: str) -> Any:
    try:
        return json.loads(bounds.text(source, "filters") or "null")
    except RecursionError:
        raise TooLarge(f"filters nest deeper than {MAX_DEPTH}") from None
    except ValueError as error:
        raise Malformed(f"filters are not JSON: {error}") from None


def _document(document: Any, depth: int, fields: Fields) -> Condition:
    """A document: all of its entries."""
    if not isinstance(document, dict):
        raise Invalid(f'a filter must be an object such as {{"state": "finished"}}, not {_shown(document)}')
    if depth > MAX_DEPTH:
        raise TooLarge(f"filters nest deeper than {MAX_DEPTH}")
    return all_of([_entry(key, value, depth, fields) for key, value in document.items()])


def _entry(key: Any, value: Any, depth: int, fields: Fields) -> Condition:
    if not isinstance(key, str):
        raise Invalid(f"a filter's keys must be text, not {_shown(key)}")
    if key == "$not":
        return Not(_document(value, depth + 1, fields))
    if key in ("$and", "$or", "$nor"):
        if not isinstance(value, (list, tuple)) or not value:
            raise Invalid(f"{key} must be a list of at least one filter, not {_shown(value)}")
        of = [_document(each, depth + 1, fields) for each in value]
        return all_of(of) if key == "$and" else any_of(of) if key == "$or" else Not(any_of(of))
    if key.startswith("$"):
        raise Invalid(f"{key} is not known at this place; use $and, $or, $nor, $not or the name of a field")
    return _tests(value, fields(key), key, depth)


def _run_field(key: str) -> Test:
    if key == "tags":
        return member_test("tags")
    if key.startswith(_HISTORY):
        return _presence_test(f"summary.{key[len(_HISTORY) :]}:count")
    field = _field(key)
    return field_test(field, time if attributes.RUN.get(field) == "time" else scalar)


def _field(name: str) -> str:
    """Our name of a field by wandb's."""
    if name in ATTRIBUTES:
        return ATTRIBUTES[name]
    root, _, rest = name.partition(".")
    if root == "config" and rest:
        key, dot, below = rest.partition(".")
        if dot and (below == "value" or below.startswith("value.")):
            # The config's document holds each key's value under "value", beside a description.
            below = below[len("value.") :]
        return f"config.{key}.{below}" if below else f"config.{key}"
    if root in ("summary_metrics", "summaryMetrics", "summary") and rest:
        return "summary." + rest
    if root == "tags" and rest:
        return "tags." + rest
    if name in attributes.RUN or name in attributes.LINEAGE:
        return name
    raise Invalid(
        f"{_shown(name)} is not a field of a run; use config.<key>, summary_metrics.<key>, tags, or one of {', '.join(sorted(ATTRIBUTES))}"
    )


def _tests(value: Any, test: Test, name: str, depth: int) -> Condition:
    """What is asked of one field: a value that it equals, or an object of operators."""
    if depth > MAX_DEPTH:
        raise TooLarge(f"filters nest deeper than {MAX_DEPTH}")
    if not isinstance(value, dict):
        return test("$eq", value, name)
    if not value or not all(isinstance(key, str) and key.startswith("$") for key in value):
        raise Invalid(
            f'{name}: an object must hold operators such as {{"$gt": 1}}; name a nested value by its path, {name}.<key>'
        )
    found: list[Condition] = []
    for operator, operand in value.items():
        if operator == "$options":
            if "$regex" not in value:
                raise Invalid(f"{name}: $options stands only beside $regex")
        elif operator == "$not":
            found.append(
                Not(
                    _tests(
                        operand if isinstance(operand, dict) else {"$regex": operand}, test, name, depth + 1
                    )
                )
            )
        elif operator in ("$and", "$or", "$nor"):
            if not isinstance(operand, (list, tuple)) or not operand:
                raise Invalid(
                    f"{name}: {operator} must be a list of at least one test, not {_shown(operand)}"
                )
            of = [_tests(each, test, name, depth + 1) for each in operand]
            found.append(
                all_of(of) if operator == "$and" else any_of(of) if operator == "$or" else Not(any_of(of))
            )
        elif operator == "$regex":
            found.append(test("$regex", _pattern(name, operand, value.get("$options", "")), name))
        else:
            found.append(test(operator, operand, name))
    return all_of(found)


def field_test(field: str, read: Callable[[str, Any], Scalar]) -> Test:
    """What can be asked of a field with one value; ``read`` turns an operand into a value."""

    def test(operator: str, operand: Any, name: str) -> Condition:
        if operator in ("$eq", "$ne"):
            equal = _equal(field, read(name, operand))
            return equal if operator == "$eq" else Not(equal)
        if operator in _COMPARE:
            value = read(name, operand)
            if value is None:
                # As in MongoDB, null is neither less nor greater than itself, but equal.
                return IsNull(field) if operator in ("$gte", "$lte") else Or(())
            return Compare(field, _COMPARE[operator], value)
        if operator in ("$in", "$nin"):
            among = _among(field, [read(name, each) for each in _list(name, operator, operand)])
            return among if operator == "$in" else Not(among)
        if operator == "$regex":
            return Match(field, "regex", operand)
        if operator == "$contains":
            return Match(field, "contains", _text(name, operator, operand))
        if operator == "$exists":
            return Exists(field) if _flag(name, operand) else Not(Exists(field))
        raise _unknown(name, operator)

    return test


def _presence_test(field: str) -> Test:
    """Whether a run's history has a key: only that can be asked."""

    def test(operator: str, operand: Any, name: str) -> Condition:
        if operator == "$exists":
            return Exists(field) if _flag(name, operand) else Not(Exists(field))
        if operator in ("$eq", "$ne") and operand is None:
            return IsNull(field) if operator == "$eq" else Not(IsNull(field))
        raise Invalid(f"{name}: only $exists can be asked of it; ask summary_metrics.<key> for values")

    return test


def member_test(root: str) -> Test:
    """What can be asked of a list, such as a run's tags: equality and ``$in`` mean that one of them is the value."""

    def has(operator: str, operand: Any) -> Condition:
        return Exists(f"{root}.{_text(root, operator, operand)}")

    def test(operator: str, operand: Any, name: str) -> Condition:
        if operator in ("$eq", "$ne", "$contains") and not isinstance(operand, (list, tuple)):
            found = has(operator, operand)
            return Not(found) if operator == "$ne" else found
        if operator in ("$in", "$nin", "$all"):
            has_each = [has(operator, each) for each in _list(name, operator, operand)]
            if operator == "$all":
                return all_of(has_each) if has_each else Or(())
            return any_of(has_each) if operator == "$in" else Not(any_of(has_each))
        if operator == "$exists":
            # There is always a list, be it empty.
            return And(()) if _flag(name, operand) else Or(())
        raise Invalid(
            f"{name}: {operator} of {_shown(operand)} cannot be asked; use a text, or $in, $nin, $all, $ne with texts"
        )

    return test


def _equal(field: str, value: Scalar) -> Condition:
    return IsNull(field) if value is None else Compare(field, "=", value)


def _among(field: str, values: Iterable[Scalar]) -> Condition:
    listed = tuple(values)
    rest = tuple(each for each in listed if each is not None)
    if len(rest) == len(listed):
        return In(field, rest)
    return Or((IsNull(field), In(field, rest))) if rest else IsNull(field)


def scalar(name: str, value: Any) -> Scalar:
    """A value to compare a field with."""
    if isinstance(value, int) and not isinstance(value, bool):
        return bounds.whole(value)
    if value is None or isinstance(value, (bool, float, str)):
        return value
    raise Invalid(f"{name}: compare it with null, true, false, a number or text, not {_shown(value)}")


def time(name: str, value: Any) -> Scalar:
    """A time in microseconds since 1970 from ISO 8601 (UTC unless it says otherwise); numbers are seconds, or milliseconds beyond 1e11."""
    if value is None:
        return None
    if isinstance(value, str):
        return bounds.instant(value, name)
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        scaled = value * (1000 if abs(value) > 1e11 else 1_000_000)
        return bounds.whole(int(scaled)) if math.isfinite(scaled) else float(scaled)
    raise Invalid(f'{name}: a time must be text such as "2026-01-31T12:00:00Z", not {_shown(value)}')


def _pattern(name: str, operand: Any, options: Any) -> str:
    pattern = _text(name, "$regex", operand)
    if not isinstance(options, str) or not set(options) <= _FLAGS:
        raise Invalid(f"{name}: $options must be of i, m and s, not {_shown(options)}")
    return f"(?{''.join(sorted(set(options)))}){pattern}" if options else pattern


def _text(name: str, operator: str, operand: Any) -> str:
    if not isinstance(operand, str):
        raise Invalid(f"{name}: {operator} takes text, not {_shown(operand)}")
    return operand


def _list(name: str, operator: str, operand: Any) -> list[Any]:
    if not isinstance(operand, (list, tuple)):
        raise Invalid(f"{name}: {operator} takes a list, not {_shown(operand)}")
    if len(operand) > bounds.MAX_VALUES:
        raise TooLarge(f"{name}: {operator} lists {len(operand)} values; the most is {bounds.MAX_VALUES}")
    return list(operand)


def _flag(name: str, operand: Any) -> bool:
    """MongoDB takes numbers for truth here."""
    if isinstance(operand, (bool, int, float)):
        return bool(operand)
    raise Invalid(f"{name}: $exists takes true or false, not {_shown(operand)}")


def _unknown(name: str, operator: str) -> Invalid:
    known = "$eq, $ne, $gt, $gte, $lt, $lte, $in, $nin, $exists, $regex, $contains, $not, $and, $or, $nor"
    if operator in ("$size", "$all", "$elemMatch"):
        return Invalid(
            f"{name}: {operator} is for lists, which can only be found to exist; use one of {known}"
        )
    return Invalid(f"{name}: {operator[:40]} is not known; use one of {known}")


def _shown(value: Any) -> str:
    """A value in a message: short, and not deeper than its first level."""
    if isinstance(value, (dict, list, tuple)):
        return f"{'an object' if isinstance(value, dict) else 'a list'} of {len(value)}"
    return repr(value)[:60]
