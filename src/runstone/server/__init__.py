"""The server: aiohttp on uvloop in front of the dialects. :func:`serve` is what ``runstone up`` runs."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from runstone.config import ServerOptions

__all__ = ["serve"]


def serve(options: ServerOptions) -> int:
    """Serves a store until SIGTERM or SIGINT; the exit status of the process.

    Raises :class:`Conflict` when the port is in use, and what opening the store raises.
    """
    from runstone.server.serving import serve as run

    return run(options)
