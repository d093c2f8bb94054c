"""Sending files over real connections: a server on its own loop's thread, raw sockets and a real client in front."""

import asyncio
import contextlib
import gc
import hashlib
import itertools
import logging
import os
import random
import re
import socket
import ssl
import struct
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from email.parser import BytesParser
from pathlib import Path
from typing import Any

import pytest
import uvloop
from aiohttp import web

from runstone.errors import Corrupt
from runstone.server import representation
from runstone.server.representation import content_disposition
from runstone.server.streaming import Streamer

PATIENCE = 60.0
MB = 1 << 20
ETAG = '"etag-of-stored"'
MODIFIED = "Tue, 14 Nov 2023 22:13:20 GMT"
RESET = struct.pack("ii", 1, 0)


class StoredBody:
    """A file cut into extents of ``extent`` bytes, whose check fails at ``corrupt_from``."""

    def __init__(
        self, served: "Served", path: Path, extent: int = 1 << 62, corrupt_from: int | None = None
    ) -> None:
        self.served, self.extent, self.corrupt_from = served, extent, corrupt_from
        self.fd = os.open(path, os.O_RDONLY)
        self.size = served.sizes.get(path.name, os.fstat(self.fd).st_size)
        self.etag, self.media_type, self.last_modified = ETAG, "application/x-stored", 1_700_000_000.5
        self.name: str | None = path.name
        served.opened += 1

    def segments(self, start: int, stop: int) -> list[tuple[int, int, int]]:
        if self.corrupt_from is not None and stop > self.corrupt_from:
            raise Corrupt("an extent fails its check")
        cuts = [start, *range(start - start % self.extent + self.extent, stop, self.extent), stop]
        return [(self.fd, low, high - low) for low, high in itertools.pairwise(cuts)]

    def close(self) -> None:
        os.close(self.fd)
        self.served.closed += 1


@dataclass
class Served:
    """The running server, and what it has seen."""

    folder: Path
    port: int = 0
    opened: int = 0
    closed: int = 0
    sizes: dict[str, int] = field(default_factory=dict)
    damage: list[tuple[Any, Corrupt]] = field(default_factory=list)
    log: list[str] = field(default_factory=list)
    streamer: Streamer | None = None
    loop: asyncio.AbstractEventLoop | None = None
    handlers: list[asyncio.Task] = field(default_factory=list)
    unsent: list[int] = field(default_factory=list)

    def gauge(self, name: str) -> int:
        return self.streamer.gauges()[name]

    def connect(self, buffer: int | None = None) -> socket.socket:
        sock = socket.socket()
        if buffer is not None:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
        sock.settimeout(PATIENCE)
        sock.connect(("127.0.0.1", self.port))
        return sock


class Log(logging.Handler):
    def __init__(self, lines: list[str]) -> None:
        super().__init__()
        self.lines = lines

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(record.getMessage())


async def application(served: Served) -> web.Application:
    def record(body: Any, error: Corrupt) -> None:
        served.damage.append((body, error))

    served.streamer = Streamer(
        on_damage=record, stall_seconds=served.sizes.pop("stall", 30.0), stall_bytes=1000
    )

    async def send(request: web.Request) -> web.StreamResponse:
        served.handlers.append(asyncio.current_task())
        served.unsent.append(request.transport.get_write_buffer_size())
        kind, name = request.match_info["kind"], request.match_info["name"]
        settings = {"plain": {}, "extents": {"extent": 65_536}, "rotten": {"corrupt_from": 1000}}
        settings["rotten-later"] = {"corrupt_from": 7 * MB}
        return await served.streamer.send(
            request, StoredBody(served, served.folder / name, **settings[kind]), {"X-Extra": "yes"}
        )

    async def hello(request: web.Request) -> web.Response:
        return web.Response(body=b"." * int(request.query.get("size", "5")))

    async def explain(request: web.Request, error: Corrupt) -> web.Response:
        return web.json_response({"code": error.code}, status=error.status)

    @web.middleware
    async def problems(request: web.Request, handler: Callable) -> web.StreamResponse:
        try:
            return await handler(request)
        except Corrupt as error:
            return await explain(request, error)

    app = web.Application(middlewares=[problems])
    app.router.add_get("/hello", hello)
    app.router.add_route("*", "/{kind}/{name}", send)
    return app


