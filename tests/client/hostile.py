"""An origin that answers whatever a test tells it to: for answers that no honest server gives."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field

import msgspec

from runstone._native.ingest import Ingest
from runstone.client import near
from runstone.client.plan import Plan, PlannedFile
from runstone.types import VersionInfo

Answer = Callable[[str, dict[str, str]], bytes | None]


def version_info(number: int = 1, **changes: object) -> VersionInfo:
    fields: dict[str, object] = {
        "id": number,
        "collection": "ns/p/c",
        "type": "model",
        "number": number,
        "digest": "00" * 32,
        "files": 1,
        "size": 0,
        "metadata": {},
        "description": "",
        "tags": (),
        "aliases": (),
        "state": "live",
        "state_reason": "",
        "expires": 0,
        "hold": "",
        "created": 1,
        "by": "local",
    }
    return VersionInfo(**{**fields, **changes})


def chunks_of(data: bytes) -> bytes:
    ingest = Ingest()
    return ingest.update(data) + ingest.finish()


def planned(path: str, data: bytes, **changes: object) -> PlannedFile:
    fields: dict[str, object] = {"path": path, "size": len(data), "chunks": chunks_of(data)}
    return PlannedFile(**{**fields, **changes})


def plan_body(*files: PlannedFile, number: int = 1) -> bytes:
    return msgspec.msgpack.encode(Plan(version_info(number), files, 1))


def answer(status: int, body: bytes = b"", **headers: str) -> bytes:
    lines = [f"HTTP/1.1 {status} X", f"Content-Length: {len(body)}"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "", ""]).encode() + body


@dataclass
class Origin:
    """Answers each request with the bytes that ``script`` makes of its target and headers; None closes the connection."""

    script: Answer
    tls: ssl.SSLContext | None = None
    requests: list[tuple[str, dict[str, str], bytes]] = field(default_factory=list)

    def __enter__(self) -> Origin:
        self._listener = socket.create_server(("127.0.0.1", 0))
        for left in near.token_files(self._listener.getsockname()[1]):
            left.unlink(missing_ok=True)
        self._open: list[socket.socket] = []
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self._threads[0].start()
        return self

    @property
    def url(self) -> str:
        scheme = "https" if self.tls else "http"
        return f"{scheme}://localhost:{self._listener.getsockname()[1]}"

    def __exit__(self, *exc: object) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for held in self._open:
            with suppress(OSError):
                held.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join()
        for held in self._open:
            held.close()

    def _accept(self) -> None:
        while True:
            try:
                held, _ = self._listener.accept()
            except OSError:
                return
            self._open.append(held)
            thread = threading.Thread(target=self._serve, args=(held,), daemon=True)
            self._threads.append(thread)
            thread.start()

    def _serve(self, held: socket.socket) -> None:
        try:
            if self.tls:
                held = self.tls.wrap_socket(held, server_side=True)
                self._open.append(held)
            with held.makefile("rb") as reading:
                while line := reading.readline():
                    self._one(held, line, reading)
        except (OSError, ConnectionAbortedError, ValueError):
            pass
        finally:
            with suppress(OSError):
                held.shutdown(socket.SHUT_RDWR)

    def _one(self, held: socket.socket, line: bytes, reading: object) -> None:
        headers = {}
        while row := reading.readline().strip():  # type: ignore[attr-defined]
            name, _, value = row.decode("latin-1").partition(":")
            headers[name.lower()] = value.strip()
        body = reading.read(int(headers.get("content-length", "0")))  # type: ignore[attr-defined]
        method, target, _ = line.decode("latin-1").split(" ", 2)
        self.requests.append((f"{method} {target}", headers, body))
        made = self.script(f"{method} {target}", headers)
        if made is None:
            raise ConnectionAbortedError
        held.sendall(made)
