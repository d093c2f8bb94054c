"""The digest kernels against the packages and published vectors, at every instruction-set level."""

import struct
from collections.abc import Callable
from types import ModuleType
from typing import Any

import blake3
import pytest
import reference
import xxhash
from hypothesis import example, given, settings
from hypothesis import strategies as st
from kernel_levels import LEVELS, at_level

from runstone._native import digests, ingest

NOISE = reference.split_mix(42, 700_000)
# Around every place where one of the algorithms changes its way: blocks, leaves, lanes, subtrees.
TURNS = [0, 4, 8, 16, 64, 128, 240, 256, 512, 1024, 2048, 3072, 4096, 5120, 8192, 16384, 17408, 65536]
TURNS += [131072, 262144, 393216, 655360]
EDGES = sorted({max(0, turn + by) for turn in TURNS for by in (-1, 0, 1)})


@pytest.mark.parametrize("level", LEVELS)
def test_digests_at_the_edges(level: int):
    with at_level(level):
        for size in EDGES:
            data = NOISE[size % 5 : size % 5 + size]
            assert digests.blake3(data) == blake3.blake3(data).digest(), size
            assert digests.blake3_keyed(NOISE[:32], data) == blake3.blake3(data, key=NOISE[:32]).digest(), (
                size
            )
            assert digests.chunk_hash(data) == blake3.blake3(data, key=reference.DATA_KEY).digest(), size
            assert digests.sha256(data) == reference.sha256(data), size
            assert digests.md5(data) == reference.md5(data), size
            for seed in (0, 1, 0x123456789ABCDEF, 2**64 - 1):
                assert digests.xxh3_64(data, seed) == xxhash.xxh3_64_intdigest(data, seed), (size, seed)


@given(st.binary(max_size=5000), st.integers(0, 2**64 - 1), st.integers(0, 20))
@settings(deadline=None)
def test_digests_of_anything(data: bytes, seed: int, repeat: int):
    data *= repeat
    for level in LEVELS:
        with at_level(level):
            assert digests.blake3(data) == blake3.blake3(data).digest()
            assert digests.sha256(data) == reference.sha256(data)
            assert digests.md5(data) == reference.md5(data)
            assert digests.xxh3_64(data, seed) == xxhash.xxh3_64_intdigest(data, seed)


@pytest.mark.parametrize("level", LEVELS)
def test_published_vectors(level: int):
    with at_level(level):
        # FIPS 180-4 examples; RFC 1321 A.5; BLAKE3 test_vectors.json; xxHash of nothing.
        assert (
            digests.sha256(b"abc").hex() == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        )
        assert digests.sha256(b"").hex() == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
        assert digests.md5(b"message digest").hex() == "f96b697d7cb7938d525a2f31aaf161d0"
        assert digests.blake3(b"").hex() == "af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262"
        assert (
            digests.blake3(b"\0").hex() == "2d3adedff11b61f14c886e35afa036736dcd87a74d27b5c1510225d0f592e213"
        )
        assert digests.xxh3_64(b"") == 0x2D06800538D394C2


