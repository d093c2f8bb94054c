"""Whether a trace fits the clauses of a filter. What a clause does not ask for is not read: spans are looked at last."""

from __future__ import annotations

import json
import math
import operator
import re
from collections.abc import Callable, Collection, Iterable, Sequence
from typing import Any

import msgspec

from runstone.domain.traces.finding import Found
from runstone.domain.traces.grammar import NAME, PROMPTS, RUN, Clause
from runstone.domain.traces.rows import SESSION_KEY
from runstone.domain.traces.spans import CACHED_TOKENS, COSTS, TOKENS, Span
from runstone.query import Match
from runstone.storage.columns import patterns
from runstone.storage.tables import Assessment

USAGE_KEY, COST_KEY = "mlflow.trace.tokenUsage", "mlflow.trace.cost"
#: Clocks of a trace and of its spans may differ by so much.
TOLERANCE = 10_000
_COMPARE: dict[str, Callable[[Any, Any], bool]] = {
    "=": operator.eq, "!=": operator.ne, "<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge
}  # fmt: skip
Test = Callable[[Any], bool]
_SMALL = str.maketrans("ABCDEFGHIJKLMNOPQRSTUVWXYZ", "abcdefghijklmnopqrstuvwxyz")


class Candidate(msgspec.Struct):
    """A trace that may fit, and how to come by what was said of it and by its spans."""

    found: Found
    assessments: Callable[[], list[Assessment]]
    spans: Callable[[], list[Span]]
    covered: Callable[[Clause], Collection[str]]


class Filter:
    """The clauses of a filter, ready to be asked of traces."""

    def __init__(self, clauses: Sequence[Clause]) -> None:
        self.clauses = clauses
        self._cheap = [
            _row_test(clause) for clause in clauses if clause.kind in ("attribute", "tag", "metadata")
        ]
        self._judged = [clause for clause in clauses if clause.kind in ("feedback", "expectation", "issue")]
        self._spans = [_span_test(clause) for clause in clauses if clause.kind == "span"]
        lows = [
            clause.value
            for clause in clauses
            if clause.kind == "attribute" and clause.key == "timestamp_ms" and clause.operator in (">", ">=")
        ]
        self._from = (max(lows) - TOLERANCE) * 1_000_000 if lows else None  # type: ignore[type-var, operator]

    def fits(self, candidate: Candidate) -> bool:
        """Whether a trace fits all of the clauses; those on spans must fit one and the same span."""
        if not all(test(candidate.found) for test in self._cheap):
            return False
        if not all(_judged_fits(clause, candidate) for clause in self._judged):
            return False
        return not self._spans or any(self._span_fits(span) for span in candidate.spans())

    def _span_fits(self, span: Span) -> bool:
        early = self._from is not None and span.start < self._from
        return not early and all(test(span) for test in self._spans)


def _row_test(clause: Clause) -> Callable[[Found], bool]:
    kind, key, op, wanted = clause
    if kind == "tag" and key == PROMPTS:
        return lambda found: wanted in found.trace.prompts
    if kind == "metadata" and key == RUN and op == "=":
        return lambda found: wanted in found.trace.runs or found.trace.metadata.get(RUN) == wanted
    if kind == "metadata" and key in (USAGE_KEY, COST_KEY):
        return _reserved_test(clause)
    value = _reader(kind, key)
    if op in ("IS NULL", "IS NOT NULL"):
        return lambda found: (value(found) is None) == (op == "IS NULL")
    test = comparison(op, wanted)
    return lambda found: (held := value(found)) is not None and test(held)


def _reader(kind: str, key: str) -> Callable[[Found], Any]:
    if kind == "attribute":
        return {
            "request_id": lambda found: found.trace.name,
            "timestamp_ms": lambda found: found.trace.time,
            "execution_time_ms": lambda found: found.trace.duration,
            "end_time_ms": lambda found: found.trace.time + (found.trace.duration or 0),
            "status": lambda found: found.trace.state,
            "client_request_id": lambda found: found.trace.client_request,
            "experiment_id": lambda found: found.project.id,
        }[key]
    if kind == "tag":
        return (lambda found: found.trace.title) if key == NAME else (lambda found: found.trace.tags.get(key))
    if key == SESSION_KEY:
        return lambda found: found.trace.session
    return lambda found: found.trace.metadata.get(key)


def value_of(found: Found, kind: str, key: str) -> Any:
    """What a trace is ordered by."""
    return _reader(kind, key)(found)


