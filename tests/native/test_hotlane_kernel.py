"""The native hot lane alone: sockets, a word in a file, and answers; against what a plain reading of the same rules says."""

from __future__ import annotations

import email.utils
import itertools
import os
import re
import select
import socket
import struct
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runstone._native.digests import blake3
from runstone._native.hotlane import HotLane

COMMIT = 7
LATER = 2**62
PARTS = (b"HTTP/1.1 200 OK\r\nX-Request-Id: ", b"\r\nServer: x\r\nDate: ")
SHAPE = re.compile(
    rb"HTTP/1\.1 200 OK\r\nX-Request-Id: p-([0-9a-f]+)\r\nServer: x\r\nDate: ([^\r]{29})\r\n\r\n([a-z]+);"
)


def head(name: str, more: bytes = b"") -> bytes:
    return b"GET /api/v1/resolve/%s HTTP/1.1\r\nHost: x\r\n%s\r\n" % (name.encode(), more)


@dataclass
class Bench:
    """A lane over a word that the test writes."""

    path: Path
    lane: HotLane
    ends: list[socket.socket] = field(default_factory=list)

    def write_word(self, commit: int) -> None:
        with self.path.open("r+b") as file:
            file.seek(48)
            file.write(struct.pack("<Q", commit))

    def tell(self, name: str, body: bytes = b"", until: int = LATER, tag: int = 1) -> bool:
        after = b"\r\n\r\n" + (body or name.encode()) + b";"
        return self.lane.remember(blake3(head(name)), *PARTS, after, until, tag)

    def lend(self, peer: bytes = b"1.2.3.4") -> tuple[socket.socket, socket.socket, int]:
        """The client's end, the lent end, and the loan."""
        theirs, ours = socket.socketpair()
        theirs.settimeout(10)
        self.ends += [theirs, ours]
        return theirs, ours, self.lane.lend(ours.fileno(), peer)

    def returned(self) -> list[tuple[int, bytes, bytes]]:
        """What was given back, once there is something: the descriptor is readable for records too."""
        given = []
        while not given:
            assert select.select([self.lane.fileno()], [], [], 10)[0], "nothing was given back"
            given = self.lane.returned()
        return given


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    yield from make(tmp_path)


def make(folder: Path, **options: bool) -> Iterator[Bench]:
    path = folder / "word"
    path.write_bytes(bytes(4096))
    handle = os.open(path, os.O_RDONLY)
    made = Bench(path, HotLane(handle, 48, b"p-", **options))
    os.close(handle)
    made.write_word(COMMIT)
    made.lane.forget(COMMIT)
    try:
        yield made
    finally:
        made.lane.close()
        for end in made.ends:
            end.close()


def read_answers(end: socket.socket, count: int) -> list[tuple[bytes, bytes, bytes]]:
    """Number, date and body of each answer."""
    got = b""
    while len(SHAPE.findall(got)) < count:
        piece = end.recv(65536)
        assert piece, got
        got += piece
    assert SHAPE.sub(b"", got) == b""
    return SHAPE.findall(got)


def test_it_answers_what_it_was_told(bench: Bench):
    assert bench.tell("a") and bench.tell("b", tag=2)
    theirs, _, loan = bench.lend()
    before = int(time.time())
    for name in (b"a", b"b", b"a"):
        theirs.sendall(head(name.decode()))
        ((_, date, body),) = read_answers(theirs, 1)
        assert body == name
        told = email.utils.parsedate_to_datetime(date.decode()).timestamp()
        assert before <= told <= time.time() and date.decode() == email.utils.formatdate(told, usegmt=True)
    assert bench.lane.last_answer(loan) <= time.monotonic()
    counts = {tag: (requests, sent) for tag, requests, _, sent in bench.lane.counts()}
    size = len(b"".join(PARTS)) + 3 + 29 + 4 + 2
    assert counts == {1: (2, 2 * size), 2: (1, size)}
    assert bench.lane.counts() == []


def test_every_request_has_a_number_of_its_own(bench: Bench):
    bench.tell("a")
    theirs, _, _ = bench.lend()
    theirs.sendall(head("a") * 300)
    numbers = [int(number, 16) for number, _, _ in read_answers(theirs, 300)]
    assert numbers == list(range(1, 301))