@pytest.mark.parametrize("level", LEVELS)
def test_verify_and_check_find_the_first_wrong_chunk(level: int):
    pass_ = ingest.Ingest()
    packed = pass_.update(NOISE) + pass_.finish()
    lengths = [length for *_, length in struct.iter_unpack("<32sQI", packed)]
    with at_level(level):
        assert digests.verify_chunks(NOISE, packed) == digests.check_chunks(NOISE, packed) == -1
        start = 0
        for index, length in enumerate(lengths):
            for at in (start, start + length // 2, start + length - 1):
                damaged = bytearray(NOISE)
                damaged[at] ^= 0x10
                damaged[-1] ^= 1
                assert digests.verify_chunks(damaged, packed) == index
                assert digests.check_chunks(damaged, packed) == index
            start += length


def test_verify_reads_only_its_own_part_of_a_record():
    packed = bytearray(reference.record(b"abc"))
    packed[32] ^= 1
    assert digests.verify_chunks(b"abc", packed) == -1
    assert digests.check_chunks(b"abc", packed) == 0
    packed[32] ^= 1
    packed[31] ^= 1
    assert digests.verify_chunks(b"abc", packed) == 0
    assert digests.check_chunks(b"abc", packed) == -1


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(0, 2000), max_size=400))
def test_verify_many_short_chunks(sizes: list[int]):
    parts, at = [], 0
    for size in sizes:
        parts.append(NOISE[at : at + size])
        at = (at + size) % 600_000
    packed = b"".join(map(reference.record, parts))
    for level in LEVELS:
        with at_level(level):
            assert digests.verify_chunks(b"".join(parts), packed) == -1
            assert digests.check_chunks(b"".join(parts), packed) == -1


@pytest.mark.parametrize("verify", [digests.verify_chunks, digests.check_chunks])
def test_records_that_do_not_fit(verify: Callable[[Any, Any], int]):
    packed = reference.record(b"abc") + reference.record(b"de")
    assert verify(b"abcde", packed) == -1
    assert verify(b"", b"") == -1
    for data in (b"abcd", b"abcdef", b""):
        with pytest.raises(ValueError, match="5 bytes"):
            verify(data, packed)
    with pytest.raises(ValueError, match="44 bytes each"):
        verify(b"abcde", packed[:-1])
    with pytest.raises(TypeError):
        verify("abcde", packed)


NODE = st.tuples(st.binary(min_size=32, max_size=32), st.integers(0, 2**32 - 1))


@settings(max_examples=200, deadline=None)
@given(st.lists(NODE, max_size=150), st.sampled_from([None, 0, 1]))
@example([(bytes(32), 0)] * 100, None)
@example([(bytes([255]) * 32, 2**32 - 1)] * 100, None)
def test_xet_tree_equals_reference(nodes: list[tuple[bytes, int]], last_word: int | None):
    """Any hashes and sizes, and all of them ending a group or none."""
    if last_word is not None:
        nodes = [(value[:24] + bytes([last_word]) + value[25:], size) for value, size in nodes]
    packed = b"".join(struct.pack("<32sQI", value, 0, size) for value, size in nodes)
    assert digests.xet_xorb_hash(packed) == reference.xorb_hash(packed)
    assert digests.xet_file_hash(packed) == reference.file_hash(packed)


def test_xet_tree_of_no_whole_record():
    for function in (digests.xet_file_hash, digests.xet_xorb_hash):
        with pytest.raises(ValueError, match="44 bytes each"):
            function(bytes(43))


@given(st.binary(min_size=32, max_size=32))
def test_xet_hex_round_trip(value: bytes):
    text = digests.xet_hex(value)
    assert text == reference.xet_hex(value)
    assert digests.parse_xet_hex(text) == digests.parse_xet_hex(text.upper()) == value


@pytest.mark.parametrize(
    "text", ["", "0" * 63, "0" * 65, "g" * 64, " " + "0" * 62 + " ", "0" * 62 + "+1", "٠" * 64]
)
def test_what_is_no_xet_hex(text: str):
    with pytest.raises(ValueError):
        digests.parse_xet_hex(text)


def test_wrong_lengths_of_hashes_and_keys():
    for size in (0, 31, 33):
        with pytest.raises(ValueError, match="32 bytes"):
            digests.xet_hex(bytes(size))
        with pytest.raises(ValueError, match="32 bytes"):
            digests.blake3_keyed(bytes(size), b"data")
        with pytest.raises(ValueError, match="32 bytes"):
            digests.fold(bytes(size), [], [])


MEMBERS = st.lists(st.binary(max_size=3000), max_size=150)


