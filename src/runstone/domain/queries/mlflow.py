"""mlflow's search language: ``metrics.loss < 0.5 AND params.opt = 'adam'`` and ``metrics.loss DESC``, compiled to the query tree.

What is accepted and refused, and the texts of errors, are those of mlflow 3.17's own parser and SQL store; docs/queries.md lists the differences.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Collection, Iterable, Sequence
from typing import Any

from runstone.domain.queries import bounds
from runstone.domain.queries.mlflow_clauses import Clause, Token, clauses, order, unquoted, words
from runstone.domain.queries.mlflow_grammars import (
    EXPERIMENTS,
    LOGGED_MODELS,
    MODEL_VERSIONS,
    REGISTERED_MODELS,
    RUNS,
    STATUSES,
    Attribute,
    Grammar,
)
from runstone.errors import Invalid
from runstone.query import And, Compare, Condition, In, IsNull, Match, Not, Operator, Or, Order

__all__ = [
    "EXPERIMENTS",
    "LOGGED_MODELS",
    "MODEL_VERSIONS",
    "REGISTERED_MODELS",
    "RUNS",
    "Datasets",
    "Grammar",
    "condition",
    "orders",
]

#: Resolves a clause on a run's dataset inputs: which of ``name``, ``digest``, ``context``; the operator; a value or a list of them.
Datasets = Callable[[str, str, "str | tuple[str, ...]"], Condition]

_PROMPT = "mlflow.prompt.is_prompt"
_DATASET_KEYS = ("name", "digest", "context")
_NUMERIC = ("!=", "<", "<=", "=", ">", ">=")
_LIKE = {"LIKE": "like", "ILIKE": "ilike"}
_OPPOSITE: dict[str, Operator] = {"<": ">=", "<=": ">", ">": "<=", ">=": "<"}


def condition(source: str | None, grammar: Grammar = RUNS, *, datasets: Datasets | None = None) -> Condition:
    """The condition that a filter string means. Invalid says what is wrong with it, in mlflow's words; an empty text finds all."""
    found = [
        _compiled(each, grammar, datasets)
        for each in clauses(source or "", quoting=grammar is RUNS or grammar.laxer)
    ]
    if grammar.prompts:
        found = _without_prompts(found)
    return bounds.checked(bounds.all_of(found))


def orders(order_by: Sequence[str | dict[str, Any]] | None, grammar: Grammar = RUNS) -> tuple[Order, ...]:
    """The orders of an ``order_by`` list, and mlflow's own last ones behind them."""
    found: list[Order] = []
    for each in order_by or ():
        field, descending = (
            _ordered_by_object(each, grammar) if grammar.laxer else _ordered_by_text(each, grammar)
        )
        if any(field == other.field for other in found):
            raise Invalid(f"`order_by` contains duplicate fields: {list(order_by or ())}")
        found.append(Order(field, descending))
    if not found:
        return grammar.orders
    named = {each.field for each in found}
    return (*found, *(each for each in grammar.last_orders if each.field not in named))


def _compiled(clause: Clause, grammar: Grammar, datasets: Datasets | None) -> Condition:
    kind, key = _identifier(clause.left.text, grammar, grammar.attributes)
    if clause.value is None:
        if kind not in grammar.null_kinds:
            raise Invalid(grammar.null_refusal.format(kind=kind, key=key))
        missing = IsNull(_field(kind, key, grammar))
        return missing if clause.operator == "IS NULL" else Not(missing)
    if kind == "dataset":
        return _dataset(key, clause.operator, clause.value, datasets)
    if kind == "attribute":
        return _attribute(key, grammar.attributes[key], clause.operator, clause.value, grammar)
    field = _field(kind, key, grammar)
    if kind == "metric":
        value = _metric_value(clause.value, grammar)
        _among(clause.operator, _NUMERIC, kind, key, grammar)
        return Compare(field, clause.operator, value)  # type: ignore[arg-type]
    text = _string(clause.value, kind, grammar)
    _among(clause.operator, grammar.text_operators, kind, key, grammar)
    if isinstance(text, tuple):
        return _listed(field, clause.operator, text, anything=kind == "parameter")
    return _textual(field, clause.operator, text, anything=kind == "parameter")


def _identifier(source: str, grammar: Grammar, attributes: Collection[str]) -> tuple[str, str]:
    """The kind of a name (attribute, metric, parameter, tag, dataset) and its key without quotes."""
    root, dot, key = source.partition(".")
    if not dot:
        kind, key = "attribute", root
    else:
        root = unquoted(root, "`")
        kind = grammar.roots.get(root, "")
        if not kind:
            raise Invalid(grammar.root_refusal.format(root=root))
    key = unquoted(unquoted(key), "`")
    if kind == "attribute" and key not in attributes:
        raise Invalid(f"Invalid attribute key '{key}' specified. Valid keys are '{_set(attributes)}'")
    if kind == "dataset" and key not in _DATASET_KEYS:
        raise Invalid(f"Invalid dataset key '{key}' specified. Valid keys are '{_set(_DATASET_KEYS)}'")
    return kind, key


