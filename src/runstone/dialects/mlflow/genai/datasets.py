"""Evaluation datasets: sets of records of a workspace, used by any number of its experiments."""

from __future__ import annotations

import base64
import binascii
import contextlib
import hashlib
import json
import secrets
import time
from collections.abc import Mapping
from typing import Any

from runstone.dialects.mlflow import ids, wire
from runstone.dialects.mlflow.genai import datasearch, records
from runstone.dialects.mlflow.problem import invalid, missing
from runstone.dialects.mlflow.wire import ARRAY, INTEGER, REQUIRED, STRING
from runstone.dialects.routing import Call
from runstone.domain.entities import keeping
from runstone.domain.entities.keeping import Kept
from runstone.errors import Missing

USUAL_RESULTS = 1000
MAX_RECORDS = 100_000


def create(call: Call, fields: dict[str, Any]) -> Any:
    """Answers ``POST datasets/create``."""
    name, tags = wire.text(fields, "name"), _tags(wire.text(fields, "tags"))
    now = _now()
    user = tags.get(records.USER)
    held = {
        "tags": tags,
        "experiments": list(dict.fromkeys(wire.strings(fields, "experiment_ids"))),
        "digest": _digest(name, now),
        "schema": None,
        "count": 0,
        "counted": False,
        "created_by": user,
        "updated_by": user,
        "created": now,
        "updated": now,
    }
    entity = f"d-{secrets.token_hex(16)}"
    made = keeping.make(
        call.store, call.ctx.without_id(), "dataset", entity, held, namespace=ids.workspace(call), name=name
    )
    return {"dataset": shown(made) | _experiments(made)}


def get(call: Call, fields: dict[str, Any]) -> Any:
    """Answers ``GET datasets/{dataset}``."""
    return {"dataset": shown(_find(call, "Evaluation dataset with id '{}' not found"))}


def delete(call: Call, fields: dict[str, Any]) -> Any:
    """Answers ``DELETE datasets/{dataset}``; one that is not there is no error."""
    with contextlib.suppress(Missing):
        keeping.remove(call.store, call.ctx, "dataset", call.path["dataset"])
    return {}


def search(call: Call, fields: dict[str, Any]) -> Any:
    """Answers ``POST datasets/search`` and GET."""
    limit, offset = (
        wire.whole(fields, "max_results", USUAL_RESULTS) or USUAL_RESULTS,
        wire.page_offset(fields),
    )
    if limit < 0:
        raise invalid(
            f"Invalid value {limit} for parameter 'max_results' supplied. It must be a positive integer"
        )
    held = keeping.of_namespace(call.store, call.ctx, "dataset", ids.workspace(call))
    among = set(wire.strings(fields, "experiment_ids"))
    if among:
        held = [each for each in held if among & set(each.fields["experiments"])]
    found = datasearch.search(held, wire.text(fields, "filter_string"), wire.strings(fields, "order_by"))
    answer: dict[str, Any] = {}
    if page := found[offset : offset + limit]:
        answer["datasets"] = [shown(each) for each in page]
    if len(found) > offset + limit:
        answer["next_page_token"] = wire.page_token(offset + limit)
    return answer


def set_tags(call: Call, fields: dict[str, Any]) -> Any:
    """Answers ``PATCH datasets/{dataset}/tags``; a tag of null stays as it is."""
    tags = _tags(wire.text(fields, "tags"))

    def changed(held: Kept) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
        return held.fields | {"tags": held.fields["tags"] | tags}, {}

    _change(call, changed, "Could not find evaluation dataset with ID {}")
    return {}


def delete_tag(call: Call, fields: dict[str, Any]) -> Any:
    """Answers ``DELETE datasets/{dataset}/tags/{key}``; what is not there is no error."""

    def changed(held: Kept) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
        kept = {key: text for key, text in held.fields["tags"].items() if key != call.path["key"]}
        return held.fields | {"tags": kept}, {}

    with contextlib.suppress(Missing):
        keeping.change(call.store, call.ctx, "dataset", call.path["dataset"], changed)
    return {}


