"""``runstone up``: the server."""

from __future__ import annotations

import os

import click

from runstone.cli.command import Command
from runstone.cli.session import Session, is_url


@click.command("up", cls=Command)
@click.option("--data", metavar="DIR", help="The data directory; made if it is missing.")
@click.option("--host", metavar="HOST", help="The address to listen on (127.0.0.1).")
@click.option(
    "--port", type=click.IntRange(0, 65_535), metavar="PORT", help="The port (7878); 0 takes a free one."
)
@click.option(
    "--workers", type=click.IntRange(1, 256), metavar="N", help="Processes that answer on the port (1)."
)
@click.pass_context
def up_command(
    ctx: click.Context, data: str | None, host: str | None, port: int | None, workers: int | None
) -> None:
    """Serve a store over HTTP.

    On loopback, any API key or none is the owner's. On any other address keys are checked, and the first start prints one. Further
    settings are RUNSTONE_ variables; docs/cli.md lists them.
    """
    session = ctx.ensure_object(Session)
    from runstone.config import from_environment

    if data is None and session.store:
        data = str(session.directory("'runstone up'"))
    if data is None and not os.environ.get("RUNSTONE_DATA"):
        named = os.environ.get("RUNSTONE_STORE", "")
        data = None if is_url(named) else named or None
    options = from_environment(data=data, host=host, port=port, workers=workers)
    from runstone.server import serve

    ctx.exit(serve(options))
