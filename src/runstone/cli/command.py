"""Commands and groups that take the options that all take, before the command's name or after it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any, NamedTuple, TypeVar

import click

from runstone.cli import text
from runstone.cli.session import Session

T = TypeVar("T")


def _note(ctx: click.Context, param: click.Parameter, value: Any) -> None:
    if value:
        setattr(ctx.ensure_object(Session), str(param.name), value)


def common_options() -> list[click.Parameter]:
    """``--store``, ``--key`` and ``--json``."""
    return [
        click.Option(
            ["--store"],
            metavar="DIR|URL",
            callback=_note,
            expose_value=False,
            help="The store: a directory, or a server's URL.",
        ),
        click.Option(
            ["--key"], metavar="KEY", callback=_note, expose_value=False, help="The API key for a server."
        ),
        click.Option(
            ["--json"],
            is_flag=True,
            callback=_note,
            expose_value=False,
            help="Answer with one JSON document.",
        ),
    ]


def _with_common(params: list[click.Parameter]) -> list[click.Parameter]:
    taken = {option for param in params for option in param.opts}
    return params + [option for option in common_options() if not taken & set(option.opts)]


class Command(click.Command):
    """A command that also takes the common options, except one whose name it uses itself."""

    def __init__(self, name: str | None, **settings: Any) -> None:
        super().__init__(name, **settings)
        self.params = _with_common(self.params)


class Group(click.Group):
    """Commands under one name. With a ``default``, what does not begin with one of their names is for that one."""

    command_class = Command
    default = ""

    def __init__(self, name: str | None = None, *, default: str = "", **settings: Any) -> None:
        super().__init__(name, **settings)
        self.params = _with_common(self.params)
        self.default = default

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Puts the default command's name in front of its arguments."""
        first = _first_word(args, self)
        if self.default and first is not None and first not in self.commands:
            args = [self.default, *args]
        return super().parse_args(ctx, args)


def _first_word(args: list[str], group: click.Group) -> str | None:
    """The first argument that is no option of the group; None for a call for help, or for nothing at all."""
    options = [param for param in group.params if isinstance(param, click.Option)]
    flags = {name for option in options if option.is_flag for name in option.opts}
    valued = {name for option in options if not option.is_flag for name in option.opts}
    place = 0
    while place < len(args):
        if args[place] in ("--help", "-h"):
            return None
        if args[place] in valued:
            place += 2
        elif args[place] in flags or args[place].partition("=")[0] in valued:
            place += 1
        else:
            return args[place]
    return None


class Lazy(NamedTuple):
    """A command that is not loaded yet: its module below this package, and what ``--help`` says of it."""

    module: str
    help: str


class LazyGroup(Group):
    """A group whose commands are loaded when they are called, and not for ``--help``."""

    def __init__(self, name: str, table: Mapping[str, Lazy], **settings: Any) -> None:
        super().__init__(name, **settings)
        self.table = table

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The names in the table, in its order."""
        return list(self.table)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command, loaded now; None when there is none of that name."""
        entry = self.table.get(cmd_name)
        if entry is None:
            return None
        module = import_module(f"runstone.cli.{entry.module}")
        found: click.Command = getattr(module, f"{cmd_name}_command")
        return found

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Lists the commands from the table."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, entry.help) for name, entry in self.table.items()])


def duration(ctx: click.Context, param: click.Parameter, value: str | None) -> float | None:
    """The callback of an option that is a length of time: seconds. See :func:`text.parse_duration`."""
    return _converted(text.parse_duration, value, ctx, param)


def moment(ctx: click.Context, param: click.Parameter, value: str | None) -> int | None:
    """The callback of an option that is a point in time, by default to come: microseconds since 1970. See :func:`text.parse_moment`."""
    return _converted(text.parse_moment, value, ctx, param)


def past_moment(ctx: click.Context, param: click.Parameter, value: str | None) -> int | None:
    """Like :func:`moment`, with durations taken as so long ago."""
    return _converted(lambda written: text.parse_moment(written, past=True), value, ctx, param)


def _converted(
    convert: Callable[[str], T], value: str | None, ctx: click.Context, param: click.Parameter
) -> T | None:
    if value is None:
        return None
    try:
        return convert(value)
    except ValueError as error:
        raise click.BadParameter(str(error), ctx, param) from None
