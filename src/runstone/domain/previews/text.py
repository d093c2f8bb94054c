"""Text, a stretch of bytes at a time; whatever holds a NUL is ``binary`` and not shown."""

from __future__ import annotations

from runstone.domain.content import StoredFile
from runstone.domain.previews import place
from runstone.types import FilePreview

PAGE = 256 << 10
#: The longest that one character takes in UTF-8.
CHARACTER = 4


def preview(file: StoredFile, after: str, limit: int, column: int) -> FilePreview:
    """Up to 256 KiB of text from the byte that is the cursor on."""
    first = place(after)
    data = file.read(first, min(first + PAGE, file.size)) if first < file.size else b""
    if b"\0" in data:
        return FilePreview(kind="binary", total=file.size)
    end = first + len(data)
    if end < file.size:
        data = data[: _whole(data)]
        end = first + len(data)
    return FilePreview(
        kind="text",
        text=data.decode("utf-8", "replace"),
        total=file.size,
        next=str(end) if end < file.size else "",
    )


def _whole(data: bytes) -> int:
    """How many of the bytes end with a whole character."""
    for back in range(1, min(CHARACTER, len(data)) + 1):
        byte = data[-back]
        if byte & 0xC0 != 0x80:
            needed = 1 if byte < 0x80 else 2 if byte < 0xE0 else 3 if byte < 0xF0 else 4
            return len(data) if back >= needed else len(data) - back
    return len(data)
