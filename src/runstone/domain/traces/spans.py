"""Spans: taken in by the batch, kept packed in blobs, read back whole.

A batch of spans of one trace is a blob: first what its spans tell of usage and cost, which is read again whenever more of them come,
then the spans; both MessagePack, deflated. A span that came again is the one that came last. A trace whose spans come in ones and twos
has its small batches put together as it grows, so that reading it opens few.
"""

from __future__ import annotations

import contextlib
import math
import zlib
from collections.abc import Iterable, Sequence
from typing import Any

import msgspec

from runstone.domain import names
from runstone.domain.context import Context
from runstone.domain.store import Store
from runstone.domain.traces import finding, usage
from runstone.domain.traces.commands import LogSpans
from runstone.domain.traces.finding import Found
from runstone.errors import Conflict, Corrupt, Invalid, TooLarge
from runstone.storage.index import View
from runstone.storage.tables import TRACE_SPANS, Project, SpanBatch

#: Bytes of one trace's spans in one request, unpacked.
MAX_BATCH = 48 << 20
#: So many batches of like size become one.
TOGETHER = 16
TRIES = 20
TOKENS = ("input_tokens", "output_tokens", "total_tokens")
CACHED_TOKENS = (
    "cache_read_input_tokens",
    "cache_creation_input_tokens",
    "cache_creation_input_tokens_above_1hr",
)
COSTS = ("input_cost", "output_cost", "total_cost")


class Span(msgspec.Struct, frozen=True, array_like=True):
    """A span: ids as hexadecimal digits (no ``parent`` for a root), times in nanoseconds, and all of it as the JSON text ``content``.

    ``status`` is OK, ERROR or UNSET; ``usage`` and ``cost`` are what it tells of tokens and money.
    """

    id: str
    parent: str
    name: str
    type: str | None
    status: str
    start: int
    end: int
    content: str
    usage: dict[str, Any] | None = None
    cost: dict[str, Any] | None = None
    model: str | None = None
    provider: str | None = None


class Told(msgspec.Struct, frozen=True):
    """Spans of one trace, and what they tell of it; see :class:`LogSpans`."""

    name: str
    spans: Sequence[Span]
    title: str | None = None
    session: str | None = None
    request: str | None = None
    response: str | None = None
    tags: dict[str, str] = {}
    first_tags: dict[str, str] = {}
    metadata: dict[str, str] = {}


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(list[Span]).decode
_decode_nodes = msgspec.msgpack.Decoder(
    list[tuple[str, str, dict[str, Any] | None, dict[str, Any] | None]]
).decode


def log(store: Store, ctx: Context, project: str, told: Iterable[Told]) -> None:
    """Adds spans to traces of a project; a trace that is not there begins with them. A trace of the namespace that lies elsewhere stays there."""
    for each in told:
        for _ in range(TRIES):
            with contextlib.suppress(_CameBetween):
                _log_one(store, ctx.without_id(), project, each)
                break
        else:
            raise Conflict(f"trace {each.name} gets spans from too many at once; send them again")


class _CameBetween(Exception):  # to be tried again
    """Other spans of the trace came between the look at it and the change."""


def _log_one(store: Store, ctx: Context, project: str, told: Told) -> None:
    with store.index.read() as view:
        namespace, held = names.find_project(store, view, ctx, names.parse_project(ctx, project), "write")
        found = finding.lookup(store, view, ctx, told.name, namespace=namespace.id)
        if not finding.fits(told.name):
            raise Invalid(
                f"{told.name!r:.80} cannot be the id of a trace: it takes up to {finding.MAX_NAME} bytes"
            )
        batches = _batches(view, found) if found else []
    spans = list(told.spans)
    replaced = _like(batches, len(spans))
    tokens, cost = any(span.usage for span in spans), any(span.cost for span in spans)
    earlier = _read_nodes(store, namespace.domain, batches) if tokens or cost else []
    nodes = list({node[0]: node for node in (*earlier, *map(_node, spans))}.values())
    if replaced:
        spans = _joined(
            [*_read(store, namespace.domain, [row for row in batches if row[0] in replaced]), *spans]
        )
    batch = kept(store, ctx, namespace.domain, spans)
    command = _command(ctx, held, found, told, batch)
    if tokens:
        used = usage.total(((span, parent, tells) for span, parent, tells, _ in nodes), TOKENS, CACHED_TOKENS)
        whole = {key: int(count) for key, count in used.items() if float(count).is_integer()}
        command = msgspec.structs.replace(command, usage=whole)
    if cost:
        spent = usage.total(((span, parent, tells) for span, parent, _, tells in nodes), COSTS)
        real = {key: float(sum_) for key, sum_ in spent.items() if math.isfinite(sum_)}
        command = msgspec.structs.replace(command, cost=real)
    if replaced or tokens or cost:
        command = msgspec.structs.replace(command, batches=len(batches), replaced=replaced)
    try:
        store.submit(
            ctx, command, store.blobs.guard(namespace.domain, {batch.sha256: batch.size}, ctx.principal.name)
        )
    except Conflict as error:
        if command.batches < 0:
            raise
        raise _CameBetween from error


