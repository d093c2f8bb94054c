"""What a document can begin with of sweeps and their agents."""

from __future__ import annotations

from typing import Any

from runstone.dialects.wandb import sweeps
from runstone.dialects.wandb.fields import Fields

#: What works of it, of what the SDK asks after.
FEATURES = {"SWEEPS_QUERY_FILTERING": True, "SWEEPS_LOCAL_SCHEDULER": True}


class SweepFields(Fields):
    """Fields of Query and Mutation."""

    def upsert_sweep(self, input: dict[str, Any]) -> dict[str, Any]:
        """Makes or changes a sweep."""
        return sweeps.upsert(self._call, input)

    def delete_sweep(self, input: dict[str, Any]) -> dict[str, Any]:
        """Removes a sweep."""
        return sweeps.delete(self._call, input)

    def create_agent(self, input: dict[str, Any]) -> dict[str, Any]:
        """Takes an agent on."""
        return sweeps.join(self._call, input)

    def agent_heartbeat(self, input: dict[str, Any]) -> dict[str, Any]:
        """What an agent is to do next."""
        return sweeps.heartbeat(self._call, input)

    def enqueue_sweep_run(self, input: dict[str, Any]) -> dict[str, Any]:
        """Gives a sweep a run whose parameters the caller chose."""
        return sweeps.enqueue(self._call, input)
