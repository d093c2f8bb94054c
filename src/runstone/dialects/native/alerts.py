"""Alerts of runs, and the other moments that their charts point out."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from runstone.dialects.native.runs import RUN
from runstone.dialects.native.wire import Answer, Limit, Listing, NoQuery, Request, page
from runstone.dialects.routing import Call, Route
from runstone.domain.runs import alerts, moments
from runstone.types import AlertInfo, MomentInfo

ALERTS = RUN + "/alerts"


class AlertPage(Request):
    """Which alerts: those past log entry ``after``."""

    limit: Limit = 100
    after: int = -1


class NewAlert(Request):
    """An alert. Webhooks are not told again within ``wait`` seconds of one with the same title."""

    title: str
    text: str = ""
    severity: str = "info"
    wait: Annotated[float, Meta(ge=0)] = 0


class Raised(Answer):
    """Whether webhooks are told."""

    told: bool


def _run(call: Call) -> str:
    return "/".join(call.path[part] for part in ("ns", "project", "run"))


def list_alerts(call: Call) -> Listing[AlertInfo]:
    """Answers ``GET …/alerts``."""
    asked: AlertPage = call.query
    found = alerts.listed(call.store, call.ctx, _run(call), after=asked.after, limit=asked.limit + 1)
    return page(found, asked.limit, lambda alert: alert.seq)


def raise_alert(call: Call) -> Raised:
    """Answers ``POST …/alerts``."""
    given: NewAlert = call.body
    told = alerts.raise_alert(
        call.store, call.ctx, _run(call), given.title, given.text, severity=given.severity, wait=given.wait
    )
    return Raised(told=told)


def list_moments(call: Call) -> Listing[MomentInfo]:
    """Answers ``GET …/moments``."""
    return Listing(items=tuple(moments.of(call.store, call.ctx, _run(call))))


ROUTES = (
    Route(
        "GET",
        RUN + "/moments",
        list_moments,
        "What charts of a run point out: alerts, checkpoints, restarts, a bad end.",
        query=NoQuery,
        answer=Listing[MomentInfo],
        blocking=True,
        remembered=True,
    ),
    Route("GET", ALERTS, list_alerts, "A run's alerts.", query=AlertPage, answer=Listing[AlertInfo]),
    Route(
        "POST", ALERTS, raise_alert, "Raises an alert of a run.", body=NewAlert, answer=Raised, blocking=True
    ),
)
