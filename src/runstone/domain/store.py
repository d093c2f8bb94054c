"""A store: one data directory with its index, change log, blobs and secrets, and the policy that guards it.

Domain functions take a store and a context first: ``aliases.move(store, ctx, …)``.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec

from runstone.domain.context import Context
from runstone.domain.policy import Policy, RolePolicy
from runstone.errors import Conflict, Corrupt, Invalid
from runstone.storage import filesystem
from runstone.storage.backends.packs import wrapped
from runstone.storage.changelog import ChangeLog, Completion, Guard, Receipt
from runstone.storage.commands import Command
from runstone.storage.index import MAP_SIZE, Index
from runstone.storage.tables import FORMAT_VERSION

if TYPE_CHECKING:
    from runstone.storage.blobs import Blobs

T = TypeVar("T")
FORMAT_FILE = "FORMAT"


class Format(msgspec.Struct):
    """What the FORMAT file of a data directory says: the format's version and the store's identity."""

    runstone: int
    store: str


class StoreLock:
    """A lock on a data directory: shared by all that have it open, exclusive for what replaces its index."""

    def __init__(self, path: Path, *, exclusive: bool = False) -> None:
        """Raises :class:`Conflict` when an exclusive lock is asked for and the store is open, or the reverse."""
        filesystem.make_directory(path)
        self._handle = os.open(path / "LOCK", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._handle, (fcntl.LOCK_EX if exclusive else fcntl.LOCK_SH) | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(self._handle)
            doing = (
                "is open in another process; stop it first"
                if exclusive
                else "is being rebuilt or restored; wait for that"
            )
            raise Conflict(f"{path} {doing}") from None

    def close(self) -> None:
        """Lets the lock go."""
        os.close(self._handle)

    def __enter__(self) -> StoreLock:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


class Store:
    """One open data directory; safe from threads, and several processes may have it open at once."""

    def __init__(
        self,
        path: Path,
        *,
        create: bool = True,
        readonly: bool = False,
        map_size: int = MAP_SIZE,
        policy: Policy | None = None,
    ) -> None:
        """Opens a data directory, or makes one in an empty or missing directory.

        Raises :class:`Invalid` for a foreign directory, a newer format or a network file system, :class:`Corrupt` for a damaged index.
        """
        self.path = path
        self.readonly = readonly
        with wrapped(f"{path} cannot be opened"), contextlib.ExitStack() as opened:
            fresh = _prepare(path, create and not readonly)
            self.id = _read_format(path).store
            self._lock = opened.enter_context(StoreLock(path))
            if not fresh:
                _require_index(path)
            self.index = Index(path / "index", readonly=readonly, create=fresh or create, map_size=map_size)
            opened.callback(self.index.close)
            self.log = ChangeLog(self.index)
            opened.pop_all()
        self.policy: Policy = policy or RolePolicy()
        #: Whether webhooks may call plain http and hosts in private networks: a setting of the server.
        self.private_webhooks = False
        self._closed = False
        self._blobs: Blobs | None = None
        self._blobs_lock = threading.Lock()
        self._cached: dict[Any, tuple[int, Any]] = {}
        self._parts: dict[str, Any] = {}
        self._parts_lock = threading.Lock()

    @property
    def origin(self) -> str:
        """The name of this store's log in its checkpoints."""
        return f"runstone/{self.id}"

    @property
    def blobs(self) -> Blobs:
        """The bytes of this store; made on first use, for a question about names and versions needs none of it."""
        if self._blobs is None:
            with self._blobs_lock:
                if self._blobs is None:
                    from runstone.storage.blobs import Blobs

                    with wrapped(f"{self.path} cannot be opened"):
                        self._blobs = Blobs(self.index, self.path)
        return self._blobs

    def submit(
        self,
        ctx: Context,
        command: Command,
        guard: Guard | None = None,
        *,
        complete: Completion | None = None,
    ) -> Receipt:
        """Appends a command to the log and applies it; durable when it returns."""
        ctx.check_deadline()
        return self.log.submit(command, id=ctx.command_id, guard=guard, complete=complete)

    def cached(self, key: Any, compute: Callable[[], T]) -> T:
        """The answer of ``compute`` for this state of the index: computed again after any commit by any process."""
        now = self.index.last_commit()
        found = self._cached.get(key)
        if found is not None and found[0] == now:
            return found[1]  # type: ignore[no-any-return]
        answer = compute()
        if len(self._cached) >= 65_536:
            self._cached.clear()
        # Keyed by the commit seen before computing: a commit in between only makes the entry stale early.
        self._cached[key] = (now, answer)
        return answer

    def known(self, key: Any) -> Any:
        """What :meth:`cached` would answer without computing, or None."""
        found = self._cached.get(key)
        return found[1] if found is not None and found[0] == self.index.last_commit() else None

    def part(self, name: str, make: Callable[[Store], T]) -> T:
        """Something of this store that is made on first use and kept while it is open; with a ``close`` it is closed with it."""
        with self._parts_lock:
            if name not in self._parts:
                self._parts[name] = make(self)
            return self._parts[name]  # type: ignore[no-any-return]

    def secret(self, name: str, make: Callable[[], bytes]) -> bytes:
        """A secret of this store, kept in a file that only its owner can read; made on first use."""
        path = self.path / "keys" / name
        if not path.exists():
            if self.readonly:
                raise Invalid(f"{path} is missing, and the store is open for reading only")
            filesystem.make_directory(path.parent)
            filesystem.create_durably(path, make())
        return path.read_bytes()

    def close(self) -> None:
        """Closes the store; any later use raises, but for closing it again."""
        if not self._closed:
            self._closed = True
            for part in self._parts.values():
                if hasattr(part, "close"):
                    part.close()
            if self._blobs is not None:
                self._blobs.close()
            self.index.close()
            self._lock.close()

    def __enter__(self) -> Store:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    @staticmethod
    def become_another(path: Path) -> None:
        """Gives a data directory that nobody has open a new identity and signing key: its log is another one from here on."""
        identity = msgspec.json.encode(Format(FORMAT_VERSION, os.urandom(16).hex()))
        (path / "keys" / "log").unlink(missing_ok=True)
        filesystem.write_durably(path / FORMAT_FILE, identity + b"\n", 0o644)


