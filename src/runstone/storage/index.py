"""The index: one LMDB environment, opened so that what LMDB leaves to its user is taken care of.

LMDB has no checksums, so every value carries one over its key and body, checked on each read. Its map has a fixed size, so a
large one is reserved and grown when it fills. One long read transaction makes the file grow without end, so reads are
``with index.read() as view`` blocks that refuse to go on after :data:`READ_SECONDS`. After a failed page write an environment is
of no use, so it is reopened (no space) or refuses writes (I/O error).
"""

from __future__ import annotations

import contextlib
import errno
import itertools
import os
import time
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar

import lmdb
import msgspec

from runstone._native.digests import seal, seal_rows, unseal
from runstone.errors import Corrupt, Invalid, RunstoneError, StorageFailed, StorageFull, TryAgain
from runstone.storage import commitword, filesystem, pages
from runstone.storage.commitmark import CommitMark
from runstone.storage.gate import Gate
from runstone.storage.tables import TABLES, Table

V = TypeVar("V")

#: A read transaction pins every page that changes while it is open.
READ_SECONDS = 10.0
#: Address space, not disk: LMDB files grow as they are written. Small enough for a 39-bit address space.
MAP_SIZE = 64 << 30
MAX_READERS = 1024
#: What LMDB makes ``lock.mdb`` with: a header of 128 bytes, and 64 for each reader.
_READER_TABLE = 128 + 64 * MAX_READERS
_SCAN_CHECK = 256
#: From so many rows on, a cursor is worth what it takes to make.
_MANY = 4
_PROBE = 256 << 10


