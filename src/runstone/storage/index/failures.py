"""What LMDB fails with, as errors of ours."""

from __future__ import annotations

import contextlib
import errno
import os
from pathlib import Path

import lmdb

from runstone.errors import Corrupt, RunstoneError, StorageFailed, StorageFull

_PROBE = 256 << 10


def wrap(error: BaseException, path: Path) -> RunstoneError:
    """What a call of LMDB failed with."""
    text = str(error)
    if isinstance(error, lmdb.CorruptedError | lmdb.PageNotFoundError | lmdb.InvalidError):
        return Corrupt(f"{path}: {text}; restore the index from a backup")
    if os.strerror(errno.ENOSPC) in text or os.strerror(errno.EDQUOT) in text:
        return StorageFull(f"{path}: no space left on the disk; free some and try again")
    return StorageFailed(f"{path}: {text}; check the disk, then open the store again")


def opening_error(error: BaseException, path: Path) -> RunstoneError:
    """What opening an environment failed with."""
    if isinstance(
        error, lmdb.InvalidError | lmdb.VersionMismatchError | lmdb.CorruptedError | lmdb.NotFoundError
    ):
        return Corrupt(f"{path}: not an index, or a damaged one ({error}); restore it from a backup")
    return wrap(error, path)


def is_full(path: Path) -> bool:
    """Whether the disk has no room left for even a small file."""
    probe = path / f".probe.{os.getpid()}"
    try:
        probe.write_bytes(bytes(_PROBE))
    except OSError as error:
        return error.errno in (errno.ENOSPC, errno.EDQUOT)
    finally:
        with contextlib.suppress(OSError):
            probe.unlink()
    return False