def _prepare(path: Path, create: bool) -> bool:
    """Makes a data directory where there is none; says whether it did."""
    if (path / FORMAT_FILE).exists():
        return False
    if path.exists() and (
        not path.is_dir() or any(not entry.name.startswith(".") for entry in path.iterdir())
    ):
        raise Invalid(f"{path} is not a runstone data directory and is not empty; choose another directory")
    if not create:
        raise Invalid(f"{path} is not a runstone data directory")
    filesystem.make_directory(path)
    filesystem.refuse_network_file_system(path)
    identity = msgspec.json.encode(Format(FORMAT_VERSION, os.urandom(16).hex()))
    return filesystem.create_durably(path / FORMAT_FILE, identity + b"\n", 0o644)


def _require_index(data: Path) -> None:
    """Takes back the old index if a replacement was cut off; a store that has packs and no index is not begun anew."""
    if (data / "index").exists():
        return
    with contextlib.suppress(FileNotFoundError):
        (data / "index.old").rename(data / "index")
        filesystem.fsync_directory(data)
    if not (data / "index").exists() and next((data / "packs").glob("??/*.pack"), None) is not None:
        raise Corrupt(f"{data} has lost its index; restore it from a backup")


def _read_format(path: Path) -> Format:
    try:
        found = msgspec.json.decode((path / FORMAT_FILE).read_bytes(), type=Format)
    except msgspec.DecodeError as error:
        raise Corrupt(f"{path / FORMAT_FILE} is damaged ({error}); restore it from a backup") from None
    if found.runstone > FORMAT_VERSION:
        raise Invalid(
            f"{path} has format {found.runstone} and this runstone reads up to {FORMAT_VERSION}; use a newer runstone"
        )
    return found
