"""Errors of the local disk, as the errors that a caller can act on."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager

from runstone.errors import Invalid, RunstoneError, StorageFailed, StorageFull

_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


def wrapped(error: OSError, doing: str) -> RunstoneError:
    """The error to raise for one of the operating system; ``doing`` says what was tried, and where."""
    why = error.strerror or str(error)
    if error.errno in _FULL:
        return StorageFull(f"no room on this machine for {doing}: {why}; free some space and try again")
    if error.errno == errno.EIO:
        return StorageFailed(f"{doing}: the disk reported an error: {why}")
    return Invalid(f"{doing}: {why}")


@contextmanager
def wrapping(doing: str) -> Iterator[None]:
    """Raises what the operating system refuses in its body as one of our errors."""
    try:
        yield
    except OSError as error:
        raise wrapped(error, doing) from error
