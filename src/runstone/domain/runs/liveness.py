"""Whether a run still reports: heartbeats, and what becomes of a run that fell silent."""

from __future__ import annotations

import msgspec

from runstone.domain.context import LOCAL, Context
from runstone.domain.runs import finding
from runstone.domain.runs.commands import SetRunState
from runstone.domain.store import Store
from runstone.errors import Conflict, Missing
from runstone.storage.chunks import transact
from runstone.storage.index import View
from runstone.storage.tables import HEARTBEATS, RUN_MARKS, RUNNING, RUNS, Run

#: Seconds without a word after which a running run is taken for crashed.
SILENCE = 300.0
#: A heartbeat is written down at most this often, in seconds: each is a commit.
OFTEN = 10.0
ACTOR = "runstone"


def heartbeat(store: Store, ctx: Context, name: str) -> None:
    """Notes that a run is alive. Points and lines say so too; this is for a run that has nothing else to say."""
    now = store.blobs.clock()
    with store.index.read() as view:
        run = finding.find(store, view, ctx, name, "write").run
        heard = last_heard(view, run.id)
    if now - heard > OFTEN * 1e6:
        transact(store.index, lambda txn: txn.put(HEARTBEATS, run.id, now))


def last_heard(view: View, run_id: int) -> int:
    """When a run was last heard of, in microseconds."""
    mark = view.get(RUN_MARKS, run_id)
    return max(mark.time if mark else 0, view.get(HEARTBEATS, run_id) or 0)


def mark_crashed(store: Store, *, silence: float = SILENCE) -> list[str]:
    """Puts running runs that were silent for ``silence`` seconds into the state ``crashed``; their names.

    A run that reports again afterwards is running again.
    """
    before = store.blobs.clock() - int(silence * 1e6)
    found = []
    for run_id in _silent(store, before):
        with store.index.read() as view:
            run = finding.by_id(view, run_id)
        command = SetRunState(
            actor=ACTOR,
            reason=f"nothing was heard of it for {silence:.0f} s",
            run=run_id,
            state="crashed",
            silent_since=before,
        )
        try:
            store.submit(Context(principal=LOCAL), command)
        except (Conflict, Missing):  # heard of or deleted in between
            continue
        found.append(str(run))
    return found


def _silent(store: Store, before: int) -> list[int]:
    with store.index.read() as view:
        running = [run_id for (run_id,), _ in view.scan(RUNNING)]
        silent = [run_id for run_id in running if last_heard(view, run_id) < before]
        return [run_id for run_id in silent if (run := view.get(RUNS, run_id)) and not _may_be_silent(run)]


def _may_be_silent(run: Run) -> bool:
    """Whether silence says nothing of a run: its client sends no heartbeats, and told so in the run's ``info``."""
    return msgspec.msgpack.decode(run.info).get("heartbeats") is False