def put_records(call: Call, fields: dict[str, Any]) -> Any:
    """Answers ``POST datasets/{dataset}/records``."""
    given = records.taken(wire.text(fields, "records"))
    inserted = updated = 0

    def changed(held: Kept) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
        nonlocal inserted, updated
        inserted = updated = 0
        now = _now()
        there = keeping.some_items(call.store, held, {records.key(each) for each in given})
        found = {key: item.fields for key, item in there.items()}
        for each in given:
            key = records.key(each)
            if key in found:
                found[key] = records.merged(found[key], each, now)
                updated += 1
            else:
                found[key] = records.new(each, now)
                inserted += 1
        users = [each["tags"][records.USER] for each in given if records.USER in (each.get("tags") or {})]
        count = held.fields["count"] + inserted
        if count > MAX_RECORDS:
            raise invalid(f"a dataset holds at most {MAX_RECORDS} records; make another")
        told = {
            "schema": records.schema(held.fields["schema"], given),
            "count": count,
            "counted": held.fields["counted"] or count > 0,
            "digest": _digest(held.name, now),
            "updated": now,
            "updated_by": users[-1] if users else None,
        }
        return held.fields | told, found

    _change(call, changed)
    return {"inserted_count": inserted, "updated_count": updated}


def get_records(call: Call, fields: dict[str, Any]) -> Any:
    """Answers ``GET datasets/{dataset}/records``: by when they came."""
    limit = wire.whole(fields, "max_results") or USUAL_RESULTS
    held = _find(call)
    after = _cursor(wire.text(fields, "page_token"))
    rows = sorted((item.fields for item in keeping.items(call.store, held)), key=_place)
    found = [row for row in rows if after is None or _place(row) > after]
    page = found[:limit]
    answer = {"records": json.dumps([records.shown(row, held.id) for row in page])}
    if len(found) > limit:
        answer["next_page_token"] = base64.b64encode(
            f"{page[-1]['created']}:{page[-1]['id']}".encode()
        ).decode()
    return answer


def _place(row: Mapping[str, Any]) -> tuple[int, str]:
    return row["created"], row["id"]


def _cursor(token: str) -> tuple[int, str] | None:
    if not token:
        return None
    try:
        created, _, last = base64.b64decode(token, validate=True).decode().partition(":")
        return int(created), last
    except (binascii.Error, ValueError):
        raise invalid("Invalid page token, could not base64-decode") from None


def delete_records(call: Call, fields: dict[str, Any]) -> Any:
    """Answers ``DELETE datasets/{dataset}/records``; those that are not there are passed over."""
    doomed = set(wire.strings(fields, "dataset_record_ids"))
    deleted = 0

    def changed(held: Kept) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
        nonlocal deleted
        gone = {item.key: None for item in keeping.items(call.store, held) if item.fields["id"] in doomed}
        deleted = len(gone)
        return held.fields | {"count": max(0, held.fields["count"] - deleted)}, gone

    _change(call, changed)
    return {"deleted_count": deleted}


def experiment_ids(call: Call, fields: dict[str, Any]) -> Any:
    """Answers ``GET datasets/{dataset}/experiment-ids``."""
    try:
        return _experiments(_find(call))
    except Missing:
        return {}


def add_experiments(call: Call, fields: dict[str, Any]) -> Any:
    """Answers ``POST datasets/{dataset}/add-experiments``."""
    given = wire.strings(fields, "experiment_ids")
    _find(call)
    for number in given:
        try:
            ids.experiment(call, number)
        except Missing:
            raise missing(f"No Experiment with id={number}") from None

    def changed(held: Kept) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
        joined = list(dict.fromkeys([*held.fields["experiments"], *given]))
        return held.fields | {"experiments": joined, "updated": _now()}, {}

    return {"dataset": shown(_change(call, changed))}


def remove_experiments(call: Call, fields: dict[str, Any]) -> Any:
    """Answers ``POST datasets/{dataset}/remove-experiments``; those that it is not in are passed over."""
    given = set(wire.strings(fields, "experiment_ids"))

    def changed(held: Kept) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
        kept = [number for number in held.fields["experiments"] if number not in given]
        moved = {"experiments": kept, "updated": _now()} if kept != held.fields["experiments"] else {}
        return held.fields | moved, {}

    return {"dataset": shown(_change(call, changed))}