def _reserved_test(clause: Clause) -> Callable[[Found], bool]:
    """A comparison with the JSON text that usage and cost are shown as."""

    def told(found: Found) -> dict[str, Any]:
        return found.trace.usage if clause.key == USAGE_KEY else found.trace.cost

    if clause.operator in ("IS NULL", "IS NOT NULL"):
        return lambda found: bool(told(found)) == (clause.operator == "IS NOT NULL")
    return lambda found: (
        bool(told(found)) and (shown(told(found)) == clause.value) == (clause.operator == "=")
    )


def shown(told: dict[str, Any]) -> str:
    """Usage or cost as metadata has it: JSON, its keys in an order of their own."""
    return json.dumps({key: told[key] for key in (*TOKENS, *CACHED_TOKENS, *COSTS) if key in told})


def comparison(op: str, wanted: Any) -> Test:
    """A comparison with a value as SQLite makes it; what is compared is never None."""
    if op in _COMPARE:
        compare = _COMPARE[op]
        return lambda held: _alike(held, wanted) and compare(held, wanted)
    if op in ("IN", "NOT IN"):
        among = frozenset(wanted)
        return lambda held: (held in among) == (op == "IN")
    return like(op, wanted)


def _alike(held: Any, wanted: Any) -> bool:
    return isinstance(held, str) == isinstance(wanted, str)


def like(op: str, pattern: str) -> Test:
    """LIKE, ILIKE (which folds ASCII alone) or RLIKE, in time linear in the text."""
    if op == "RLIKE":
        search = patterns.compile_match(Match("", "regex", pattern)).search
        return lambda held: search(held.encode())
    if op == "ILIKE":
        folded = like("LIKE", pattern.translate(_SMALL))
        return lambda held: folded(held.translate(_SMALL))
    inner = pattern.strip("%")
    if pattern == f"%{inner}%" and not re.search("[%_]", inner):
        return lambda held: inner in held
    search = patterns.compile_match(Match("", "like", pattern)).search
    return lambda held: search(held.encode())


def _span_test(clause: Clause) -> Callable[[Span], bool]:
    _, key, op, wanted = clause
    if not key.startswith("attributes."):
        test = comparison(op, wanted)
        return lambda span: (held := getattr(span, key)) is not None and test(held)
    name = key.removeprefix("attributes.").strip("`")
    if op == "RLIKE":
        assert isinstance(wanted, str)
        start, stop = wanted.startswith("^"), wanted.endswith("$")
        inner = wanted[1:] if start else wanted
        inner = inner[:-1] if stop else inner
        begin = r'"\\"' if start else r'"\\".*'
        end = r'\\"' if stop else ""
        test = like(op, f'"{name}": {begin}{inner}{end}')
    else:
        # Attributes are looked for in the span's text, as mlflow does: '=' finds nothing, and '!=' all.
        test = comparison(op, f'%"{name}"{wanted}%') if op not in ("IN", "NOT IN") else comparison(op, wanted)
    return lambda span: test(span.content)


def _judged_fits(clause: Clause, candidate: Candidate) -> bool:
    rows = candidate.assessments()
    if clause.kind == "issue":
        return any(row.kind == "issue" and row.name == clause.value for row in rows)
    session = candidate.found.trace.session
    fits = judged(clause, rows) or (session is not None and session in candidate.covered(clause))
    return fits != (clause.operator == "IS NULL")


def judged(clause: Clause, rows: Iterable[Assessment], *, of_session: bool = False) -> bool:
    """Whether one of some assessments is what a clause asks for (IS NULL: what it asks not to be there)."""
    test = _value_test(clause)
    return any(
        row.kind == clause.kind
        and row.name == clause.key
        and row.valid
        and (not of_session or SESSION_KEY in row.metadata)
        and test(row.value)
        for row in rows
    )


def _value_test(clause: Clause) -> Callable[[str], bool]:
    """A test of an assessment's JSON text: texts with their quotes and all else without are equal to a text."""
    op, wanted = clause.operator, clause.value
    if op in ("IS NULL", "IS NOT NULL"):
        return lambda text: True
    if op in ("=", "!="):
        texts = (wanted, json.dumps(wanted))
        return lambda text: (text in texts) == (op == "=")
    if op in ("LIKE", "ILIKE", "RLIKE"):
        return like(op, str(wanted))
    compare = _COMPARE[op]
    return lambda text: (number := _number(text)) is not None and compare(number, wanted)


def _number(text: str) -> float | None:
    if text[:1] in ('"', "[", "{") or text in ("true", "false", "null"):
        return None
    try:
        number = float(text)
    except ValueError:
        return None
    return number if math.isfinite(number) else None
