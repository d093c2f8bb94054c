"""What happens to an automation: made, changed, deleted."""

from __future__ import annotations

from typing import Any

from msgspec.structs import replace

from runstone.errors import Exists, Missing, TooLarge
from runstone.storage.commands import Command, Stamp, applies
from runstone.storage.state import State
from runstone.storage.tables import AUTOMATIONS, NAMESPACES, Automation

MAX_AUTOMATIONS = 1000


class CreateAutomation(Command, frozen=True, kw_only=True):
    """Makes an automation of a namespace, of one of its projects, or of a collection in one."""

    namespace: int
    scope: str
    subject: int
    name: str
    event: str
    filter: bytes
    action: str
    webhook: int
    message: bytes
    description: str = ""
    enabled: bool = True


class UpdateAutomation(Command, frozen=True, kw_only=True):
    """Changes an automation; None leaves a field as it is."""

    automation: int
    scope: str | None = None
    subject: int | None = None
    name: str | None = None
    event: str | None = None
    filter: bytes | None = None
    action: str | None = None
    webhook: int | None = None
    message: bytes | None = None
    description: str | None = None
    enabled: bool | None = None


class DeleteAutomation(Command, frozen=True, kw_only=True):
    """Takes an automation away."""

    automation: int


_FIELDS = (
    "scope",
    "subject",
    "name",
    "event",
    "filter",
    "action",
    "webhook",
    "message",
    "description",
    "enabled",
)


@applies(118, "create_automation", CreateAutomation, int)
def _create(state: State, at: Stamp, command: CreateAutomation) -> int:
    if state.get(NAMESPACES, command.namespace) is None:
        raise Missing("the namespace does not exist any more")
    held = [each for _, each in state.scan(AUTOMATIONS) if each.namespace == command.namespace]
    if len(held) >= MAX_AUTOMATIONS:
        raise TooLarge(
            f"more than {MAX_AUTOMATIONS} automations in one namespace are over the limit; delete some"
        )
    if any(each.name == command.name for each in held):
        raise Exists(f"there is an automation {command.name!r} already")
    given: dict[str, Any] = {field: getattr(command, field) for field in _FIELDS}
    made = Automation(
        id=at.id, namespace=command.namespace, created=at.time, by=command.actor, updated=at.time, **given
    )
    state.put(AUTOMATIONS, at.id, made)
    state.touch(at.id, at.seq, 118)
    return at.id


@applies(119, "update_automation", UpdateAutomation)
def _update(state: State, at: Stamp, command: UpdateAutomation) -> None:
    held = _required(state, command.automation)
    changes: dict[str, Any] = {
        field: value for field in _FIELDS if (value := getattr(command, field)) is not None
    }
    taken = [
        each for _, each in state.scan(AUTOMATIONS) if each.namespace == held.namespace and each.id != held.id
    ]
    if any(each.name == changes.get("name") for each in taken):
        raise Exists(f"there is an automation {command.name!r} already")
    state.put(AUTOMATIONS, held.id, replace(held, updated=at.time, **changes))
    state.touch(held.id, at.seq, 119)


@applies(120, "delete_automation", DeleteAutomation)
def _delete(state: State, at: Stamp, command: DeleteAutomation) -> None:
    state.delete(AUTOMATIONS, _required(state, command.automation).id)
    state.touch(command.automation, at.seq, 120)


def _required(state: State, automation: int) -> Automation:
    held = state.get(AUTOMATIONS, automation)
    if held is None:
        raise Missing("the automation does not exist any more")
    return held