@contextlib.contextmanager
def serving(
    served: Served,
    new_loop: Callable,
    tls: ssl.SSLContext | None = None,
    unix: Path | None = None,
    **options: Any,
) -> Iterator[Served]:
    """Runs the server on a loop of that kind in a thread; errors that reach the loop fail the test."""
    served.loop = loop = new_loop()
    errors: list[dict] = []
    loop.set_exception_handler(lambda _, context: errors.append(context))
    logger = logging.Logger("access")
    logger.addHandler(Log(served.log))
    server_log: list[str] = []
    server_logger = logging.Logger("server")
    server_logger.addHandler(Log(server_log))
    started = threading.Event()
    stop = asyncio.Event()

    async def run() -> None:
        app = await application(served)
        runner = web.AppRunner(
            app,
            access_log=logger,
            access_log_format="%s %b",
            logger=server_logger,
            shutdown_timeout=1,
            **options,
        )
        await runner.setup()
        listener = socket.create_server(("127.0.0.1", 0))
        if buffer := served.sizes.pop("send buffer", None):
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, buffer)
        served.port = listener.getsockname()[1]
        await web.SockSite(runner, listener, ssl_context=tls).start()
        if unix is not None:
            await web.UnixSite(runner, unix).start()
        started.set()
        await stop.wait()
        await runner.cleanup()
        await served.streamer.close()

    thread = threading.Thread(target=lambda: (asyncio.set_event_loop(loop), loop.run_until_complete(run())))
    thread.start()
    assert started.wait(PATIENCE)
    try:
        yield served
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join(PATIENCE)
        assert not thread.is_alive()
        loop.close()
    assert errors == []
    assert server_log == []
    assert served.opened == served.closed


LOOPS = {"uvloop": uvloop.new_event_loop, "asyncio": asyncio.new_event_loop}


@pytest.fixture(scope="module")
def content(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, bytes]:
    folder = tmp_path_factory.mktemp("streaming")
    data = random.Random(3).randbytes(8 * MB)
    (folder / "stored.bin").write_bytes(data)
    (folder / "empty.bin").write_bytes(b"")
    (folder / "small.txt").write_bytes(data[:1000])
    return folder, data


@pytest.fixture(params=LOOPS)
def served(request: pytest.FixtureRequest, content: tuple[Path, bytes]) -> Iterator[Served]:
    with serving(Served(content[0]), LOOPS[request.param]) as served:
        yield served


@pytest.fixture
def fast(content: tuple[Path, bytes]) -> Iterator[Served]:
    """On uvloop only: for what does not depend on the loop."""
    with serving(Served(content[0]), uvloop.new_event_loop) as served:
        yield served


@pytest.fixture
def data(content: tuple[Path, bytes]) -> bytes:
    return content[1]


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.002)


@dataclass
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes


