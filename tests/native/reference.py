"""Plain Python versions of the ingest and digest kernels: slow, short, to be read beside the formats."""

import hashlib
import re
import struct
from functools import cache
from pathlib import Path

import blake3
import xxhash

CHUNK_MIN, CHUNK_MAX = 8 * 1024, 128 * 1024
GEAR_MASK = 0xFFFF << 48
MASK64 = 2**64 - 1
DATA_KEY = bytes.fromhex("6697f5775b9550de3135cbaca597181c9de421109beb2b58b4d0b04b93adf229")
NODE_KEY = bytes.fromhex("017ec5c7a5472996fd946666b48a02e65ddd536f37c76dd2f86352e64a53713f")


@cache
def gear_table() -> list[int]:
    """The table as the kernels have it; that it is the right one is what test_xet_golden.py says."""
    source = Path(__file__).parents[2] / "ext" / "gear.c"
    table = [int(word, 16) for word in re.findall(r"UINT64_C\((0x[0-9a-f]{16})\)", source.read_text())]
    assert len(table) == 256
    return table


def chunks(data: bytes) -> list[bytes]:
    """The Xet chunks of `data`: cut where the top 16 bits of the gear hash are zero, 8 to 128 KiB."""
    table, found, start, gear = gear_table(), [], 0, 0
    for index, byte in enumerate(data):
        gear = (gear * 2 + table[byte]) & MASK64
        length = index + 1 - start
        if (length >= CHUNK_MIN and not gear & GEAR_MASK) or length == CHUNK_MAX:
            found.append(data[start : index + 1])
            start, gear = index + 1, 0
    return [*found, data[start:]] if start < len(data) else found


def record(chunk: bytes) -> bytes:
    """A packed chunk record: keyed BLAKE3, xxh3-64, length."""
    return blake3.blake3(chunk, key=DATA_KEY).digest() + struct.pack(
        "<QI", xxhash.xxh3_64_intdigest(chunk), len(chunk)
    )


def records(data: bytes) -> bytes:
    return b"".join(map(record, chunks(data)))


def xet_hex(value: bytes) -> str:
    return "".join(f"{word:016x}" for word in struct.unpack("<4Q", value))


def xorb_hash(packed: bytes) -> bytes:
    """The Xet tree over chunk records, a whole level at a time."""
    level = [(value, length) for value, _, length in struct.iter_unpack("<32sQI", packed)]
    if not level:
        return bytes(32)
    while len(level) > 1:
        above = []
        while level:
            cut = next(
                (i + 1 for i in range(2, min(9, len(level))) if level[i][0][24] % 4 == 0), min(9, len(level))
            )
            group, level = level[:cut], level[cut:]
            lines = "".join(f"{xet_hex(value)} : {size}\n" for value, size in group)
            above.append(
                (blake3.blake3(lines.encode(), key=NODE_KEY).digest(), sum(size for _, size in group))
            )
        level = above
    return level[0][0]


def file_hash(packed: bytes) -> bytes:
    return blake3.blake3(xorb_hash(packed), key=bytes(32)).digest() if packed else bytes(32)


def fold(state: bytes, add: list[bytes], remove: list[bytes]) -> bytes:
    total = int.from_bytes(state, "little")
    total += sum(int.from_bytes(blake3.blake3(value).digest(), "little") for value in add)
    total -= sum(int.from_bytes(blake3.blake3(value).digest(), "little") for value in remove)
    return (total % 2**256).to_bytes(32, "little")


def seal(seed: int, key: bytes, body: bytes) -> bytes:
    return xxhash.xxh3_64_intdigest(key + body, seed).to_bytes(8, "little") + body


def sha256(data: bytes) -> bytes:
    return hashlib.sha256(data).digest()


def md5(data: bytes) -> bytes:
    return hashlib.md5(data, usedforsecurity=False).digest()


def split_mix(seed: int, size: int) -> bytes:
    """`size` bytes of SplitMix64 (Steele, Lea and Flood, 2014), little-endian words."""
    words = []
    for _ in range((size + 7) // 8):
        seed = (seed + 0x9E3779B97F4A7C15) & MASK64
        z = ((seed ^ seed >> 30) * 0xBF58476D1CE4E5B9) & MASK64
        z = ((z ^ z >> 27) * 0x94D049BB133111EB) & MASK64
        words.append(z ^ z >> 31)
    return struct.pack(f"<{len(words)}Q", *words)[:size]
