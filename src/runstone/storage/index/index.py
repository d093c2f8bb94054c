"""The LMDB environment: opened, grown, reopened after a failure, copied."""

from __future__ import annotations

import contextlib
import itertools
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import lmdb

from runstone.errors import Corrupt, Invalid, RunstoneError, StorageFailed, StorageFull
from runstone.storage import commitword, filesystem, pages
from runstone.storage.commitmark import CommitMark
from runstone.storage.gate import Gate
from runstone.storage.index.failures import is_full, opening_error, wrap
from runstone.storage.index.transactions import Reading, Writing
from runstone.storage.index.view import READ_SECONDS
from runstone.storage.tables import TABLES, Table

#: Address space, not disk: LMDB files grow as they are written. Small enough for a 39-bit address space.
MAP_SIZE = 64 << 30
MAX_READERS = 1024
#: What LMDB makes ``lock.mdb`` with: a header of 128 bytes, and 64 for each reader.
_READER_TABLE = 128 + 64 * MAX_READERS


class Index:
    """An LMDB environment with every table open; safe from threads, and from several processes at once."""

    def __init__(
        self, path: Path, *, readonly: bool = False, create: bool = True, map_size: int = MAP_SIZE
    ) -> None:
        """Opens (or creates) the environment in the directory ``path``.

        Raises :class:`Invalid` on a network file system or a file that is not an index, :class:`Corrupt` on one cut short.
        """
        filesystem.refuse_network_file_system(path)
        self.path = path
        self.readonly = readonly
        self._map_size = map_size
        self.gate = Gate()
        self._failed: str | None = None
        self._lost = False
        self._env: lmdb.Environment
        self.databases: dict[str, Any] = {}
        fresh = not (path / "data.mdb").exists()
        if fresh and (readonly or not create):
            raise Invalid(f"{path} holds no index")
        if fresh:
            filesystem.make_directory(path)
        self._mark = CommitMark(path / "commit", readonly=readonly)
        try:
            self._open()
        except BaseException:
            self._mark.close()
            raise
        if fresh:
            self._env.sync(True)
            filesystem.fsync_directory(path)
        os.register_at_fork(after_in_child=self._after_fork)

    def _open(self) -> None:
        if _file_size(self.path):
            # LMDB follows what these pages say without a look at it, and a turned bit can make it take an old state for the latest.
            pages.check_roots(self.path / "data.mdb", self._mark.read())
        self._make_reader_table()
        try:
            env = lmdb.open(
                str(self.path),
                map_size=max(self._map_size, _file_size(self.path)),
                max_dbs=len(TABLES) + 64,
                max_readers=MAX_READERS,
                max_spare_txns=32,
                readonly=self.readonly,
                metasync=True,
                sync=True,
                readahead=False,
                meminit=False,
                mode=0o600,
            )
        except (lmdb.Error, OSError) as error:
            raise opening_error(error, self.path) from error
        self._env = env
        size = self._extend(env)
        try:
            env.reader_check()
            self.databases = {name: env.open_db(name.encode(), create=not self.readonly) for name in TABLES}
            if size is not None:
                self._read_everything()
        except (lmdb.Error, Corrupt) as error:
            env.close()
            if size is None:
                raise opening_error(error, self.path) from error
            os.truncate(self.path / "data.mdb", size)
            raise Corrupt(
                f"{self.path}: the index is cut short at {size} bytes; restore it from a backup"
            ) from error

    def _make_reader_table(self) -> None:
        # LMDB maps this file and makes it with a hole. A slot that is first needed when the disk is full would be a SIGBUS.
        if not (self.path / "lock.mdb").exists():
            with contextlib.suppress(OSError):
                filesystem.create_durably(self.path / "lock.mdb", bytes(_READER_TABLE))

    def _extend(self, env: lmdb.Environment) -> int | None:
        # LMDB maps past the end of a shortened file without a word, and touching such a page is a SIGBUS.
        size, needed = _file_size(self.path), _used_bytes(env)
        if size >= needed:
            return None
        os.truncate(self.path / "data.mdb", needed)
        return size

    def _read_everything(self) -> None:
        # A file may be short with good reason (free pages at its end that were never written): then every row reads well.
        for table in TABLES.values():
            for _ in self.rows(table):
                pass

    def rows(
        self, table: Table[Any], prefix: bytes = b"", batch: int = 4096
    ) -> Iterator[tuple[bytes, bytes]]:
        """Verified (packed key, body) rows of a table of any size, in one short read transaction per ``batch`` rows."""
        after: bytes | None = None
        while True:
            with self.read() as view:
                found = list(itertools.islice(view.scan_bodies(table, prefix, after), batch))
            yield from found
            if len(found) < batch:
                return
            after = found[-1][0]

    def _after_fork(self) -> None:
        self._failed = "this process was forked after the store was opened; open the store again in the child"
        self.gate = Gate()

    def read(self, seconds: float = READ_SECONDS) -> Reading:
        """A read transaction: ``with index.read() as view``. Keep it short: scans are refused past ``seconds``.

        Only verification asks for more than the usual: all it sees must be of one moment.
        """
        return Reading(self, seconds)

    def write(self) -> Writing:
        """The write transaction, one at a time over all processes: ``with index.write() as txn``."""
        return Writing(self)

    @property
    def failed(self) -> str | None:
        """Why writes are refused, or None."""
        return self._failed

    def last_commit(self) -> int:
        """The number of the last commit that readers see, of any process: a read that begins after this is no earlier.

        The environment's own number is that of the newest meta page, which runs ahead of what readers see while the page is being synced:
        what was read then would pass for the contents after that commit.
        """
        self.gate.acquire_shared()
        try:
            txn = self.begin(write=False)
            number: int = txn.id()
            txn.abort()
        finally:
            self.gate.release_shared()
        return number

    def commit_word(self) -> tuple[Path, int] | None:
        """A file and the offset of eight bytes of it that equal :meth:`last_commit` at any time; None where there are none.

        None also when a commit was made at this moment.
        """
        path = self.path / "lock.mdb"
        offset = commitword.place_of(path, self.last_commit())
        return None if offset is None else (path, offset)

    def check_readers(self) -> int:
        """Frees the slots of readers that died; how many there were."""
        stale: int = self._env.reader_check()
        return stale

    def noted_commit(self) -> int:
        """A commit that has been made for certain, or 0: one that is read after this is no earlier."""
        return self._mark.read()

    def committed(self, number: int) -> None:
        """Notes that a commit was made; for :mod:`~runstone.storage.index.transactions`."""
        # A transaction that changed nothing was not committed, and has no number.
        try:
            written: int = self._env.info()["last_txnid"]
        except lmdb.Error as error:
            raise wrap(error, self.path) from error
        if written >= number:
            self._mark.note(number)

    def used_bytes(self) -> int:
        """Bytes of the file that hold pages."""
        return _used_bytes(self._env)

    def copy(self, target: Path) -> None:
        """Writes a consistent, compacted copy of the environment into an empty directory, durably."""
        target.mkdir(parents=True, exist_ok=True)
        try:
            with self.gate.shared():
                self._env.copy(str(target), compact=True)
        except lmdb.Error as error:
            raise wrap(error, target) from error
        handle = os.open(target / "data.mdb", os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
        filesystem.fsync_directory(target)

    def close(self) -> None:
        """Closes the environment; any later use raises."""
        with self.gate.exclusive():
            self._failed = self._failed or "the store is closed"
            self._env.close()
            self._mark.close()

    def begin(self, write: bool) -> lmdb.Transaction:
        """A raw transaction; for :mod:`~runstone.storage.index.transactions`."""
        if self._lost:
            return self._begin_anew(write)
        try:
            return self._env.begin(write=write, buffers=True)
        except lmdb.MapResizedError:
            return self._grown_elsewhere(write)
        except lmdb.PanicError:
            return self._begin_anew(write)
        except lmdb.Error as error:
            raise wrap(error, self.path) from error

    def _begin_anew(self, write: bool) -> lmdb.Transaction:
        # A commit of another thread has failed, and takes the environment with it: reading goes on in a new one.
        env = self._env
        self.gate.release_shared()
        try:
            self._reopen(env)
        finally:
            self.gate.acquire_shared()
        if write and self._failed:
            raise StorageFailed(f"{self.path}: {self._failed}")
        try:
            return self._env.begin(write=write, buffers=True)
        except lmdb.Error as error:
            raise wrap(error, self.path) from error

    def _reopen(self, env: lmdb.Environment) -> None:
        with self.gate.exclusive():
            if self._env is env:
                env.close()
                self._lost = True
                self._open()
                self._lost = False

    def _grown_elsewhere(self, write: bool) -> lmdb.Transaction:
        # The gate is held shared by this thread; it is taken exclusively for the resize and shared again after.
        self.gate.release_shared()
        try:
            with self.gate.exclusive():
                self._env.set_mapsize(0)
        finally:
            self.gate.acquire_shared()
        return self._env.begin(write=write, buffers=True)

    def grow(self) -> None:
        """Doubles the map. No transaction of this process may be open in the calling thread."""
        with self.gate.exclusive():
            self._map_size = max(self._map_size, self._env.info()["map_size"]) * 2
            self._env.set_mapsize(self._map_size)

    def recover(self, error: BaseException) -> RunstoneError:
        """After a failed write: reopens, for reading only after an I/O error; the error to raise."""
        env, wrapped = self._env, wrap(error, self.path)
        if isinstance(wrapped, StorageFailed) and is_full(self.path):
            # A write that the disk took half of is an I/O error to LMDB.
            wrapped = StorageFull(f"{self.path}: no space left on the disk; free some and try again")
        if isinstance(wrapped, StorageFailed):
            self._failed = wrapped.message
        if isinstance(wrapped, StorageFull | StorageFailed):
            with contextlib.suppress(RunstoneError):  # tried again by the next transaction
                self._reopen(env)
        return wrapped


def _file_size(path: Path) -> int:
    try:
        return (path / "data.mdb").stat().st_size
    except OSError:
        return 0


def _used_bytes(env: lmdb.Environment) -> int:
    size: int = (env.info()["last_pgno"] + 1) * env.stat()["psize"]
    return size
