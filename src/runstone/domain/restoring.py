"""What a store that went back in time says of itself in its log."""

from __future__ import annotations

from runstone.storage.commands import Command, Stamp, applies
from runstone.storage.state import State


class Restored(Command, frozen=True, kw_only=True):
    """Notes that this store was restored to an earlier point of another store's log, whose head it names."""

    store: str
    size: int
    root: bytes


@applies(56, "restored", Restored)
def _restored(state: State, at: Stamp, command: Restored) -> None:
    """Changes no table: the entry itself is what there is to know."""
