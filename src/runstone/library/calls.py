"""What every part of the embedded library asks the domain with."""

from __future__ import annotations

from msgspec.structs import replace

from runstone.domain.context import Context
from runstone.domain.store import Store


class Calls:
    """An open store, and who asks."""

    store: Store
    ctx: Context

    def _with(self, reason: str) -> Context:
        return replace(self.ctx, reason=reason) if reason else self.ctx
