"""Keeping a server's store well."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from runstone.client.calls import API, Calls
from runstone.client.http import problem
from runstone.client.response import Response
from runstone.errors import Broken
from runstone.types import DamageInfo

Progress = Callable[[int, int], None]
MAX_LINE = 64 << 20
#: Long work may say nothing for long; a server that is gone is noticed by its connection.
WORK_SECONDS = 24 * 3600.0


class Upkeep(Calls):
    """Has a store verified, scrubbed and swept."""

    def verify(self, *, progress: Progress | None = None) -> dict[str, Any]:
        """Checks the index against the log; where the log stands. Raises :class:`Corrupt` naming what fails."""
        return self._work(f"{API}/verify", {}, progress)

    def scrub(self, *, deep: bool = False, progress: Progress | None = None) -> dict[str, Any]:
        """Reads every stored byte and withdraws what is damaged; what was found."""
        return self._work(f"{API}/admin/scrub", {"deep": deep}, progress)

    def damages(self) -> list[DamageInfo]:
        """Every damaged stretch that is known."""
        return self._list(f"{API}/damages", DamageInfo, 1 << 30)

    def gc(self, *, grace_seconds: float = 24 * 3600) -> dict[str, Any]:
        """Frees bytes that nothing refers to; what was marked and freed."""
        return self._work(f"{API}/admin/gc", {"grace_seconds": grace_seconds}, None)

    def _work(self, path: str, value: Any, progress: Progress | None) -> dict[str, Any]:
        """Long work: a JSON value a line, the last of them the report, or the error that ended it."""
        http = self._http.sibling(WORK_SECONDS)
        try:
            headers = {"Content-Type": "application/json"}
            response = http.request("POST", path, headers=headers, body=msgspec.json.encode(value))
            try:
                return self._report(response, progress)
            finally:
                http.give_back(response)
        finally:
            http.close()

    def _report(self, response: Response, progress: Progress | None) -> dict[str, Any]:
        for line in response.lines(MAX_LINE):
            told = _decoded(line)
            if "report" in told:
                return dict(told["report"])
            if "error" in told:
                raise problem(500, msgspec.json.encode(told["error"]), f"{self._http.origin} could not do it")
            if progress:
                progress(told.get("done", 0), told.get("total", 0))
        raise Broken(f"{self._http.origin} ended its answer before the report")


def _decoded(line: bytes) -> dict[str, Any]:
    try:
        return msgspec.json.decode(line, type=dict[str, Any])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Broken(f"a line of the answer cannot be read: {error}") from None
