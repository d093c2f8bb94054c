"""A small HTTP client for tests: the standard library's, with JSON in and out."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit


class Answer:
    """What came back."""

    def __init__(self, response: http.client.HTTPResponse) -> None:
        self.status = response.status
        self.headers = response.headers
        self.content = response.read()

    @property
    def json(self) -> Any:
        return json.loads(self.content)

    @property
    def code(self) -> str:
        """The code of a problem; that it is one is asserted."""
        assert self.headers["Content-Type"] == "application/problem+json", (self.status, self.content)
        problem = self.json
        assert problem["status"] == self.status
        assert problem["type"] == f"urn:runstone:error:{problem['code']}"
        assert problem["instance"] == self.headers["X-Request-Id"]
        assert problem["detail"] and problem["title"]
        return str(problem["code"])

    def expect(self, status: int) -> Any:
        """The JSON of an answer that must have a status; None for one without content."""
        assert self.status == status, (self.status, self.content[:2000])
        return self.json if self.content else None


class Caller:
    """Calls one server; a connection for each call, unless in a ``with`` block."""

    def __init__(self, url: str, key: str = "") -> None:
        self.url, self.key = url, key
        self.host, self.port = str(urlsplit(url).hostname), int(urlsplit(url).port or 80)
        self._kept: http.client.HTTPConnection | None = None

    def with_key(self, key: str) -> Caller:
        return Caller(self.url, key)

    def __enter__(self) -> Caller:
        self._kept = http.client.HTTPConnection(self.host, self.port, timeout=60)
        return self

    def __exit__(self, *exc: object) -> None:
        assert self._kept is not None
        self._kept.close()
        self._kept = None

    def call(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        content: bytes | Iterable[bytes] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """One request: ``body`` goes as JSON, ``content`` as it is."""
        connection = self._kept or http.client.HTTPConnection(self.host, self.port, timeout=60)
        fields = dict(headers or {})
        if self.key and "Authorization" not in fields:
            fields["Authorization"] = f"Bearer {self.key}"
        if body is not None:
            content = json.dumps(body).encode()
            fields.setdefault("Content-Type", "application/json")
        try:
            connection.request(method, path, body=content, headers=fields)
            return Answer(connection.getresponse())
        finally:
            if connection is not self._kept:
                connection.close()

    def get(self, path: str, **given: Any) -> Answer:
        return self.call("GET", path, **given)

    def post(self, path: str, body: Any = None, **given: Any) -> Answer:
        return self.call("POST", path, {} if body is None and "content" not in given else body, **given)

    def put(self, path: str, body: Any, **given: Any) -> Answer:
        return self.call("PUT", path, body, **given)

    def patch(self, path: str, body: Any = None, **given: Any) -> Answer:
        return self.call("PATCH", path, body, **given)

    def delete(self, path: str, **given: Any) -> Answer:
        return self.call("DELETE", path, **given)

    def upload(self, content: bytes, namespace: str = "local") -> dict[str, Any]:
        """Uploads bytes in one piece."""
        begun = self.post("/api/v1/uploads", {"namespace": namespace, "size": len(content)}).expect(201)
        where = f"/api/v1/uploads/{begun['id']}"
        self.patch(where, content=content, headers={"Upload-Offset": "0"}).expect(204)
        finished: dict[str, Any] = self.post(f"{where}/finish").expect(200)
        return finished

    def put_version(self, collection: str, files: Mapping[str, bytes], **more: Any) -> dict[str, Any]:
        """Makes what is missing of ``namespace/project/collection`` and commits a version of files."""
        namespace, project, name = collection.split("/")
        self.post(f"/api/v1/namespaces/{namespace}/projects", {"name": project, "exist_ok": True})
        self.post(f"/api/v1/projects/{namespace}/{project}/collections", {"name": name, "exist_ok": True})
        entries = []
        for path, content in files.items():
            stored = self.upload(content, namespace)
            entries.append({"path": path, "size": stored["size"], "sha256": stored["sha256"]})
        made = self.post(f"/api/v1/collections/{collection}/versions", {"files": entries, **more})
        assert made.status in (200, 201), made.content
        version: dict[str, Any] = made.json
        return version


def raw(server: str, *parts: bytes, timeout: float = 20.0) -> bytes:
    """Sends bytes as they are, and answers everything that comes back until the server ends the connection."""
    address = urlsplit(server)
    with socket.create_connection(
        (str(address.hostname), int(address.port or 80)), timeout=timeout
    ) as connection:
        # A server that has answered need not read the rest.
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            for part in parts:
                connection.sendall(part)
        return read_all(connection)


def read_all(connection: socket.socket) -> bytes:
    received = b""
    try:
        while piece := connection.recv(65536):
            received += piece
    except ConnectionResetError:
        pass
    return received


def segment(text: str) -> str:
    return quote(text, safe="")


class Process:
    """``python -m runstone.server`` as a process of its own."""

    def __init__(self, data: Path, *arguments: str, port: int = 0, **environment: str) -> None:
        command = [
            sys.executable,
            "-m",
            "runstone.server",
            "--data",
            str(data),
            "--port",
            str(port),
            *arguments,
        ]
        variables = {**os.environ, "RUNSTONE_LOG_FORMAT": "off", **environment}
        self.process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=variables
        )
        self.lines: list[str] = []
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.lines.append(line)
            if found := re.match(r"runstone listening on (http://\S+)", line):
                self.url = found[1]
                break
        else:
            error = self.process.stderr.read() if self.process.stderr else ""
            self.close()
            raise AssertionError(f"the server did not start: {error}")
        self.errors: list[str] = []
        self._reader = threading.Thread(target=self._read_errors, daemon=True)
        self._reader.start()

    def _read_errors(self) -> None:
        assert self.process.stderr is not None
        self.errors.extend(self.process.stderr)

    @property
    def pid(self) -> int:
        return self.process.pid

    def caller(self, key: str = "") -> Caller:
        return Caller(self.url, key)

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Asks the process to end; its exit status."""
        self.process.send_signal(number)
        return self.process.wait(60)

    def close(self) -> None:
        """Ends the process whatever it does."""
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait(20)
        if hasattr(self, "_reader"):
            self._reader.join(20)
        for stream in (self.process.stdout, self.process.stderr):
            assert stream is not None
            stream.close()

    def __enter__(self) -> Process:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()
