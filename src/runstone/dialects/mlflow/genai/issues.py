"""Issues: what was found to go wrong in the traces of an experiment. Traces refer to them by assessments."""

from __future__ import annotations

import secrets
from typing import Any

from runstone.dialects.mlflow import ids, wire
from runstone.dialects.mlflow.genai import paging
from runstone.dialects.mlflow.genai.scorers import experiment_id
from runstone.dialects.mlflow.problem import invalid, missing
from runstone.dialects.mlflow.wire import REQUIRED, STRING
from runstone.dialects.routing import Call
from runstone.domain.entities import keeping
from runstone.domain.entities.keeping import Kept
from runstone.domain.queries.mlflow_clauses import Clause, clauses, unquoted
from runstone.domain.traces.grammar import Clause as TraceClause
from runstone.domain.traces.searching import Search
from runstone.errors import Missing

_STATUSES = ("pending", "rejected", "resolved")
_SEVERITIES = ("not_an_issue", "low", "medium", "high")
_FILTERED = ("source_run_id", "status")


def create(call: Call, fields: dict[str, Any]) -> Any:
    """Answers ``POST issues``."""
    project = paging.experiment(call, wire.text(fields, "experiment_id"))
    held: dict[str, Any] = {
        "description": wire.text(fields, "description"),
        "status": "pending",
        **_choices(fields),
    }
    for name in ("source_run_id", "created_by"):
        if fields.get(name):
            held[name] = wire.text(fields, name)
    for name in ("root_causes", "categories"):
        if fields.get(name):
            held[name] = wire.strings(fields, name)
    if held.get("source_run_id"):
        ids.run(call, held["source_run_id"])
    name = _named(wire.text(fields, "name"))
    made = f"iss-{secrets.token_hex(16)}"
    kept = keeping.make(
        call.store, call.ctx.without_id(), "issue", made, held, project=project.info.path, name=name
    )
    return {"issue": _shown(call, kept)}


def get(call: Call, fields: dict[str, Any]) -> Any:
    """Answers ``GET issues/{issue}``."""
    return {"issue": _shown(call, _find(call))}


def update(call: Call, fields: dict[str, Any]) -> Any:
    """Answers ``PATCH issues/{issue}``."""
    _find(call)
    told = _choices(fields)
    if fields.get("description"):
        told["description"] = wire.text(fields, "description")
    name = _named(wire.text(fields, "name")) if fields.get("name") else None
    changed = keeping.change(
        call.store, call.ctx, "issue", call.path["issue"], lambda held: (held.fields | told, {}), name=name
    )
    return {"issue": _shown(call, changed)}


def search(call: Call, fields: dict[str, Any]) -> Any:
    """Answers ``POST issues/search``: the worst first, then the latest."""
    size = wire.whole(fields, "max_results", paging.USUAL_RESULTS)
    if size < 1:
        raise invalid(
            f"Invalid value {size} for parameter 'max_results' supplied. It must be a positive integer"
        )
    number = wire.text(fields, "experiment_id")
    projects = ids.active_experiments(call, [number] if number else None)
    tests = [_test(clause) for clause in clauses(wire.text(fields, "filter_string"), quoting=False)]
    counted = wire.flag(fields, "include_trace_count")
    found = [
        (held, _traces(call, held) if counted else 0)
        for project in projects
        for held in keeping.of_project(call.store, call.ctx, "issue", project.info.path)
        if all(key in held.fields and (held.fields[key] == value) == equal for key, value, equal in tests)
    ]
    found.sort(key=lambda each: (_rank(each[0]), each[1], each[0].created, each[0].id), reverse=True)
    shown = [_shown(call, held) | ({"trace_count": count} if counted else {}) for held, count in found]
    return paging.page("issues", shown, fields, size)


def _traces(call: Call, held: Kept) -> int:
    assert held.project is not None
    return Search(call.store, call.ctx, [held.project.id], [TraceClause("issue", "id", "=", held.id)]).count()


def _test(clause: Clause) -> tuple[str, str, bool]:
    key = unquoted(clause.left.text)
    if key not in _FILTERED:
        raise invalid(f"Invalid filter field '{key}'. Supported fields: {set(_FILTERED)}")
    if clause.operator not in ("=", "!=") or clause.value is None:
        raise invalid(f"Invalid comparator '{clause.operator}'. Supported comparators: {{'!=', '='}}")
    return key, unquoted(clause.value.text).strip(), clause.operator == "="


def _rank(held: Kept) -> int:
    severity = held.fields.get("severity")
    return _SEVERITIES.index(severity) if severity else -1


def _choices(fields: dict[str, Any]) -> dict[str, Any]:
    found = {}
    for name, valid in (("status", _STATUSES), ("severity", _SEVERITIES)):
        if name in fields:
            if fields[name] not in valid:
                raise invalid(f"{name} must be one of {', '.join(valid)}, not {str(fields[name])[:80]!r}")
            found[name] = fields[name]
    return found


def _named(name: str) -> str:
    if len(name) > 250:
        raise invalid("'name' exceeds the maximum length of 250 characters")
    return name


def _find(call: Call) -> Kept:
    try:
        return keeping.get(call.store, call.ctx, "issue", call.path["issue"])
    except Missing:
        raise missing(f"Issue with ID '{call.path['issue']}' not found") from None


def _shown(call: Call, held: Kept) -> dict[str, Any]:
    answer = {
        "issue_id": held.id,
        "experiment_id": experiment_id(call, held),
        "name": held.name,
        "description": held.fields["description"],
        "status": held.fields["status"],
        "created_timestamp": held.created,
        "last_updated_timestamp": held.updated,
    }
    more = ("severity", "root_causes", "source_run_id", "categories", "created_by")
    return answer | {name: held.fields[name] for name in more if held.fields.get(name)}


ROUTES = (
    *wire.routes(
        "POST",
        "issues",
        create,
        "Makes an issue.",
        {"name": (REQUIRED, STRING), "description": (REQUIRED, STRING), "experiment_id": (REQUIRED, STRING)},
        version="3.0",
    ),
    *wire.routes("POST", "issues/search", search, "Issues that are asked for.", version="3.0"),
    *wire.routes("GET", "issues/{issue}", get, "An issue.", version="3.0"),
    *wire.routes(
        "PATCH", "issues/{issue}", update, "Changes an issue.", {"issue_id": (REQUIRED,)}, version="3.0"
    ),
)
