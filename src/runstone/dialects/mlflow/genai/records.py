"""Records of evaluation datasets: what goes in, what shall come out, and where it was taken from. One of equal inputs is one record."""

from __future__ import annotations

import hashlib
import json
import secrets
from collections.abc import Mapping
from typing import Any

from runstone.dialects.mlflow.problem import invalid

USER = "mlflow.user"
_SOURCES = ("UNSPECIFIED", "TRACE", "HUMAN", "DOCUMENT", "CODE")


def key(record: Mapping[str, Any]) -> str:
    """What a record is known by: its inputs, in whatever order they come."""
    return hashlib.sha256(json.dumps(record.get("inputs", {}), sort_keys=True).encode()).hexdigest()


def new(record: Mapping[str, Any], now: int) -> dict[str, Any]:
    """A record as it is kept."""
    user = (record.get("tags") or {}).get(USER)
    kept: dict[str, Any] = {
        "id": f"dr-{secrets.token_hex(16)}",
        "inputs": record.get("inputs", {}),
        "outputs": record.get("outputs", {}),
        "expectations": record.get("expectations"),
        "tags": record.get("tags") or {},
        "created": now,
        "updated": now,
        "created_by": user,
        "updated_by": user,
    }
    source = record.get("source")
    if source:
        kept["source"] = _source(source)
    return kept


def _source(source: Any) -> dict[str, Any]:
    if not isinstance(source, dict) or not isinstance(source.get("source_type"), str):
        raise invalid(f"a record's source must be an object with a source_type, not {str(source)[:80]}")
    kind = source["source_type"].upper()
    if kind not in _SOURCES:
        raise invalid(f"Invalid dataset record source type: {kind}. Valid source types: {list(_SOURCES)}")
    return {"source_type": kind, "source_data": source.get("source_data") or {}}


def merged(kept: Mapping[str, Any], record: Mapping[str, Any], now: int) -> dict[str, Any]:
    """A record that came again."""
    found = {**kept, "updated": now}
    if "outputs" in record:
        found["outputs"] = record["outputs"]
    for name in ("expectations", "tags"):
        if record.get(name):
            found[name] = {**(kept.get(name) or {}), **record[name]}
    if USER in (record.get("tags") or {}):
        found["updated_by"] = record["tags"][USER]
    return found


def shown(kept: Mapping[str, Any], dataset: str) -> dict[str, Any]:
    """A record as clients read it."""
    source = kept.get("source")
    answer: dict[str, Any] = {
        "dataset_record_id": kept["id"],
        "dataset_id": dataset,
        "inputs": kept["inputs"],
    }
    for name in ("expectations", "tags", "outputs"):
        if kept.get(name) is not None:
            answer[name] = kept[name]
    if source:
        answer["source"] = source
        data = source["source_data"]
        found = data.get("trace_id") if source["source_type"] == "TRACE" else data.get("source_id")
        if isinstance(found, str):
            answer["source_id"] = found
        answer["source_type"] = source["source_type"]
    answer |= {"created_time": kept["created"], "last_update_time": kept["updated"]}
    told = {"created_by": kept.get("created_by"), "last_updated_by": kept.get("updated_by")}
    return answer | {name: user for name, user in told.items() if user is not None}


def schema(held: Mapping[str, Any] | None, records: list[dict[str, Any]]) -> dict[str, Any] | None:
    """The fields of a dataset's records and their types, with those of some records."""
    if not records and held is None:
        return None
    empty: dict[str, Any] = {"inputs": {}, "outputs": {}, "expectations": {}, "version": "1.0"}
    found = json.loads(json.dumps(held)) if held else empty
    for record in records:
        for part in ("inputs", "outputs", "expectations"):
            told = record.get(part)
            if isinstance(told, dict) and isinstance(found[part], dict):
                for name, value in told.items():
                    found[part].setdefault(name, _type(value))
            elif part == "outputs" and told is not None and not found[part]:
                found[part] = _type(told)
    return found


def _type(value: Any) -> str:
    for kind, name in (
        (bool, "boolean"),
        (int, "integer"),
        (float, "float"),
        (str, "string"),
        (list, "array"),
        (dict, "object"),
    ):
        if isinstance(value, kind):
            return name
    return "null" if value is None else "unknown"


def taken(text: str) -> list[dict[str, Any]]:
    """The records that a request brings, as a JSON text."""
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        raise invalid("records must be the JSON text of a list of objects") from None
    if not isinstance(found, list) or not all(isinstance(each, dict) for each in found):
        raise invalid("records must be the JSON text of a list of objects")
    for each in found:
        for part in ("inputs", "expectations", "tags"):
            if not isinstance(each.get(part), dict | None):
                raise invalid(f"{part} of a record must be an object, not {str(each[part])[:80]}")
    return found
