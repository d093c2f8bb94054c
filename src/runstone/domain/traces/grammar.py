"""mlflow's language for traces: ``trace.status = 'OK' AND span.name LIKE '%llm%' AND feedback.good = 'true'``, and its orders.

What is accepted and refused, and the texts of errors, are those of mlflow 3.17's own parser and SQL store.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from runstone.domain.queries import bounds
from runstone.domain.queries.mlflow_clauses import Token, clauses, order, unquoted, words
from runstone.errors import Invalid

Value = str | int | float | tuple[str, ...] | None


class Clause(NamedTuple):
    """``kind``.``key`` ``operator`` value; the kind is attribute, tag, metadata, span, feedback, expectation or issue."""

    kind: str
    key: str
    operator: str
    value: Value


class TraceOrder(NamedTuple):
    """An order by an attribute, tag or metadata."""

    kind: str
    key: str
    descending: bool


NAME, RUN, PROMPTS = "mlflow.traceName", "mlflow.sourceRun", "mlflow.linkedPrompts"
MAX_CLAUSES = 200
_KINDS = {
    "tag": "tag",
    "tags": "tag",
    "attribute": "attribute",
    "attributes": "attribute",
    "trace": "attribute",
    "request_metadata": "metadata",
    "metadata": "metadata",
    "span": "span",
    "feedback": "feedback",
    "expectation": "expectation",
    "issue": "issue",
}
_SHOWN = {"metadata": "request_metadata"}
_NUMBERS = {"timestamp", "timestamp_ms", "execution_time", "execution_time_ms", "end_time", "end_time_ms"}
_FILTERED = {*_NUMBERS, "request_id", "status", "client_request_id", "name", "run_id", "prompt", "text"}
_ORDERED = {*_NUMBERS, "experiment_id", "status", "request_id", "name", "run_id"}
_LISTED = {"name", "status", "request_id", "run_id", "client_request_id"}
_ALIASES = {"timestamp": "timestamp_ms", "execution_time": "execution_time_ms", "end_time": "end_time_ms"}
_TEXTUAL = {"!=", "=", "LIKE", "ILIKE", "RLIKE", "IS NULL", "IS NOT NULL"}
_ATTRIBUTES = {"!=", "=", "IN", "NOT IN", "LIKE", "ILIKE", "RLIKE"}
_NUMERIC = {">", ">=", "!=", "=", "<", "<="}
_GREATER = {">", ">=", "<", "<="}
_SPAN_KEYS = {"name", "type", "status"}


def parse(source: str) -> list[Clause]:
    """The clauses of a filter; :class:`Invalid` says what is wrong with it, in mlflow's words."""
    found = []
    for each in clauses(source or ""):
        kind, key = _identifier(each.left.text, _FILTERED)
        value = None if each.value is None else _value(kind, key, each.operator, each.value)
        clause = _renamed(Clause(kind, key, each.operator, value))
        if kind == "span":
            _require_operator(clause)
        found.append(clause)
    if len(found) > MAX_CLAUSES:
        raise Invalid(f"the filter has {len(found)} clauses and the limit is {MAX_CLAUSES}")
    for clause in found:
        _require_operator(clause)
    return found


def orders(order_by: Sequence[str]) -> list[TraceOrder]:
    """The orders of an ``order_by`` list."""
    found: list[TraceOrder] = []
    for source in order_by:
        words_of = source.lower().split()
        if words_of[:1] == ["timestamp"] and words_of[1:] not in ([], ["asc"], ["desc"]):
            raise Invalid(f"Invalid order_by clause '{source}'. Could not be parsed.")
        name, descending = order(source)
        kind, key, _, _ = _renamed(Clause(*_identifier(name, _ORDERED), "=", None))
        if kind == "metadata" and key in ("mlflow.trace.tokenUsage", "mlflow.trace.cost"):
            raise Invalid(
                f"Ordering by reserved metadata '{key}' is not supported because it is represented by multiple columns."
            )
        if kind not in ("attribute", "tag", "metadata"):
            raise Invalid(f"Invalid identifier type '{kind}'")
        if kind == "attribute" and key == "end_time_ms":
            raise Invalid(f"Invalid order_by clause '{source}': traces are not ordered by their end")
        if any((kind, key) == each[:2] for each in found):
            raise Invalid(f"`order_by` contains duplicate fields: {list(order_by)}")
        found.append(TraceOrder(kind, key, descending))
    return found


def _identifier(source: str, attributes: Iterable[str]) -> tuple[str, str]:
    root, dot, key = source.partition(".")
    if not dot:
        root, key = "attribute", source
    root = unquoted(root, "`")
    if root not in _KINDS:
        raise Invalid(f"Invalid entity type '{root}'. Valid values are {_set(_KINDS)}")
    key = unquoted(unquoted(key), "`")
    kind = _KINDS[root]
    if kind == "attribute" and key not in attributes:
        raise Invalid(f"Invalid attribute key '{key}' specified. Valid keys are '{_set(attributes)}'")
    return kind, key


def _renamed(clause: Clause) -> Clause:
    """A clause by the thing that its key stands for: mlflow renames keys of every kind but a span's."""
    if clause.kind == "span":
        return clause
    key = clause.key.lower()
    if key == "name":
        return clause._replace(kind="tag", key=NAME)
    if key == "prompt":
        return clause._replace(kind="tag", key=PROMPTS)
    if key == "run_id":
        return clause._replace(kind="metadata", key=RUN)
    if key == "text":
        return clause._replace(kind="span", key="content")
    return clause._replace(key=_ALIASES.get(key, clause.key))


