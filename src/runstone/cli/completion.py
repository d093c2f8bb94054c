"""``runstone completion``: what makes a shell complete our commands and options."""

from __future__ import annotations

import click

from runstone.cli.command import Command
from runstone.cli.session import Session

SHELLS = ("bash", "zsh", "fish")


@click.command("completion", cls=Command)
@click.argument("shell", type=click.Choice(SHELLS))
@click.pass_context
def completion_command(ctx: click.Context, shell: str) -> None:
    """Print a script that completes commands in a shell.

    Put 'source <(runstone completion bash)' into ~/.bashrc, or the like of your shell.
    """
    from click.shell_completion import get_completion_class

    from runstone.cli.main import COMPLETE, PROGRAM

    kind = get_completion_class(shell)
    assert kind is not None, f"click completes in {shell}"
    script = kind(ctx.find_root().command, {}, PROGRAM, COMPLETE).source().strip("\n")
    session = ctx.ensure_object(Session)
    session.answer({"shell": shell, "script": script}, lambda: [script])
