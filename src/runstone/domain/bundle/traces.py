"""What a bundle has of traces: each as a whole with its assessments and files, and its spans."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import msgspec
from msgspec.structs import asdict

from runstone.domain import limits, manifests
from runstone.domain.bundle.parts import Known, Part, Taker, chunks
from runstone.domain.bundle.records import (
    AssessmentRecord,
    SpanRecord,
    SpansRecord,
    TraceRecord,
    plain,
    restored,
)
from runstone.domain.bundle.source import Source
from runstone.domain.context import Context
from runstone.domain.store import Store
from runstone.domain.traces import recording, restoring, rows, spans
from runstone.domain.traces.judging import Judgement
from runstone.domain.traces.spans import Span
from runstone.errors import Invalid
from runstone.storage.tables import ASSESSMENTS, TRACE_FILES, TRACE_TIMES, TRACES, Assessment, Trace

MAX_SPANS = 1000
_KINDS = ("feedback", "expectation", "issue")
_STATUSES = ("OK", "ERROR", "UNSET")
_TOLD = (
    "time", "state", "duration", "title", "session", "client_request", "request", "response", "tags", "metadata", "usage", "final",
)  # fmt: skip


def _each(source: Source) -> Iterator[Trace]:
    """The traces of a project by time and name."""
    numbers = (number for (_, _, number), _ in source.view.scan(TRACE_TIMES, source.project.id))
    moment: list[Trace] = []
    for number in numbers:
        source.ctx.check_deadline()
        row = source.view.get(TRACES, number)
        assert row is not None
        if moment and rows.at(moment[0].time) != rows.at(row.time):
            yield from sorted(moment, key=lambda each: (each.time, each.name))
            moment = []
        moment.append(row)
    yield from sorted(moment, key=lambda each: (each.time, each.name))


def _traces(source: Source) -> Iterator[TraceRecord]:
    for row in _each(source):
        judged = sorted(
            (each for _, each in source.view.scan(ASSESSMENTS, row.id)), key=lambda each: each.order
        )
        yield TraceRecord(
            name=row.name,
            cost=plain(row.cost),
            runs=row.runs,
            prompts=row.prompts,
            assessments=tuple(map(_assessment, judged)),
            files=tuple(manifests.shown(entry) for _, entry in source.view.scan(TRACE_FILES, row.id)),
            spans=len(spans.of_trace(source.store, source.view, source.namespace.domain, row.id)),
            created=row.created,
            by=row.by,
            **{name: getattr(row, name) for name in _TOLD},
        )


def _assessment(row: Assessment) -> AssessmentRecord:
    fields = asdict(row)
    del fields["order"]
    return AssessmentRecord(**fields)


def _told(record: TraceRecord) -> dict[str, Any]:
    cost = restored(record.cost)
    if not all(isinstance(each, int | float) and not isinstance(each, bool) for each in cost.values()):
        raise Invalid(f"the cost of trace {record.name!r:.200} is no number")
    return {name: getattr(record, name) for name in _TOLD} | {
        "cost": {key: float(each) for key, each in cost.items()}
    }


def _judgements(record: TraceRecord) -> list[Judgement]:
    return [Judgement(**asdict(each)) for each in record.assessments]


def _check_traces(known: Known) -> Callable[[TraceRecord], None]:
    def check(record: TraceRecord) -> None:
        if record.name in known.traces:
            raise Invalid(f"there are two traces {record.name!r:.200} in the bundle")
        restoring.check(record.name, _told(record), _judgements(record))
        for each in record.assessments:
            if each.kind not in _KINDS:
                raise Invalid(
                    f"assessment {each.id:.200} is no {each.kind!r:.40}, but one of {', '.join(_KINDS)}"
                )
            for text in (each.name, each.source_type):
                recording.check_text(text, "an assessment")
            for text in filter(None, (each.value, each.error)):
                _json(text, f"assessment {each.id:.200}")
        for text in (*record.runs, *record.prompts):
            limits.required_text(text, "what a trace is linked to", 1024)
        for digest, size in manifests.held(manifests.checked(record.files)).items():
            if known.blobs.get(digest.hex()) != size:
                raise Invalid(
                    f"trace {record.name} has a file of sha256 {digest.hex()}, which the bundle does not hold"
                )
        if any(file.url for file in record.files) or record.spans < 0:
            raise Invalid(f"trace {record.name} has files elsewhere, or fewer than no spans")
        known.traces[record.name] = record.spans

    return check


def _json(text: str, what: str) -> Any:
    try:
        return msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError):
        raise Invalid(f"what is told of {what} is no JSON") from None


def _make_traces(taker: Taker, item: str, record: TraceRecord) -> None:
    taker.once(item, restoring.start, taker.name, record.name, _told(record), _judgements(record))
    if record.runs or record.prompts:
        taker.once(f"{item}/links", restoring.link, taker.name, record.name, record.runs, record.prompts)

    def put_files(store: Store, ctx: Context) -> None:
        taker.put_bytes(record.files)
        restoring.put_files(store, ctx, taker.name, record.name, record.files)

    if record.files:
        taker.once(f"{item}/files", put_files)


def _spans(source: Source) -> Iterator[SpansRecord]:
    for row in _each(source):
        held = spans.of_trace(source.store, source.view, source.namespace.domain, row.id)
        for some in chunks(map(_span, held), MAX_SPANS):
            yield SpansRecord(trace=row.name, spans=some)


def _span(span: Span) -> SpanRecord:
    fields = asdict(span)
    return SpanRecord(**fields | {name: plain(fields[name]) for name in ("usage", "cost")})


def _restored(record: SpansRecord) -> list[Span]:
    return [
        Span(**asdict(each) | {"usage": restored(each.usage), "cost": restored(each.cost)})
        for each in record.spans
    ]


def _check_spans(known: Known) -> Callable[[SpansRecord], None]:
    seen: dict[str, set[str]] = {}

    def check(record: SpansRecord) -> None:
        ids = seen.setdefault(record.trace, set())
        before = len(ids)
        ids.update(each.id for each in record.spans)
        if len(ids) - before < len(record.spans):
            raise Invalid(f"trace {record.trace!r:.200} has a span twice")
        left = known.traces.get(record.trace, 0) - len(record.spans)
        if not record.spans or left < 0:
            raise Invalid(f"spans are of no trace, or too many: {record.trace!r:.200}")
        known.traces[record.trace] = left
        for span in _restored(record):
            _check_span(span)
        if not left:
            del seen[record.trace]

    return check


def _check_span(span: Span) -> None:
    for text in (span.id, span.parent, span.name, span.type, span.model, span.provider):
        recording.check_text(text, "a span")
    if (
        not span.id
        or span.status not in _STATUSES
        or not all(0 <= at < 1 << 64 for at in (span.start, span.end))
    ):
        raise Invalid(f"span {span.id!r:.80} has no id, or a status or time that no span has")
    if not isinstance(_json(span.content, f"span {span.id}"), dict):
        raise Invalid(f"the content of span {span.id} is no map")
    for told in (span.usage, span.cost):
        limits.json_value(told, f"what span {span.id} tells", finite=False)


def _make_spans(taker: Taker, item: str, record: SpansRecord) -> None:
    taker.once(item, restoring.add_spans, taker.name, record.trace, _restored(record))


def _state(record: TraceRecord) -> dict[str, Any]:
    found: dict[str, Any] = msgspec.to_builtins(record)
    del found["created"], found["by"]
    return found


PARTS = (
    Part("traces", TraceRecord, _traces, _check_traces, _make_traces, _state),
    Part("spans", SpansRecord, _spans, _check_spans, _make_spans, msgspec.to_builtins),
)
