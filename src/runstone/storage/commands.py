"""Commands: the small typed records by which everything changes, and the functions that apply them.

A caller fixes in a command all that is not deterministic (ids, times, random names). ``apply`` is a pure function of state and
command: same log, same state, on every machine, for ever. So an apply function reads no clock, file, environment or random
number, and a released one keeps its meaning: a new rule is a new kind.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import msgspec

from runstone.errors import Corrupt

if TYPE_CHECKING:
    from runstone.storage.index import View
    from runstone.storage.state import State


class Command(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A change, asked for by ``actor`` (the name of a principal). ``reason`` is free text for those who read the log.

    Its fields are values that never lead back to it, so it needs no cycle collector.
    """

    actor: str
    reason: str = ""

    def asked(self) -> Command:
        """What was asked for, without what was found out to carry it out: two arrivals of one change are alike in this."""
        return self

    def erased(self, remains: Remains) -> Command | None:
        """What replay applies in its place once its payload is erased; None for a kind whose payload always stays.

        It may differ in all that the command which erased it takes out of the state.
        """
        return None


class Remains(NamedTuple):
    """What an entry's erasing goes by: its ``seq``, the state afterwards, and the names that entries erased before it have kept.

    To ``known`` it adds those that it keeps.
    """

    seq: int
    view: View
    known: set[str]


class Stamp(NamedTuple):
    """A command's place in the log: its entry number and its time in microseconds since 1970."""

    seq: int
    time: int

    @property
    def id(self) -> int:
        """The id of the object that this command makes: never 0, so that 0 can stand for none."""
        return self.seq + 1


#: The type of the answer of a command that answers nothing.
NOTHING = type(None)

C = TypeVar("C", bound=Command)
Apply = Callable[["State", Stamp, C], Any]


class Kind(msgspec.Struct, frozen=True, dict=True):
    """A kind of command: its number in log headers, its name, how to decode and apply it, and what it answers."""

    number: int
    name: str
    command: type[Command]
    apply: Apply[Any]
    result: Any

    # A decoder is made when a log is first read: most processes only write to it, or do neither.

    @cached_property
    def decode(self) -> Callable[[bytes], Command]:
        """Decodes the payload of an entry of this kind."""
        return msgspec.msgpack.Decoder(self.command).decode

    @cached_property
    def decode_result(self) -> Callable[[bytes], Any]:
        """Decodes what a command of this kind answered."""
        return msgspec.msgpack.Decoder(self.result).decode


_BY_NUMBER: dict[int, Kind] = {}
_BY_TYPE: dict[type[Command], Kind] = {}


def applies(
    number: int, name: str, command: type[C], result: Any = NOTHING
) -> Callable[[Apply[C]], Apply[C]]:
    """Registers the function that applies a type of command; ``result`` is the type of what it answers."""

    def register(function: Apply[C]) -> Apply[C]:
        assert number not in _BY_NUMBER, f"command number {number} is taken by {_BY_NUMBER[number].name}"
        _BY_NUMBER[number] = _BY_TYPE[command] = Kind(number, name, command, function, result)
        return function

    return register


def kind_of(command: Command) -> Kind:
    """The kind of a command."""
    return _BY_TYPE[type(command)]


def kind_numbered(number: int) -> Kind:
    """The kind with a number; raises :class:`Corrupt` for one this release does not know."""
    try:
        return _BY_NUMBER[number]
    except KeyError:
        raise Corrupt(
            f"the log holds a command of kind {number}, which this release does not know; use a newer runstone"
        ) from None


def kinds() -> list[Kind]:
    """Every kind, by number."""
    return [_BY_NUMBER[number] for number in sorted(_BY_NUMBER)]
