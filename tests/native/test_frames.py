"""The frames kernel against the plain Python version, and against what a hostile client may send."""

import random
import struct

import lz4.frame
import pytest
import reference
import reference_frames as plain
from hypothesis import given
from hypothesis import strategies as st
from kernel_levels import LEVELS, at_level

from runstone._native.frames import unframe

ROOM = 64 << 20


def framed(chunk: bytes, scheme: int, **options) -> bytes:
    if scheme == 0:
        return plain.frame(chunk)
    body = lz4.frame.compress(plain.group(chunk) if scheme == 2 else chunk, **options)
    return plain.frame(chunk, scheme, body)


def some_chunk(noise: random.Random) -> bytes:
    """Bytes of every kind that a compressor treats differently."""
    size = noise.choice([1, 2, 3, 4, 5, 15, 16, 17, 100, 1000, 8191, 65_537])
    kind = noise.randrange(4)
    if kind == 0:
        return noise.randbytes(size)
    if kind == 1:
        return bytes([noise.randrange(256)]) * size
    if kind == 2:
        return struct.pack(f"<{size // 4 + 1}f", *(noise.gauss(0, 1) for _ in range(size // 4 + 1)))[:size]
    unit = noise.randbytes(noise.randrange(1, 40))
    return (unit * (size // len(unit) + 1))[:size]


@pytest.mark.parametrize("level", LEVELS)
def test_frames_are_what_the_plain_version_makes_of_them(level: int):
    noise = random.Random(5)
    with at_level(level):
        for _ in range(8):
            chunks = [some_chunk(noise) for _ in range(noise.randrange(1, 20))]
            options = {
                "block_linked": noise.random() < 0.5,
                "block_checksum": noise.random() < 0.5,
                "content_checksum": noise.random() < 0.5,
                "store_size": noise.random() < 0.5,
                "block_size": noise.choice([4, 5]),
            }
            data = b"".join(framed(chunk, noise.randrange(3), **options) for chunk in chunks)
            raw, records, taken, ended = unframe(data, ROOM)
            assert (raw, taken, ended) == (b"".join(chunks), len(data), False)
            assert records == b"".join(map(reference.record, chunks))
            if level == LEVELS[0]:
                assert plain.unframe(data) == chunks


def test_what_is_not_whole_waits():
    data = framed(b"a" * 100, 1) + framed(b"b" * 9, 0)
    for cut in range(len(data)):
        raw, _, taken, _ = unframe(data[:cut], ROOM)
        assert (b"a" * 100 + b"b" * 9).startswith(raw) and len(raw) in (0, 100)
        assert taken == (0 if not raw else len(framed(b"a" * 100, 1)))
    assert unframe(data + b"XETBLOB\x01 and more", ROOM)[2:] == (len(data), True)
    assert unframe(data, 100)[0] == b"a" * 100
    assert unframe(data, 99) == (b"", b"", 0, False)
    assert unframe(b"", ROOM) == (b"", b"", 0, False)


def test_bombs_and_lies_are_refused():
    zeros = bytes(plain.MAX_CHUNK)
    bomb = lz4.frame.compress(bytes(64 << 20))
    refused = [
        plain.frame(zeros, 1, bomb[: 2 * plain.MAX_CHUNK]),
        plain.frame(b"x" * 10, 1, lz4.frame.compress(bytes(100_000))),  # more than the header says
        plain.frame(zeros, 1, lz4.frame.compress(b"short")),
        plain.frame(b"abc", 1, b""),
        plain.frame(b"abc", 2, lz4.frame.compress(b"abc")[:-1]),
        plain.frame(b"abc", 1, lz4.frame.compress(b"abc") + b"!"),
        plain.frame(b"abc", 3),
        plain.frame(b"abcd", 0, b"abc"),
        plain.frame(b""),
        plain.frame(bytes(plain.MAX_CHUNK + 1)),
        b"\x01" + plain.frame(b"abc")[1:],
        plain.frame(b"a" * 64, 1, b"\x04\x22\x4d\x18\x60\x40\x82" + struct.pack("<I", 3) + b"\x0f\x01\x00"),
    ]
    for data in refused:
        with pytest.raises(ValueError):
            unframe(data, ROOM)
        with pytest.raises((ValueError, IndexError, struct.error)):
            assert not plain.unframe(data)


@given(st.binary(max_size=300), st.integers(0, 2), st.integers(0, 400), st.integers(0, 255))
def test_damaged_frames_never_pass_for_others(chunk: bytes, scheme: int, at: int, byte: int):
    if not chunk:
        return
    data = bytearray(framed(chunk, scheme))
    data[at % len(data)] = byte
    try:
        expected = plain.unframe(bytes(data))
    except (ValueError, IndexError, struct.error):
        with pytest.raises(ValueError):
            unframe(data, ROOM)
    else:
        assert unframe(data, ROOM)[0] == b"".join(expected)
