"""Changes of runs and projects that the SDK asks for."""

from __future__ import annotations

from typing import Any

from runstone.dialects.routing import Call
from runstone.dialects.wandb import naming, registry, wire
from runstone.dialects.wandb.projects import ProjectNode
from runstone.dialects.wandb.runs import INTERNAL, RunNode
from runstone.domain import artifacts
from runstone.domain.runs import finding, lifecycle
from runstone.errors import Exists, Invalid, Missing
from runstone.types import RunInfo

#: Texts of the input that are kept beside the run as they are.
_CAPTURED = {"commit": "commit", "host": "host", "jobProgram": "program", "jobRepo": "repo", "description": "description"}  # fmt: skip


def upsert_run(call: Call, given: dict[str, Any]) -> dict[str, Any]:
    """Makes a run, or changes the one that is there; null leaves a field as it is."""
    name = _name(call, given)
    config, own = _config(given.get("config"))
    info = {ours: given[theirs] for theirs, ours in _CAPTURED.items() if given.get(theirs) is not None}
    if own is not None:
        info[INTERNAL] = own
    try:
        held = lifecycle.get(call.store, call.ctx, name)
    except Missing:
        try:
            made = _create(call, name, given, config, info)
            return {"bucket": RunNode(call, _rest(call, made, given), counts_lines=False), "inserted": True}
        except Exists:  # another process of the same run was quicker
            held = lifecycle.get(call.store, call.ctx, name)
    remove = [f"tags.{tag}" for tag in held.tags if tag not in given["tags"]] if given.get("tags") is not None else []  # fmt: skip
    if config is not None and given.get("name") is None:
        # The public API knows the run only by id, and sends the config as it shall be; a run that goes on only adds to it.
        remove += [f"config.{key}" for key in held.config if key not in config]
    changed = lifecycle.update(
        call.store,
        call.ctx,
        name,
        display_name=given.get("displayName"),
        group=given.get("groupName"),
        job_type=given.get("jobType"),
        sweep=given.get("sweep"),
        notes=given.get("notes"),
        tags=given.get("tags"),
        config=config,
        info=info or None,
        remove=tuple(remove),
    )
    return {"bucket": RunNode(call, _rest(call, changed, given), counts_lines=False), "inserted": False}


def _name(call: Call, given: dict[str, Any]) -> str:
    if given.get("name") is None:
        if given.get("id") is None:
            raise Invalid("a run is upserted by its name or its id, and there is neither")
        return finding.named(call.store, call.ctx, wire.number_of("Run", given["id"]))
    return naming.run(call, given.get("entityName"), given.get("modelName"), given["name"])


def _config(text: str | None) -> tuple[dict[str, Any] | None, Any]:
    """The parameters of a config in the SDK's form, and the SDK's own part of it."""
    found = wire.document(text, "config")
    if found is None:
        return None, None
    plain = {
        key: item["value"] if isinstance(item, dict) and "value" in item else item
        for key, item in found.items()
    }
    own = plain.pop(INTERNAL, None)
    return plain, own


def _create(
    call: Call, name: str, given: dict[str, Any], config: dict[str, Any] | None, info: dict[str, Any]
) -> RunInfo:
    fork, step = "", 0
    branch = (info.get(INTERNAL) or {}).get("branch_point")
    if isinstance(branch, dict) and branch.get("run_id"):
        # The step of a branch is the last that both have; ours is the first that they do not.
        fork, step = f"{name.rpartition('/')[0]}/{branch['run_id']}", int(branch.get("step") or 0) + 1
    return lifecycle.create(
        call.store,
        call.ctx,
        name,
        display_name=given.get("displayName") or "",
        group=given.get("groupName") or "",
        job_type=given.get("jobType") or "",
        sweep=given.get("sweep") or "",
        notes=given.get("notes") or "",
        tags=given.get("tags") or (),
        config=config,
        info=info,
        fork=fork,
        step=step,
    )


def _rest(call: Call, run: RunInfo, given: dict[str, Any]) -> RunInfo:
    summary = wire.document(given.get("summaryMetrics"), "summaryMetrics")
    if summary is not None:
        run = lifecycle.update(call.store, call.ctx, run.path, summary=summary, remove=("summary",))
    if given.get("state"):
        run = lifecycle.set_state(call.store, call.ctx, run.path, given["state"])
    return run


def upsert_project(call: Call, given: dict[str, Any]) -> dict[str, Any]:
    """Makes a project or registry, or changes it."""
    info, inserted = registry.upsert(call, given)
    node = ProjectNode(call, info)
    return {"project": node, "model": node, "inserted": inserted}


def rewind(call: Call, given: dict[str, Any]) -> dict[str, Any]:
    """Takes a run back to just after a step."""
    if given["metricName"] != "_step":
        raise Invalid(f"a run is rewound to a _step, not to a {given['metricName']!r:.100}")
    name = naming.run(call, given.get("entityName"), given.get("projectName"), given["runName"])
    run = lifecycle.rewind(call.store, call.ctx, name, int(given["metricValue"]) + 1)
    return {"rewoundRun": RunNode(call, run)}


def delete(call: Call, given: dict[str, Any]) -> dict[str, Any]:
    """Deletes a run, and with ``deleteArtifacts`` the artifacts that only it logged."""
    name = _by_id(call, given)
    if given.get("deleteArtifacts"):
        artifacts.delete_made(call.store, call.ctx, wire.number_of("Run", given["id"]))
    lifecycle.delete(call.store, call.ctx, name)
    return {"success": True}


def stop(call: Call, given: dict[str, Any]) -> dict[str, Any]:
    """Asks a run to stop; its next message is answered so."""
    lifecycle.update(call.store, call.ctx, _by_id(call, given), info={"stopped": True})
    return {"success": True}


def set_state(call: Call, given: dict[str, Any]) -> dict[str, Any]:
    """Puts a run into a state."""
    lifecycle.set_state(call.store, call.ctx, _by_id(call, given), given["state"])
    return {"success": True}


def _by_id(call: Call, given: dict[str, Any]) -> str:
    return finding.named(call.store, call.ctx, wire.number_of("Run", given["id"]))