def _field(kind: str, key: str, grammar: Grammar) -> str:
    if kind == "tag" and key in grammar.tag_fields:
        return grammar.tag_fields[key]
    return grammar.attributes[key].field if kind == "attribute" else grammar.fields[kind] + key


def _attribute(key: str, attribute: Attribute, operator: str, token: Token, grammar: Grammar) -> Condition:
    if attribute.kind in ("time", "number"):
        value = _numeric_value(key, attribute, token, grammar)
        _among(operator, _NUMERIC, "attribute", key, grammar)
        if attribute.kind == "time":
            return _at_time(attribute.field, operator, value)
        return Compare(attribute.field, operator, value)  # type: ignore[arg-type]
    text: str | tuple[str, ...]
    if token.kind == "list":
        if grammar.lists is not None and key not in grammar.lists:
            raise Invalid(
                f"Only {sorted(grammar.lists)} attributes support comparison with a list of quoted string values."
            )
        text = words(token)
    else:
        text = _string(token, "attribute", grammar)
    _among(operator, attribute.operators, "attribute", key, grammar)
    if isinstance(text, tuple) != (operator in ("IN", "NOT IN")):
        raise Invalid(
            f"Invalid value for '{key}': {operator} takes {'a list' if isinstance(text, str) else 'one value'}"
        )
    if attribute.kind == "status":
        return _status(attribute.field, operator, text)
    if isinstance(text, tuple):
        return _listed(attribute.field, operator, text, anything=False)
    return _textual(attribute.field, operator, text, anything=False)


def _string(token: Token, kind: str, grammar: Grammar) -> str | tuple[str, ...]:
    """A quoted string (a list of them, or a bare number, where the grammar takes them)."""
    if grammar.laxer and token.kind == "list":
        return words(token)
    if token.kind in ("string", "symbol"):
        return unquoted(token.text)
    if grammar.laxer:
        return token.text
    if token.kind == "name":
        raise Invalid(
            "Parameter value is either not quoted or unidentified quote types used for string value "
            f"{token.text}. Use either single or double quotes."
        )
    if kind == "attribute":
        raise Invalid(grammar.attribute_value_refusal.format(value=token.text))
    raise Invalid(f"Expected a quoted string value for {kind} (e.g. 'my-value'). Got value {token.text}")


def _metric_value(token: Token, grammar: Grammar) -> int | float:
    if token.kind not in ("int", "float"):
        raise Invalid(f"Expected numeric value type for metric. Found {token.text}")
    return float(bounds.number(token.text))


def _numeric_value(key: str, attribute: Attribute, token: Token, grammar: Grammar) -> int | float:
    if attribute.whole and attribute.kind == "number" and token.kind in ("string", "symbol"):
        token = Token(
            "int" if re.fullmatch(r"\s*[+-]?\d+\s*", unquoted(token.text)) else "string",
            unquoted(token.text).strip(),
        )
    if attribute.whole and token.kind == "float":
        raise Invalid(f"Invalid value for numeric attribute '{key}': {token.text!r}")
    if token.kind not in ("int", "float"):
        if attribute.whole and attribute.kind == "number":
            raise Invalid(f"Invalid value for numeric attribute '{key}': {token.text!r}")
        raise Invalid(f"Expected numeric value type for numeric attribute: {key}. Found {token.text}")
    return bounds.number(token.text)


def _among(operator: str, valid: Iterable[str], kind: str, key: str, grammar: Grammar) -> None:
    if operator not in valid:
        refusal = (
            grammar.operator_refusals.get(kind) or "Invalid comparator '{operator}' not one of '{valid}'"
        )
        raise Invalid(refusal.format(operator=operator, valid=_set(valid), key=key))


def _textual(field: str, operator: str, text: str, *, anything: bool) -> Condition:
    """A comparison with a text; with ``anything``, of any scalar by its text, as mlflow keeps parameters."""
    if operator in _LIKE:
        return Match(field, _LIKE[operator], text, anything)  # type: ignore[arg-type]
    return Compare(field, operator, text, anything)  # type: ignore[arg-type]


def _listed(field: str, operator: str, values: tuple[str, ...], *, anything: bool) -> Condition:
    """IN, or NOT IN: which, as in SQL, does not find a missing value."""
    found = In(field, values, anything)
    return found if operator == "IN" else And((Not(IsNull(field)), Not(found)))


def _status(field: str, operator: str, text: str | tuple[str, ...]) -> Condition:
    """A comparison with mlflow's word for a state, by trying it on every word there is."""
    if operator in ("IN", "NOT IN"):
        chosen = {word: (word in text) == (operator == "IN") for word in STATUSES}
    elif operator in _LIKE:
        assert isinstance(text, str)
        pattern = re.compile(
            "".join({"%": ".*", "_": "."}.get(each, re.escape(each)) for each in text),
            re.DOTALL | (re.IGNORECASE if operator == "ILIKE" else 0),
        )
        chosen = {word: bool(pattern.fullmatch(word)) for word in STATUSES}
    else:
        chosen = {word: (word == text) == (operator == "=") for word in STATUSES}
    return In(field, tuple(state for word, states in STATUSES.items() if chosen[word] for state in states))


