"""Alerts: what a run wants somebody to know. They are kept beside it, and webhooks are told of them."""

from __future__ import annotations

from msgspec.structs import replace

from runstone.domain import limits
from runstone.domain.context import Context
from runstone.domain.runs import finding
from runstone.domain.runs.applying import require
from runstone.domain.store import Store
from runstone.errors import Conflict, Invalid
from runstone.storage.commands import Command, Remains, Stamp, applies
from runstone.storage.state import State
from runstone.storage.tables import ALERTS, Alert
from runstone.types import AlertInfo

SEVERITIES = ("info", "warn", "error")
MAX_TITLE = 256
MAX_TEXT = 64 << 10
#: Alerts of one run that are kept.
MAX_ALERTS = 10_000


class RaiseAlert(Command, frozen=True, kw_only=True):
    """Keeps an alert. Nobody is told of it when one of its title was told in the ``wait`` microseconds before."""

    run: int
    title: str
    text: str
    severity: str
    wait: int = 0

    def erased(self, remains: Remains) -> RaiseAlert:
        """That there was an alert."""
        return RaiseAlert(actor="", run=self.run, title="", text="", severity=self.severity, wait=self.wait)


@applies(117, "raise_alert", RaiseAlert, bool)
def _raise_alert(state: State, at: Stamp, command: RaiseAlert) -> bool:
    run = require(state, command.run)
    held = [alert for _, alert in state.scan(ALERTS, run.id)]
    if len(held) >= MAX_ALERTS:
        raise Conflict(f"run {run.name} has {MAX_ALERTS} alerts, the limit")
    last = max((each.time for each in held if each.told and each.title == command.title), default=None)
    told = last is None or at.time - last >= command.wait
    alert = Alert(command.title, command.text, command.severity, at.time, command.actor, told)
    state.put(ALERTS, run.id, at.seq, alert)
    state.touch(run.id, at.seq, 117)
    return told


class KeepAlert(Command, frozen=True, kw_only=True):
    """Keeps an alert that was raised in another store at ``time``; nobody is told of it."""

    run: int
    title: str
    text: str
    severity: str
    time: int
    told: bool

    def erased(self, remains: Remains) -> KeepAlert:
        """That there was an alert."""
        return replace(self, actor="", reason="", title="", text="")


@applies(122, "keep_alert", KeepAlert)
def _keep_alert(state: State, at: Stamp, command: KeepAlert) -> None:
    run = require(state, command.run)
    if sum(1 for _ in state.scan(ALERTS, run.id)) >= MAX_ALERTS:
        raise Conflict(f"run {run.name} has {MAX_ALERTS} alerts, the limit")
    alert = Alert(command.title, command.text, command.severity, command.time, command.actor, command.told)
    state.put(ALERTS, run.id, at.seq, alert)
    state.touch(run.id, at.seq, 122)


def keep(
    store: Store, ctx: Context, run: str, title: str, text: str, *, severity: str, time: int, told: bool
) -> None:
    """Keeps an alert that was raised in another store, after those that the run has. Takes the right to administer the project."""
    check(title, text, severity, time)
    with store.index.read() as view:
        found = finding.find(store, view, ctx, run, "admin")
    command = KeepAlert(
        actor=ctx.principal.name,
        reason=ctx.reason,
        run=found.run.id,
        title=title,
        text=text,
        severity=severity,
        time=time,
        told=told,
    )
    store.submit(ctx, command)


def check(title: str, text: str, severity: str, time: int) -> None:
    """Raises :class:`Invalid` for what cannot be an alert."""
    if severity not in SEVERITIES:
        raise Invalid(f"severity {severity!r:.80} must be one of {', '.join(SEVERITIES)}")
    limits.required_text(title, "title", MAX_TITLE)
    limits.text(text, "text", MAX_TEXT)
    limits.moment(time, "time")


def raise_alert(
    store: Store, ctx: Context, run: str, title: str, text: str, *, severity: str = "info", wait: float = 0
) -> bool:
    """Keeps an alert of a run; whether webhooks are told, which they are not again within ``wait`` seconds of one with the same title."""
    check(title, text, severity, 0)
    if not 0 <= wait < 1e9:
        raise Invalid(f"wait must be a number of seconds from 0 on, not {wait!r:.80}")
    with store.index.read() as view:
        found = finding.find(store, view, ctx, run, "write")
    command = RaiseAlert(
        actor=ctx.principal.name,
        reason=ctx.reason,
        run=found.run.id,
        title=title,
        text=text,
        severity=severity,
        wait=int(wait * 1e6),
    )
    told: bool = store.submit(ctx, command).result
    return told


def listed(store: Store, ctx: Context, run: str, *, after: int = -1, limit: int = 100) -> list[AlertInfo]:
    """A run's alerts, oldest first, from just past log entry ``after``."""
    with store.index.read() as view:
        found = finding.find(store, view, ctx, run)
        rows = view.scan(ALERTS, found.run.id, after=(found.run.id, after) if after >= 0 else None)
        return [
            AlertInfo(
                seq=seq,
                title=alert.title,
                text=alert.text,
                severity=alert.severity,
                time=alert.time,
                by=alert.by,
                told=alert.told,
            )
            for _, ((_, seq), alert) in zip(range(limit), rows, strict=False)
        ]