def shown(held: Kept) -> dict[str, Any]:
    """A dataset as clients read it."""
    kept = held.fields
    answer: dict[str, Any] = {"dataset_id": held.id, "name": held.name, "tags": json.dumps(kept["tags"])}
    if kept["schema"] is not None:
        answer["schema"] = json.dumps(kept["schema"])
    if kept["counted"]:
        answer["profile"] = json.dumps({"num_records": kept["count"]} if kept["count"] else None)
    answer |= {"digest": kept["digest"], "created_time": kept["created"], "last_update_time": kept["updated"]}
    for name, key in (("created_by", "created_by"), ("last_updated_by", "updated_by")):
        if kept[key] is not None:
            answer[name] = kept[key]
    return answer


def _experiments(held: Kept) -> dict[str, Any]:
    return {"experiment_ids": held.fields["experiments"]} if held.fields["experiments"] else {}


def _find(call: Call, text: str = "Dataset '{}' not found") -> Kept:
    try:
        return keeping.get(call.store, call.ctx, "dataset", call.path["dataset"])
    except Missing:
        raise missing(text.format(call.path["dataset"])) from None


def _change(call: Call, changed: Any, text: str = "Dataset '{}' not found") -> Kept:
    _find(call, text)
    return keeping.change(call.store, call.ctx, "dataset", call.path["dataset"], changed)


def _tags(text: str) -> dict[str, str]:
    if not text:
        return {}
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        raise invalid("tags must be the JSON text of an object") from None
    if not isinstance(found, dict):
        raise invalid("tags must be the JSON text of an object")
    return {key: str(value) for key, value in found.items() if value is not None}


def _digest(name: str, now: int) -> str:
    return hashlib.sha256(f"{name}:{now}".encode()).hexdigest()[:8]


def _now() -> int:
    return time.time_ns() // 1_000_000


_SEARCH = {"filter_string": (STRING,), "max_results": (INTEGER,), "page_token": (STRING,)}
_ONE = "datasets/{dataset}"
_ROUTES: tuple[tuple[Any, ...], ...] = (
    (
        "POST",
        "datasets/create",
        create,
        "Makes a dataset.",
        {"name": (REQUIRED, STRING), "experiment_ids": (ARRAY,), "tags": (STRING,)},
    ),
    ("POST", "datasets/search", search, "Datasets that are asked for.", _SEARCH),
    ("GET", "datasets/search", search, "Datasets that are asked for.", _SEARCH),
    ("GET", _ONE, get, "A dataset.", {}),
    ("DELETE", _ONE, delete, "Deletes a dataset.", {}),
    ("PATCH", _ONE + "/tags", set_tags, "Sets tags.", {"tags": (REQUIRED, STRING)}),
    ("DELETE", _ONE + "/tags/{key}", delete_tag, "Takes a tag away.", {}),
    (
        "GET",
        _ONE + "/records",
        get_records,
        "A dataset's records.",
        {"max_results": (INTEGER,), "page_token": (STRING,)},
    ),
    ("DELETE", _ONE + "/records", delete_records, "Deletes records.", {"dataset_record_ids": (ARRAY,)}),
    ("GET", _ONE + "/experiment-ids", experiment_ids, "A dataset's experiments.", {}),
    ("POST", _ONE + "/add-experiments", add_experiments, "Adds experiments.", {"experiment_ids": (ARRAY,)}),
    (
        "POST",
        _ONE + "/remove-experiments",
        remove_experiments,
        "Takes experiments away.",
        {"experiment_ids": (ARRAY,)},
    ),
)
ROUTES = (
    *(route for each in _ROUTES for route in wire.routes(*each, version="3.0")),
    *wire.routes(
        "POST",
        _ONE + "/records",
        put_records,
        "Adds records.",
        {"records": (REQUIRED, STRING)},
        version="3.0",
        large=True,
    ),
)
