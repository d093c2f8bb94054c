"""The number of the last commit, noted beside the index.

LMDB takes for the latest the state whose number is greatest, and that number has no checksum: one turned bit of it brings an old state
back, whose every row still verifies. So each commit is noted here as well. The note is written after the commit and never synced: it
may fall behind, and is never ahead.
"""

from __future__ import annotations

import contextlib
import os
import struct
from pathlib import Path

#: The number, and its complement: a note that is damaged itself says nothing.
_NOTE = struct.Struct("<QQ")
_ALL_ONES = (1 << 64) - 1


class CommitMark:
    """The note of one index. A disk that does not take it is no error: the commit itself has succeeded."""

    def __init__(self, path: Path, *, readonly: bool = False) -> None:
        self._handle = -1
        with contextlib.suppress(OSError):
            flags = os.O_RDONLY if readonly else os.O_RDWR | os.O_CREAT
            self._handle = os.open(path, flags | os.O_CLOEXEC, 0o600)

    def note(self, commit: int) -> None:
        """Notes a commit that has been made."""
        with contextlib.suppress(OSError):
            os.pwrite(self._handle, _NOTE.pack(commit, commit ^ _ALL_ONES), 0)

    def read(self) -> int:
        """The last commit that was noted, or 0."""
        try:
            data = os.pread(self._handle, _NOTE.size, 0)
        except OSError:
            return 0
        if len(data) != _NOTE.size:
            return 0
        commit, complement = _NOTE.unpack(data)
        return int(commit) if commit ^ complement == _ALL_ONES else 0

    def close(self) -> None:
        """Closes the file; a second call does nothing."""
        handle, self._handle = self._handle, -1
        if handle >= 0:
            os.close(handle)
