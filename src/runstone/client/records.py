"""Lineage, history and proofs from a server."""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from runstone.client.calls import API, MAX_PAGE, Calls, NoneType
from runstone.client.origin import query
from runstone.types import LineageGraph, LogRecord, PageOf


class _Vkey(msgspec.Struct):
    vkey: str


class Records(Calls):
    """Tells what became of things, and proves it."""

    def link(self, source: str, relation: str, target: str) -> None:
        """Adds a lineage edge; ends are version names, or ``run:``, ``consumer:`` or ``external:`` and a name."""
        edge = {"source": source, "relation": relation, "target": target}
        self._send("POST", f"{API}/lineage", NoneType, edge)

    def lineage(
        self,
        name: str,
        *,
        direction: Literal["upstream", "downstream", "both"] = "both",
        depth: int = 100,
        limit: int = 1000,
    ) -> LineageGraph:
        """Everything upstream, downstream or both of a version or node."""
        asked = query(name=name, direction=direction, depth=depth, limit=limit)
        return self._get(f"{API}/lineage{asked}", LineageGraph)

    def history(self, name: str, *, after: int = -1, limit: int = 100) -> list[LogRecord]:
        """Every change of a version, collection or project, from the first."""
        return self._list(f"{API}/history", LogRecord, limit, name=name, after=after if after >= 0 else None)

    def log(self, *, start: int = 0, limit: int = 100) -> list[LogRecord]:
        """The whole log from an entry on."""
        found: list[LogRecord] = []
        while len(found) < limit:
            asked = query(start=start, limit=min(limit - len(found), MAX_PAGE))
            page = self._get(f"{API}/log{asked}", PageOf)
            found += msgspec.convert(page.items, list[LogRecord])
            if not page.next:
                break
            start = int(page.next)
        return found

    def proof(self, name: str, alias: str = "") -> dict[str, Any]:
        """A bundle that proves an alias's history, or every change of an object, to whoever has :meth:`log_key`."""
        if alias:
            return self._get(f"{self._alias(name, alias)}/proof", dict[str, Any])
        return self._get(f"{API}/proof{query(name=name)}", dict[str, Any])

    def checkpoint(self) -> str:
        """A signed checkpoint of the log as it stands."""
        return self._http.body_of(self._http.request("GET", f"{API}/log/checkpoint")).decode()

    def log_key(self) -> str:
        """The key that verifies checkpoints and proofs."""
        return self._get(f"{API}/log/key", _Vkey).vkey
