"""Queues, jobs and agents of Launch as GraphQL objects. They are stored and handed out; what runs a job is an agent elsewhere."""

from __future__ import annotations

from typing import Any

from runstone.dialects.routing import Call
from runstone.dialects.wandb import wire
from runstone.domain import documents, launch
from runstone.errors import Conflict, Invalid, Missing
from runstone.types import DocumentInfo

#: Where the SDK looks for queues.
DEFAULT = "model-registry"
#: From 0, which goes first, to 4.
DEFAULT_PRIORITY = 2
_KINDS = {
    launch.QUEUE: "RunQueue",
    launch.ITEM: "RunQueueItem",
    launch.AGENT: "LaunchAgent",
    launch.CONFIG: "ResourceConfig",
}


class QueueNode:
    """A queue."""

    def __init__(self, call: Call, info: DocumentInfo) -> None:
        self._call, self._info = call, info
        self.id, self.name, self.created_by = _id(info), info.name, None

    def _spec(self) -> dict[str, Any]:
        spec: dict[str, Any] = launch.by_id(
            self._call.store, self._call.ctx, launch.QUEUE, self._info.id
        ).spec
        return spec

    def access(self) -> str:
        """Who may push: ``PROJECT`` or ``USER``."""
        return str(self._spec()["access"])

    def prioritization_mode(self) -> str | None:
        """Whether jobs have priorities."""
        return self._spec().get("mode")

    def default_resource_config_id(self) -> str | None:
        """The id of the configuration that jobs begin with."""
        return self._spec().get("config")

    def external_links(self) -> Any:
        """Links that its maker gave."""
        return self._spec().get("links")

    def run_queue_item(self, id: str) -> dict[str, Any] | None:
        """One of its jobs."""
        return next((each for each in self._items() if each["id"] == id), None)

    def run_queue_items(self, first: int | None = None, after: str | None = None) -> dict[str, Any]:
        """Its jobs, by page."""
        found = self._items()
        return wire.page(found, after, len(found) if first is None else first)

    def _items(self) -> list[dict[str, Any]]:
        place = f"{self._info.namespace}/{self._info.project}"
        found = launch.items(self._call.store, self._call.ctx, place, self._info.id)
        return [
            {
                "id": _id(each),
                "state": each.spec["state"],
                "associatedRunId": each.spec["run"],
                "runSpec": each.spec["run_spec"],
                "priority": each.spec["priority"],
            }
            for each in found
        ]


def queues(call: Call, project: str) -> list[QueueNode]:
    """The queues of a project."""
    return [QueueNode(call, each) for each in launch.queues(call.store, call.ctx, project)]


def config(call: Call, config_id: str) -> dict[str, Any]:
    """A configuration that jobs begin with."""
    spec = _find(call, launch.CONFIG, config_id).spec
    variables = spec.get("variables") or {}
    shown = [{"name": name, "schema": wire.written(schema)} for name, schema in variables.items()]
    return {"config": spec["config"], "resource": spec["resource"], "templateVariables": shown}


def create_config(call: Call, given: dict[str, Any]) -> dict[str, Any]:
    """Keeps a configuration."""
    made = launch.make(
        call.store,
        call.ctx,
        f"{given['entityName']}/{DEFAULT}",
        launch.CONFIG,
        "",
        _config(given, "resource", "config"),
    )
    return {"defaultResourceConfigID": _id(made), "success": True}


def _config(given: dict[str, Any], resource: str, config: str) -> dict[str, Any]:
    variables = (
        wire.parsed(given["templateVariables"], "templateVariables") if given.get("templateVariables") else {}
    )
    return {
        "resource": given[resource],
        "config": wire.document(given[config], config),
        "variables": variables,
    }


def create_queue(call: Call, given: dict[str, Any]) -> dict[str, Any]:
    """Makes a queue."""
    spec = {
        "access": given["access"],
        "mode": given.get("prioritizationMode"),
        "config": given.get("defaultResourceConfigID"),
    }
    made = launch.create_queue(call.store, call.ctx, _project(given), given["queueName"], spec)
    return {"success": True, "queueID": _id(made)}


def upsert_queue(call: Call, given: dict[str, Any]) -> dict[str, Any]:
    """Makes or changes a queue."""
    held = launch.make(
        call.store,
        call.ctx,
        _project(given),
        launch.CONFIG,
        "",
        _config(given, "resourceType", "resourceConfig"),
    )
    spec = {
        "mode": given.get("prioritizationMode"),
        "config": _id(held),
        "links": wire.parsed(given["externalLinks"], "externalLinks") if given.get("externalLinks") else None,
    }
    launch.upsert_queue(call.store, call.ctx, _project(given), given["queueName"], spec)
    return {"success": True, "configSchemaValidationErrors": None}


