"""Sweeps and their agents as GraphQL objects, and what agents are told."""

from __future__ import annotations

from typing import Any

from runstone.dialects.routing import Call
from runstone.dialects.wandb import naming, wire
from runstone.dialects.wandb.problem import lost
from runstone.dialects.wandb.runs import INTERNAL, RunNode
from runstone.domain.queries import mongo
from runstone.domain.runs import lifecycle as runs
from runstone.domain.runs import listing
from runstone.domain.sweeps import agents, config, lifecycle
from runstone.domain.sweeps.agents import Order
from runstone.errors import Gone, Invalid, Missing, TooLarge
from runstone.query import And
from runstone.types import AgentInfo, SweepInfo

MAX_TEXT = 1 << 20


class SweepNode:
    """A sweep."""

    early_stop_job_running = False
    controller = scheduler = controller_run_name = None

    def __init__(self, call: Call, info: SweepInfo) -> None:
        self._call, self._info = call, info
        self.id, self.name = wire.make_id("Sweep", info.id), info.name
        self.display_name = info.display_name or None
        self.method, self.state = info.method, info.state.upper()
        self.description = info.config.get("description")
        self.best_loss = info.best
        self.run_count, self.run_count_expected = info.runs, info.expected
        self.created_at, self.updated_at = wire.time_text(info.created), wire.time_text(info.updated)
        self.heartbeat_at = self.updated_at

    def config(self) -> str:
        """The configuration as YAML."""
        return yaml_of(self._info.config)

    def project(self) -> Any:
        """The project it lies in."""
        from runstone.dialects.wandb.projects import project

        return project(self._call, self._info.project, self._info.namespace)

    def user(self) -> Any:
        """Who made it."""
        from runstone.dialects.wandb.people import UserNode

        return UserNode(self._call, self._info.by)

    def runs(
        self,
        first: int | None = None,
        after: str | None = None,
        before: str | None = None,
        last: int | None = None,
        order: str | None = None,
        filters: str | None = None,
    ) -> dict[str, Any]:
        """Its runs, in an order, by page; all of them when none is asked for."""
        found = _runs_of(self._call, self._info, mongo.condition(filters or None), order)
        return run_page(self._call, found, after, len(found) if first is None else first)

    def agent(self, agent_name: str) -> AgentNode | None:
        """One of its agents."""
        found = agents.listed(self._call.store, self._call.ctx, self._info.path)
        return next(
            (
                AgentNode(self._call, self._info, each)
                for each in found
                if wire.make_id("Agent", each.id) == agent_name
            ),
            None,
        )

    def agents(self, first: int | None = None, after: str | None = None) -> dict[str, Any]:
        """Its agents."""
        found = agents.listed(self._call.store, self._call.ctx, self._info.path)
        return wire.page(
            [AgentNode(self._call, self._info, each) for each in found],
            after,
            len(found) if first is None else first,
        )


class AgentNode:
    """An agent of a sweep."""

    def __init__(self, call: Call, sweep: SweepInfo, info: AgentInfo) -> None:
        self._call, self._sweep, self._info = call, sweep, info
        self.id = self.name = wire.make_id("Agent", info.id)
        self.host, self.state, self.total_runs = info.host, info.state.upper(), len(info.runs)
        self.created_at, self.heartbeat_at = wire.time_text(info.created), wire.time_text(info.heard)

    def runs(
        self,
        first: int | None = None,
        after: str | None = None,
        before: str | None = None,
        last: int | None = None,
        order: str | None = None,
    ) -> dict[str, Any]:
        """The runs that it was given, in an order, by page."""
        own = {f"{self._sweep.namespace}/{self._sweep.project}/{name}" for name in self._info.runs}
        found = [
            name for name in _runs_of(self._call, self._sweep, mongo.condition(None), order) if name in own
        ]
        return run_page(self._call, found, after, first)


def run_page(call: Call, found: list[str], after: str | None, first: int | None) -> dict[str, Any]:
    """A page of runs by name."""
    page = wire.page(found, after, first, limit=10_000)
    for edge in page["edges"]:
        edge["node"] = RunNode(call, runs.get(call.store, call.ctx, edge["node"]))
    return page


def _runs_of(call: Call, sweep: SweepInfo, condition: Any, order: str | None) -> list[str]:
    of_sweep = mongo.condition({"sweep": sweep.name})
    project = f"{sweep.namespace}/{sweep.project}"
    return listing.find(call.store, call.ctx, project, And((of_sweep, condition)), mongo.orders(order))


def sweep(call: Call, project: str, name: str) -> SweepNode | None:
    """A sweep, or None when there is none to be seen."""
    try:
        return SweepNode(call, lifecycle.get(call.store, call.ctx, f"{project}/{name}"))
    except (Missing, Gone):
        return None


def listed(call: Call, project: str, filters: str | None) -> list[SweepInfo]:
    """The sweeps of a project that a MongoDB filter finds, the newest first."""
    found = lifecycle.listed(call.store, call.ctx, project)[::-1]
    asked = wire.document(filters, "filters") or {}
    return [each for each in found if _fits(each, asked)]


def _fits(each: SweepInfo, asked: dict[str, Any]) -> bool:
    fields = {
        "name": each.name, "displayName": each.display_name, "display_name": each.display_name, "state": each.state.upper(),
        "method": each.method, "username": each.by,
    }  # fmt: skip
    for key, wanted in asked.items():
        if key in ("$and", "$or") and isinstance(wanted, list):
            each_fits = [_fits(each, part) for part in wanted if isinstance(part, dict)]
            if not (all(each_fits) if key == "$and" else any(each_fits)):
                return False
        elif key not in fields:
            raise Invalid(
                f"sweeps are filtered by {', '.join(sorted(fields))}, $and and $or, not by {key!r:.100}"
            )
        elif not _is(fields[key], wanted, key):
            return False
    return True


