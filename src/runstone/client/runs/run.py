"""A run's handle: what a training script holds."""

from __future__ import annotations

import atexit
import os
import sys
import threading
import time as clock
from collections.abc import Iterable, Mapping
from types import TracebackType
from typing import Any
from weakref import WeakSet

import msgspec

from runstone.client.runs import values
from runstone.client.runs.console import Console
from runstone.client.runs.fields import Config, Summary
from runstone.client.runs.outbox import Options, Outbox
from runstone.client.runs.records import MAX_PAYLOAD, OPERATION, POINTS, UPDATE, Operation, Update, encode
from runstone.client.runs.sink import RunSpec
from runstone.client.runs.status import Status, logger
from runstone.errors import Invalid, RunstoneError, TooLarge

STATES = ("finished", "failed", "crashed", "killed")
#: The most keys that are remembered as checked.
_KNOWN_KEYS = 100_000
_FINISH_SECONDS = 60.0
_PATIENCE_SECONDS = 5.0
_OPEN: WeakSet[Run] = WeakSet()


class Run:
    """A run that this process logs to; safe from threads, signal handlers and forks.

    What is logged is in a journal on this host's disk when :meth:`log` returns, and survives the process; a thread delivers it.
    Trouble with the delivery is told of through ``logging`` and in :attr:`status`, never raised: only what can never be logged is,
    at once, as :class:`~runstone.errors.Invalid`. A forked child that logs gets a journal of its own.

    Steps that are not given count on from the greatest so far in this process.
    """

    def __init__(self, spec: RunSpec, options: Options, *, first_step: int = 0) -> None:
        self._spec = spec = _checked_spec(spec)
        self._options = options
        self._step = first_step - 1
        self._known: set[str] = set()
        self._finished = ""
        self._tags, self._notes = tuple(spec.tags), spec.notes
        self._owner = os.getpid()
        self._opening = threading.RLock()
        self._console = Console(self._append)
        self.config = Config(spec.config, self._change)
        self.summary = Summary(self._change)
        self._outbox: Outbox | None = None
        self._add = self._open().append
        self._helpers: list[Any] = []
        self._start_helpers()
        _OPEN.add(self)

    def _start_helpers(self) -> None:
        if self._options.environment:
            from runstone.client.runs.environment import Capture

            self._helpers.append(Capture(lambda found: self._change({"environment": found})))
        if self._options.system > 0:
            from runstone.client.runs.system import Sampler

            self._helpers.append(Sampler(self._options.system, self._sampled))

    def _open(self) -> Outbox:
        self._outbox = Outbox(self._spec, self._options, self._console.tick)
        return self._outbox

    def __repr__(self) -> str:
        return f"<Run {self.path} {self._finished or self.status.state}>"

    @property
    def id(self) -> str:
        """The run's id in its project."""
        return self._spec.run

    @property
    def path(self) -> str:
        """``namespace/project/run``."""
        return self._spec.path

    @property
    def status(self) -> Status:
        """How the delivery stands in this process."""
        return self._outbox.status if self._outbox is not None else Status()

    # Logging

    def log(self, data: Mapping[str, Any], *, step: int | None = None, time: Any = None) -> None:
        """Logs values under text keys, at a step and a time (microseconds since 1970, or an aware ``datetime``; by default now).

        Values are numbers, also scalars of numpy, JAX or PyTorch, text, and lists and dictionaries of them. Raises :class:`Invalid` for
        what can never be logged, naming the key.
        """
        try:
            known = data.keys() <= self._known and values.PLAIN.issuperset(map(type, data.values()))
        except AttributeError:
            known = False
        plain: Any = data if known and type(data) is dict else self._checked(data)
        if step is None:
            # No call in between, so that no other thread gets the same one.
            step = self._step = self._step + 1
        else:
            if type(step) is not int or not -(1 << 63) <= step < 1 << 63:
                step = values.checked_step(step)
            if step > self._step:
                self._step = step
        when = clock.time_ns() // 1000 if time is None else values.checked_time(time)
        try:
            payload = encode((step, when, plain))
        except (OverflowError, TypeError, ValueError, RecursionError) as error:
            payload = self._encoded(step, when, plain, error)
        if len(payload) > MAX_PAYLOAD:
            raise values.too_large(plain)
        end = self._add(POINTS, payload)
        if self._options.durable:
            self._wait(end)

    def _checked(self, data: Any) -> dict[str, Any]:
        found = values.checked(data)
        if len(self._known) < _KNOWN_KEYS:
            self._known.update(found)
        return found

    def _encoded(self, step: int, when: int, plain: dict[str, Any], error: Exception) -> bytes:
        """A second try, for the ints that are too large as they are; raises :class:`Invalid` naming the key."""
        checked = values.checked(plain)
        try:
            return encode((step, when, checked))
        except (OverflowError, TypeError, ValueError, RecursionError):
            raise values.not_encodable(checked, error) from None

    def _wait(self, position: int) -> None:
        outbox = self._outbox
        if outbox is not None and position:
            outbox.wait(position, self._options.durable_seconds)

    def _sampled(self, step: int, found: dict[str, float]) -> None:
        self._append(POINTS, encode((step, clock.time_ns() // 1000, found)))

    def _append(self, kind: int, payload: bytes) -> int:
        return self._add(kind, payload)

    def _reopened(self, kind: int, payload: bytes) -> int:
        """The first record of a forked child: its journal is made now, for a child that logs nothing needs none."""
        with self._opening:
            if self._outbox is None:
                try:
                    outbox = self._open()
                except RunstoneError as error:
                    logger().warning("run %s: nothing is logged: %s", self.path, error)
                    self._add = _nowhere
                    return 0
                _at_exit_of_child(outbox)
                self._add = outbox.append
        return self._add(kind, payload)

    def console(self, text: str, stream: str = "stdout", level: str = "info") -> None:
        """Adds console output, in whatever pieces it comes; a line rewritten with carriage returns is one line."""
        for given in (text, stream, level):
            if not isinstance(given, str):
                raise Invalid(f"console takes text, not {type(given).__name__}: {given!r:.80}")
        self._require_open()
        self._console.write(text, stream, level)

    # The run's other fields

    @property
    def tags(self) -> tuple[str, ...]:
        """The run's tags, as this process knows them; assign to replace them."""
        return self._tags

    @tags.setter
    def tags(self, given: Iterable[str]) -> None:
        tags = () if isinstance(given, str) else tuple(given)
        if isinstance(given, str) or not all(isinstance(tag, str) and tag for tag in tags):
            raise Invalid(f"tags are a list of words, not {given!r:.80}")
        self._change({"tags": tags})
        self._tags = tags

    @property
    def notes(self) -> str:
        """Free text about the run; assign to replace it."""
        return self._notes

    @notes.setter
    def notes(self, given: str) -> None:
        if not isinstance(given, str):
            raise Invalid(f"notes are text, not {type(given).__name__}")
        self._change({"notes": given})
        self._notes = given

    def _change(self, changes: dict[str, Any]) -> None:
        self._require_open()
        self._append(UPDATE, _payload(Update(clock.time_ns() // 1000, changes), "this change"))

    def _do(self, name: str, **arguments: Any) -> None:
        """Asks the store for something else, in its order among such things: one method of the handle for each."""
        self._require_open()
        operation = Operation(clock.time_ns() // 1000, name, values.checked(arguments, name))
        self._append(OPERATION, _payload(operation, name))

    def use(self, version: str) -> None:
        """Records that the run uses a version (``collection@alias``, ``collection:v3``)."""
        self._do("use", version=version)

    def produce(self, version: str) -> None:
        """Records that the run produced a version."""
        self._do("produce", version=version)

    # Its end

    def flush(self, timeout: float = _FINISH_SECONDS) -> bool:
        """Waits until the store has all that was logged so far in this process; False if that takes over ``timeout`` seconds."""
        outbox = self._outbox
        return outbox is None or outbox.flush(timeout)

    def finish(self, state: str = "finished", *, timeout: float = _FINISH_SECONDS) -> bool:
        """Ends the run for this process, and waits until all is delivered; a second time does nothing.

        False if not all could be delivered within ``timeout`` seconds, or the store is away: the rest waits in the journal for the next run of
        any process on this host, or for :func:`runstone.client.runs.orphans.deliver`.
        """
        if state not in STATES:
            raise Invalid(f"a run ends as one of {', '.join(STATES)}, not as {state!r:.40}")
        if self._finished:
            return self.status.state == "done"
        for helper in self._helpers:
            helper.stop()
        outbox = self._outbox or self._open()
        outbox.seal()
        self._finished = state
        self._add = _finished
        _OPEN.discard(self)
        return outbox.finish(state, timeout, _PATIENCE_SECONDS)

    def _require_open(self) -> None:
        if self._finished:
            raise Invalid(f"the run {self.path} is {self._finished}; nothing can be added by this handle")

    def __enter__(self) -> Run:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.finish("finished" if error is None or _is_clean(error) else "failed")

    def _at_exit(self) -> None:
        """The interpreter ends with the run open. A forked child ends its journal, not the run."""
        if os.getpid() != self._owner:
            if self._outbox is not None:
                self._outbox.flush(_FINISH_SECONDS, _PATIENCE_SECONDS)
            return
        self.finish("finished" if getattr(sys, "last_value", None) is None else "failed")

    def _after_fork(self) -> None:
        outbox, self._outbox = self._outbox, None
        if outbox is not None:
            outbox.abandon()
        self._helpers = []
        if not self._finished:
            self._console.after_fork(self._append)
            self._opening = threading.RLock()
            self._add = self._reopened


def _checked_spec(spec: RunSpec) -> RunSpec:
    """The spec with plain values: it is written to the journal, and read back from there by whoever delivers it."""
    plain = msgspec.structs.replace(
        spec, config=values.checked(spec.config, "config"), details=values.checked(spec.details, "details")
    )
    _payload(plain, f"the run {spec.path}")
    return plain


def _is_clean(error: BaseException) -> bool:
    return isinstance(error, SystemExit) and not error.code


def _payload(value: msgspec.Struct, what: str) -> bytes:
    try:
        payload = encode(value)
    except (OverflowError, TypeError, ValueError, RecursionError) as error:
        raise Invalid(f"{what} cannot be logged: {error}") from None
    if len(payload) > MAX_PAYLOAD:
        raise TooLarge(f"{what} has {len(payload)} bytes, over the limit of {MAX_PAYLOAD}")
    return payload


def _finished(kind: int, payload: bytes) -> int:
    raise Invalid("the run is finished; nothing can be logged by this handle")


def _nowhere(kind: int, payload: bytes) -> int:
    return 0


def _at_exit_of_child(outbox: Outbox) -> None:
    """Children of ``multiprocessing`` end without ``atexit``: they run their own finalizers."""
    util: Any = sys.modules.get("multiprocessing.util")
    if util is not None:
        util.Finalize(None, outbox.flush, args=(_FINISH_SECONDS, _PATIENCE_SECONDS), exitpriority=10)


def _after_fork_in_child() -> None:
    for run in list(_OPEN):
        run._after_fork()


def _at_exit() -> None:
    for run in list(_OPEN):
        run._at_exit()


os.register_at_fork(after_in_child=_after_fork_in_child)
atexit.register(_at_exit)
