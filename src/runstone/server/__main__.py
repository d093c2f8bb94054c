"""``python -m runstone.server``: what ``runstone up`` does, for who has no console script."""

from __future__ import annotations

import argparse
import sys

from runstone.config import from_environment
from runstone.errors import RunstoneError
from runstone.server import serve


def main() -> int:
    """Reads the command line, and serves."""
    parser = argparse.ArgumentParser(prog="runstone.server", description="Serves a runstone store.")
    parser.add_argument("--data", help="the data directory")
    parser.add_argument("--host", help="the address to listen on")
    parser.add_argument("--port", type=int, help="the port to listen on; 0 is any that is free")
    parser.add_argument("--workers", type=int, help="how many processes answer")
    parser.add_argument("--auth", choices=("auto", "on"), help="'on' asks for API keys on loopback too")
    parser.add_argument("--log-format", choices=("text", "json", "off"), help="the form of the access log")
    given = parser.parse_args()
    try:
        return serve(from_environment(**vars(given)))
    except RunstoneError as error:
        print(f"runstone: {error.message}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
