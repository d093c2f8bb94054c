"""A relay between a client and a server that counts bytes, and does to them what networks do."""

from __future__ import annotations

import re
import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress


class Relay:
    """Passes bytes on. The faults are set as attributes, at any time, and count down as they are done.

    ``cut_after``: bytes of file bodies after which a connection is cut; ``cuts`` how many times.
    ``cut_down_after``: bytes of all other answers (``down``) after which a connection is cut, once.
    ``flip``: (offset in the file, times): one bit of that byte is flipped on its way.
    ``stall_after``: bytes of file bodies after which nothing moves any more; ``rate`` bytes a second for each connection.
    ``cut_up_after``: bytes from clients after which a connection is cut, once; ``when_cut`` is called before anybody notices, and with
    ``refuse_when_cut`` every other connection is cut too. ``refuse``: new connections are closed at once.
    ``flip_up``: bytes from clients after which one bit is flipped; ``drop_answers_to``: a request line whose answer is lost.
    ``body`` counts bytes of file bodies that were passed on to clients, ``down`` those of all other answers, ``up`` bytes from them.
    """

    def __init__(self, url: str) -> None:
        host, port = re.fullmatch(r"http://([^:]+):(\d+)", url).groups()
        self._upstream = (host, int(port))
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self._open: set[socket.socket] = set()
        self._lock = threading.Lock()
        self.closed = threading.Event()
        self.cut_after: int | None = None
        self.cuts = 0
        self.cut_up_after: int | None = None
        self.when_cut: Callable[[], object] = lambda: None
        self.cut_down_after: int | None = None
        self.flip: list[int] | None = None
        self.flipped = 0
        self.stall_after: int | None = None
        self.stalled = 0
        self.rate: float | None = None
        self.refuse = self.refuse_when_cut = False
        self.drop_answers_to: bytes | None = None
        self.dropped = 0
        self.flip_up: int | None = None
        self.body = 0
        self.down = 0
        self.up = 0
        self.requests: list[str] = []
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._listener.getsockname()[1]}"

    def close(self) -> None:
        self.closed.set()
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.hang_up()

    def hang_up(self) -> None:
        """Cuts every connection."""
        with self._lock:
            held, self._open = self._open, set()
        for end in held:
            _shut(end)

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            if self.refuse:
                client.close()
                continue
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        try:
            server = socket.create_connection(self._upstream)
        except OSError:
            client.close()
            return
        with self._lock:
            self._open |= {client, server}
        exchange = _Exchange()
        up = threading.Thread(target=self._up, args=(client, server, exchange), daemon=True)
        up.start()
        try:
            self._down(client, server, exchange)
        except OSError:
            pass
        finally:
            _shut(client)
            _shut(server)
            up.join()
            with self._lock:
                self._open -= {client, server}
            client.close()
            server.close()

    def _up(self, client: socket.socket, server: socket.socket, exchange: _Exchange) -> None:
        try:
            while data := client.recv(1 << 16):
                self._note(data, exchange)
                if self.cut_up_after is not None and self.up + len(data) > self.cut_up_after:
                    server.sendall(data[: max(self.cut_up_after - self.up, 0)])
                    self.cut_up_after = None
                    self.cuts += 1
                    time.sleep(0.05)
                    self.when_cut()
                    if self.refuse_when_cut:
                        self.refuse = True
                        self.hang_up()
                    break
                if self.flip_up is not None and self.up + len(data) > self.flip_up:
                    changed = bytearray(data)
                    changed[-1] ^= 1
                    data, self.flip_up = bytes(changed), None
                    self.flipped += 1
                self.up += len(data)
                server.sendall(data)
        except OSError:
            pass
        finally:
            _shut(client)
            _shut(server)

    def _note(self, data: bytes, exchange: _Exchange) -> None:
        line = re.match(rb"(GET|HEAD|POST|PUT|PATCH|DELETE) (\S+) HTTP/1.1\r\n", data)
        if not line:
            return
        with self._lock:
            self.requests.append(f"{line[1].decode()} {line[2].decode()}")
        asked = re.search(rb"\r\nRange: bytes=(\d+)-", data)
        exchange.is_file = b"/files/" in line[2] and line[1] == b"GET"
        exchange.at = int(asked[1]) if asked else 0
        exchange.head = True
        with self._lock:
            exchange.dropped = self.drop_answers_to is not None and self.drop_answers_to in line[0]
            if exchange.dropped:
                self.drop_answers_to = None

    def _down(self, client: socket.socket, server: socket.socket, exchange: _Exchange) -> None:
        while data := server.recv(1 << 16):
            if exchange.dropped:
                with self._lock:
                    self.dropped += 1
                return
            if not exchange.is_file:
                with self._lock:
                    cut = self.cut_down_after is not None and self.down + len(data) >= self.cut_down_after
                    if cut:
                        data = data[: self.cut_down_after - self.down]
                        self.cut_down_after = None
                        self.cuts += 1
                    self.down += len(data)
                client.sendall(data)
                if cut:
                    return
                continue
            if exchange.head:
                while (end := data.find(b"\r\n\r\n")) < 0:
                    data += server.recv(1 << 16)
                client.sendall(data[: end + 4])
                data, exchange.head = data[end + 4 :], False
            if not self._pass_on(client, data, exchange):
                return

    def _pass_on(self, client: socket.socket, data: bytes, exchange: _Exchange) -> bool:
        if self.stall_after is not None and self.body >= self.stall_after:
            with self._lock:
                self.stalled += 1
            self.closed.wait(60)
            return False
        changed = bytearray(data)
        with self._lock:
            if self.flip and self.flip[1] > 0 and 0 <= self.flip[0] - exchange.at < len(data):
                changed[self.flip[0] - exchange.at] ^= 1
                self.flip[1] -= 1
                self.flipped += 1
            cut = self.cut_after is not None and self.body + len(data) >= self.cut_after
            if cut:
                del changed[max(self.cut_after - self.body, 0) :]
                self.cuts += 1
                self.cut_after = None
            self.body += len(changed)
            exchange.at += len(changed)
        client.sendall(changed)
        if self.rate:
            time.sleep(len(changed) / self.rate)
        return not cut


class _Exchange:
    is_file = False
    head = False
    dropped = False
    at = 0


def _shut(held: socket.socket) -> None:
    with suppress(OSError):
        held.shutdown(socket.SHUT_RDWR)
