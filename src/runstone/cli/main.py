"""The entry point: reads the command line, runs the command, and ends with an exit code that says what happened."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

import click

from runstone.cli import exits, output
from runstone.cli.command import Lazy, LazyGroup
from runstone.cli.session import Session
from runstone.errors import Invalid, RunstoneError

PROGRAM = "runstone"
COMPLETE = "_RUNSTONE_COMPLETE"

COMMANDS = {
    "up": Lazy("up", "Serve a store over HTTP."),
    "put": Lazy("put", "Store a folder or file as a new version."),
    "get": Lazy("get", "Write a version's files into a directory."),
    "pull": Lazy("pull", "Bring a version into this host's cache, and say where it lies."),
    "pins": Lazy("pull", "Show and let go of what this host's cache keeps."),
    "watch": Lazy("watch", "Keep a link pointed at the version that a name stands for."),
    "rollback": Lazy("watch", "Point a followed link back at the version before."),
    "ls": Lazy("ls", "List projects, collections, versions or files."),
    "show": Lazy("show", "Show all there is to know about a name."),
    "runs": Lazy("runs", "List the runs of a project."),
    "query": Lazy("query", "Ask about the runs of a project."),
    "tail": Lazy("tail", "Follow a run: its console lines and its latest metrics."),
    "sql": Lazy("sql", "Select from a project with SQL."),
    "sync": Lazy("sync", "Deliver what was logged and could not be delivered."),
    "alias": Lazy("alias", "Move, remove and list aliases."),
    "history": Lazy("history", "List every change of an alias or object."),
    "lineage": Lazy("lineage", "Show what a version came from and went into."),
    "verify": Lazy("verify", "Check a version, or the index against the log."),
    "proof": Lazy("proof", "Make and check proofs that need no server."),
    "rm": Lazy("rm", "Delete a version, a run, or what is empty."),
    "export": Lazy("export", "Write a version, a project, or all metadata."),
    "import": Lazy("bundles", "Make a project of an open bundle."),
    "gc": Lazy("upkeep", "Free the bytes that nothing refers to."),
    "scrub": Lazy("upkeep", "Read every stored byte and withdraw damage."),
    "backup": Lazy("backup", "Copy the store into a directory."),
    "restore": Lazy("backup", "Make a data directory from a backup."),
    "rebuild": Lazy("backup", "Fold the log into a new index."),
    "users": Lazy("users", "Make, change and list users."),
    "teams": Lazy("teams", "Make teams and say who belongs to them."),
    "keys": Lazy("keys", "Make, end and list API keys."),
    "completion": Lazy("completion", "Print a script that completes commands in a shell."),
}

EPILOG = """A NAME is namespace/project/collection, with @alias or :v3 for a version; without a namespace, your own. A run is
run:namespace/project/run. 'runstone COMMAND --help' says more, and docs/cli.md says all."""


def _version(ctx: click.Context, param: click.Parameter, value: bool) -> None:
    if value and not ctx.resilient_parsing:
        import runstone

        click.echo(f"runstone {runstone.__version__}")
        ctx.exit()


def command_line() -> LazyGroup:
    """The whole command line; its commands are loaded on use."""
    version = click.Option(
        ["--version"],
        is_flag=True,
        expose_value=False,
        is_eager=True,
        callback=_version,
        help="Show the version and exit.",
    )
    return LazyGroup(
        PROGRAM,
        COMMANDS,
        params=[version],
        help="A machine-learning registry and artifact engine: put a model, serve it, fetch it by alias, prove it.",
        epilog=EPILOG,
        no_args_is_help=True,
        context_settings={"help_option_names": ["-h", "--help"]},
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs a command line (by default the process's own); the exit code, as :mod:`runstone.cli.exits` names them."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    session = Session()
    try:
        code = _run(given, session)
        sys.stdout.flush()
    except BrokenPipeError:
        output.silence()
        return exits.BROKEN_PIPE
    except (KeyboardInterrupt, click.Abort):
        output.note("runstone: interrupted")
        return exits.INTERRUPTED
    except Exception as error:
        if os.environ.get("RUNSTONE_DEBUG"):
            raise
        return _failed(error, as_json=session.json or "--json" in given)
    return code


def _run(given: list[str], session: Session) -> int:
    cli = command_line()
    asked = os.environ.get(COMPLETE)
    if asked:
        from click.shell_completion import shell_complete

        return shell_complete(cli, {}, PROGRAM, COMPLETE, asked)
    try:
        with cli.make_context(PROGRAM, given, obj=session) as ctx:
            cli.invoke(ctx)
    except click.exceptions.Exit as leaving:
        return leaving.exit_code
    return exits.OK


def _failed(error: Exception, *, as_json: bool) -> int:
    """Says what an exception was about; its exit code."""
    if isinstance(error, click.exceptions.NoArgsIsHelpError):
        output.lines([error.format_message()])
        return exits.USAGE
    if isinstance(error, click.ClickException):
        return _misused(error, as_json)
    if isinstance(error, RunstoneError):
        output.error(error, as_json=as_json)
        return exits.code_of(error)
    if isinstance(error, OSError):
        where = f"{error.filename}: " if error.filename else ""
        output.error(RunstoneError(f"{where}{error.strerror or error}"), as_json=as_json)
        return exits.FAILED
    what = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
    output.error(
        RunstoneError(
            f"unexpected error, please report it: {what} (RUNSTONE_DEBUG=1 shows where)".replace("\n", " ")
        ),
        as_json=as_json,
    )
    return exits.FAILED


def _misused(error: click.ClickException, as_json: bool) -> int:
    message = error.format_message()
    ctx = getattr(error, "ctx", None)
    if ctx is not None and not as_json:
        message += f" (see '{ctx.command_path} --help')"
    output.error(Invalid(" ".join(message.split())), as_json=as_json)
    return exits.USAGE
