"""The attributes of a run that questions may name, and what kind of value each holds."""

from __future__ import annotations

from typing import Literal

Kind = Literal["text", "time", "number"]

#: By name. A time is whole microseconds since 1970, UTC; a duration is seconds.
RUN: dict[str, Kind] = {
    "id": "text",
    "name": "text",
    "state": "text",
    "user": "text",
    "user_id": "text",
    "group": "text",
    "job_type": "text",
    "sweep": "text",
    "notes": "text",
    "host": "text",
    "commit": "text",
    "command": "text",
    "created": "time",
    "started": "time",
    "updated": "time",
    "heartbeat": "time",
    "ended": "time",
    "duration": "number",
    "steps": "number",
    "points": "number",
}

#: What a field's name begins with when it is not an attribute.
ROOTS = ("config", "summary", "tags")

#: What a summary's value may be asked for besides the latest: ``summary.loss:min``.
STATISTICS = ("min", "max", "mean", "first", "count", "step", "best")

#: The states of a run.
STATES = ("pending", "running", "preempting", "preempted", "finished", "failed", "crashed", "killed")

#: What may be asked of a run's lineage: which version it used or produced, or a version of which collection.
LINEAGE = ("lineage.used", "lineage.produced")