class Client:
    """One connection on which requests are written as they are and answers read one after the other."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.received = b""

    def ask(self, path: str, *fields: str, method: str = "GET", version: str = "1.1") -> None:
        lines = [f"{method} {path} HTTP/{version}", "Host: localhost", *fields, "", ""]
        self.sock.sendall("\r\n".join(lines).encode())

    def _more(self) -> None:
        more = self.sock.recv(MB)
        if not more:
            raise EOFError(f"the connection ended after {len(self.received)} bytes")
        self.received += more

    def head(self) -> Answer:
        while b"\r\n\r\n" not in self.received:
            self._more()
        head, _, self.received = self.received.partition(b"\r\n\r\n")
        status, *fields = head.decode().split("\r\n")
        headers = dict(line.split(": ", 1) for line in fields)
        assert len(headers) == len(fields), "a field is there twice"
        return Answer(int(status.split()[1]), headers, b"")

    def answer(self, *, head_only: bool = False) -> Answer:
        answer = self.head()
        length = 0 if head_only else int(answer.headers.get("Content-Length", "0"))
        parts = [self.received]
        got = len(self.received)
        while got < length:
            if not (part := self.sock.recv(MB)):
                raise EOFError(f"the connection ended after {got} of {length} bytes")
            parts.append(part)
            got += len(part)
        whole = b"".join(parts)
        answer.body, self.received = whole[:length], whole[length:]
        return answer


@pytest.fixture
def client(served: Served) -> Iterator[Client]:
    with served.connect() as sock:
        yield Client(sock)


@pytest.fixture
def quick(fast: Served) -> Iterator[Client]:
    with fast.connect() as sock:
        yield Client(sock)


@pytest.mark.parametrize("kind", ["plain", "extents"])
def test_a_whole_file(served, client, data, kind):
    client.ask(f"/{kind}/stored.bin")
    answer = client.answer()
    assert answer.status == 200
    assert hashlib.sha256(answer.body).digest() == hashlib.sha256(data).digest()
    expected = {
        "Content-Length": str(len(data)),
        "Content-Type": "application/x-stored",
        "Accept-Ranges": "bytes",
        "Last-Modified": MODIFIED,
        "Content-Disposition": 'attachment; filename="stored.bin"',
        "X-Extra": "yes",
    }
    assert expected.items() <= answer.headers.items()
    assert answer.headers["Etag" if "Etag" in answer.headers else "ETag"] == ETAG
    assert served.gauge("copied_bytes") == 0


def test_keep_alive_goes_on_to_any_request(served, client, data):
    """Streamed, answered by aiohttp, without a body, and streamed again, on one connection."""
    for _ in range(3):
        client.ask("/plain/stored.bin", "Range: bytes=100-199999")
        assert client.answer().body == data[100:200_000]
        client.ask("/hello")
        assert client.answer().body == b"....."
        client.ask("/plain/stored.bin", method="HEAD")
        assert client.answer(head_only=True).headers["Content-Length"] == str(len(data))
        client.ask("/plain/stored.bin", f"If-None-Match: {ETAG}")
        assert client.answer(head_only=True).status == 304
        client.ask("/plain/empty.bin")
        assert client.answer().status == 200


def test_twenty_pipelined_ranges(served, client, data):
    choose = random.Random(5)
    ranges = [(choose.randrange(4 * MB), choose.randrange(1, 300_000)) for _ in range(20)]
    for start, length in ranges:
        client.ask("/extents/stored.bin", f"Range: bytes={start}-{start + length - 1}")
    for start, length in ranges:
        answer = client.answer()
        assert answer.status == 206
        assert answer.headers["Content-Range"] == f"bytes {start}-{start + length - 1}/{len(data)}"
        assert answer.body == data[start : start + length]
    assert client.received == b""


@pytest.mark.parametrize("loop", LOOPS)
def test_the_pump_waits_for_what_aiohttp_has_written(content, data, loop):
    """Answers that do not fit into the socket's buffer, and are too small for aiohttp to wait for."""
    served = Served(content[0], sizes={"send buffer": 16_384})
    with serving(served, LOOPS[loop]), served.connect(16_384) as sock:
        client = Client(sock)
        for _ in range(5):
            client.ask("/hello?size=18000")
        client.ask("/plain/stored.bin")
        until(lambda: served.opened == 1)
        assert served.unsent[0] > 0, "all was in the socket already: this shows nothing"
        assert served.gauge("active") == 0
        for _ in range(5):
            assert client.answer().body == b"." * 18_000
        assert client.answer().body == data
        client.ask("/hello")
        assert client.answer().body == b"....."


def test_http_1_0_ends_the_connection(served, client, data):
    client.ask("/plain/stored.bin", version="1.0")
    assert client.answer().body == data
    assert client.sock.recv(1) == b""


def drop_pages(path: Path) -> None:
    with path.open("r+b") as file:
        os.fsync(file.fileno())
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def keeps_pages(folder: Path) -> bool:
    """Asked of a file of its own: to ask is to start reading."""
    probe = folder / "probe"
    probe.write_bytes(b"probe")
    drop_pages(probe)
    with probe.open("rb") as file, contextlib.suppress(BlockingIOError):
        return os.preadv(file.fileno(), [bytearray(5)], 0, os.RWF_NOWAIT) == 5
    return False


