"""What happens in a project, as it happens."""

from __future__ import annotations

from typing import Annotated, Any

from msgspec import Meta

from runstone.dialects.native.projects import PROJECT
from runstone.dialects.native.wire import Request, project_name
from runstone.dialects.routing import EVENTS, Call, Events, Route
from runstone.domain import events
from runstone.errors import Malformed

PATH = PROJECT.replace("/projects/", "/events/")


class Listening(Request):
    """After which log entry to begin; without it, with what is yet to come. The header Last-Event-ID goes before it."""

    after: Annotated[int, Meta(ge=-1, le=(1 << 53) - 1)] | None = None


def listen(call: Call) -> Events:
    """Answers ``GET /events/{ns}/{project}``."""
    asked: Listening = call.query
    store, ctx, project = call.store, call.ctx, project_name(call)
    after = _last_seen(call)
    if after is None:
        after = asked.after
    if after is None:
        after = events.head(store)

    def read(place: int) -> tuple[list[tuple[int, str, Any]], int]:
        found, place = events.since(store, ctx, project, place)
        return [(event.seq, event.kind, event) for event in found], place

    return Events(read, after)


def _last_seen(call: Call) -> int | None:
    text = call.headers.get("Last-Event-ID")
    if text is None:
        return None
    if not text.isascii() or not text.isdigit() or len(text) > 16:
        raise Malformed(f"Last-Event-ID must be the number of a log entry, not {text!r:.80}")
    return int(text)


ROUTES = (
    Route(
        "GET",
        PATH,
        listen,
        "What happens in a project, as server-sent events; Last-Event-ID or ?after= resumes and misses nothing.",
        query=Listening,
        media_type=EVENTS,
    ),
)
