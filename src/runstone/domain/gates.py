"""Gates: collections that may be seen, and whose files are given only to those whom the owners let in.

Members of the namespace need not ask. :func:`policy.admits` decides; here is what it decides by.
"""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec.structs import replace

from runstone.domain import accounts, limits, names, policy
from runstone.domain.context import Context
from runstone.domain.store import Store
from runstone.errors import Conflict, Invalid, Missing
from runstone.storage.commands import Command, Stamp, applies
from runstone.storage.state import State
from runstone.storage.tables import ADMISSIONS, COLLECTIONS, GATES, USERS, Admission, Gate

MODES = ("auto", "manual")
STATES = ("pending", "accepted", "rejected")
MAX_FIELDS = 16 << 10


class SetGate(Command, frozen=True, kw_only=True):
    """Gates a collection (``auto`` or ``manual``), or with an empty mode opens it; who was let in stays so."""

    collection: int
    mode: str


class AskAdmission(Command, frozen=True, kw_only=True):
    """Asks for a user to be let in. ``fields`` is what the owners want to know, as MessagePack."""

    collection: int
    user: int
    fields: bytes = b"\x80"


class DecideAdmission(Command, frozen=True, kw_only=True):
    """Lets a user in, or not, or takes a decision back (``pending``)."""

    collection: int
    user: int
    state: str
    why: str = ""


class AdmissionInfo(msgspec.Struct, frozen=True, kw_only=True):
    """Who asked to be let in, when (microseconds), with what to say, and what became of it."""

    user: str
    full_name: str
    state: str
    asked: int
    fields: Any


@applies(160, "set_gate", SetGate)
def _set_gate(state: State, at: Stamp, command: SetGate) -> None:
    if state.get(COLLECTIONS, command.collection) is None:
        raise Missing("the collection does not exist any more")
    if command.mode:
        state.put(GATES, command.collection, Gate(command.mode, command.actor, at.time))
    else:
        state.delete(GATES, command.collection)
    state.touch(command.collection, at.seq, 160)


@applies(161, "ask_admission", AskAdmission, str)
def _ask_admission(state: State, at: Stamp, command: AskAdmission) -> str:
    gate = state.get(GATES, command.collection)
    if gate is None:
        raise Conflict("the collection is not gated; nobody need ask")
    held = state.get(ADMISSIONS, command.collection, command.user)
    if held is not None:
        return held.state
    became = "accepted" if gate.mode == "auto" else "pending"
    admission = Admission(became, at.time, command.fields, "", at.time if gate.mode == "auto" else 0)
    state.put(ADMISSIONS, command.collection, command.user, admission)
    state.touch(command.collection, at.seq, 161)
    return became


@applies(162, "decide_admission", DecideAdmission)
def _decide_admission(state: State, at: Stamp, command: DecideAdmission) -> None:
    held = state.get(ADMISSIONS, command.collection, command.user) or Admission("pending", at.time)
    decided = replace(held, state=command.state, by=command.actor, time=at.time, why=command.why)
    state.put(ADMISSIONS, command.collection, command.user, decided)
    state.touch(command.collection, at.seq, 162)


def mode_of(store: Store, collection: int) -> str:
    """How a collection is gated; empty when it is not."""
    with store.index.read() as view:
        gate = view.get(GATES, collection)
    return gate.mode if gate is not None else ""


def set_mode(store: Store, ctx: Context, name: str, mode: str) -> None:
    """Gates a collection, or with an empty mode opens it. Only owners of the namespace may."""
    if mode and mode not in MODES:
        raise Invalid(f"a collection is gated auto or manual, not {mode!r:.80}")
    with store.index.read() as view:
        place = names.find_collection(store, view, ctx, names.parse(ctx, name), "admin")
    command = SetGate(actor=ctx.principal.name, reason=ctx.reason, collection=place.collection.id, mode=mode)
    store.submit(ctx, command)


def ask(store: Store, ctx: Context, name: str, fields: Any = None) -> str:
    """Asks for the principal to be let in to a collection that it may see; what became of it."""
    policy.require_principal(ctx)
    with store.index.read() as view:
        place = names.find_collection(store, view, ctx, names.parse(ctx, name))
    packed = limits.metadata(fields or {})
    if len(packed) > MAX_FIELDS:
        raise Invalid(f"what is said with a request takes {len(packed)} bytes; the limit is {MAX_FIELDS}")
    command = AskAdmission(
        actor=ctx.principal.name, collection=place.collection.id, user=ctx.principal.user, fields=packed
    )
    return str(store.submit(ctx, command).result)


def decide(store: Store, ctx: Context, name: str, user: str, state: str, why: str = "") -> None:
    """Lets a user in to a collection, or not. Only owners of the namespace may."""
    if state not in STATES:
        raise Invalid(f"a request is pending, accepted or rejected, not {state!r:.80}")
    with store.index.read() as view:
        place = names.find_collection(store, view, ctx, names.parse(ctx, name), "admin")
        found = accounts.find_user(view, user)
    command = DecideAdmission(
        actor=ctx.principal.name,
        reason=ctx.reason,
        collection=place.collection.id,
        user=found.id,
        state=state,
        why=limits.text(why, "reason", limits.MAX_REASON),
    )
    store.submit(ctx, command)


def admissions(store: Store, ctx: Context, name: str, state: str) -> list[AdmissionInfo]:
    """Who asked to be let in to a collection, and stands so. Only owners of the namespace may know."""
    found = []
    with store.index.read() as view:
        place = names.find_collection(store, view, ctx, names.parse(ctx, name), "admin")
        for (_, user), row in view.scan(ADMISSIONS, place.collection.id):
            person = view.get(USERS, user)
            if row.state == state and person is not None:
                found.append(
                    AdmissionInfo(
                        user=person.name,
                        full_name=person.full_name,
                        state=row.state,
                        asked=row.asked,
                        fields=msgspec.msgpack.decode(row.fields),
                    )
                )
    return found
