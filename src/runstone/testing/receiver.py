"""An HTTP server that keeps what it is sent: for tests of what calls out."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class Receiver:
    """Answers POST requests with the statuses it was given, then with 200; ``got`` holds (header fields, body) of each."""

    def __init__(self, statuses: Iterable[int] = ()) -> None:
        self.statuses = list(statuses)
        self.headers: dict[str, str] = {}
        self.got: list[tuple[dict[str, str], bytes]] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                outer._take(self)

            def log_message(self, *args: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}/hook?x=1"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def _take(self, request: BaseHTTPRequestHandler) -> None:
        self.got.append((dict(request.headers), request.rfile.read(int(request.headers["Content-Length"]))))
        request.send_response(self.statuses.pop(0) if self.statuses else 200)
        for name, value in {**self.headers, "Content-Length": "2"}.items():
            request.send_header(name, value)
        request.end_headers()
        request.wfile.write(b"ok")

    def bodies(self) -> list[Any]:
        """The bodies that came, as JSON."""
        return [json.loads(body) for _, body in self.got]

    def close(self) -> None:
        """Stops."""
        self._server.shutdown()
        self._server.server_close()
