"""Plain Python version of the frames kernel, LZ4 and all."""

import struct

MAX_CHUNK = 128 << 10


def lz4_block(block: bytes, history: bytes) -> bytes:
    out, at = bytearray(history), 0
    while True:
        token = block[at]
        at += 1
        literals = token >> 4
        if literals == 15:
            while True:
                literals += block[at]
                at += 1
                if block[at - 1] != 255:
                    break
        if at + literals > len(block):
            raise ValueError
        out += block[at : at + literals]
        at += literals
        if at == len(block):
            return bytes(out[len(history) :])
        (offset,) = struct.unpack_from("<H", block, at)
        at += 2
        match = token & 15
        if match == 15:
            while True:
                match += block[at]
                at += 1
                if block[at - 1] != 255:
                    break
        if not 0 < offset <= len(out):
            raise ValueError
        if match > MAX_CHUNK:
            raise ValueError
        for _ in range(match + 4):
            out.append(out[-offset])
        if len(out) - len(history) > MAX_CHUNK:
            raise ValueError


def lz4_frame(data: bytes) -> bytes:
    magic, flags = struct.unpack_from("<IB", data)
    if magic != 0x184D2204 or flags >> 6 != 1 or flags & 1:
        raise ValueError
    at, out = 7 + (8 if flags & 8 else 0), b""
    while True:
        (word,) = struct.unpack_from("<I", data, at)
        at += 4
        if word == 0:
            break
        size = word & 0x7FFFFFFF
        block = data[at : at + size]
        if len(block) < size:
            raise ValueError
        stored = word >> 31
        out += block if stored else lz4_block(block, b"" if flags & 0x20 else out)
        if len(out) > MAX_CHUNK:
            raise ValueError
        at += size + (4 if flags & 0x10 else 0)
    if at + (4 if flags & 4 else 0) != len(data):
        raise ValueError
    return out


def group(chunk: bytes) -> bytes:
    return b"".join(chunk[first::4] for first in range(4))


def regroup(groups: bytes) -> bytes:
    out, at = bytearray(len(groups)), 0
    for first in range(4):
        count = len(range(first, len(groups), 4))
        out[first::4] = groups[at : at + count]
        at += count
    return bytes(out)


def frame(chunk: bytes, scheme: int = 0, stored: bytes | None = None) -> bytes:
    stored = chunk if stored is None else stored
    return bytes([0, *len(stored).to_bytes(3, "little"), scheme, *len(chunk).to_bytes(3, "little")]) + stored


def unframe(data: bytes) -> list[bytes]:
    """The chunks of whole frames; ValueError, IndexError or struct.error for what is malformed."""
    found, at = [], 0
    while len(data) - at >= 8 and data[at : at + 7] != b"XETBLOB":
        version, scheme = data[at], data[at + 4]
        stored = int.from_bytes(data[at + 1 : at + 4], "little")
        length = int.from_bytes(data[at + 5 : at + 8], "little")
        if version or scheme > 2 or not 0 < length <= MAX_CHUNK or stored > 2 * MAX_CHUNK:
            raise ValueError
        if scheme == 0 and stored != length:
            raise ValueError
        if len(data) - at < 8 + stored:
            break
        body = data[at + 8 : at + 8 + stored]
        chunk = body if scheme == 0 else lz4_frame(body)
        if len(chunk) != length:
            raise ValueError
        found.append(chunk if scheme < 2 else regroup(chunk))
        at += 8 + stored
    return found
