"""What a delivery gives its records to: the seam between the journal and a store, near or far."""

from __future__ import annotations

import os
import re
import time
from typing import Any, Literal, Protocol, get_args

import msgspec

from runstone.client.runs.records import Line, Operation
from runstone.errors import Invalid

Resume = Literal["never", "allow", "must"]
_NAME = re.compile(r"\w[^/:@\0]{0,127}\Z")
_LETTERS = "abcdefghijkmnpqrstuvwxyz23456789"


class RunSpec(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A run to be made, or to be taken up again (``resume``), by this process.

    ``run`` is its id, made by the client, so that nothing has to be asked before the first point. Times are microseconds since 1970.
    ``process`` identifies the journal, ``rank`` the process within a distributed run.
    """

    namespace: str
    project: str
    run: str
    created: int
    process: str = ""
    rank: int = 0
    resume: Resume = "allow"
    name: str = ""
    group: str = ""
    job_type: str = ""
    sweep: str = ""
    tags: tuple[str, ...] = ()
    notes: str = ""
    config: dict[str, Any] = {}
    goals: dict[str, str] = {}
    details: dict[str, Any] = {}

    @property
    def path(self) -> str:
        """``namespace/project/run``."""
        return f"{self.namespace}/{self.project}/{self.run}"

    def ends(self, state: str) -> bool:
        """Whether the end of this process is the end of the run: it is for the first of several, and for one that failed."""
        return self.rank == 0 or state != "finished"


class Changes(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What changed of a run at ``time``; a field that is not set did not change.

    ``config`` and ``summary`` are patches of their top-level keys, ``removed`` are config keys taken away. ``tags`` and ``notes``
    replace. ``environment`` is what :mod:`runstone.client.runs.environment` found. A change with none of them is a sign of life.
    """

    time: int
    config: dict[str, Any] | None = None
    removed: tuple[str, ...] | None = None
    summary: dict[str, Any] | None = None
    tags: tuple[str, ...] | None = None
    notes: str | None = None
    environment: dict[str, Any] | None = None

    def as_patch(self) -> dict[str, Any]:
        """The change as the fields of :meth:`runstone.library.tracking.Tracking.update_run`."""
        remove = [f"config.{name}" for name in self.removed or ()]
        patch: dict[str, Any] = {"config": self.config, "summary": self.summary, "notes": self.notes}
        if self.tags is not None:
            remove.append("tags")
            patch["tags"] = dict.fromkeys(self.tags, "")
        if self.environment is not None:
            patch["info"] = self.environment
        return {name: value for name, value in patch.items() if value is not None} | {"remove": remove}


class Sink(Protocol):
    """A store that runs are delivered to; used by one thread at a time.

    Every method but :meth:`beat` is idempotent by ``id`` (16 bytes): a second arrival of an id, whichever process or principal
    brings it, changes nothing and succeeds. An id always comes with the same bytes, but for one case: after a power cut the tail
    of a journal may be gone, and an id come again with fewer records than before. The first arrival is the right one.

    Errors say what to do. :class:`~runstone.errors.TryAgain` and everything that is no ``RunstoneError``: the same again, later (after
    ``details["retry_after"]`` seconds, if given). :class:`~runstone.errors.Denied`: again, much later. ``Missing``, ``Conflict``,
    ``Gone``, ``Invalid``: this will never succeed, record it and go on. Records of one process come in order, each method's own
    ones; several processes may deliver to one run at once, and points may come after a finish.
    """

    def create(self, spec: RunSpec, id: bytes) -> None:
        """Makes the run, or takes it up again; every process that has something to deliver begins with this."""

    def points(self, spec: RunSpec, batch: bytes, id: bytes) -> None:
        """Adds points, as ``runstone._native.points.encode_rows`` made them."""

    def update(self, spec: RunSpec, changes: Changes, id: bytes) -> None:
        """Changes config, summary, tags, notes or environment."""

    def lines(self, spec: RunSpec, lines: list[Line], id: bytes) -> None:
        """Adds console lines of this process (``spec.process``); one with a known stream and number replaces that one."""

    def operation(self, spec: RunSpec, operation: Operation, id: bytes) -> None:
        """Carries out something else that the handle was asked for."""

    def finish(self, spec: RunSpec, state: str, time: int, id: bytes) -> None:
        """Says that this process is done with the run, and in which state."""

    def beat(self, spec: RunSpec, time: int) -> None:
        """Says that the process still lives, when it has had nothing else to say."""

    def close(self) -> None:
        """Breaks off what is under way, in whatever thread, and lets connections go."""


def new_spec(namespace: str, project: str, run: str, *, resume: Resume, **fields: Any) -> RunSpec:
    """A run to begin now, under a name of its own if it has none; checked here, since it is made later, by a thread."""
    if resume not in get_args(Resume):
        raise Invalid(f"resume {resume!r} must be one of {', '.join(get_args(Resume))}")
    if not run and resume == "must":
        raise Invalid("a run is resumed by its name; give one")
    if run and not _NAME.match(run):
        raise Invalid(f"run {run!r} is not a valid name: begin with a letter or digit, and use none of / : @")
    name = run or "".join(_LETTERS[byte % len(_LETTERS)] for byte in os.urandom(10))
    return RunSpec(
        namespace=namespace,
        project=project,
        run=name,
        resume=resume,
        created=time.time_ns() // 1000,
        **fields,
    )