class View:
    """Typed, verified reads in one transaction; values are decoded copies and outlive it."""

    def __init__(self, index: Index, txn: lmdb.Transaction, seconds: float = READ_SECONDS) -> None:
        self._txn = txn
        self._dbs = index.databases
        self._seconds = seconds
        self._until = time.monotonic() + seconds

    def get(self, table: Table[V], *key: Any) -> V | None:
        """The value under a key, or None; raises :class:`Corrupt` when its checksum fails."""
        packed = table.key.pack(*key)
        # LMDB has no empty keys and refuses to look for one, and that is what an empty name packs to.
        stored = self._txn.get(packed, db=self._dbs[table.name]) if packed else None
        if stored is not None:
            return decode(table, packed, stored)
        self._require_absent(table, packed)
        return None

    def get_body(self, table: Table[Any], packed: bytes) -> bytes | None:
        """The verified, undecoded body under a packed key."""
        stored = self._txn.get(packed, db=self._dbs[table.name])
        if stored is not None:
            return _open(table, packed, stored)
        self._require_absent(table, packed)
        return None

    def _require_absent(self, table: Table[Any], packed: bytes) -> None:
        """Raises :class:`Corrupt` when a row that was not found is there, or may be: damage to a page can hide rows."""
        cursor = self._txn.cursor(db=self._dbs[table.name])
        if packed and _seek_first(table, cursor, packed):
            found = bytes(cursor.key())
            _open(table, found, cursor.value())
            if found == packed:
                raise _astray(table, packed)

    def scan(
        self, table: Table[V], *prefix: Any, after: tuple[Any, ...] | None = None, reverse: bool = False
    ) -> Iterator[tuple[tuple[Any, ...], V]]:
        """Rows whose key begins with ``prefix``, in key order, from just past the key ``after`` (or before it, in reverse)."""
        unpack = table.key.unpack
        start = None if after is None else table.key.prefix(*after)
        for key, body in self.scan_bodies(table, table.key.prefix(*prefix), start, reverse):
            yield unpack(key), _decode_body(table, key, body)

    def scan_bodies(
        self, table: Table[Any], prefix: bytes = b"", after: bytes | None = None, reverse: bool = False
    ) -> Iterator[tuple[bytes, bytes]]:
        """Verified (packed key, body) rows under a packed prefix."""
        cursor = self._txn.cursor(db=self._dbs[table.name])
        if reverse:
            step, found = (
                cursor.prev,
                _seek_last(table, cursor, _after_prefix(prefix) if after is None else after),
            )
        else:
            start = prefix if after is None else max(prefix, after)
            step, found = cursor.next, _seek_first(table, cursor, start, past=after)
        seen, last = 0, None
        while found:
            key = bytes(cursor.key())
            # The row that ends the scan is verified too: it might be damage that ends it.
            body = _open(table, key, cursor.value())
            if last is not None and (key < last) is not reverse:
                raise _astray(table, key)
            if not key.startswith(prefix):
                return
            last = key
            yield key, body
            seen += 1
            if seen % _SCAN_CHECK == 0 and time.monotonic() > self._until:
                raise TryAgain(
                    f"a read of {table.name} went on for over {self._seconds:.0f} s; ask for smaller pages"
                )
            found = step()

    def last_key(self, table: Table[Any]) -> bytes | None:
        """The greatest packed key of a table."""
        cursor = self._txn.cursor(db=self._dbs[table.name])
        return bytes(cursor.key()) if cursor.last() else None

    def last(self, table: Table[V], *prefix: Any) -> tuple[tuple[Any, ...], V] | None:
        """The row with the greatest key under a prefix."""
        return next(self.scan(table, *prefix, reverse=True), None)

    def count(self, table: Table[Any]) -> int:
        """How many rows a table has."""
        entries: int = self._txn.stat(self._dbs[table.name])["entries"]
        return entries

    @property
    def commit(self) -> int:
        """The number of the commit that is seen."""
        number: int = self._txn.id()
        return number


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
        self._gate = Gate()
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
            raise _opening_error(error, self.path) from error
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
                raise _opening_error(error, self.path) from error
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
        self._gate = Gate()

    def read(self, seconds: float = READ_SECONDS) -> _Reading:
        """A read transaction: ``with index.read() as view``. Keep it short: scans are refused past ``seconds``.

        Only verification asks for more than the usual: all it sees must be of one moment.
        """
        return _Reading(self, seconds)

    def write(self) -> _Writing:
        """The write transaction, one at a time over all processes: ``with index.write() as txn``."""
        return _Writing(self)

    @property
    def failed(self) -> str | None:
        """Why writes are refused, or None."""
        return self._failed

    def last_commit(self) -> int:
        """The number of the last commit that readers see, of any process: a read that begins after this is no earlier.

        The environment's own number is that of the newest meta page, which runs ahead of what readers see while the page is being synced:
        what was read then would pass for the contents after that commit.
        """
        self._gate.acquire_shared()
        try:
            txn = self.begin(write=False)
            number: int = txn.id()
            txn.abort()
        finally:
            self._gate.release_shared()
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
        """Notes that a commit was made; for this module's own context managers."""
        # A transaction that changed nothing was not committed, and has no number.
        try:
            written: int = self._env.info()["last_txnid"]
        except lmdb.Error as error:
            raise _wrap(error, self.path) from error
        if written >= number:
            self._mark.note(number)

    def used_bytes(self) -> int:
        """Bytes of the file that hold pages."""
        return _used_bytes(self._env)

    def copy(self, target: Path) -> None:
        """Writes a consistent, compacted copy of the environment into an empty directory, durably."""
        target.mkdir(parents=True, exist_ok=True)
        try:
            with self._gate.shared():
                self._env.copy(str(target), compact=True)
        except lmdb.Error as error:
            raise _wrap(error, target) from error
        handle = os.open(target / "data.mdb", os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
        filesystem.fsync_directory(target)

    def close(self) -> None:
        """Closes the environment; any later use raises."""
        with self._gate.exclusive():
            self._failed = self._failed or "the store is closed"
            self._env.close()
            self._mark.close()

    def begin(self, write: bool) -> lmdb.Transaction:
        """A raw transaction; for this module's own context managers."""
        if self._lost:
            return self._begin_anew(write)
        try:
            return self._env.begin(write=write, buffers=True)
        except lmdb.MapResizedError:
            return self._grown_elsewhere(write)
        except lmdb.PanicError:
            return self._begin_anew(write)
        except lmdb.Error as error:
            raise _wrap(error, self.path) from error

    def _begin_anew(self, write: bool) -> lmdb.Transaction:
        # A commit of another thread has failed, and takes the environment with it: reading goes on in a new one.
        env = self._env
        self._gate.release_shared()
        try:
            self._reopen(env)
        finally:
            self._gate.acquire_shared()
        if write and self._failed:
            raise StorageFailed(f"{self.path}: {self._failed}")
        try:
            return self._env.begin(write=write, buffers=True)
        except lmdb.Error as error:
            raise _wrap(error, self.path) from error

    def _reopen(self, env: lmdb.Environment) -> None:
        with self._gate.exclusive():
            if self._env is env:
                env.close()
                self._lost = True
                self._open()
                self._lost = False

    def _grown_elsewhere(self, write: bool) -> lmdb.Transaction:
        # The gate is held shared by this thread; it is taken exclusively for the resize and shared again after.
        self._gate.release_shared()
        try:
            with self._gate.exclusive():
                self._env.set_mapsize(0)
        finally:
            self._gate.acquire_shared()
        return self._env.begin(write=write, buffers=True)

    def grow(self) -> None:
        """Doubles the map. No transaction of this process may be open in the calling thread."""
        with self._gate.exclusive():
            self._map_size = max(self._map_size, self._env.info()["map_size"]) * 2
            self._env.set_mapsize(self._map_size)

    def recover(self, error: BaseException) -> RunstoneError:
        """After a failed write: reopens, for reading only after an I/O error; the error to raise."""
        env, wrapped = self._env, _wrap(error, self.path)
        if isinstance(wrapped, StorageFailed) and _is_full(self.path):
            # A write that the disk took half of is an I/O error to LMDB.
            wrapped = StorageFull(f"{self.path}: no space left on the disk; free some and try again")
        if isinstance(wrapped, StorageFailed):
            self._failed = wrapped.message
        if isinstance(wrapped, StorageFull | StorageFailed):
            with contextlib.suppress(RunstoneError):  # tried again by the next transaction
                self._reopen(env)
        return wrapped


class _Reading:
    """A read transaction as a context manager."""

    __slots__ = ("_index", "_seconds", "_txn")

    def __init__(self, index: Index, seconds: float) -> None:
        self._index = index
        self._seconds = seconds

    def __enter__(self) -> View:
        self._index._gate.acquire_shared()
        try:
            self._txn = self._index.begin(write=False)
        except BaseException:
            self._index._gate.release_shared()
            raise
        return View(self._index, self._txn, self._seconds)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        self._txn.abort()
        self._index._gate.release_shared()
        if isinstance(error, lmdb.Error):
            # A read in an open transaction fails for one reason only.
            raise Corrupt(
                f"{self._index.path}: {error}; run 'runstone rebuild', or restore the index from a backup"
            ) from error


class MapGrown(Exception):  # not an error: run the transaction again
    """The map was full and has been doubled; the transaction must run again."""


#: After one of these a transaction is of no use any more; any other error leaves it as it was.
TRANSACTION_LOST = (lmdb.Error, MapGrown, MemoryError)


class Txn(View):
    """The write transaction: verified reads, sealed writes."""

    def _require_absent(self, table: Table[Any], packed: bytes) -> None:
        # Every new row is looked up before it is written: that would make each write slower.
        pass

    def put_body(self, table: Table[Any], packed: bytes, body: bytes, *, append: bool = False) -> None:
        """Stores a body under a packed key; ``append`` says that the key is greater than all present."""
        stored = seal(table.number, packed, body)
        self._txn.put(packed, stored, db=self._dbs[table.name], append=append)

    def put_bodies(self, table: Table[Any], rows: list[tuple[bytes, bytes]], *, append: bool = False) -> None:
        """Stores (packed key, body) rows, sorted by key."""
        if len(rows) < _MANY:
            for key, body in rows:
                self.put_body(table, key, body, append=append)
            return
        cursor = self._txn.cursor(db=self._dbs[table.name])
        cursor.putmulti(seal_rows(table.number, rows), append=append)
        cursor.close()

    def put(self, table: Table[V], *key_then_value: Any) -> None:
        """Stores a value: the key's parts, then the value."""
        *key, value = key_then_value
        self.put_body(table, table.key.pack(*key), table.encode(value))

    def delete_body(self, table: Table[Any], packed: bytes) -> bool:
        """Removes a row; says whether it was there."""
        found: bool = self._txn.delete(packed, db=self._dbs[table.name])
        return found

    def delete(self, table: Table[Any], *key: Any) -> bool:
        """Removes a row; says whether it was there."""
        return self.delete_body(table, table.key.pack(*key))


class _Writing:
    """The write transaction as a context manager: commits on a clean end, aborts on an error."""

    def __init__(self, index: Index) -> None:
        self._index = index

    def __enter__(self) -> Txn:
        index = self._index
        if index._failed:
            raise StorageFailed(f"{index.path}: {index._failed}")
        if index.readonly:
            raise Invalid(f"{index.path} is open for reading only")
        index._gate.acquire_shared()
        try:
            self._txn = index.begin(write=True)
        except BaseException:
            index._gate.release_shared()
            raise
        return Txn(index, self._txn)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        index = self._index
        try:
            if error is None:
                number = self._txn.id()
                self._txn.commit()
                index.committed(number)
            else:
                self._txn.abort()
        except lmdb.Error as failure:
            error = failure
        finally:
            index._gate.release_shared()
        if isinstance(error, lmdb.MapFullError):
            index.grow()
            raise MapGrown from error
        if isinstance(error, lmdb.Error):
            raise index.recover(error) from error


def decode(table: Table[V], packed: bytes, stored: Any) -> V:
    """The verified value of a stored row."""
    return _decode_body(table, packed, _open(table, packed, stored))


def _open(table: Table[Any], packed: bytes, stored: Any) -> bytes:
    try:
        return unseal(table.number, packed, stored)
    except ValueError:
        raise Corrupt(
            f"index: the row {packed.hex()} of table {table.name} fails its checksum; "
            "restore the index from a backup, or run 'runstone rebuild'",
            table=table.name,
            key=packed.hex(),
        ) from None


def _decode_body(table: Table[V], packed: bytes, body: bytes) -> V:
    try:
        value: V = table.decode(body)
    except msgspec.DecodeError as error:
        raise Corrupt(
            f"index: the row {packed.hex()} of table {table.name} does not decode: {error}"
        ) from error
    return value


def _seek_first(table: Table[Any], cursor: lmdb.Cursor, sought: bytes, *, past: bytes | None = None) -> bool:
    """Goes to the first key from ``sought`` on, or after ``past``; whether there is one.

    A damaged inner page leads past rows. So what is found must not lie before what was sought, and what comes before it must.
    """
    if not sought:
        return bool(cursor.first())
    found = bool(cursor.set_range(sought))
    if found and bytes(cursor.key()) < sought:
        raise _astray(table, sought)
    if cursor.prev() if found else cursor.last():
        before = bytes(cursor.key())
        _open(table, before, cursor.value())
        if before >= sought:
            raise _astray(table, sought)
        if found:
            cursor.next()
    elif found:
        cursor.first()
    return bool(cursor.next()) if found and bytes(cursor.key()) == past else found


def _seek_last(table: Table[Any], cursor: lmdb.Cursor, limit: bytes | None) -> bool:
    """Goes to the last key before ``limit``, or of all; whether there is one. Led astray no more than :func:`_seek_first`."""
    if not limit or not _seek_first(table, cursor, limit):
        return bool(cursor.last())
    _open(table, bytes(cursor.key()), cursor.value())
    return bool(cursor.prev())


def _astray(table: Table[Any], key: bytes) -> Corrupt:
    return Corrupt(
        f"index: a page of table {table.name} leads past the row {key.hex()}; run 'runstone rebuild', "
        "or restore the index from a backup",
        table=table.name,
        key=key.hex(),
    )


def _after_prefix(prefix: bytes) -> bytes | None:
    """The least byte string greater than every one that begins with ``prefix``; None when there is none."""
    stripped = prefix.rstrip(b"\xff")
    return stripped[:-1] + bytes([stripped[-1] + 1]) if stripped else None


def _file_size(path: Path) -> int:
    try:
        return (path / "data.mdb").stat().st_size
    except OSError:
        return 0


def _used_bytes(env: lmdb.Environment) -> int:
    size: int = (env.info()["last_pgno"] + 1) * env.stat()["psize"]
    return size


def _opening_error(error: BaseException, path: Path) -> RunstoneError:
    if isinstance(
        error, lmdb.InvalidError | lmdb.VersionMismatchError | lmdb.CorruptedError | lmdb.NotFoundError
    ):
        return Corrupt(f"{path}: not an index, or a damaged one ({error}); restore it from a backup")
    return _wrap(error, path)


def _is_full(path: Path) -> bool:
    probe = path / f".probe.{os.getpid()}"
    try:
        probe.write_bytes(bytes(_PROBE))
    except OSError as error:
        return error.errno in (errno.ENOSPC, errno.EDQUOT)
    finally:
        with contextlib.suppress(OSError):
            probe.unlink()
    return False


def _wrap(error: BaseException, path: Path) -> RunstoneError:
    text = str(error)
    if isinstance(error, lmdb.CorruptedError | lmdb.PageNotFoundError | lmdb.InvalidError):
        return Corrupt(f"{path}: {text}; restore the index from a backup")
    if os.strerror(errno.ENOSPC) in text or os.strerror(errno.EDQUOT) in text:
        return StorageFull(f"{path}: no space left on the disk; free some and try again")
    return StorageFailed(f"{path}: {text}; check the disk, then open the store again")
