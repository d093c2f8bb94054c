"""Where LMDB keeps the number of the last commit that readers see: a word of ``lock.mdb``, in memory that all its processes share.

Reading it takes a nanosecond and no transaction, also from native code. Its place is not part of LMDB's interface, so it is not
relied on: what is remembered under the word is remembered only while the word equals the number that a transaction told.
"""

from __future__ import annotations

import contextlib
import os
import platform
import struct
from pathlib import Path

#: What ``lock.mdb`` begins with.
_MAGIC = 0xBEEFC0DE
#: The size of a pthread mutex, which lies before the word; behind eight bytes of magic and version.
_MUTEX = {"x86_64": 40, "aarch64": 48}


def place_of(path: Path, commit: int) -> int | None:
    """The offset of the word in a lock file, or None where it does not hold the number of the last commit."""
    mutex = _MUTEX.get(platform.machine())
    if mutex is None:
        return None
    offset = 8 + mutex
    with contextlib.suppress(OSError):
        handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            head = os.pread(handle, offset + 8, 0)
        finally:
            os.close(handle)
        if len(head) == offset + 8 and struct.unpack_from("<I", head)[0] == _MAGIC:
            found: int = struct.unpack_from("<Q", head, offset)[0]
            return offset if found == commit else None
    return None