@settings(max_examples=60, deadline=None)
@given(st.binary(min_size=32, max_size=32), MEMBERS, MEMBERS)
@example(b"\xff" * 32, [b"x"], [])
@example(bytes(32), [], [b"x"])
@example(bytes(32), [NOISE[:200_000], b"", NOISE[:1025]], [NOISE[:131_073]])
def test_fold_equals_reference(state: bytes, add: list[bytes], remove: list[bytes]):
    want = reference.fold(state, add, remove)
    for level in LEVELS:
        with at_level(level):
            assert digests.fold(state, add, remove) == want
    assert digests.fold(want, tuple(remove), tuple(add)) == state


@pytest.mark.parametrize("carry", range(4))
def test_fold_carries_over_every_word(carry: int):
    """States just below and at a word's edge, where a lost carry or a lost borrow shows."""
    for state in (2 ** (64 * (carry + 1)) - 1, 2 ** (64 * carry), 0):
        raw = state.to_bytes(32, "little")
        for add, remove in (([b"member"], []), ([], [b"member"])):
            assert digests.fold(raw, add, remove) == reference.fold(raw, add, remove)


def test_fold_takes_bytes_only():
    for wrong in (["text"], [bytearray(b"x")], [None], 7):
        with pytest.raises(TypeError):
            digests.fold(bytes(32), wrong, [])
        with pytest.raises(TypeError):
            digests.fold(bytes(32), [], wrong)
    with pytest.raises(TypeError):
        digests.fold(bytearray(32), [], [])  # type: ignore[arg-type]


SEEDS = st.integers(0, 2**64 - 1)


@given(SEEDS, st.binary(max_size=600), st.binary(max_size=4000))
@example(0, b"", b"")
@example(2**64 - 1, b"k" * 48, b"b" * 2000)
@example(1, b"k" * 48, b"b" * 2001)
def test_seal_equals_reference(seed: int, key: bytes, body: bytes):
    stored = digests.seal(seed, key, body)
    assert stored == reference.seal(seed, key, body)
    assert digests.unseal(seed, key, stored) == body
    assert digests.unseal(seed, memoryview(key), bytearray(stored)) == body


@given(SEEDS, st.binary(max_size=40), st.binary(max_size=300), st.data())
def test_unseal_sees_every_flipped_bit(seed: int, key: bytes, body: bytes, data: st.DataObject):
    stored = bytearray(digests.seal(seed, key, body))
    bit = data.draw(st.integers(0, 8 * len(stored) - 1))
    stored[bit // 8] ^= 1 << bit % 8
    with pytest.raises(ValueError, match="differs"):
        digests.unseal(seed, key, stored)


def test_unseal_refuses_another_key_seed_and_short_values():
    stored = digests.seal(7, b"key", b"body")
    for seed, key in ((8, b"key"), (7, b"kez"), (7, b"keyb")):
        with pytest.raises(ValueError, match="differs"):
            digests.unseal(seed, key, stored)
    for size in range(8):
        with pytest.raises(ValueError, match="8 bytes or more"):
            digests.unseal(7, b"key", stored[:size])


def test_seeds_and_types_of_seal():
    for seed in (-1, 2**64):
        with pytest.raises(OverflowError):
            digests.seal(seed, b"", b"")
        with pytest.raises(OverflowError):
            digests.unseal(seed, b"", bytes(8))
        with pytest.raises(OverflowError):
            digests.xxh3_64(b"", seed)
    for key, body in ((b"", "text"), ("text", b""), (bytearray(), b""), (b"", None)):
        with pytest.raises(TypeError):
            digests.seal(0, key, body)
    with pytest.raises(TypeError):
        digests.unseal(0, b"", "text")  # type: ignore[arg-type]


@pytest.mark.parametrize("module", [digests, ingest])
def test_only_levels_of_this_processor_can_be_forced(module: ModuleType):
    for level in (-1, LEVELS[-1] + 1):
        with pytest.raises(ValueError, match="level"):
            module._force_level(level)