def test_small_content_is_written_by_the_loop_unless_it_is_cold(served, client, content, data):
    path = content[0] / "small.txt"
    assert path.read_bytes() == data[:1000]
    client.ask("/plain/small.txt")
    assert client.answer().body == data[:1000]
    until(lambda: served.gauge("active") == 0)
    assert served.gauge("copied_bytes") == served.gauge("bytes") == 1000
    if keeps_pages(content[0]):
        pytest.skip("this file system keeps its pages in memory")
    # Whoever else is at work may bring the pages back, or hold on to them, so it is tried again.
    for _ in range(50):
        before = served.gauge("copied_bytes")
        drop_pages(path)
        client.ask("/plain/small.txt", "Range: bytes=1-10")
        assert client.answer().body == data[1:11]
        until(lambda: served.gauge("active") == 0)
        if served.gauge("copied_bytes") == before:
            break
        time.sleep(0.1)
    assert served.gauge("copied_bytes") == before
    assert served.gauge("bytes") > 1010


def test_connection_close_is_kept(served, client, data):
    client.ask("/plain/stored.bin", "Connection: close")
    answer = client.answer()
    assert answer.headers["Connection"] == "close"
    assert answer.body == data
    assert client.sock.recv(1) == b""


def test_the_access_log_counts_what_was_sent(served, client, data):
    client.ask("/plain/stored.bin")
    answer = client.answer()
    until(lambda: len(served.log) == 1)
    status, size = served.log[0].split()
    assert status == "200"
    head = sum(len(name) + len(value) + 4 for name, value in answer.headers.items())
    assert int(size) == len(data) + len("HTTP/1.1 200 OK\r\n") + head + 2


def test_head_sends_the_header_of_get(quick):
    quick.ask("/plain/stored.bin")
    get = quick.answer().headers
    quick.ask("/plain/stored.bin", "Range: bytes=0-1", method="HEAD")
    answer = quick.answer(head_only=True)
    assert answer.status == 200, "ranges are defined for GET only"
    assert {**answer.headers, "Date": ""} == {**get, "Date": ""}


def test_an_empty_file(quick):
    quick.ask("/plain/empty.bin", "Range: bytes=-5")
    answer = quick.answer()
    assert (answer.status, answer.body, answer.headers["Content-Length"]) == (200, b"", "0")


def test_conditions(quick, fast):
    quick.ask("/plain/stored.bin", 'If-None-Match: "x"', f"If-None-Match: W/{ETAG}")
    answer = quick.answer(head_only=True)
    assert (answer.status, answer.headers["Last-Modified"], answer.headers["X-Extra"]) == (
        304,
        MODIFIED,
        "yes",
    )
    assert "Content-Length" not in answer.headers
    assert "Content-Type" not in answer.headers
    quick.ask("/plain/stored.bin", 'If-Match: "x"')
    answer = quick.answer()
    assert (answer.status, answer.headers["Content-Length"], answer.body) == (412, "0", b"")
    quick.ask("/plain/stored.bin", "Range: bytes=99999999-")
    answer = quick.answer()
    assert (answer.status, answer.headers["Content-Range"], answer.body) == (416, f"bytes */{8 * MB}", b"")
    quick.ask("/plain/stored.bin", "Range: bytes=0-9", 'If-Range: "old"')
    assert quick.head().status == 200
    quick.sock.close()
    until(lambda: fast.opened == fast.closed)


@pytest.mark.parametrize("kind", ["plain", "extents"])
def test_several_ranges(served, client, data, kind):
    asked = [(5, 9), (1_000_000, 1_400_000), (20, 30), (8 * MB - 1, 8 * MB - 1)]
    client.ask(f"/{kind}/stored.bin", "Range: bytes=" + ", ".join(f"{a}-{b}" for a, b in asked))
    answer = client.answer()
    assert answer.status == 206
    assert "Content-Range" not in answer.headers
    media_type = answer.headers["Content-Type"]
    assert media_type.startswith("multipart/byteranges; boundary=")
    parsed = BytesParser().parsebytes(f"Content-Type: {media_type}\r\n".encode() + answer.body)
    assert not parsed.defects
    boundary = media_type.partition("boundary=")[2].encode()
    parts = answer.body.split(b"\r\n--" + boundary)
    assert (parts[0], parts[-1]) == (b"", b"--\r\n")
    for part, (first, last) in zip(parts[1:-1], asked, strict=True):
        head, _, body = part.removeprefix(b"\r\n").partition(b"\r\n\r\n")
        assert (
            head
            == f"Content-Type: application/x-stored\r\nContent-Range: bytes {first}-{last}/{8 * MB}".encode()
        )
        assert body == data[first : last + 1]