def _at_time(field: str, operator: str, value: int | float) -> Condition:
    """A comparison in mlflow's milliseconds, of times kept in microseconds: a time is the millisecond that it falls into."""
    if math.isinf(value):
        return Compare(field, operator, value)  # type: ignore[arg-type]
    floor = math.floor(value)
    if operator in ("=", "!="):
        if floor != value:
            return Or(()) if operator == "=" else Not(IsNull(field))
        first, after = bounds.whole(floor * 1000), bounds.whole((floor + 1) * 1000)
        within = Compare(field, ">=", first), Compare(field, "<", after)
        return (
            And(within) if operator == "=" else Or((Compare(field, "<", first), Compare(field, ">=", after)))
        )
    strict = operator in ("<=", ">")
    edge = floor + 1 if strict else math.ceil(value)
    return Compare(field, ">=" if operator in (">", ">=") else "<", bounds.whole(edge * 1000))


def _dataset(key: str, operator: str, token: Token, datasets: Datasets | None) -> Condition:
    if token.kind == "list":
        value: str | tuple[str, ...] = words(token)
    elif token.kind in ("string", "symbol"):
        value = unquoted(token.text)
    elif token.kind == "name":
        raise Invalid(
            "Parameter value is either not quoted or unidentified quote types used for string value "
            f"{token.text}. Use either single or double quotes."
        )
    else:
        raise Invalid(f"Expected a quoted string value for dataset attributes. Got value {token.text}")
    valid = ("!=", "=", "ILIKE", "IN", "LIKE", "NOT IN")
    if operator not in valid:
        raise Invalid(f"Invalid comparator '{operator}' not one of '{_set(valid)}")
    if isinstance(value, tuple) != (operator in ("IN", "NOT IN")):
        raise Invalid(
            f"Invalid value for 'dataset.{key}': {operator} takes {'a list' if isinstance(value, str) else 'one value'}"
        )
    if datasets is None:
        raise Invalid(f"dataset.{key}: inputs cannot be asked about here; filter by run_id instead")
    return datasets(key, operator, value)


def _without_prompts(found: list[Condition]) -> list[Condition]:
    """Prompts are registered models that are hidden unless the filter asks for them by their tag."""
    field = "tags." + _PROMPT
    asked = [each for each in found if isinstance(each, (Compare, Match)) and each.field == field]
    for each in asked[:1]:
        if isinstance(each, Compare) and (each.op, str(each.value).lower()) in (
            ("=", "true"),
            ("!=", "false"),
        ):
            return found
    return [*(each for each in found if each not in asked), Not(Compare(field, "=", "true"))]


def _ordered_by_text(source: Any, grammar: Grammar) -> tuple[str, bool]:
    if not isinstance(source, str):
        raise Invalid(f"Invalid order_by clause '{source}'. Could not be parsed.")
    name, descending = order(source)
    if grammar.bare_orders:
        if name not in grammar.order_attributes:
            raise Invalid(
                f"Invalid order by key '{name}' specified. Valid keys are '{_set(grammar.bare_orders)}'"
            )
        return grammar.order_attributes[name], descending
    kind, key = _identifier(name, grammar, grammar.order_attributes)
    if kind == "attribute":
        return grammar.order_attributes[key], descending
    if kind not in grammar.order_kinds:
        raise Invalid(grammar.order_refusal.format(kind=kind))
    return _field(kind, key, grammar), descending


def _ordered_by_object(source: Any, grammar: Grammar) -> tuple[str, bool]:
    """An order of logged models: ``{"field_name": "metrics.loss", "ascending": false}``."""
    if not isinstance(source, dict):
        raise Invalid("`order_by` must be a list of dictionaries.")
    name, ascending = source.get("field_name"), source.get("ascending", True)
    if not isinstance(name, str):
        raise Invalid("`field_name` in the `order_by` clause must be specified.")
    if not isinstance(ascending, bool):
        raise Invalid(
            f"Value of `ascending` in the `order_by` clause must be a boolean, got {type(ascending)} for field {name}."
        )
    if source.get("dataset_digest") and not source.get("dataset_name"):
        raise Invalid("`dataset_digest` can only be specified if `dataset_name` is also specified.")
    if source.get("dataset_name"):
        raise Invalid(
            f"order by {name}: an order by the values on one dataset is not supported; leave `dataset_name` out"
        )
    root, dot, key = name.partition(".")
    if dot and root != "metrics":
        raise Invalid(f"Invalid order by field name: {name}. Only metrics are supported.")
    if not dot and name.strip() not in grammar.order_attributes:
        raise Invalid(f"Invalid order by field name: {name}")
    return (grammar.fields["metric"] + key if dot else grammar.order_attributes[name.strip()]), not ascending


def _set(names: Iterable[str]) -> str:
    """A set as Python prints it, which is how mlflow tells; ours is sorted."""
    return "{" + ", ".join(repr(each) for each in sorted(names)) + "}"
