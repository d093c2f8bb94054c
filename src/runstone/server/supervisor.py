"""Worker processes on one port: started, watched, started again, and stopped together.

They are spawned, never forked: an open index does not survive a fork. This process holds the port, but does not listen.
"""

from __future__ import annotations

import os
import selectors
import signal
import socket
import subprocess
import sys
import time
from dataclasses import dataclass, field

import msgspec

from runstone.config import ServerOptions
from runstone.server import listening
from runstone.server.metrics import Board
from runstone.server.worker import FAILED_TO_START, Assignment

#: A worker that ends sooner than this after its start is started again only after a pause, twice as long each time.
STEADY = 30.0
FIRST_PAUSE, LONGEST_PAUSE = 0.2, 30.0
#: Seconds that a worker gets beyond its own time to shut down.
GRACE = 10.0


@dataclass(slots=True)
class _Seat:
    """The place of one worker: its process, or when the next one may be started."""

    number: int
    process: subprocess.Popen[bytes] | None = None
    handle: int = -1
    started: float = 0.0
    pause: float = FIRST_PAUSE
    due: float = 0.0
    ready: bool = False


@dataclass(slots=True)
class _Supervisor:
    options: ServerOptions
    url: str
    board: int
    lifeline: tuple[int, int] = field(default_factory=os.pipe)
    selector: selectors.BaseSelector = field(default_factory=selectors.DefaultSelector)
    seats: list[_Seat] = field(default_factory=list)
    announced: bool = False
    stopping: bool = False
    status: int = 0

    def start(self, seat: _Seat) -> None:
        """Spawns the worker of a seat."""
        readable, writable = os.pipe()
        task = Assignment(
            options=self.options,
            number=seat.number,
            workers=self.options.workers,
            board=self.board,
            ready=writable,
            lifeline=self.lifeline[0],
        )
        command = [sys.executable, "-m", "runstone.server.worker", msgspec.json.encode(task).decode()]
        # A group of its own: a Ctrl-C in the terminal is for this process, which passes it on.
        seat.process = subprocess.Popen(
            command,
            pass_fds=(self.board, writable, self.lifeline[0]),
            process_group=0,
            stdin=subprocess.DEVNULL,
        )
        os.close(writable)
        seat.started, seat.ready = time.monotonic(), False
        seat.handle = os.pidfd_open(seat.process.pid)
        self.selector.register(seat.handle, selectors.EVENT_READ, (self.ended, seat, seat.handle))
        self.selector.register(readable, selectors.EVENT_READ, (self.listens, seat, readable))

    def listens(self, seat: _Seat, readable: int) -> None:
        """A worker said that it is ready, or ended without having said so."""
        seat.ready = os.read(readable, 16) != b""
        self.selector.unregister(readable)
        os.close(readable)
        if not self.announced and all(seat.ready for seat in self.seats):
            self.announced = True
            from runstone.server.serving import announce

            announce(self.options, self.url)

    def ended(self, seat: _Seat, handle: int) -> None:
        """A worker has ended: another takes its seat, unless the server is stopping or could never start."""
        assert seat.process is not None
        status = seat.process.wait()
        self.selector.unregister(handle)
        os.close(handle)
        seat.process, seat.ready = None, False
        if self.stopping:
            return
        if not self.announced:
            self.status = status if status > 0 else FAILED_TO_START
            self.stop(signal.SIGTERM)
            return
        lived = time.monotonic() - seat.started
        seat.pause = FIRST_PAUSE if lived >= STEADY else min(seat.pause * 2, LONGEST_PAUSE)
        seat.due = time.monotonic() + seat.pause
        how = f"was killed by {signal.Signals(-status).name}" if status < 0 else f"ended with status {status}"
        print(
            f"runstone: worker {seat.number} {how}; another starts in {seat.pause:g} s",
            file=sys.stderr,
            flush=True,
        )

    def stop(self, number: int) -> None:
        """Passes a signal on to all workers; none is started any more."""
        self.stopping = True
        for seat in self.seats:
            if seat.process is not None:
                seat.process.send_signal(number)

    def run(self) -> int:
        """Watches until every worker has ended after a signal; the exit status."""
        deadline = float("inf")
        while not self.stopping or any(seat.process is not None for seat in self.seats):
            for key, _ in self.selector.select(self._patience(deadline)):
                handle, *arguments = key.data
                handle(*arguments)
            now = time.monotonic()
            if self.stopping and deadline == float("inf"):
                deadline = now + self.options.shutdown_seconds + GRACE
            if now > deadline:
                self.stop(signal.SIGKILL)
                deadline = now + GRACE
            for seat in self.seats:
                if not self.stopping and seat.process is None and now >= seat.due:
                    self.start(seat)
        return self.status

    def _patience(self, deadline: float) -> float | None:
        dues = [seat.due for seat in self.seats if seat.process is None and not self.stopping]
        soonest = min([deadline, *dues])
        return None if soonest == float("inf") else max(0.0, soonest - time.monotonic())


def supervise(options: ServerOptions, bound: socket.socket) -> int:
    """Runs ``options.workers`` workers on a bound port until SIGTERM or SIGINT; the exit status of the process."""
    listening.share(bound)
    board = Board.create(options.workers)
    supervisor = _Supervisor(options, listening.url_of(bound), board)
    supervisor.seats = [_Seat(number) for number in range(options.workers)]
    woken, waker = socket.socketpair()
    for end in (woken, waker):
        end.setblocking(False)
    signal.set_wakeup_fd(waker.fileno(), warn_on_full_buffer=False)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: None)

    def wake() -> None:
        for number in woken.recv(64):
            supervisor.stop(number)

    supervisor.selector.register(woken, selectors.EVENT_READ, (wake,))
    try:
        for seat in supervisor.seats:
            supervisor.start(seat)
        return supervisor.run()
    finally:
        os.close(supervisor.lifeline[1])