def test_overlapping_ranges_become_one(quick, data):
    quick.ask("/plain/stored.bin", "Range: bytes=" + ",".join(f"{n}-{n + 5000}" for n in range(100)))
    answer = quick.answer()
    assert answer.headers["Content-Range"] == f"bytes 0-5099/{8 * MB}"
    assert answer.body == data[:5100]


def test_a_half_close_after_the_request_still_gets_everything(served, data):
    with served.connect(16_384) as sock:
        client = Client(sock)
        client.ask("/plain/stored.bin")
        until(lambda: served.gauge("waiting") == 1)
        sock.shutdown(socket.SHUT_WR)
        time.sleep(0.1)  # aiohttp sees the end of the requests and closes its own descriptor
        assert client.answer().body == data
        assert sock.recv(1) == b""
    until(lambda: served.gauge("active") == 0)
    assert served.gauge("hung_up") == 0


def test_windows_follow_each_other(served, data, monkeypatch):
    """A file of many windows, with a half-close in the first."""
    monkeypatch.setattr(representation, "FIRST_WINDOW", 300_000)
    monkeypatch.setattr(representation, "WINDOW", 1_000_000)
    with served.connect(16_384) as sock:
        client = Client(sock)
        client.ask("/extents/stored.bin")
        until(lambda: served.gauge("waiting") == 1)
        sock.shutdown(socket.SHUT_WR)
        time.sleep(0.1)
        assert client.answer().body == data


@pytest.mark.parametrize("how", ["reset", "close"])
def test_a_client_that_leaves(served, how):
    sock = served.connect(16_384)
    Client(sock).ask("/plain/stored.bin")
    until(lambda: served.gauge("waiting") == 1)
    if how == "reset":
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
    sock.close()
    until(lambda: served.gauge("hung_up") == 1)
    until(lambda: served.opened == served.closed)
    until(lambda: len(served.log) == 1)
    assert 0 < int(served.log[0].split()[1]) < 8 * MB


def test_a_client_that_stops_reading_is_cut_off(content):
    served = Served(content[0], sizes={"stall": 0.2})
    with serving(served, uvloop.new_event_loop), served.connect(16_384) as sock:
        client = Client(sock)
        client.ask("/plain/stored.bin")
        until(lambda: served.gauge("stalled") == 1)
        until(lambda: served.closed == 1)
        with pytest.raises((ConnectionResetError, EOFError)):
            client.answer()


def test_a_hundred_that_stop_reading_stop_nobody_else(fast, data):
    with contextlib.ExitStack() as stack:
        for _ in range(100):
            sock = stack.enter_context(fast.connect(16_384))
            Client(sock).ask("/plain/stored.bin")
        until(lambda: fast.gauge("waiting") == 100)
        quick = Client(stack.enter_context(fast.connect()))
        quick.ask("/plain/stored.bin")
        assert quick.answer().body == data
        quick.ask("/hello")
        assert quick.answer().body == b"....."
        until(lambda: fast.gauge("waiting") == 100)


@pytest.mark.parametrize("handler_cancellation", [False, True])
def test_a_cancelled_handler_leaves_nothing_behind(content, handler_cancellation):
    served = Served(content[0])
    options = {"handler_cancellation": handler_cancellation}
    with serving(served, uvloop.new_event_loop, **options), served.connect(16_384) as sock:
        client = Client(sock)
        client.ask("/plain/stored.bin")
        until(lambda: served.gauge("waiting") == 1)
        if handler_cancellation:
            sock.shutdown(socket.SHUT_WR)  # aiohttp then takes the connection for lost
        else:
            served.loop.call_soon_threadsafe(served.handlers[0].cancel)
        until(lambda: served.gauge("cancelled") == 1)
        until(lambda: served.closed == 1)
        with pytest.raises((ConnectionResetError, EOFError)):
            client.answer()


class Unhurried:
    """A pump whose jobs take their time to be cancelled."""

    def __init__(self, pump: Any) -> None:
        self.pump = pump

    def cancel(self, job: int) -> None:
        threading.Timer(0.3, self.pump.cancel, (job,)).start()

    def __getattr__(self, name: str) -> Any:
        return getattr(self.pump, name)


