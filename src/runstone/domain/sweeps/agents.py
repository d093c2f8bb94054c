"""What agents ask: which run to start next, which to end, and whether there is more to do.

The parameters of a run are chosen here, and fixed in the command that gives the run out; two agents that ask at once are told apart by
the count of runs that the command was made for.
"""

from __future__ import annotations

import random
import secrets
from collections.abc import Collection
from typing import Any, Literal

import msgspec

from runstone.domain import limits
from runstone.domain.context import Context
from runstone.domain.store import Store
from runstone.domain.sweeps import config as configs
from runstone.domain.sweeps import results, stopping
from runstone.domain.sweeps.commands import (
    AssignRun,
    JoinSweep,
    StopSweepRun,
    TakeRun,
    UpdateSweep,
    params_of,
)
from runstone.domain.sweeps.config import Path, Plan
from runstone.domain.sweeps.finding import Found, by_id, find
from runstone.domain.sweeps.lifecycle import info, new_run_name
from runstone.domain.sweeps.spaces import Choice, grid_point
from runstone.errors import Conflict, Missing, TryAgain
from runstone.storage.chunks import transact
from runstone.storage.index import View
from runstone.storage.tables import (
    AGENT_HEARTBEATS,
    AGENT_SWEEPS,
    RUN_NAMES,
    RUNS,
    SWEEP_AGENTS,
    SWEEP_RUN_NAMES,
    SWEEP_RUNS,
    SWEEP_WAITING,
    SweepAgent,
)
from runstone.types import AgentInfo, SweepInfo

#: Seconds after which an agent that says nothing is taken to be gone.
SILENCE = 60.0
#: How often another agent may come in between.
TRIES = 32
_encode = msgspec.msgpack.Encoder().encode


class Order(msgspec.Struct, frozen=True):
    """What an agent is to do: start or resume a run with parameters, stop one, or exit."""

    what: Literal["run", "stop", "exit"]
    run: str = ""
    params: dict[str, Any] = {}


def join(store: Store, ctx: Context, sweep: str, host: str) -> int:
    """Takes an agent on; its id."""
    with store.index.read() as view:
        found = find(store, view, ctx, sweep, "write")
    command = JoinSweep(
        actor=ctx.principal.name,
        reason=ctx.reason,
        sweep=found.sweep.id,
        host=limits.text(host, "host", 1024),
    )
    agent: int = store.submit(ctx, command).result
    _heard(store, agent)
    return agent


def heartbeat(store: Store, ctx: Context, agent: int, running: Collection[str]) -> list[Order]:
    """What an agent with some runs under way is to do next. Raises :class:`Missing` when its sweep was deleted."""
    with store.index.read() as view:
        found = _of_agent(store, view, ctx, agent)
    _heard(store, agent)
    plan = configs.plan(msgspec.msgpack.decode(found.sweep.config))
    if found.sweep.state == "canceled":
        return [Order("stop", run) for run in running] or [Order("exit")]
    if running:
        return [Order("stop", run) for run in _to_stop(store, ctx, found, plan, running)]
    if found.sweep.state == "finished":
        return [Order("exit")]
    return [] if found.sweep.state == "paused" else _next(store, ctx, found, plan, agent)


def sweep_of(store: Store, ctx: Context, agent: int) -> SweepInfo:
    """The sweep that an agent asks."""
    with store.index.read() as view:
        found = _of_agent(store, view, ctx, agent)
    return info(store, ctx, found)


def listed(store: Store, ctx: Context, sweep: str) -> list[AgentInfo]:
    """The agents of a sweep."""
    now = store.blobs.clock()
    with store.index.read() as view:
        found = find(store, view, ctx, sweep)
        given: dict[int, list[str]] = {}
        for _, run in view.scan(SWEEP_RUNS, found.sweep.id):
            given.setdefault(run.agent, []).append(run.run)
        return [_info(view, held, given, now) for _, held in view.scan(SWEEP_AGENTS, found.sweep.id)]


def _info(view: View, agent: SweepAgent, given: dict[int, list[str]], now: int) -> AgentInfo:
    heard = max(view.get(AGENT_HEARTBEATS, agent.id) or 0, agent.created)
    return AgentInfo(
        id=agent.id,
        sweep=agent.sweep,
        host=agent.host,
        state="running" if now - heard < SILENCE * 1e6 else "finished",
        created=agent.created,
        heard=heard,
        runs=tuple(given.get(agent.id, ())),
    )


def _of_agent(store: Store, view: View, ctx: Context, agent: int) -> Found:
    held = view.get(AGENT_SWEEPS, agent)
    found = by_id(view, held) if held is not None else None
    if found is None:
        raise Missing("the agent's sweep does not exist any more")
    return find(store, view, ctx, str(found), "write")


