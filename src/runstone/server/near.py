"""Clients on this machine that could read the store's files anyway, and so need not be sent them.

A server leaves a token where only its own user can read it, in a file named by its port. Who sends the token back runs as that user (or as
root) on this machine. The file is ``runstone/<port>`` in the user's run-time directory, or in ``/tmp/runstone-<user id>``.
"""

from __future__ import annotations

import hmac
import os
import secrets
import stat
from pathlib import Path

from runstone.domain.store import Store

SECRET = "near"
RUNTIME = Path("/run/user")


class Near:
    """The token of a store."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._token = ""
        self._path: Path | None = None

    def announce(self, port: int) -> None:
        """Leaves the token for clients; where that cannot be done, no client is near."""
        directory = directory_of(os.getuid())
        try:
            directory.mkdir(mode=0o700, exist_ok=True)
            held = directory.lstat()
            if not stat.S_ISDIR(held.st_mode) or held.st_uid != os.getuid() or held.st_mode & 0o077:
                return
            self._token = self._store.secret(SECRET, lambda: secrets.token_hex(32).encode()).decode()
            self._path = directory / str(port)
            temporary = directory / f".{port}.{os.getpid()}"
            handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600)
            with os.fdopen(handle, "w") as file:
                file.write(self._token)
            temporary.replace(self._path)
        except OSError:
            self._token, self._path = "", None

    def withdraw(self) -> None:
        """Takes the file away."""
        if self._path is not None:
            self._path.unlink(missing_ok=True)

    def is_near(self, token: str) -> bool:
        """Whether a client read the token."""
        return bool(self._token) and hmac.compare_digest(token.encode(), self._token.encode())


def directory_of(user: int) -> Path:
    """Where the servers of a user leave their tokens."""
    runtime = RUNTIME / str(user)
    return runtime / "runstone" if runtime.is_dir() else Path("/tmp") / f"runstone-{user}"