def test_the_body_stays_open_until_the_cancelled_job_has_ended(fast):
    fast.streamer._pump = Unhurried(fast.streamer._pump)
    with fast.connect(16_384) as sock:
        Client(sock).ask("/plain/stored.bin")
        until(lambda: fast.gauge("waiting") == 1)
        fast.loop.call_soon_threadsafe(fast.handlers[0].cancel)
        until(lambda: fast.handlers[0].done())
        assert (fast.closed, fast.gauge("active")) == (0, 1)
        until(lambda: fast.closed == 1)
        assert fast.gauge("active") == 0


def test_shutdown_cuts_off_what_does_not_end(content):
    """The fixture's own end is the test: it waits for the thread, and for every body to be closed."""
    served = Served(content[0])
    with contextlib.ExitStack() as stack:
        stack.enter_context(serving(served, uvloop.new_event_loop))
        for _ in range(5):
            Client(stack.enter_context(served.connect(16_384))).ask("/plain/stored.bin")
        until(lambda: served.gauge("waiting") == 5)
    assert served.closed == 5


def test_damage_found_before_the_first_byte(served, client):
    client.ask("/rotten/stored.bin")
    answer = client.answer()
    assert (answer.status, answer.body) == (500, b'{"code": "corrupt"}')
    assert [str(error) for _, error in served.damage] == ["an extent fails its check"]
    client.ask("/rotten/stored.bin", "Range: bytes=0-9")
    assert client.answer().status == 206, "this part is sound, and so is the connection"


@pytest.mark.parametrize("half_closed", [False, True])
def test_damage_found_on_the_way_resets_the_connection(served, data, monkeypatch, half_closed):
    monkeypatch.setattr(representation, "FIRST_WINDOW", MB)
    monkeypatch.setattr(representation, "WINDOW", MB)
    with served.connect(16_384) as sock:
        client = Client(sock)
        client.ask("/rotten-later/stored.bin")
        if half_closed:
            # Of aiohttp's and ours, only our descriptor is then left to reset the connection with.
            until(lambda: served.gauge("waiting") == 1)
            sock.shutdown(socket.SHUT_WR)
            time.sleep(0.1)
        with pytest.raises(ConnectionResetError):
            client.answer()
    until(lambda: len(served.damage) == 1)
    assert str(served.damage[0][1]) == "an extent fails its check"
    assert served.gauge("damaged") == 1
    assert served.gauge("bytes") < 7 * MB + 1000, "nothing of the damaged window"


def test_a_short_file_resets_the_connection(served, content, tmp_path):
    served.sizes["stored.bin"] = 8 * MB + 1
    with served.connect() as sock:
        client = Client(sock)
        client.ask("/plain/stored.bin")
        client.ask("/plain/stored.bin")
        with pytest.raises(ConnectionResetError):
            client.answer()
    until(lambda: len(served.damage) == 1)
    body, error = served.damage[0]
    assert served.opened == 1, "the connection's next request comes too late"
    assert body.name == "stored.bin"
    assert "ends too early" in str(error)
    assert served.gauge("short") == 1


def test_extents_that_do_not_cover_the_range_are_damage(fast, quick, monkeypatch):
    monkeypatch.setattr(
        StoredBody, "segments", lambda self, start, stop: [(self.fd, start, stop - start + 1)]
    )
    quick.ask("/plain/stored.bin")
    assert quick.answer().status == 500
    assert "do not cover" in str(fast.damage[0][1])


def test_no_descriptor_is_left_behind(content, data):
    gc.collect()
    before = len(list(Path("/proc/self/fd").iterdir()))
    served = Served(content[0])
    with serving(served, uvloop.new_event_loop):
        for number in range(300):
            with served.connect(16_384) as sock:
                client = Client(sock)
                client.ask("/extents/stored.bin", f"Range: bytes=0-{number * 20_000}")
                if number % 3:
                    assert client.answer().body == data[: number * 20_000 + 1]
        until(lambda: served.gauge("active") == 0)
    served = None
    gc.collect()
    assert len(list(Path("/proc/self/fd").iterdir())) == before


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> ssl.SSLContext:
    folder = tmp_path_factory.mktemp("tls")
    made = subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=localhost", "-days", "2",
         "-keyout", folder / "key.pem", "-out", folder / "cert.pem"],
        capture_output=True, check=False,
    )  # fmt: skip
    if made.returncode != 0:
        pytest.skip("no openssl to make a certificate with")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "cert.pem", folder / "key.pem")
    return context