def _heard(store: Store, agent: int) -> None:
    now = store.blobs.clock()
    with store.index.read() as view:
        last = view.get(AGENT_HEARTBEATS, agent) or 0
    if now - last > SILENCE / 4 * 1e6:
        transact(store.index, lambda txn: txn.put(AGENT_HEARTBEATS, agent, now))


def _to_stop(store: Store, ctx: Context, found: Found, plan: Plan, running: Collection[str]) -> list[str]:
    ending = [run for run in running if _is_to_end(store, ctx, found, run)]
    if plan.stopping is None or plan.metric is None:
        return ending
    for run in set(running) - set(ending):
        with store.index.read() as view:
            others = [
                found.run(each.run) for _, each in view.scan(SWEEP_RUNS, found.sweep.id) if each.run != run
            ]
        if stopping.behind(store, ctx, plan.stopping, plan.metric, found.run(run), others):
            command = StopSweepRun(actor=ctx.principal.name, sweep=found.sweep.id, run=run)
            store.submit(ctx.without_id(), command)
            ending.append(run)
    return ending


def _is_to_end(store: Store, ctx: Context, found: Found, run: str) -> bool:
    """Whether a run was stopped, by the sweep or by hand."""
    with store.index.read() as view:
        number = view.get(SWEEP_RUN_NAMES, found.sweep.id, run)
        given = view.get(SWEEP_RUNS, found.sweep.id, number) if number is not None else None
        held = view.get(RUN_NAMES, found.project.id, run)
        row = view.get(RUNS, held) if held is not None else None
    if given is not None and given.stopped:
        return True
    return row is not None and bool(msgspec.msgpack.decode(row.info).get("stopped"))


def _next(store: Store, ctx: Context, found: Found, plan: Plan, agent: int) -> list[Order]:
    for _ in range(TRIES):
        try:
            order = _waiting(store, ctx, found, agent) or _chosen(store, ctx, found, plan, agent)
        except Conflict:
            with store.index.read() as view:
                found = find(store, view, ctx, str(found), "write")
            if found.sweep.state not in ("pending", "running"):
                return []
            continue
        if order is not None:
            return [order]
        _finish(store, ctx, found)
        return [Order("exit")] if plan.method != "custom" else []
    raise TryAgain(f"other agents of {found} ask all the time; try again in a moment")


def _waiting(store: Store, ctx: Context, found: Found, agent: int) -> Order | None:
    with store.index.read() as view:
        first = next(view.scan(SWEEP_WAITING, found.sweep.id), None)
        given = view.get(SWEEP_RUNS, found.sweep.id, first[0][1]) if first else None
    if first is None or given is None:
        return None
    command = TakeRun(actor=ctx.principal.name, sweep=found.sweep.id, number=first[0][1], agent=agent)
    store.submit(ctx.without_id(), command)
    return Order("run", given.run, params_of(given))


def _chosen(store: Store, ctx: Context, found: Found, plan: Plan, agent: int) -> Order | None:
    if plan.cap and found.sweep.drawn >= plan.cap:
        return None
    point = _point(store, ctx, found, plan)
    if point is None:
        return None
    params, run = configs.nested(point), new_run_name()
    command = AssignRun(
        actor=ctx.principal.name,
        reason=ctx.reason,
        sweep=found.sweep.id,
        run=run,
        params=_encode(params),
        held=found.sweep.assigned,
        agent=agent,
        drawn=True,
    )
    store.submit(ctx.without_id(), command)
    return Order("run", run, params)


def _point(store: Store, ctx: Context, found: Found, plan: Plan) -> dict[Path, Any] | None:
    if plan.method == "custom":
        return None
    if plan.method == "grid":
        choices = [each.values for each in plan.space.values() if isinstance(each, Choice)]
        values = grid_point(choices, found.sweep.drawn)
        return None if values is None else dict(zip(plan.space, values, strict=True))
    if plan.method == "random" or plan.metric is None:
        chance = random.Random(secrets.randbits(64))
        return {path: each.draw(chance) for path, each in plan.space.items()}
    from runstone.domain.sweeps import bayes

    seen = [
        (configs.flat(plan.space, each.params()), None if each.open else each.value)
        for each in results.read(store, ctx, found, plan.metric)
        if each.open or each.value is not None
    ]
    return bayes.next_point(plan.space, seen, plan.metric.maximize, secrets.randbits(31))


def _finish(store: Store, ctx: Context, found: Found) -> None:
    """Ends a sweep that has no more runs to give, once none goes on."""
    if found.sweep.state == "finished" or any(each.open for each in results.read(store, ctx, found, None)):
        return
    try:
        command = UpdateSweep(actor=ctx.principal.name, sweep=found.sweep.id, state="finished")
        store.submit(ctx.without_id(), command)
    except Conflict:  # paused or canceled in between
        return