def _command(ctx: Context, project: Project, found: Found | None, told: Told, batch: SpanBatch) -> LogSpans:
    ends = [span.end for span in told.spans if span.end]
    root = next((span for span in told.spans if not span.parent), None)
    return LogSpans(
        actor=ctx.principal.name,
        project=found.project.id if found else project.id,
        trace=found.trace.id if found else 0,
        name=told.name,
        start=min(span.start for span in told.spans) // 1_000_000,
        end=max(ends) // 1_000_000 if ends else None,
        batch=batch,
        state=("ERROR" if root.status == "ERROR" else "OK") if root else None,
        title=told.title,
        session=told.session,
        request=told.request,
        response=told.response,
        tags=told.tags,
        first_tags=told.first_tags,
        metadata=told.metadata,
    )


def read(store: Store, found: Found) -> list[Span]:
    """All spans of a trace: roots first, then by their start. None when the principal may not read them."""
    if not found.shows("spans"):
        return []
    with store.index.read() as view:
        batches = _batches(view, found)
    spans = _joined(_read(store, found.namespace.domain, batches))
    return sorted(spans, key=lambda span: (bool(span.parent), span.start))


def of_trace(store: Store, view: View, domain: int, trace_id: int) -> list[Span]:
    """All spans of a trace by their ids; no policy is asked."""
    batches = [(key[1], batch) for key, batch in view.scan(TRACE_SPANS, trace_id)]
    return sorted(_joined(_read(store, domain, batches)), key=lambda span: span.id)


def _batches(view: View, found: Found) -> list[tuple[int, SpanBatch]]:
    return [(key[1], batch) for key, batch in view.scan(TRACE_SPANS, found.trace.id)]


def _like(batches: list[tuple[int, SpanBatch]], count: int) -> tuple[int, ...]:
    """The last batches, if they are many and each has about as many spans as the one that comes."""
    found = []
    for seq, batch in reversed(batches):
        if _size(batch.spans) > _size(count):
            break
        found.append(seq)
    total = sum(batch.unpacked for seq, batch in batches if seq in found)
    return tuple(found) if len(found) >= TOGETHER - 1 and total < MAX_BATCH // 2 else ()


def _size(count: int) -> int:
    return (max(1, count).bit_length() - 1) // 4


def kept(store: Store, ctx: Context, domain: int, spans: list[Span]) -> SpanBatch:
    """Puts spans into a blob, as a batch of a trace."""
    unpacked = _encode(spans)
    if len(unpacked) > MAX_BATCH:
        raise TooLarge(
            f"spans of a trace take {len(unpacked)} bytes together and the limit is {MAX_BATCH}; send them in parts"
        )
    nodes = zlib.compress(_encode([_node(span) for span in spans]), 3)
    packed = zlib.compress(unpacked, 3)
    blob = store.blobs.put(domain, ctx.principal.name, nodes + packed)
    return SpanBatch(blob.sha256, blob.size, len(nodes), len(packed), len(spans), len(unpacked))


def _node(span: Span) -> tuple[str, str, dict[str, Any] | None, dict[str, Any] | None]:
    return span.id, span.parent, span.usage, span.cost


def _read_nodes(store: Store, domain: int, batches: Iterable[tuple[int, SpanBatch]]) -> list[Any]:
    found: list[Any] = []
    for _, batch in batches:
        packed = store.blobs.read(domain, batch.sha256, 0, batch.offset)
        try:
            # It is a part of what the spans take, and never longer.
            found += _decode_nodes(zlib.decompressobj().decompress(packed, batch.unpacked))
        except (zlib.error, msgspec.DecodeError) as error:
            raise _broken(error) from error
    return found


def _broken(error: Exception) -> Corrupt:
    return Corrupt(f"a batch of spans does not unpack ({error}); restore it from a backup")


def _read(store: Store, domain: int, batches: Iterable[tuple[int, SpanBatch]]) -> list[Span]:
    found: list[Span] = []
    for _, batch in batches:
        packed = store.blobs.read(domain, batch.sha256, batch.offset, batch.offset + batch.length)
        unpacker = zlib.decompressobj()
        try:
            # What comes out is as long as what went in, or it is not what went in.
            found += _decode(unpacker.decompress(packed, batch.unpacked))
        except (zlib.error, msgspec.DecodeError) as error:
            raise _broken(error) from error
    return found


def _joined(spans: Iterable[Span]) -> list[Span]:
    """Spans without those that came again later."""
    return list({span.id: span for span in spans}.values())