@pytest.mark.parametrize(
    "sent",
    [
        head("unknown"),
        head("a")[:-1],
        head("a")[:-2] + b"X: y\r\n\r\n",
        head("a").replace(b"Host", b"host"),
        b"\r\n" + head("a"),
        b"POST" + head("a")[3:],
        b"G",
        b"\x00" * 100,
        head("a", b"X: " + b"x" * 5000 + b"\r\n"),
        b"GET /api/v1/",
    ],
)
def test_everything_else_comes_back_as_it_came(bench: Bench, sent: bytes):
    bench.tell("a")
    theirs, ours, loan = bench.lend()
    theirs.sendall(head("a") * 2 + sent)
    read_answers(theirs, 2)
    assert bench.returned() == [(loan, sent, b"")]
    # From now on it is the owner's again.
    theirs.sendall(b"more")
    assert ours.recv(100) == b"more"
    assert not bench.lane.take(loan) and bench.lane.last_answer(loan) == 0.0


def test_a_new_commit_ends_all_answers(bench: Bench):
    bench.tell("a")
    theirs, _, loan = bench.lend()
    theirs.sendall(head("a"))
    read_answers(theirs, 1)
    bench.write_word(COMMIT + 1)
    theirs.sendall(head("a"))
    assert bench.returned() == [(loan, head("a"), b"")]
    assert not bench.tell("b"), "an answer of the commit before was taken"
    bench.lane.forget(COMMIT + 1)
    assert bench.lane.counts()[0][:2] == (1, 1), "what was counted before is told"
    theirs, _, loan = bench.lend()
    theirs.sendall(head("a"))
    assert bench.returned() == [(loan, head("a"), b"")]
    assert bench.tell("a", b"new")
    theirs, _, _ = bench.lend()
    theirs.sendall(head("a"))
    assert read_answers(theirs, 1)[0][2] == b"new"


def test_an_answer_ends_at_its_time_and_can_be_renewed(bench: Bench):
    soon = time.time_ns() // 1000 + 300_000
    bench.tell("a", b"old", until=soon)
    theirs, _, loan = bench.lend()
    theirs.sendall(head("a"))
    assert read_answers(theirs, 1)[0][2] == b"old"
    while time.time_ns() // 1000 <= soon:
        time.sleep(0.01)
    theirs.sendall(head("a"))
    assert bench.returned() == [(loan, head("a"), b"")]
    assert not bench.tell("a", b"new"), "a count that was not told was dropped"
    assert len(bench.lane.counts()) == 1
    assert bench.tell("a", b"new")
    theirs, _, _ = bench.lend()
    theirs.sendall(head("a"))
    assert read_answers(theirs, 1)[0][2] == b"new"


def test_a_client_that_does_not_read_is_given_back_with_what_it_is_owed(bench: Bench):
    body = b"b" * 60_000
    bench.tell("a", body)
    theirs, ours, loan = bench.lend()
    theirs.sendall(head("a") * 100)
    ((found, rest, unsent),) = bench.returned()
    assert found == loan and unsent
    ours.setblocking(True)
    ours.settimeout(10)
    answered = 100 - rest.count(b"GET ")
    assert rest == head("a") * (100 - answered)
    writer = threading.Thread(target=ours.sendall, args=(unsent,))
    writer.start()
    assert all(body == found for _, _, found in read_answers(theirs, answered))
    writer.join()


def test_ends_and_breaks(bench: Bench):
    bench.tell("a")
    theirs, _, loan = bench.lend()
    theirs.shutdown(socket.SHUT_WR)
    assert bench.returned() == [(loan, b"", b"")]
    theirs, _, loan = bench.lend()
    theirs.close()
    assert bench.returned() == [(loan, b"", b"")]


def test_a_taken_connection_is_left_alone(bench: Bench):
    bench.tell("a")
    theirs, ours, loan = bench.lend()
    assert bench.lane.take(loan) and not bench.lane.take(loan)
    theirs.sendall(head("a"))
    assert ours.recv(1000) == head("a")
    again = bench.lane.lend(ours.fileno(), b"")
    assert again != loan and not bench.lane.take(loan)
    theirs.sendall(head("a"))
    read_answers(theirs, 1)
    with pytest.raises(OSError, match="exists"):
        bench.lane.lend(ours.fileno(), b"")


def test_closing_gives_everything_back(bench: Bench):
    loans = {bench.lend()[2] for _ in range(20)}
    bench.lane.close()
    assert {loan for loan, _, _ in bench.lane.returned()} == loans
    with pytest.raises(OSError, match="shutdown"):
        bench.lend()
    bench.lane.close()