@contextlib.contextmanager
def tls_client(served: Served, buffer: int | None = None) -> Iterator[Client]:
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with served.connect(buffer) as sock, context.wrap_socket(sock, suppress_ragged_eofs=False) as wrapped:
        yield Client(wrapped)


@pytest.mark.parametrize("loop", LOOPS)
def test_tls_is_never_pumped(content, data, certificate, loop):
    served = Served(content[0])
    with serving(served, LOOPS[loop], certificate), tls_client(served) as client:
        client.ask("/extents/stored.bin")
        assert client.answer().body == data
        client.ask("/plain/stored.bin", "Range: bytes=5-9,20-300000")
        answer = client.answer()
        assert data[5:10] in answer.body
        assert data[20:300_001] in answer.body
        assert served.gauge("copied_bytes") == served.gauge("bytes") > 8 * MB
        served.sizes["stored.bin"] = 8 * MB + 1
        client.ask("/plain/stored.bin")
        with pytest.raises((ConnectionResetError, ssl.SSLEOFError)):  # and no orderly end of the TLS session
            client.answer()
        until(lambda: len(served.damage) == 1)


def test_a_local_socket_is_never_pumped(content, data, tmp_path):
    served = Served(content[0])
    with (
        serving(served, uvloop.new_event_loop, unix=tmp_path / "socket"),
        socket.socket(socket.AF_UNIX) as sock,
    ):
        sock.settimeout(PATIENCE)
        sock.connect(str(tmp_path / "socket"))
        client = Client(sock)
        client.ask("/extents/stored.bin")
        assert client.answer().body == data
        assert served.gauge("copied_bytes") == served.gauge("bytes") == len(data)


def test_tls_clients_that_stop_or_leave(content, certificate):
    served = Served(content[0], sizes={"stall": 0.01})
    with serving(served, uvloop.new_event_loop, certificate), tls_client(served, 16_384) as client:
        client.ask("/plain/stored.bin")
        until(lambda: served.gauge("stalled") == 1)
        until(lambda: served.closed == 1)
        with pytest.raises((ConnectionResetError, EOFError, ssl.SSLError)):
            client.answer()
    served = Served(content[0])
    with serving(served, uvloop.new_event_loop, certificate):
        with tls_client(served, 16_384) as client:
            client.ask("/plain/stored.bin")
            until(lambda: served.gauge("active") == 1)
            client.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        until(lambda: served.gauge("hung_up") == 1)
        until(lambda: served.gauge("active") == 0)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("model.safetensors", 'attachment; filename="model.safetensors"'),
        ("a b (1).bin", 'attachment; filename="a b (1).bin"'),
        ("dir/sub\\file.txt", 'attachment; filename="file.txt"'),
        ("naïve.txt", "attachment; filename=\"na_ve.txt\"; filename*=UTF-8''na%C3%AFve.txt"),
        ('a"b\\', 'attachment; filename="_"'),
        ('a"b', "attachment; filename=\"a_b\"; filename*=UTF-8''a%22b"),
        (
            "a\r\nSet-Cookie: x=1",
            "attachment; filename=\"a__Set-Cookie_ x=1\"; filename*=UTF-8''a__Set-Cookie%3A%20x%3D1",
        ),
        ("50%41.txt", "attachment; filename=\"50_41.txt\"; filename*=UTF-8''50%2541.txt"),
        ("..", 'attachment; filename="_"'),
        ("", 'attachment; filename="_"'),
        ("\udcff", "attachment; filename=\"_\"; filename*=UTF-8''%3F"),
    ],
)
def test_content_disposition_is_safe_for_any_name(name, expected):
    value = content_disposition(name)
    assert value == expected
    assert re.fullmatch(r"[\x20-\x7e]+", value)


def test_what_describes_the_bytes_is_not_the_callers_to_set(content):
    response = web.StreamResponse()
    body = StoredBody(Served(content[0]), content[0] / "small.txt")
    for name in ("Content-Length", "content-range", "ETag", "Transfer-Encoding", "Content-Encoding"):
        with pytest.raises(ValueError, match="may not set"):
            representation.compose(
                response, body, representation.Selection(representation.Outcome.WHOLE), {name: "1"}
            )
    body.close()
