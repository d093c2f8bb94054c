"""Order-preserving key layouts: the byte order of an encoded key is the order of its parts.

A layout is a string of part names and kinds, for example ``"collection:u64 alias:text seq:u64"``.

=========  =========================================================================================
``u8`` …   unsigned, big-endian, 1, 2, 4 or 8 bytes (``u8``, ``u16``, ``u32``, ``u64``)
``b16``    exactly 16 raw bytes (``b32``: 32)
``text``   UTF-8, without NUL; followed by one 0x00 unless it is the last part
=========  =========================================================================================

UTF-8 sorts by code point and 0x00 sorts before every other byte, so ``"a"`` comes before ``"ab"`` whatever follows.
LMDB's limit is 511 bytes a key.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from itertools import groupby
from typing import Any

from runstone._native.keys import Packer
from runstone.errors import Invalid

MAX_KEY = 511
_FIXED = {"u8": "B", "u16": "H", "u32": "I", "u64": "Q", "b16": "16s", "b32": "32s"}
_SIZES = {"u8": 1, "u16": 2, "u32": 4, "u64": 8, "b16": 16, "b32": 32, "text": 0}


class KeyLayout:
    """How the parts of a key become bytes and back."""

    def __init__(self, layout: str) -> None:
        parts = [part.split(":") for part in layout.split()]
        self.layout = layout
        self.names = tuple(name for name, _ in parts)
        self.kinds = tuple(kind for _, kind in parts)
        self._pieces = _pieces(self.kinds)
        self._fixed = self._pieces[0] if len(self._pieces) == 1 else None
        sizes = bytes(_SIZES[kind] for kind in self.kinds)
        #: Encodes all the parts of a key; raises :class:`Invalid` for one that does not fit.
        self.pack: Callable[..., bytes] = Packer(sizes, self._pack_parts)
        # Text is ended by a NUL in a prefix and by nothing at the end of a key, which is all that a packer knows.
        self._packers = {
            count: Packer(sizes[:count], self._pack_parts)
            for count in range(1, len(sizes) + 1)
            if sizes[count - 1] or count == len(sizes)
        }

    def prefix(self, *parts: Any) -> bytes:
        """Encodes the first parts of a key; raises :class:`Invalid` for one that does not fit."""
        packer = self._packers.get(len(parts))
        return packer(*parts) if packer is not None else self._pack_parts(*parts)

    def _pack_parts(self, *parts: Any) -> bytes:
        last = len(self.kinds) - 1
        key = b"".join([self._pack_part(place, part, place == last) for place, part in enumerate(parts)])
        if len(key) > MAX_KEY:
            raise Invalid(f"a name is too long: its key takes {len(key)} bytes and the limit is {MAX_KEY}")
        return key

    def _pack_part(self, place: int, part: Any, last: bool) -> bytes:
        kind = self.kinds[place]
        try:
            if kind != "text":
                packed = struct.pack(">" + _FIXED[kind], part)
                if kind[0] == "b" and len(part) != len(packed):
                    raise Invalid(f"{self.names[place]} must be {len(packed)} bytes, not {len(part)}")
                return packed
            encoded: bytes = part.encode()
        except (struct.error, UnicodeEncodeError, AttributeError) as error:
            raise Invalid(f"{self.names[place]} cannot be {part!r}: {error}") from None
        if b"\0" in encoded:
            raise Invalid(f"{self.names[place]} must not contain a NUL character: {part!r}")
        return encoded if last else encoded + b"\0"

    def unpack(self, key: bytes) -> tuple[Any, ...]:
        """The parts of a whole key."""
        if self._fixed is not None:
            return self._fixed.unpack(key)
        found: list[Any] = []
        at, last = 0, len(self._pieces) - 1
        for place, piece in enumerate(self._pieces):
            if piece is not None:
                found += piece.unpack_from(key, at)
                at += piece.size
            elif place == last:
                found.append(key[at:].decode())
            else:
                end = key.index(0, at)
                found.append(key[at:end].decode())
                at = end + 1
        return tuple(found)


def _pieces(kinds: tuple[str, ...]) -> list[struct.Struct | None]:
    """The parts of a key in turn: a struct for those of fixed size that lie together, None for a text."""
    pieces: list[struct.Struct | None] = []
    for text, together in groupby(kinds, lambda kind: kind == "text"):
        if text:
            pieces += [None] * len(list(together))
        else:
            pieces.append(struct.Struct(">" + "".join(_FIXED[kind] for kind in together)))
    return pieces
