"""Keeping an open store well."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from runstone import domain
from runstone.domain import limits
from runstone.library.calls import Calls
from runstone.types import DamageInfo

Progress = Callable[[int, int], None]


class Upkeep(Calls):
    """Has a store verified, scrubbed, swept, copied, and its projects carried elsewhere."""

    def verify(self, *, progress: Progress | None = None) -> dict[str, Any]:
        """Checks the index against the log; where the log stands. Raises :class:`Corrupt` naming what fails."""
        head = domain.maintenance.verify(self.store, self.ctx, progress)
        return {"entries": head.size, "root": head.root.hex(), "state": head.state.hex(), "time": head.time}

    def scrub(self, *, deep: bool = False, progress: Progress | None = None) -> dict[str, Any]:
        """Reads every stored byte and withdraws what is damaged; what was found."""
        return _as_json(domain.maintenance.scrub(self.store, self.ctx, deep=deep, progress=progress))

    def damages(self) -> list[DamageInfo]:
        """Every damaged stretch that is known."""
        return domain.integrity.damages(self.store, self.ctx)

    def gc(self, *, grace_seconds: float = limits.DEFAULT_GRACE) -> dict[str, Any]:
        """Frees bytes that nothing refers to; what was marked and freed."""
        return _as_json(domain.maintenance.gc(self.store, self.ctx, grace_seconds=grace_seconds))

    def export_project(
        self, project: str, target: str | os.PathLike[str], *, progress: Progress | None = None
    ) -> dict[str, Any]:
        """Writes a project into an empty directory as an open bundle; its manifest. Needs ``runstone[sql]``."""
        manifest = domain.bundle.export_project(self.store, self.ctx, project, Path(target), progress)
        return _as_json(manifest)

    def import_project(
        self, source: str | os.PathLike[str], project: str = "", *, progress: Progress | None = None
    ) -> dict[str, Any]:
        """Makes a project of an open bundle, by default of the name it had; what came of it. Needs ``runstone[sql]``."""
        return _as_json(domain.bundle.import_project(self.store, self.ctx, Path(source), project, progress))

    def backup(self, target: str | os.PathLike[str], *, progress: Progress | None = None) -> dict[str, Any]:
        """Copies the store into a directory from which it can be restored; a second time, only what is new."""
        return _as_json(domain.maintenance.backup(self.store, self.ctx, Path(target), progress))


def _as_json(value: Any) -> dict[str, Any]:
    """A report (a dataclass or struct) as JSON values, with bytes as hexadecimal text."""
    shown: dict[str, Any] = domain.audit.readable(msgspec.to_builtins(value, builtin_types=(bytes,)))
    return shown