def _is(value: str, wanted: Any, key: str) -> bool:
    tests = wanted if isinstance(wanted, dict) else {"$eq": wanted}
    if key == "state":
        tests = {name: _upper(operand) for name, operand in tests.items()}
    for name, operand in tests.items():
        if name in ("$in", "$nin") and isinstance(operand, list):
            fits = (value in operand) == (name == "$in")
        elif name in ("$eq", "$ne"):
            fits = (value == operand) == (name == "$eq")
        else:
            raise Invalid(f"{key}: a sweep is filtered by $eq, $ne, $in and $nin, not by {name!r:.100}")
        if not fits:
            return False
    return True


def _upper(operand: Any) -> Any:
    if isinstance(operand, list):
        return [_upper(each) for each in operand]
    return operand.upper() if isinstance(operand, str) else operand


def upsert(call: Call, given: dict[str, Any]) -> dict[str, Any]:
    """Makes a sweep, or changes the one of an id."""
    for name in ("launchScheduler", "scheduler"):
        if given.get(name) not in (None, "null"):
            raise Invalid(
                f"{name}: runstone runs no containers, and starts no sweeps of Launch jobs; start agents with 'wandb agent'"
            )
    asked = config_of(given["config"]) if given.get("config") is not None else None
    state = given["state"].lower() if given.get("state") else None
    store, ctx = call.store, call.ctx
    if given.get("id") is not None:
        name = lifecycle.named(store, ctx, wire.number_of("Sweep", given["id"]))
        info = lifecycle.update(
            store, ctx, name, state=state, config=asked, display_name=given.get("displayName")
        )
    else:
        if asked is None:
            raise Invalid("a sweep is made of a config, and there is none")
        project = naming.project(call, given.get("entityName"), given.get("projectName"))
        priors = wire.document(given.get("priorRunsFilters"), "priorRunsFilters")
        info = lifecycle.create(
            store, ctx, project, asked, display_name=given.get("displayName") or "", priors=priors
        )
    return {"sweep": SweepNode(call, info), "configValidationWarnings": config.warnings(asked or {})}


def delete(call: Call, given: dict[str, Any]) -> dict[str, Any]:
    """Removes a sweep; its runs stay."""
    lifecycle.delete(
        call.store, call.ctx, lifecycle.named(call.store, call.ctx, wire.number_of("Sweep", given["id"]))
    )
    return {"success": True}


def enqueue(call: Call, given: dict[str, Any]) -> dict[str, Any]:
    """Gives a sweep a run whose parameters the caller chose."""
    name = lifecycle.named(call.store, call.ctx, wire.number_of("Sweep", given["id"]))
    asked = wire.document(given["config"], "config") or {}
    params = {
        key: each["value"] if isinstance(each, dict) and "value" in each else each
        for key, each in asked.items()
    }
    params.pop(INTERNAL, None)
    run = lifecycle.enqueue(call.store, call.ctx, name, params, display_name=given.get("displayName") or "")
    return {"id": run.rpartition("/")[2], "runQueueItemId": None}


def join(call: Call, given: dict[str, Any]) -> dict[str, Any]:
    """Takes an agent on."""
    entity, project, _ = (
        given["sweep"].split("/")
        if given["sweep"].count("/") == 2
        else (given.get("entityName"), given.get("projectName"), "")
    )
    project = naming.project(call, entity, project)
    name = f"{project}/{given['sweep'].rpartition('/')[2]}"
    agent = agents.join(call.store, call.ctx, name, given["host"])
    return {"agent": {"id": wire.make_id("Agent", agent)}}


def heartbeat(call: Call, given: dict[str, Any]) -> dict[str, Any]:
    """What an agent is to do next. The SDK tells a deleted sweep by the status 404."""
    states = wire.document(given.get("runState"), "runState") or {}
    running = [name for name, state in states.items() if state]
    try:
        orders = agents.heartbeat(call.store, call.ctx, wire.number_of("Agent", given["id"]), running)
        commands = [_command(call, given, order) for order in orders]
    except (Missing, Gone) as error:
        raise lost(error) from None
    return {"agent": {"id": given["id"]}, "commands": wire.written(commands)}


def _command(call: Call, given: dict[str, Any], order: Order) -> dict[str, Any]:
    if order.what != "run":
        return {"type": order.what, "run_id": order.run}
    found = agents.sweep_of(call.store, call.ctx, wire.number_of("Agent", given["id"]))
    args = {name: {"value": value} for name, value in order.params.items()}
    return {"type": "run", "run_id": order.run, "args": args, "program": found.config.get("program")}


def config_of(text: str) -> dict[str, Any]:
    """A configuration in YAML; raises :class:`Invalid`."""
    import yaml

    if len(text) > MAX_TEXT:
        raise TooLarge(f"the configuration has {len(text)} characters and the limit is {MAX_TEXT}")
    try:
        if any(isinstance(each, yaml.AliasToken) for each in yaml.scan(text, Loader=yaml.CSafeLoader)):
            raise Invalid("the configuration may not have aliases of YAML")
        found = yaml.load(text, Loader=yaml.CSafeLoader)
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        raise Invalid(f"the configuration is not YAML: {error!s:.300}") from None
    if not isinstance(found, dict):
        raise Invalid("the configuration must be a map")
    return found


def yaml_of(found: dict[str, Any]) -> str:
    """A configuration as YAML."""
    import yaml

    text: str = yaml.dump(found, Dumper=yaml.CSafeDumper, sort_keys=False, allow_unicode=True)
    return text
