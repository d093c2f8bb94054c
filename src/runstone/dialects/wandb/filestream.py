"""What a run sends while it goes on: history, system metrics, summary and console, in chunks that may come twice."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Annotated

import msgspec

from runstone.dialects.routing import JSON, Call, Raw
from runstone.dialects.wandb import history, naming, wire
from runstone.domain.runs import console, delivery, lifecycle, liveness
from runstone.errors import Invalid, RunstoneError
from runstone.types import RunInfo

#: In the header of a shared run, which of its writers this is.
WRITER = ("X-Wandb-Async-Client-Id", "X-Wandb-Client-Id")
SHARED = "X-Wandb-Use-Async-Filestream"


class Chunk(msgspec.Struct):
    """Lines of one file, from number ``offset`` on."""

    content: list[str]
    offset: Annotated[int, msgspec.Meta(ge=0, le=1 << 53)] = 0


class Stream(msgspec.Struct):
    """One request of a run; one with nothing in it says that the run is alive."""

    files: dict[str, Chunk] | None = None
    uploaded: list[str] | None = None
    preempting: bool | None = None
    complete: bool | None = None
    exitcode: int | None = None


def take_in(call: Call) -> Raw:
    """Answers ``POST /files/{entity}/{project}/{run}/file_stream``. Lines that cannot be stored are named in ``refused``; the rest is kept."""
    name = naming.run(call, call.path["entity"], call.path["project"], call.path["run"])
    sent: Stream = call.body
    run = lifecycle.get(call.store, call.ctx, name)
    refused: list[str] = []
    for file, chunk in (sent.files or {}).items():
        taker = _TAKERS.get(file)
        if taker is None:
            refused.append(f"{file} is not a file that a run streams")
        elif chunk.content:
            taker(call, name, chunk, refused)
    if not sent.files:
        liveness.heartbeat(call.store, call.ctx, name)
    _go_on(call, run, sent)
    return Raw(msgspec.json.encode({"stopped": bool(run.info.get("stopped")), "refused": refused}), JSON)


def _go_on(call: Call, run: RunInfo, sent: Stream) -> None:
    state = "preempting" if sent.preempting else "running"
    if sent.complete:
        state = "finished" if not sent.exitcode else "failed"
        if run.state == "preempting" and sent.exitcode:
            state = "preempted"
    elif not sent.preempting and run.state in ("running", "preempting"):
        return
    if state != run.state:
        lifecycle.set_state(call.store, call.ctx.without_id(), run.path, state)
    if sent.complete and run.info.get("stopped"):
        lifecycle.update(call.store, call.ctx.without_id(), run.path, remove=("info.stopped",))


def _rows(kind: str) -> Callable[[Call, str, Chunk, list[str]], None]:
    def take(call: Call, name: str, chunk: Chunk, refused: list[str]) -> None:
        now = call.store.blobs.clock()
        lines, wrong = chunk.content, dict[int, str]()
        delivery.log(
            call.store,
            call.ctx,
            name,
            _writer(call, kind),
            chunk.offset,
            len(lines),
            lambda start, stop: history.encoded(kind, lines[start:stop], chunk.offset + start, now, wrong),
        )
        refused += [wrong[number] for number in sorted(wrong)]

    return take


def _writer(call: Call, kind: str) -> str:
    if call.headers.get(SHARED, "").lower() != "true":
        return kind
    client = next((call.headers[name] for name in WRITER if name in call.headers), "")
    return f"{kind}/{client[:64]}" if client else kind


def _summary(call: Call, name: str, chunk: Chunk, refused: list[str]) -> None:
    """The last line is the summary; one that holds less than before takes away."""
    try:
        found = wire.document(chunk.content[-1], "the summary")
        lifecycle.update(call.store, call.ctx.without_id(), name, summary=found, remove=("summary",))
    except Invalid as error:
        refused.append(f"summary: {error.message:.300}")


def _console(call: Call, name: str, chunk: Chunk, refused: list[str]) -> None:
    now = call.store.blobs.clock()
    lines = []
    for number, text in enumerate(chunk.content, chunk.offset):
        time, stream, level, shown = _console_line(text.removesuffix("\n"), now)
        if len(shown.encode("utf-8", "replace")) > console.MAX_TEXT:
            refused.append(f"console line {number} is over the limit of {console.MAX_TEXT} bytes")
            shown = ""
        lines.append((time, stream, level, shown))
    writer = _writer(call, "console")
    for start in range(0, len(lines), console.MAX_LINES):
        part = lines[start : start + console.MAX_LINES]
        first = chunk.offset + start
        console.log(
            call.store,
            call.ctx.without_id(),
            name,
            part,
            first=first,
            writer=writer if "/" in writer else "",
        )


def _console_line(text: str, now: int) -> tuple[int, str, str, str]:
    """A line, as JSON with its time and level or as text that begins with them; the end of line that older SDKs sync with it is none of it."""
    if text.startswith("{"):
        try:
            found = wire.document(text, "a console line") or {}
        except RunstoneError:
            found = {}
        if isinstance(found.get("content"), str) and isinstance(found.get("ts"), str):
            level = str(found.get("level") or "")
            return _moment(found["ts"], now), _stream(level == "error"), level[:64], found["content"]
    wrong = text.startswith("ERROR ")
    stamp, space, rest = text.removeprefix("ERROR ").partition(" ")
    time = _moment(stamp, 0) if space else 0
    return time or now, _stream(wrong), "error" if wrong else "", rest if time else text


def _stream(wrong: bool) -> str:
    return "stderr" if wrong else "stdout"


def _moment(text: str, default: int) -> int:
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        return default
    return round((found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp() * 1e6)


_TAKERS: dict[str, Callable[[Call, str, Chunk, list[str]], None]] = {
    "wandb-history.jsonl": _rows(history.HISTORY),
    "wandb-events.jsonl": _rows(history.EVENTS),
    "wandb-summary.json": _summary,
    "output.log": _console,
}
