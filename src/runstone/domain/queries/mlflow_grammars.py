"""What each of mlflow's searches may name, and the fields of ours that its names stand for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, NamedTuple

import msgspec

from runstone.query import Order

_TEXT = ("!=", "=", "ILIKE", "LIKE")
_LISTED = ("!=", "=", "ILIKE", "IN", "LIKE", "NOT IN")
_NULLABLE = ("!=", "=", "ILIKE", "IS NOT NULL", "IS NULL", "LIKE")

#: mlflow's word for a run's status, and the states of ours that a client of mlflow is shown by it.
STATUSES: dict[str, tuple[str, ...]] = {
    "RUNNING": ("running", "preempting"),
    "SCHEDULED": ("pending",),
    "FINISHED": ("finished",),
    "FAILED": ("failed", "crashed"),
    "KILLED": ("killed", "preempted"),
}


class Attribute(NamedTuple):
    """One of mlflow's attributes: our field, what it holds, and the operators on a text.

    A ``time`` is milliseconds in mlflow and microseconds here. ``whole`` refuses fractions and takes quoted digits.
    """

    field: str
    kind: Literal["text", "time", "number", "status"] = "text"
    operators: tuple[str, ...] = _LISTED
    whole: bool = False


class Grammar(msgspec.Struct, frozen=True, kw_only=True):
    """One of mlflow's searches. The refusals are mlflow's texts, with ``{key}``, ``{kind}``, ``{operator}``, ``{valid}``, ``{value}``."""

    attributes: Mapping[str, Attribute]
    #: What an identifier may begin with, and the kind of name that it then is.
    roots: Mapping[str, str]
    #: What a key stands behind, by kind of name.
    fields: Mapping[str, str]
    order_attributes: Mapping[str, str]
    #: Tags that are another name of a field.
    tag_fields: Mapping[str, str] = {}
    #: The order when none is asked for, and what stands behind one that is.
    orders: tuple[Order, ...]
    last_orders: tuple[Order, ...]
    order_kinds: frozenset[str] = frozenset()
    text_operators: tuple[str, ...] = _TEXT
    null_kinds: frozenset[str] = frozenset()
    #: The attributes that take a list of values; None: all.
    lists: frozenset[str] | None = frozenset()
    #: Set where orders are plain words: those that the refusal recommends.
    bare_orders: tuple[str, ...] = ()
    #: Logged models have a parser of their own: bare values, lists anywhere, orders as objects.
    laxer: bool = False
    #: Whether prompts hide among the rows.
    prompts: bool = False
    root_refusal: str = "Invalid entity type '{root}'. Valid values are ['metric', 'parameter', 'tag', 'attribute', 'dataset']"
    null_refusal: str = (
        "IS NULL / IS NOT NULL is only supported for tags and params, not for '{kind}' '{key}'"
    )
    order_refusal: str = "Invalid order_by entity: {kind}"
    attribute_value_refusal: str = "Expected a quoted string value for attributes. Got value {value}"
    operator_refusals: Mapping[str, str] = {}


_REGISTRY_ROOTS = {"attribute": "attribute", "tag": "tag", "tags": "tag"}
_REGISTRY_ROOT_REFUSAL = "Invalid entity type '{root}'. Valid entity types are ('attribute', 'tag', 'tags')"
_REGISTRY_VALUE_REFUSAL = (
    "Expected a quoted string value or a list of quoted string values for attributes. Got value {value}"
)
_NO_NULLS = "Invalid comparison clause. Expected 3 tokens found 2"

_RUN_TIMES = {
    "start_time": Attribute("created", "time"),
    "created": Attribute("created", "time"),
    "Created": Attribute("created", "time"),
    "end_time": Attribute("ended", "time"),
}
_RUN_TEXTS = {
    "run_id": Attribute("id"),
    "run_name": Attribute("name"),
    "user_id": Attribute("user"),
    "status": Attribute("state", "status"),
    "artifact_uri": Attribute("artifact_uri"),
}

RUNS = Grammar(
    attributes=_RUN_TIMES
    | _RUN_TEXTS
    | dict.fromkeys(("run name", "Run name", "Run Name"), Attribute("name")),
    roots={
        "metric": "metric",
        "metrics": "metric",
        "parameter": "parameter",
        "parameters": "parameter",
        "param": "parameter",
        "params": "parameter",
        "tag": "tag",
        "tags": "tag",
        "attribute": "attribute",
        "attributes": "attribute",
        "attr": "attribute",
        "run": "attribute",
        "dataset": "dataset",
        "datasets": "dataset",
    },
    fields={"metric": "summary.", "parameter": "config.", "tag": "tags."},
    tag_fields={"mlflow.runName": "name"},
    order_attributes={name: each.field for name, each in (_RUN_TIMES | _RUN_TEXTS).items()},
    orders=(Order("created", True), Order("id")),
    last_orders=(Order("created", True), Order("id")),
    order_kinds=frozenset({"metric", "parameter", "tag"}),
    text_operators=_NULLABLE,
    null_kinds=frozenset({"parameter", "tag"}),
    lists=frozenset({"run_id"}),
    order_refusal="Invalid identifier type '{kind}'",
)

_EXPERIMENT_ATTRIBUTES = {
    "name": Attribute("name", operators=_TEXT),
    "experiment_id": Attribute("id", operators=("!=", "=", "IN", "NOT IN")),
    "creation_time": Attribute("created", "time", whole=True),
    "last_update_time": Attribute("updated", "time", whole=True),
}

EXPERIMENTS = Grammar(
    attributes=_EXPERIMENT_ATTRIBUTES,
    roots=_REGISTRY_ROOTS,
    fields={"tag": "tags."},
    order_attributes={name: each.field for name, each in _EXPERIMENT_ATTRIBUTES.items()},
    orders=(Order("created", True), Order("id")),
    last_orders=(Order("id", True),),
    text_operators=_NULLABLE,
    null_kinds=frozenset({"tag"}),
    lists=frozenset({"experiment_id"}),
    root_refusal=_REGISTRY_ROOT_REFUSAL,
    null_refusal="IS NULL / IS NOT NULL is only supported for tags, not for attribute '{key}'",
)

REGISTERED_MODELS = Grammar(
    attributes={"name": Attribute("name")},
    roots=_REGISTRY_ROOTS,
    fields={"tag": "tags."},
    order_attributes={"name": "name", "timestamp": "updated", "last_updated_timestamp": "updated"},
    orders=(Order("name"),),
    last_orders=(Order("name"),),
    lists=frozenset({"name"}),
    bare_orders=("name", "timestamp"),
    prompts=True,
    root_refusal=_REGISTRY_ROOT_REFUSAL,
    null_refusal=_NO_NULLS,
    attribute_value_refusal=_REGISTRY_VALUE_REFUSAL,
    operator_refusals={
        "attribute": "Invalid comparator for attribute: {operator}",
        "tag": "Invalid comparator for tag: {operator}",
    },
)

MODEL_VERSIONS = Grammar(
    attributes={
        "name": Attribute("name"),
        "version_number": Attribute("version", "number", whole=True),
        "run_id": Attribute("run_id"),
        "source_path": Attribute("source"),
    },
    roots=_REGISTRY_ROOTS,
    fields={"tag": "tags."},
    order_attributes={
        "name": "name",
        "version_number": "version",
        "creation_timestamp": "created",
        "last_updated_timestamp": "updated",
    },
    orders=(Order("updated", True), Order("name"), Order("version", True)),
    last_orders=(Order("name"), Order("version", True)),
    lists=frozenset({"name", "run_id"}),
    prompts=True,
    root_refusal=_REGISTRY_ROOT_REFUSAL,
    null_refusal=_NO_NULLS,
    attribute_value_refusal=_REGISTRY_VALUE_REFUSAL,
    operator_refusals={
        "attribute": "Invalid comparator for attribute: {operator}",
        "tag": "Invalid comparator for tag: {operator}",
    },
)

_LOGGED_ATTRIBUTES = {
    "name": Attribute("name"),
    "model_id": Attribute("id"),
    "model_type": Attribute("model_type"),
    "status": Attribute("status"),
    "source_run_id": Attribute("run_id"),
    "creation_time": Attribute("created", "time"),
    "creation_timestamp": Attribute("created", "time"),
    "creation_timestamp_ms": Attribute("created", "time"),
    "last_updated_timestamp": Attribute("updated", "time"),
    "last_updated_timestamp_ms": Attribute("updated", "time"),
}
_LOGGED_REFUSAL = "Invalid comparison operator for {name}.{{key}}: '{{operator}}'. Expected one of {{valid}}."

LOGGED_MODELS = Grammar(
    attributes=_LOGGED_ATTRIBUTES,
    roots={"attributes": "attribute", "metrics": "metric", "params": "parameter", "tags": "tag"},
    fields={"metric": "summary.", "parameter": "config.", "tag": "tags."},
    order_attributes={name: each.field for name, each in _LOGGED_ATTRIBUTES.items()},
    orders=(Order("created", True), Order("id")),
    last_orders=(Order("created", True), Order("id")),
    text_operators=_LISTED,
    lists=None,
    laxer=True,
    root_refusal="Invalid entity type: '{root}'. Expected one of ['attributes', 'metrics', 'params', 'tags'].",
    null_refusal="Invalid comparison: {key}. Expected a comparison with 3 tokens.",
    operator_refusals={
        kind: _LOGGED_REFUSAL.format(name=name)
        for kind, name in {
            "attribute": "attributes",
            "metric": "metrics",
            "parameter": "params",
            "tag": "tags",
        }.items()
    },
)
