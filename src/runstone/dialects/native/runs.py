"""Runs as a whole, their console lines and their files."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from msgspec import Meta, field

from runstone.dialects.native.projects import PROJECT
from runstone.dialects.native.queries import Filter
from runstone.dialects.native.versions import NewFile
from runstone.dialects.native.wire import (
    Answer,
    Limit,
    Listing,
    NoQuery,
    Number,
    Page,
    Request,
    page,
    plain,
    project_name,
)
from runstone.dialects.routing import BYTES, Call, Download, Raw, Reply, Route
from runstone.domain.runs import changing, console, files, lifecycle, liveness, questions
from runstone.domain.runs.encoded import EncodedPage
from runstone.types import ConsoleLine, FileEntry, RunInfo, RunsChanged
from runstone.types import RunPage as Runs

RUNS = PROJECT.replace("/projects/", "/runs/")
RUN = RUNS + "/{run}"
RUN_CHANGES = PROJECT.replace("/projects/", "/run-changes/")
State = Literal["running", "finished", "failed", "crashed", "killed", "pending", "preempting", "preempted"]
Documents = dict[str, Any]
Texts = dict[str, str]
Step = Annotated[int, Meta(ge=0, le=(1 << 53) - 1)]


class NewRun(Request):
    """A run to be made, or gone on with (``resume``: ``allow`` or ``must``), or forked from a run of the project at a ``step``."""

    name: str
    resume: Literal["never", "allow", "must"] = "never"
    display_name: str = ""
    group: str = ""
    job_type: str = ""
    sweep: str = ""
    notes: str = ""
    tags: Texts = field(default_factory=dict)
    config: Documents = field(default_factory=dict)
    goals: dict[str, Literal["min", "max"]] = field(default_factory=dict)
    info: Documents = field(default_factory=dict)
    started: Number = 0
    fork: str = ""
    step: Step = 0


class RunsChange(Request):
    """One change of many runs: of those that fit ``filter``, or of those that ``runs`` names.

    ``tag`` adds ``tags`` and takes ``untag`` away. With ``expected``, how many runs were seen to fit, nothing is done when it is another
    number by now.
    """

    act: Literal["tag", "delete", "restore"]
    filter: Filter = ""
    runs: tuple[str, ...] | None = None
    expected: Number | None = None
    tags: Texts = field(default_factory=dict)
    untag: tuple[str, ...] = ()


class RunChange(Request):
    """What to change of a run; null leaves a field as it is.

    Maps are merged by their top-level names; ``remove`` names what is taken away (``config.lr``, ``tags.old``, or
    ``tags`` for all of them).
    """

    display_name: str | None = None
    group: str | None = None
    job_type: str | None = None
    sweep: str | None = None
    notes: str | None = None
    tags: Texts | None = None
    config: Documents | None = None
    summary: Documents | None = None
    goals: dict[str, Literal["min", "max"]] | None = None
    info: Documents | None = None
    started: Number | None = None
    remove: tuple[str, ...] = ()


class Ending(Request):
    """The state that a run is put into, and when it ended (by default now)."""

    state: State = "finished"
    finished: Number = 0


class Rewinding(Request):
    """The step to go back to (exclusive)."""

    step: Step


class ShowRun(Request):
    """Whether a deleted run is shown too."""

    deleted: bool = False


class NewLine(Request):
    """A console line."""

    time: Number
    text: str
    stream: str = "stdout"
    level: str = ""


class NewLines(Request):
    """Console lines, from line ``first`` on or after the last. A line that was there is rewritten.

    With a ``writer`` (a stream of one process, any text) ``first`` counts that writer's own lines.
    """

    lines: tuple[NewLine, ...]
    first: Number | None = None
    writer: str = ""


class Placed(Answer):
    """The number of the first line that was added."""

    first: int


class RunPage(Page):
    """Which runs: those that fulfil a filter text, in an order; deleted ones too if asked for."""

    filter: str = ""
    order: str = ""
    deleted: bool = False


class LinePage(Request):
    """Which console lines: from number ``start`` on, or the last (``tail``); that hold ``search`` (any case), of one ``stream``."""

    start: Number = 0
    limit: Limit = 1000
    tail: bool = False
    search: str = ""
    stream: str = ""


class FilePage(Page):
    """Which part of a listing of files, below a path."""

    prefix: str = ""


class NewFiles(Request):
    """Files of a run whose bytes were uploaded, or are elsewhere; one of the same path is replaced."""

    files: tuple[NewFile, ...]


def run_name(call: Call) -> str:
    """``namespace/project/run`` from the path."""
    return f"{project_name(call)}/{plain(call.path['run'])}"


def create(call: Call) -> Reply:
    """Answers ``POST /runs/{ns}/{project}``."""
    new: NewRun = call.body
    run, resumed = lifecycle.create_or_resume(
        call.store,
        call.ctx,
        f"{project_name(call)}/{plain(new.name)}",
        resume=new.resume,
        display_name=new.display_name,
        group=new.group,
        job_type=new.job_type,
        sweep=new.sweep,
        notes=new.notes,
        tags=new.tags,
        config=new.config,
        goals=new.goals,
        info=new.info,
        started=new.started,
        fork=f"{project_name(call)}/{plain(new.fork)}" if new.fork else "",
        step=new.step,
    )
    return Reply(run, 200 if resumed else 201)


def listing(call: Call) -> EncodedPage:
    """Answers ``GET /runs/{ns}/{project}``."""
    asked: RunPage = call.query
    return questions.ask_encoded(
        call.store,
        call.ctx,
        project_name(call),
        call.packed,
        filter=asked.filter,
        order=asked.order,
        after=asked.after,
        limit=asked.limit,
        deleted=asked.deleted,
    )


def get(call: Call) -> RunInfo:
    """Answers ``GET /runs/{ns}/{project}/{run}``."""
    asked: ShowRun = call.query
    return lifecycle.get(call.store, call.ctx, run_name(call), deleted=asked.deleted)


def update(call: Call) -> RunInfo:
    """Answers ``PATCH /runs/{ns}/{project}/{run}``."""
    change: RunChange = call.body
    return lifecycle.update(
        call.store,
        call.ctx,
        run_name(call),
        display_name=change.display_name,
        group=change.group,
        job_type=change.job_type,
        sweep=change.sweep,
        notes=change.notes,
        tags=change.tags,
        config=change.config,
        summary=change.summary,
        goals=change.goals,
        info=change.info,
        started=change.started,
        remove=change.remove,
    )


def finish(call: Call) -> RunInfo:
    """Answers ``POST …/finish``."""
    asked: Ending = call.body
    return lifecycle.set_state(call.store, call.ctx, run_name(call), asked.state, finished=asked.finished)


def heartbeat(call: Call) -> Raw:
    """Answers ``POST …/heartbeat``."""
    liveness.heartbeat(call.store, call.ctx, run_name(call))
    return Raw(status=204)


def rewind(call: Call) -> RunInfo:
    """Answers ``POST …/rewind``."""
    asked: Rewinding = call.body
    return lifecycle.rewind(call.store, call.ctx, run_name(call), asked.step)


def undo_rewind(call: Call) -> RunInfo:
    """Answers ``DELETE …/rewind``."""
    return lifecycle.undo_rewind(call.store, call.ctx, run_name(call))


def change_many(call: Call) -> RunsChanged:
    """Answers ``POST /run-changes/{ns}/{project}``."""
    asked: RunsChange = call.body
    return changing.change(
        call.store,
        call.ctx.without_id(),
        project_name(call),
        asked.act,
        filter=asked.filter,
        runs=asked.runs,
        expected=asked.expected,
        tags=asked.tags,
        untag=asked.untag,
    )


def delete(call: Call) -> Raw:
    """Answers ``DELETE /runs/{ns}/{project}/{run}``."""
    lifecycle.delete(call.store, call.ctx, run_name(call))
    return Raw(status=204)


def restore(call: Call) -> RunInfo:
    """Answers ``POST …/restore``."""
    return lifecycle.restore(call.store, call.ctx, run_name(call))


def purge(call: Call) -> Raw:
    """Answers ``POST …/purge``."""
    lifecycle.purge(call.store, call.ctx, run_name(call))
    return Raw(status=204)


def add_lines(call: Call) -> Placed:
    """Answers ``POST …/lines``."""
    new: NewLines = call.body
    return Placed(
        first=console.log(call.store, call.ctx, run_name(call), new.lines, first=new.first, writer=new.writer)
    )


def read_lines(call: Call) -> Listing[ConsoleLine]:
    """Answers ``GET …/lines``."""
    asked: LinePage = call.query
    if asked.tail:
        return Listing(items=tuple(console.tail(call.store, call.ctx, run_name(call), asked.limit)))
    found = console.read(
        call.store,
        call.ctx,
        run_name(call),
        start=asked.start,
        limit=asked.limit + 1,
        search=asked.search,
        stream=asked.stream,
    )
    return page(found, asked.limit, lambda line: line.number + 1)


def put_files(call: Call) -> Listing[FileEntry]:
    """Answers ``PUT …/files``."""
    new: NewFiles = call.body
    return Listing(items=tuple(files.put(call.store, call.ctx, run_name(call), new.files)))


def list_files(call: Call) -> Listing[FileEntry]:
    """Answers ``GET …/files``."""
    asked: FilePage = call.query
    found = files.listed(
        call.store,
        call.ctx,
        run_name(call),
        prefix=asked.prefix,
        after=asked.after,
        limit=asked.limit + 1,
    )
    return page(found, asked.limit, lambda file: file.path)


def open_file(call: Call) -> Download:
    """Answers ``GET …/files/{path}``."""
    return Download(files.open_file(call.store, call.ctx, run_name(call), call.path["path"]))


def remove_file(call: Call) -> Raw:
    """Answers ``DELETE …/files/{path}``."""
    files.remove(call.store, call.ctx, run_name(call), [call.path["path"]])
    return Raw(status=204)


ROUTES = (
    Route(
        "POST",
        RUNS,
        create,
        "Makes a run, goes on with one, or forks one.",
        body=NewRun,
        answer=RunInfo,
        status=201,
        also=(200,),
        blocking=True,
    ),
    Route("GET", RUNS, listing, "A project's runs.", query=RunPage, answer=Runs, blocking=True),
    Route("GET", RUN, get, "A run.", query=ShowRun, answer=RunInfo),
    Route("PATCH", RUN, update, "Changes a run.", body=RunChange, answer=RunInfo, blocking=True),
    Route(
        "POST",
        RUN_CHANGES,
        change_many,
        "Tags, deletes or restores many runs.",
        body=RunsChange,
        answer=RunsChanged,
        blocking=True,
    ),
    Route("DELETE", RUN, delete, "Marks a run as deleted.", status=204, blocking=True),
    Route(
        "POST",
        RUN + "/finish",
        finish,
        "Puts a run into a state.",
        body=Ending,
        answer=RunInfo,
        blocking=True,
    ),
    Route("POST", RUN + "/heartbeat", heartbeat, "Says that a run is alive.", status=204, blocking=True),
    Route(
        "POST",
        RUN + "/rewind",
        rewind,
        "Takes a run back to a step.",
        body=Rewinding,
        answer=RunInfo,
        blocking=True,
    ),
    Route(
        "DELETE", RUN + "/rewind", undo_rewind, "Takes the latest rewind back.", answer=RunInfo, blocking=True
    ),
    Route("POST", RUN + "/restore", restore, "Takes a deletion back.", answer=RunInfo, blocking=True),
    Route("POST", RUN + "/purge", purge, "Removes a deleted run for good.", status=204, blocking=True),
    Route(
        "POST",
        RUN + "/lines",
        add_lines,
        "Adds console lines to a run.",
        body=NewLines,
        answer=Placed,
        blocking=True,
    ),
    Route(
        "GET",
        RUN + "/lines",
        read_lines,
        "A run's console lines.",
        query=LinePage,
        answer=Listing[ConsoleLine],
        blocking=True,
    ),
    Route(
        "PUT",
        RUN + "/files",
        put_files,
        "Gives a run files.",
        body=NewFiles,
        answer=Listing[FileEntry],
        blocking=True,
    ),
    Route("GET", RUN + "/files", list_files, "A run's files.", query=FilePage, answer=Listing[FileEntry]),
    Route(
        "GET",
        RUN + "/files/{path...}",
        open_file,
        "A run's file.",
        query=NoQuery,
        media_type=BYTES,
        also=(206, 302, 304),
        blocking=True,
    ),
    Route(
        "DELETE",
        RUN + "/files/{path...}",
        remove_file,
        "Takes a file of a run away.",
        status=204,
        blocking=True,
    ),
)
