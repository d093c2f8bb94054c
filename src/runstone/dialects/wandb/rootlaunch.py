"""What a document can begin with of Launch."""

from __future__ import annotations

from typing import Any

from runstone.dialects.wandb import launch
from runstone.dialects.wandb.fields import Fields


class LaunchFields(Fields):
    """Fields of Query and Mutation."""

    def launch_agent(self, id: str) -> dict[str, Any] | None:
        """An agent."""
        return launch.agent(self._call, id)

    def create_default_resource_config(self, input: dict[str, Any]) -> dict[str, Any]:
        """Keeps a configuration that jobs begin with."""
        return launch.create_config(self._call, input)

    def create_run_queue(self, input: dict[str, Any]) -> dict[str, Any]:
        """Makes a queue."""
        return launch.create_queue(self._call, input)

    def upsert_run_queue(self, input: dict[str, Any]) -> dict[str, Any]:
        """Makes or changes a queue."""
        return launch.upsert_queue(self._call, input)

    def delete_run_queues(self, input: dict[str, Any]) -> dict[str, Any]:
        """Removes queues."""
        return launch.delete_queues(self._call, input)

    def push_to_run_queue(self, input: dict[str, Any]) -> dict[str, Any]:
        """Puts a job into a queue."""
        return launch.push(self._call, input)

    push_to_run_queue_by_name = push_to_run_queue

    def pop_from_run_queue(self, input: dict[str, Any]) -> dict[str, Any] | None:
        """Hands a job to an agent."""
        return launch.pop(self._call, input)

    def ack_run_queue_item(self, input: dict[str, Any]) -> dict[str, Any]:
        """Says which run a job became."""
        return launch.claim(self._call, input)

    def fail_run_queue_item(self, input: dict[str, Any]) -> dict[str, Any]:
        """Says that a job failed."""
        return launch.note(self._call, input, failed=True)

    def update_run_queue_item_warning(self, input: dict[str, Any]) -> dict[str, Any]:
        """Adds a warning to a job."""
        return launch.note(self._call, input, failed=False)

    def delete_from_run_queue(self, input: dict[str, Any]) -> dict[str, Any]:
        """Takes a job out of a queue."""
        return launch.remove(self._call, input)

    def create_launch_agent(self, input: dict[str, Any]) -> dict[str, Any]:
        """Takes an agent on."""
        return launch.create_agent(self._call, input)

    def update_launch_agent(self, input: dict[str, Any]) -> dict[str, Any]:
        """Notes how an agent does."""
        return launch.update_agent(self._call, input)
