"""When a transaction begins, ends and fails: what ``with index.read()`` and ``with index.write()`` do."""

from __future__ import annotations

from types import TracebackType
from typing import TYPE_CHECKING

import lmdb

from runstone.errors import Corrupt, Invalid, StorageFailed
from runstone.storage.index.txn import MapGrown, Txn
from runstone.storage.index.view import View

if TYPE_CHECKING:
    from runstone.storage.index.index import Index


class Reading:
    """A read transaction as a context manager."""

    __slots__ = ("_index", "_seconds", "_txn")

    def __init__(self, index: Index, seconds: float) -> None:
        self._index = index
        self._seconds = seconds

    def __enter__(self) -> View:
        self._index.gate.acquire_shared()
        try:
            self._txn = self._index.begin(write=False)
        except BaseException:
            self._index.gate.release_shared()
            raise
        return View(self._index, self._txn, self._seconds)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        self._txn.abort()
        self._index.gate.release_shared()
        if isinstance(error, lmdb.Error):
            # A read in an open transaction fails for one reason only.
            raise Corrupt(
                f"{self._index.path}: {error}; run 'runstone rebuild', or restore the index from a backup"
            ) from error


class Writing:
    """The write transaction as a context manager: commits on a clean end, aborts on an error."""

    def __init__(self, index: Index) -> None:
        self._index = index

    def __enter__(self) -> Txn:
        index = self._index
        if index.failed:
            raise StorageFailed(f"{index.path}: {index.failed}")
        if index.readonly:
            raise Invalid(f"{index.path} is open for reading only")
        index.gate.acquire_shared()
        try:
            self._txn = index.begin(write=True)
        except BaseException:
            index.gate.release_shared()
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
            index.gate.release_shared()
        if isinstance(error, lmdb.MapFullError):
            index.grow()
            raise MapGrown from error
        if isinstance(error, lmdb.Error):
            raise index.recover(error) from error
