"""Abandoned drafts: artifacts that were begun and that nothing came for any more. They are purged, so that what was uploaded for them is freed."""

from __future__ import annotations

from itertools import islice
from typing import Any

from runstone.domain.context import LOCAL, Context
from runstone.domain.drafts import CLIENT, DISTRIBUTED
from runstone.domain.store import Store
from runstone.storage.commands import Command, Stamp, applies
from runstone.storage.entry import unpack_header
from runstone.storage.index import View
from runstone.storage.state import State
from runstone.storage.tables import ARTIFACT_KEYS, DRAFTS, HISTORY, LOG_HEADERS

#: Seconds after which a draft that nothing came for is given up. The pins of what was uploaded for it hold for a day.
PATIENCE = 7 * 86_400.0
#: Rows that one look at the index reads, and drafts that one command purges.
PAGE = 1000
ACTOR = "runstone"


class PurgeDrafts(Command, frozen=True, kw_only=True):
    """Takes drafts away, each unless something came for it after the log entry that is named with it, and names that clients gave them."""

    drafts: tuple[tuple[int, int], ...]
    clients: tuple[str, ...] = ()


@applies(185, "purge_drafts", PurgeDrafts, int)
def _purge_drafts(state: State, at: Stamp, command: PurgeDrafts) -> int:
    still = [number for number, last in command.drafts if _last_entry(state, number) == last]
    held = [draft for number in still if (draft := state.get(DRAFTS, number)) and not draft.version]
    purged = {draft.id for draft in held}
    for draft in held:
        state.delete(DRAFTS, draft.id)
        key = draft.collection, DISTRIBUTED, draft.distributed
        if draft.distributed and state.get(ARTIFACT_KEYS, *key) == draft.id:
            state.delete(ARTIFACT_KEYS, *key)
        state.touch(draft.id, at.seq, 185)
    for client in command.clients:
        if (state.get(ARTIFACT_KEYS, 0, CLIENT, client) or 0) in purged:
            state.delete(ARTIFACT_KEYS, 0, CLIENT, client)
    return len(purged)


def _last_entry(rows: State | View, draft: int) -> int:
    """The log entry that changed a draft last."""
    return next((int(seq) for (_, seq), _ in rows.scan(HISTORY, draft, reverse=True)), 0)


class _Settled:
    """Up to which id no draft is open, as far as was looked: those below are not looked at again while the store is open."""

    def __init__(self, _: Store) -> None:
        self.below = 0


def purge(store: Store, *, patience: float = PATIENCE) -> int:
    """Takes away the drafts that nothing came for in ``patience`` seconds; how many. Their bytes go with the next collection."""
    before = store.blobs.clock() - int(patience * 1e6)
    abandoned = _abandoned(store, before)
    clients = _clients(store, {number for number, _ in abandoned}) if abandoned else {}
    purged = 0
    for start in range(0, len(abandoned), PAGE):
        part = tuple(abandoned[start : start + PAGE])
        named = tuple(name for number, _ in part for name in clients.get(number, ()))
        reason = f"nothing came for it in {patience:.0f} s"
        command = PurgeDrafts(actor=ACTOR, reason=reason, drafts=part, clients=named)
        purged += store.submit(Context(principal=LOCAL), command).result
    return purged


def _abandoned(store: Store, before: int) -> list[tuple[int, int]]:
    """Open drafts that were changed last before a time, with the log entry that did."""
    settled = store.part("settled-drafts", _Settled)
    found: list[tuple[int, int]] = []
    after, all_settled = settled.below, True
    while True:
        with store.index.read() as view:
            page = list(islice(view.scan(DRAFTS, after=(after,)), PAGE))
            for (number,), draft in page:
                all_settled = all_settled and bool(draft.version)
                if all_settled:
                    settled.below = number
                if draft.version:
                    continue
                if draft.created >= before:  # so are all that follow
                    return found
                last = _last_entry(view, number)
                header = view.get(LOG_HEADERS, last)
                if header is None or unpack_header(header).time < before:
                    found.append((number, last))
        if len(page) < PAGE:
            return found
        after = page[-1][0][0]


def _clients(store: Store, wanted: set[int]) -> dict[int, list[str]]:
    """The names that clients gave some drafts. Drafts do not hold them, since a commit leaves hardly anything of one."""
    found: dict[int, list[str]] = {}
    after: tuple[Any, ...] | None = None
    while True:
        with store.index.read() as view:
            page = list(islice(view.scan(ARTIFACT_KEYS, 0, CLIENT, after=after), PAGE))
        for (_, _, name), number in page:
            if number in wanted:
                found.setdefault(number, []).append(name)
        if len(page) < PAGE:
            return found
        after = page[-1][0]
