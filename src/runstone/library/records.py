"""Lineage, history and proofs of an open store."""

from __future__ import annotations

from typing import Any

from runstone import domain
from runstone.library.calls import Calls
from runstone.types import LineageGraph, LogRecord


class Records(Calls):
    """Tells what became of things, and proves it."""

    def link(self, source: str, relation: str, target: str) -> None:
        """Adds a lineage edge; ends are version names, or ``run:``, ``consumer:`` or ``external:`` and a name."""
        domain.lineage.link(self.store, self.ctx, source, relation, target)

    def lineage(
        self, name: str, *, direction: domain.lineage.Direction = "both", depth: int = 100, limit: int = 1000
    ) -> LineageGraph:
        """Everything upstream, downstream or both of a version or node."""
        return domain.lineage.closure(
            self.store, self.ctx, name, direction=direction, depth=depth, limit=limit
        )

    def history(self, name: str, *, after: int = -1, limit: int = 100) -> list[LogRecord]:
        """Every change of a version, collection or project, from the first."""
        return domain.audit.history(self.store, self.ctx, name, after=after, limit=limit)

    def log(self, *, start: int = 0, limit: int = 100) -> list[LogRecord]:
        """The whole log from an entry on."""
        return domain.audit.log(self.store, self.ctx, start=start, limit=limit)

    def proof(self, name: str, alias: str = "") -> dict[str, Any]:
        """A bundle that proves an alias's history, or every change of an object, to whoever has :meth:`log_key`."""
        if alias:
            return domain.audit.prove_alias(self.store, self.ctx, name, alias)
        return domain.audit.prove_object(self.store, self.ctx, name)

    def checkpoint(self) -> str:
        """A signed checkpoint of the log as it stands."""
        return domain.audit.checkpoint(self.store, self.ctx).decode()

    def log_key(self) -> str:
        """The key that verifies checkpoints and proofs."""
        return domain.audit.verifier_key(self.store, self.ctx)
