"""The operations of a workload, done over a server's native API."""

from __future__ import annotations

import http.client
import json
import random
from collections.abc import Mapping
from typing import Any

from runstone import errors
from runstone.types import FileEntry

from .workload import PROJECT, Lane, Op, content


class Lost(Exception):
    """The connection broke before the answer was there."""


class Client:
    """One connection to a server, opened again when it breaks."""

    def __init__(self, host: str, port: int, timeout: float = 60.0) -> None:
        self._connection = http.client.HTTPConnection(host, port, timeout=timeout)

    def close(self) -> None:
        self._connection.close()

    def request(
        self, method: str, path: str, body: Any = None, headers: Mapping[str, str] | None = None
    ) -> Any:
        """The answer's headers and body, decoded if it is JSON; raises the error that the server answered, or :class:`Lost`."""
        given = dict(headers or {})
        if not isinstance(body, bytes | None):
            body = json.dumps(body).encode()
            given["Content-Type"] = "application/json"
        try:
            self._connection.request(method, path, body, given)
            answer = self._connection.getresponse()
            found = answer.read()
        except (OSError, http.client.HTTPException) as error:
            self._connection.close()
            raise Lost(f"{method} {path}: {error!r}") from error
        decoded = (
            json.loads(found)
            if "json" in answer.getheader("Content-Type", "") and found[:1] == b"{"
            else found
        )
        if answer.status >= 400:
            problem = decoded if isinstance(decoded, dict) else {"detail": str(decoded)}
            raise errors.by_code().get(problem.get("code", ""), errors.RunstoneError)(
                problem.get("detail", str(problem))
            )
        return dict(answer.getheaders()), decoded


class OverHttp:
    """Does operations over one connection."""

    def __init__(self, client: Client) -> None:
        self._client = client

    def __call__(self, op: Op) -> Any:
        collection = f"/api/v1/collections/local/{Lane(op['lane']).name}"
        once = {"Idempotency-Key": op["id"]}
        if op["do"] == "gc":
            return self._collect()
        if op["do"] == "alias":
            body = {"version": f"v{op['to']}", "expected": op["expected"]}
            return self._client.request("PUT", f"{collection}/aliases/{op['alias']}", body, once)[1][
                "version"
            ]
        if op["do"] == "delete":
            self._client.request("DELETE", f"{collection}/versions/v{op['version']}", None, once)
            return None
        files = [self._uploaded(path, content(seed), op["id"]) for path, seed in op["files"].items()]
        body = {"files": files, "metadata": {"op": op["id"]}, "aliases": op["aliases"], "reuse": False}
        return self._client.request("POST", f"{collection}/versions", body, once)[1]["number"]

    def _uploaded(self, path: str, data: bytes, seed: str) -> dict[str, Any]:
        chance = random.Random(seed + path)
        _, begun = self._client.request("POST", "/api/v1/uploads", {"namespace": "local", "size": len(data)})
        at, upload = 0, f"/api/v1/uploads/{begun['id']}"
        while at < len(data):
            piece = data[at : at + chance.randint(50_000, 500_000)]
            headers, _ = self._client.request("PATCH", upload, piece, {"Upload-Offset": str(at)})
            at += len(piece)
            assert int(headers["Upload-Offset"]) == at
        _, made = self._client.request("POST", f"{upload}/finish", {})
        return {"path": path, "size": made["size"], "sha256": made["sha256"]}

    def _collect(self) -> Any:
        _, lines = self._client.request("POST", "/api/v1/admin/gc", {"grace_seconds": 0})
        last = lines if isinstance(lines, dict) else json.loads(lines.splitlines()[-1])
        if "report" not in last:
            code = last.get("code") or last.get("error", {}).get("code", "")
            raise errors.by_code().get(code, errors.RunstoneError)(str(last))
        return last["report"]["deleted"]

    def read(self, name: str, path: str) -> bytes:
        """The bytes of a file of ``collection@version``."""
        collection, _, version = name.partition("@")
        _, found = self._client.request(
            "GET", f"/api/v1/collections/local/{collection}/versions/{version}/files/{path}"
        )
        return found if isinstance(found, bytes) else json.dumps(found).encode()

    def entry(self, path: str, data: bytes, seed: str = "") -> FileEntry:
        """A file, uploaded."""
        made = self._uploaded(path, data, seed)
        return FileEntry(**made)


__all__ = ["PROJECT", "Client", "Lost", "OverHttp"]
