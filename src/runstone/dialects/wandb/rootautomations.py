"""What a document can begin with of automations."""

from __future__ import annotations

from typing import Any

from runstone.dialects.wandb import automations, wire
from runstone.dialects.wandb.automations import TriggerNode
from runstone.dialects.wandb.fields import Fields
from runstone.domain.automations import lifecycle

#: What works of it, of what the SDK asks after.
FEATURES = {
    "QUERY_AUTOMATIONS_ON_ENTITY": True,
    "AUTOMATION_SCOPE_ENTITY": True,
    "AUTOMATION_EVENT_RUN_METRIC": True,
    "AUTOMATION_EVENT_RUN_METRIC_CHANGE": True,
    "AUTOMATION_EVENT_RUN_METRIC_ZSCORE": True,
    "AUTOMATION_EVENT_RUN_STATE": True,
    "AUTOMATION_EVENT_ADD_ARTIFACT_TAG": True,
    "AUTOMATION_EVENT_REMOVE_ARTIFACT_TAG": True,
    "AUTOMATION_EVENT_ADD_COLLECTION_TAG": True,
    "AUTOMATION_EVENT_REMOVE_COLLECTION_TAG": True,
    "AUTOMATION_EVENT_UNLINK_ARTIFACT": True,
    "AUTOMATION_ACTION_NO_OP": True,
}


class AutomationFields(Fields):
    """Fields of Query and Mutation."""

    def trigger(self, id: str) -> TriggerNode:
        """An automation."""
        number = wire.number_of("Trigger", id)
        return TriggerNode(self._call, lifecycle.get(self._call.store, self._call.ctx, number))

    def create_filter_trigger(self, input: dict[str, Any]) -> dict[str, Any]:
        """Makes an automation."""
        return automations.create(self._call, input)

    def update_filter_trigger(self, input: dict[str, Any]) -> dict[str, Any]:
        """Changes an automation."""
        return automations.update(self._call, input)

    def delete_trigger(self, input: dict[str, Any]) -> dict[str, Any]:
        """Takes an automation away."""
        return automations.delete(self._call, input)

    def create_generic_webhook_integration(self, input: dict[str, Any]) -> dict[str, Any]:
        """Makes a webhook that automations may use."""
        return automations.create_webhook(self._call, input)