def test_records(tmp_path: Path):
    for made in make(tmp_path, keep_records=True):
        made.tell("a", tag=5)
        theirs, _, _ = made.lend(b"10.0.0.1")
        theirs.sendall(head("a") * 3)
        read_answers(theirs, 3)
        assert select.select([made.lane.fileno()], [], [], 10)[0]
        rows = made.lane.records()
        assert [(row[0], row[1], row[5]) for row in rows] == [(5, n, b"10.0.0.1") for n in (1, 2, 3)]
        assert all(abs(row[2] / 1e6 - time.time()) < 60 and row[3] >= 0 and row[4] > 0 for row in rows)
        # No request goes unlogged: with no room left, connections come back.
        for _ in range(256):
            theirs.sendall(head("a") * 16)
            read_answers(theirs, 16)
        theirs.sendall(head("a"))
        ((_, rest, _),) = made.returned()
        assert rest == head("a") and len(made.lane.records()) == 4096


def test_bounds(bench: Bench):
    assert not bench.tell("long", b"x" * (128 << 10))
    taken = sum(bench.tell(f"n{n}", tag=n) for n in range(10_000))
    assert taken == 8192
    theirs, _, _ = bench.lend()
    theirs.sendall(head("n8191"))
    read = theirs.recv(1000)
    assert read.endswith(b"n8191;")
    with pytest.raises(ValueError, match="32 bytes"):
        bench.lane.remember(b"short", b"", b"", b"", 0, 0)
    with bench.path.open("rb") as file, pytest.raises(ValueError, match="prefix"):
        HotLane(file.fileno(), 4096, b"p")
    with pytest.raises(OSError, match=r"."):
        HotLane(-1, 48, b"p")


KINDS = [head("a"), head("b"), head("none"), b"\r\n", b"GET /api/v1/resolve/a HTTP/1.1\r\n"]


@settings(max_examples=80, deadline=None, derandomize=True)
@given(st.lists(st.sampled_from(KINDS), min_size=1, max_size=12), st.lists(st.floats(0, 1), max_size=4))
def test_any_stream_in_any_pieces(
    tmp_path_factory: pytest.TempPathFactory, kinds: list[bytes], cuts: list[float]
):
    """What is answered, and what comes back, is what arrived: in order, whole, and answered only at the front."""
    stream = b"".join(kinds)
    places = sorted({0, len(stream), *(int(cut * len(stream)) for cut in cuts)})
    for bench in make(tmp_path_factory.mktemp("stream")):
        bench.tell("a")
        bench.tell("b", tag=2)
        theirs, ours, _ = bench.lend()
        ours.settimeout(10)
        for start, end in itertools.pairwise(places):
            theirs.sendall(stream[start:end])
        theirs.shutdown(socket.SHUT_WR)
        ((_, rest, unsent),) = bench.returned()
        while piece := ours.recv(65536):
            rest += piece
        assert unsent == b"" and stream.endswith(rest)
        front = stream[: len(stream) - len(rest)]
        names = re.findall(rb"GET /api/v1/resolve/([a-z]+) HTTP/1\.1\r\nHost: x\r\n\r\n", front)
        assert b"".join(head(name.decode()) for name in names) == front
        assert [body for _, _, body in read_answers(theirs, len(names))] == names if names else True
        whole = list(itertools.takewhile(lambda kind: kind in KINDS[:2], kinds))
        if len(places) == 2:
            assert len(names) == len(whole)


def test_many_connections_and_callers_at_once(bench: Bench):
    """Answers while others tell, take, lend, forget and count; every request is answered or comes back, and is counted."""
    bench.tell("a")
    stop = threading.Event()
    answered = [0] * 4
    kept: list[int] = []

    def ask(number: int) -> None:
        while not stop.is_set():
            theirs, ours = socket.socketpair()
            with theirs, ours:
                theirs.settimeout(10)
                loan = bench.lane.lend(ours.fileno(), b"x")
                for _ in range(20):
                    theirs.sendall(head("a"))
                    ready, _, _ = select.select([theirs], [], [], 0.02)
                    if not ready:
                        break
                    assert SHAPE.fullmatch(theirs.recv(1000))
                    answered[number] += 1
                bench.lane.take(loan)

    def disturb() -> None:
        while not stop.is_set():
            bench.lane.forget(COMMIT)
            bench.tell("a", tag=3)
            bench.lane.returned()
            kept.extend(row[1] for row in bench.lane.counts())
            time.sleep(0.005)

    threads = [threading.Thread(target=ask, args=(n,)) for n in range(4)] + [threading.Thread(target=disturb)]
    for thread in threads:
        thread.start()
    until = time.monotonic() + 30
    while sum(answered) < 3000 and time.monotonic() < until:
        time.sleep(0.01)
    stop.set()
    for thread in threads:
        thread.join()
    kept.extend(row[1] for row in bench.lane.counts())
    assert sum(answered) >= 3000
    # A request may have been answered when the asker had given up on it.
    assert sum(kept) >= sum(answered)
