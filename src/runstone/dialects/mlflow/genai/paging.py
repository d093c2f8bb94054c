"""What the newer lists of mlflow have in common: an experiment that must be there, a number of results, and tokens of pages."""

from __future__ import annotations

from typing import Any

from runstone.dialects.mlflow import ids, wire
from runstone.dialects.mlflow.problem import invalid, missing
from runstone.dialects.routing import Call
from runstone.domain.described import DescribedProject
from runstone.errors import Missing

MAX_RESULTS, USUAL_RESULTS = 50_000, 100
_HINT = " See the API docs for more information about request parameters."


def experiment(call: Call, text: str) -> DescribedProject:
    """The project of an experiment that is not archived."""
    try:
        found = ids.experiment(call, text)
    except Missing:
        found = None
    if found is None or found.deleted:
        raise missing(f"No Experiment with id={text} exists")
    return found


def limit(fields: dict[str, Any], usual: int = USUAL_RESULTS) -> int:
    """How many results are asked for."""
    if "max_results" not in fields:
        return usual
    found = wire.whole(fields, "max_results")
    if not 1 <= found <= MAX_RESULTS:
        raise invalid(f"max_results must be between 1 and {MAX_RESULTS}." + _HINT)
    return found


def page(name: str, rows: list[dict[str, Any]], fields: dict[str, Any], size: int) -> dict[str, Any]:
    """A page of some rows, with the token of the next one, which is empty on the last."""
    offset = wire.page_offset(fields)
    answer: dict[str, Any] = {name: rows[offset : offset + size]} if rows[offset : offset + size] else {}
    return answer | {"next_page_token": wire.page_token(offset + size) if len(rows) > offset + size else ""}
