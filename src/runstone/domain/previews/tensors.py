"""Safetensors: the names, types and shapes of its tensors, from its header alone.

The format: 8 bytes little-endian length, a JSON object of that length, then the tensors' bytes at the offsets it names
(https://github.com/huggingface/safetensors, *Format*).
"""

from __future__ import annotations

from typing import Any

import msgspec

from runstone.domain.content import StoredFile
from runstone.domain.previews import place
from runstone.errors import Invalid
from runstone.types import FilePreview, TensorInfo

MAX_HEADER = 100_000_000


class _Tensor(msgspec.Struct):
    dtype: str
    shape: tuple[int, ...]
    data_offsets: tuple[int, int]


def header(file: StoredFile) -> tuple[list[TensorInfo], dict[str, str]]:
    """The tensors of a file in the order of their bytes, and its metadata; raises :class:`Invalid` for what is no such file."""
    length = int.from_bytes(file.read(0, 8), "little")
    if file.size < 8 or length > min(MAX_HEADER, file.size - 8):
        raise Invalid(f"{file.path} of {file.version} is no safetensors file: its header does not fit")
    start = 8 + length
    try:
        found = msgspec.json.decode(file.read(8, start), type=dict[str, msgspec.Raw])
        metadata = msgspec.json.decode(found.pop("__metadata__", b"{}"), type=dict[str, str])
        rows = {name: msgspec.json.decode(raw, type=_Tensor) for name, raw in found.items()}
    except (msgspec.DecodeError, msgspec.ValidationError, UnicodeDecodeError) as error:
        raise Invalid(f"{file.path} of {file.version} is no safetensors file: {error}") from None
    tensors = [_info(file, name, row, start) for name, row in rows.items()]
    return sorted(tensors, key=lambda tensor: (tensor.offset, tensor.name)), metadata


def _info(file: StoredFile, name: str, row: _Tensor, start: int) -> TensorInfo:
    first, last = row.data_offsets
    if not 0 <= first <= last <= file.size - start:
        raise Invalid(f"tensor {name!r:.200} of {file.path} lies outside of the file")
    return TensorInfo(name=name, dtype=row.dtype, shape=row.shape, offset=start + first, size=last - first)


def preview(file: StoredFile, after: str, limit: int, column: int) -> FilePreview:
    """Up to ``limit`` tensors; the cursor is how many came before."""
    tensors, metadata = header(file)
    first = place(after)
    shown = tensors[first : first + limit]
    more = first + limit < len(tensors)
    total: Any = len(tensors)
    return FilePreview(
        kind="tensors",
        tensors=tuple(shown),
        metadata=metadata,
        total=total,
        next=str(first + limit) if more else "",
    )
