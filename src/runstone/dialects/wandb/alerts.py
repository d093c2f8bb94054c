"""Alerts of runs, as the SDK raises them."""

from __future__ import annotations

from typing import Any

from runstone.dialects.routing import Call
from runstone.dialects.wandb import naming
from runstone.domain.runs import alerts


def notify(call: Call, given: dict[str, Any]) -> dict[str, Any]:
    """Keeps an alert of a run, and has webhooks told; ``waitDuration`` is in milliseconds."""
    run = naming.run(call, given["entityName"], given["projectName"], given["runName"])
    severity = str(given.get("severity") or "INFO").lower()
    wait = int(given.get("waitDuration") or 0) / 1000
    alerts.raise_alert(call.store, call.ctx, run, given["title"], given["text"], severity=severity, wait=wait)
    return {"success": True}