def delete_queues(call: Call, given: dict[str, Any]) -> dict[str, Any]:
    """Removes queues."""
    for each in given["queueIDs"]:
        launch.delete_queue(call.store, call.ctx, _find(call, launch.QUEUE, each))
    return {"success": True}


def push(call: Call, given: dict[str, Any]) -> dict[str, Any]:
    """Puts a job into a queue, by the queue's id or name."""
    if given.get("queueID"):
        queue = _find(call, launch.QUEUE, given["queueID"])
        project, name = f"{queue.namespace}/{queue.project}", queue.name
    else:
        project, name = _project(given), given["queueName"]
    spec = wire.document(given["runSpec"], "runSpec")
    made = launch.push(
        call.store,
        call.ctx,
        project,
        name,
        spec,
        DEFAULT_PRIORITY if given.get("priority") is None else given["priority"],
    )
    return {"runQueueItemId": _id(made), "runSpec": wire.written(spec)}


def pop(call: Call, given: dict[str, Any]) -> dict[str, Any] | None:
    """Hands the next job to an agent."""
    found = launch.pop(call.store, call.ctx, _project(given), given["queueName"], given.get("launchAgentId"))
    return None if found is None else {"runQueueItemId": _id(found), "runSpec": found.spec["run_spec"]}


def claim(call: Call, given: dict[str, Any]) -> dict[str, Any]:
    """Says which run a job became; no success when another agent said so before."""
    try:
        launch.claim(
            call.store, call.ctx, _find(call, launch.ITEM, given["runQueueItemId"]), given["runName"]
        )
    except Conflict:
        return {"success": False}
    return {"success": True}


def note(call: Call, given: dict[str, Any], failed: bool) -> dict[str, Any]:
    """Adds a warning to a job, or says that it failed."""
    said = {"message": given["message"], "stage": given["stage"], "files": given.get("filePaths") or []}
    change = launch.fail if failed else launch.warn
    change(call.store, call.ctx, _find(call, launch.ITEM, given["runQueueItemId"]), said)
    return {"success": True}


def remove(call: Call, given: dict[str, Any]) -> dict[str, Any]:
    """Takes a job out of a queue."""
    item = _find(call, launch.ITEM, given["runQueueItemId"])
    documents.delete(call.store, call.ctx, f"{item.namespace}/{item.project}", launch.ITEM, item.name)
    return {"success": True}


def create_agent(call: Call, given: dict[str, Any]) -> dict[str, Any]:
    """Takes an agent on."""
    for each in given["runQueues"]:
        _find(call, launch.QUEUE, each)
    spec = {
        "queues": given["runQueues"],
        "host": given["hostname"],
        "config": wire.document(given.get("agentConfig"), "agentConfig"),
        "version": given.get("version"),
        "status": "POLLING",
    }
    made = launch.make(call.store, call.ctx, _project(given), launch.AGENT, "", spec)
    return {"launchAgentId": _id(made)}


def update_agent(call: Call, given: dict[str, Any]) -> dict[str, Any]:
    """Notes how an agent does."""
    held = _find(call, launch.AGENT, given["launchAgentId"])
    launch.set_status(call.store, call.ctx, held, given.get("agentStatus") or "POLLING")
    return {"success": True}


def agent(call: Call, agent_id: str) -> dict[str, Any] | None:
    """An agent, or None."""
    try:
        held = _find(call, launch.AGENT, agent_id)
    except Missing:
        return None
    return {
        "id": agent_id,
        "name": held.name,
        "runQueues": held.spec["queues"],
        "hostname": held.spec["host"],
        "agentStatus": held.spec["status"],
        "stopPolling": False,
        "heartbeatAt": wire.time_text(held.updated),
    }


def _project(given: dict[str, Any]) -> str:
    if not given["entityName"] or not given["projectName"]:
        raise Invalid("the entity and the project of a queue must be named")
    return f"{given['entityName']}/{given['projectName']}"


def _id(info: DocumentInfo) -> str:
    return wire.make_id(_KINDS[info.kind], info.id)


def _find(call: Call, kind: str, number: str) -> DocumentInfo:
    return launch.by_id(call.store, call.ctx, kind, wire.number_of(_KINDS[kind], number))
