"""The safetensors format, read as the hostile input that it is: which tensors a file holds, of what type and shape, and where.

Source: https://github.com/huggingface/safetensors, *Format*: u64 LE length of the header, the header (JSON), then the bytes of the tensors.
"""

from __future__ import annotations

import struct
from math import prod
from operator import itemgetter
from typing import Annotated, NamedTuple

import msgspec

from runstone.errors import Corrupt

SUFFIX = ".safetensors"
INDEX = ".safetensors.index.json"
METADATA = "__metadata__"
MAX_HEADER = 100 << 20
MAX_DIMENSIONS = 64
LENGTH = struct.Struct("<Q")
#: Bits of an element.
BITS = {
    "BOOL": 8, "U8": 8, "I8": 8, "F8_E5M2": 8, "F8_E4M3": 8, "F8_E8M0": 8, "F8_E4M3FNUZ": 8, "F8_E5M2FNUZ": 8,
    "I16": 16, "U16": 16, "F16": 16, "BF16": 16, "I32": 32, "U32": 32, "F32": 32, "C64": 64, "F64": 64, "I64": 64, "U64": 64,
    "F4": 4, "F6_E2M3": 6, "F6_E3M2": 6,
}  # fmt: skip


class Tensor(NamedTuple):
    """A tensor: ``length`` bytes from ``offset`` on in the file at ``path`` of the version; ``dtype`` is safetensors' own name."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    path: str
    offset: int
    length: int

    def shard(self, rank: int, of: int) -> Tensor:
        """The rows of one member of a group of ``of``: their parts, one after the other, are the tensor. A scalar is everyone's."""
        if of == 1 or not self.shape:
            return self
        rows = self.shape[0]
        first, last = rows * rank // of, rows * (rank + 1) // of
        row = self.length // rows if rows else 0
        if rows and self.length % rows:
            return self  # elements that share bytes: cut nowhere
        shape = (last - first, *self.shape[1:])
        return self._replace(shape=shape, offset=self.offset + first * row, length=(last - first) * row)


_Dimension = Annotated[int, msgspec.Meta(ge=0, lt=1 << 62)]


class _Entry(msgspec.Struct):
    dtype: str = ""
    shape: Annotated[tuple[_Dimension, ...], msgspec.Meta(max_length=MAX_DIMENSIONS)] = ()
    data_offsets: tuple[int, int] = (-1, -1)


_PLACE = itemgetter(Tensor._fields.index("offset"), Tensor._fields.index("length"))


class _Index(msgspec.Struct):
    weight_map: dict[str, str]


def header_length(head: bytes, size: int, path: str) -> int:
    """How many bytes the header takes, with its length in front; raises :class:`Corrupt`."""
    if len(head) < LENGTH.size:
        raise Corrupt(f"{path} is too short for a safetensors file")
    length = LENGTH.size + int(LENGTH.unpack_from(head)[0])
    if length > min(size, MAX_HEADER):
        raise Corrupt(f"{path} says that its header takes {length} of its {size} bytes")
    return length


def tensors(head: memoryview | bytes, size: int, path: str) -> dict[str, Tensor]:
    """The tensors of a file by name, from its first bytes; raises :class:`Corrupt` for a header that does not describe the file."""
    base = header_length(bytes(head[: LENGTH.size]), size, path)
    try:
        found = {
            name: _tensor(name, entry, base, path)
            for name, entry in _entries(bytes(head[LENGTH.size : base])).items()
        }
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, ValueError) as error:
        raise Corrupt(f"the header of {path} is not one of a safetensors file: {error}") from None
    at = base
    for tensor in sorted(found.values(), key=_PLACE):
        if tensor.offset != at:
            raise Corrupt(f"tensor {tensor.name!r:.200} of {path} overlaps another, or leaves a gap")
        at += tensor.length
    if at != size:
        raise Corrupt(f"the tensors of {path} end at byte {at} of {size}")
    return found


def _entries(header: bytes) -> dict[str, _Entry]:
    try:
        # All in one go: what "__metadata__" holds is no entry, and has none of its fields as a rule.
        entries = msgspec.json.decode(header, type=dict[str, _Entry])
    except msgspec.ValidationError:
        pieces = msgspec.json.decode(header, type=dict[str, msgspec.Raw])
        pieces.pop(METADATA, None)
        return {name: msgspec.json.decode(piece, type=_Entry) for name, piece in pieces.items()}
    entries.pop(METADATA, None)
    return entries


def _tensor(name: str, entry: _Entry, base: int, path: str) -> Tensor:
    (start, stop), shape = entry.data_offsets, entry.shape
    bits = BITS.get(entry.dtype)
    if bits is None:
        raise ValueError(f"{name!r:.200} has the unknown type {entry.dtype!r:.50}")
    if not 0 <= start <= stop or prod(shape) * bits != (stop - start) * 8:
        raise ValueError(
            f"{name!r:.200} has {stop - start} bytes for the shape {list(shape)} of {entry.dtype}"
        )
    return Tensor(name, entry.dtype, shape, path, base + start, stop - start)


def weight_map(content: bytes, path: str) -> dict[str, str]:
    """Which file each tensor of a sharded model lies in, from its index; paths are relative to the index."""
    try:
        index = msgspec.json.decode(content, type=_Index)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Corrupt(f"{path} is not an index of safetensors files: {error}") from None
    folder = path.rpartition("/")[0]
    return {name: f"{folder}/{file}" if folder else file for name, file in index.weight_map.items()}