def _value(kind: str, key: str, operator: str, token: Token) -> Value:
    if kind in ("feedback", "expectation"):
        return _assessment_value(kind, operator, token)
    if token.kind in ("string", "symbol"):
        return unquoted(token.text)
    if token.kind == "name":
        raise Invalid(
            "Parameter value is either not quoted or unidentified quote types used for string value "
            f"{token.text}. Use either single or double quotes."
        )
    if token.kind == "list" and kind in ("attribute", "tag", "span"):
        if kind == "attribute" and key not in _LISTED:
            raise Invalid(
                f"Only attributes in {_set(_LISTED)} supports comparison with a list of quoted string values."
            )
        return words(token)
    if kind == "attribute" and token.kind in ("int", "float"):
        if key not in _NUMBERS:
            raise Invalid(f"Only the '{_set(_NUMBERS)}' attributes support comparison with numeric values.")
        return bounds.number(token.text)
    if kind == "attribute":
        raise Invalid(
            f"Expected a quoted string value or a list of quoted string values for attributes. Got value {token.text}"
        )
    raise Invalid(
        f"Expected a quoted string value for {_SHOWN.get(kind, kind)} (e.g. 'my-value'). Got value {token.text}"
    )


def _assessment_value(kind: str, operator: str, token: Token) -> Value:
    numeric = operator in _GREATER
    if token.kind in ("int", "float") and numeric:
        return bounds.number(token.text)
    if token.kind in ("string", "symbol") and not numeric:
        return unquoted(token.text)
    if token.kind == "name" and not numeric:
        raise Invalid(
            "Parameter value is either not quoted or unidentified quote types used for string value "
            f"{token.text}. Use either single or double quotes."
        )
    if numeric:
        raise Invalid(
            f"Expected a numeric value for {kind} when using comparator '{operator}'. Got value {token.text}"
        )
    raise Invalid(f"Expected a quoted string value for {kind} (e.g. 'my-value'). Got value {token.text}")


def _require_operator(clause: Clause) -> None:
    kind, key, operator, value = clause
    if kind == "issue":
        _require_issue(key, operator)
    elif kind == "attribute":
        valid = _NUMERIC if key in _NUMBERS else _ATTRIBUTES
        if operator not in valid:
            closing = "" if key in _NUMBERS else "'"
            raise Invalid(f"Invalid comparator '{operator}' not one of '{_set(_ATTRIBUTES)}{closing}")
    elif kind == "tag":
        if operator not in _TEXTUAL:
            raise Invalid(f"Invalid comparator '{operator}' not one of '{_set(_TEXTUAL)}")
        if key == PROMPTS:
            _require_prompt(operator, value)
    elif kind == "metadata":
        if operator not in _TEXTUAL:
            raise Invalid(f"Invalid comparator '{operator}' not one of '{_set(_TEXTUAL)}'")
        if key in ("mlflow.trace.tokenUsage", "mlflow.trace.cost") and operator in ("LIKE", "ILIKE", "RLIKE"):
            raise Invalid(
                f"Comparator '{operator}' is not supported for reserved metadata '{key}'. "
                "Only '=', '!=', 'IS NULL', and 'IS NOT NULL' are supported."
            )
    elif kind == "span":
        _require_span(key, operator)
    else:
        valid = _TEXTUAL | _GREATER
        if operator not in valid:
            raise Invalid(f"assessment.{key} comparator '{operator}' not one of '{_set(valid)}'")
    if isinstance(value, tuple) != (operator in ("IN", "NOT IN")):
        raise Invalid(
            f"Invalid value for '{key}': {operator} takes {'one value' if isinstance(value, tuple) else 'a list'}"
        )


def _require_span(key: str, operator: str) -> None:
    if key == "content":
        valid = {"LIKE", "ILIKE"}
    elif key == "attributes.":
        raise Invalid("Span attribute name cannot be empty after 'attributes.'")
    elif key.startswith("attributes.") or key in _SPAN_KEYS:
        valid = _ATTRIBUTES
    else:
        raise Invalid(
            f"Invalid span attribute '{key}'. Supported attributes: {', '.join(sorted(_SPAN_KEYS))}, attributes.<attribute_name>."
        )
    if operator not in valid:
        raise Invalid(f"span.{key} comparator '{operator}' not one of '{_set(valid)}'")


def _require_issue(key: str, operator: str) -> None:
    if key != "id":
        raise Invalid(f"Invalid issue attribute '{key}'. Supported attributes: id")
    if operator != "=":
        raise Invalid(f"issue.{key} comparator '{operator}' not one of '{_set({'='})}'")


def _require_prompt(operator: str, value: Value) -> None:
    if operator != "=":
        raise Invalid(
            f"Invalid comparator '{operator}' for prompts filter. Only '=' is supported with format: prompt = \"name/version\""
        )
    if not isinstance(value, str) or value.count("/") != 1:
        raise Invalid(f"Invalid prompts filter value '{value}'. Expected format: prompt = \"name/version\"")


def _set(names: Iterable[str]) -> str:
    """A set as Python prints it, which is how mlflow tells; ours is sorted."""
    return "{" + ", ".join(repr(each) for each in sorted(names)) + "}"
