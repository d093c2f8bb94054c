"""The ingest pass against plain Python, at every instruction-set level and however the bytes arrive."""

import pickle
import struct
import threading
from itertools import accumulate

import pytest
import reference
from hypothesis import example, given, settings
from hypothesis import strategies as st
from kernel_levels import LEVELS, at_level

from runstone._native import digests
from runstone._native.ingest import CHUNK_RECORD, Ingest, chunk_lengths

STEPS = [1, 63, 64, 65, 700, 4096, 40_000, 131_072, 400_000]
RUN = st.tuples(st.sampled_from(["random", "same", "period"]), st.integers(0, 2**32), st.integers(0, 180_000))


def build(runs: list[tuple[str, int, int]]) -> bytes:
    """Bytes of a few runs: noise, one byte again and again, or a short pattern that may hit often."""
    parts = []
    for kind, seed, size in runs:
        pattern = {"random": size, "same": 1, "period": 80 + seed % 50}[kind]
        piece = reference.split_mix(seed, pattern)
        parts.append((piece * (size // max(1, len(piece)) + 1))[:size])
    return b"".join(parts)


def ingest(data: bytes, steps: list[int], *, md5: bool = True) -> tuple[bytes, Ingest]:
    """Feed `data` in pieces of the sizes of `steps`, again and again."""
    target, packed, at, turn = Ingest(md5=md5), b"", 0, 0
    while at < len(data):
        step = steps[turn % len(steps)]
        packed += target.update(data[at : at + step])
        at, turn = at + step, turn + 1
        assert target.size == min(at, len(data))
    last = target.finish()
    assert len(last) in (0, CHUNK_RECORD)
    return packed + last, target


def trigger() -> bytes:
    """64 bytes after which the gear hash has its top 16 bits clear, whatever came before."""
    noise, table, gear = reference.split_mix(5, 400_000), reference.gear_table(), 0
    for index, byte in enumerate(noise):
        gear = (gear * 2 + table[byte]) & reference.MASK64
        if index >= 64 and not gear & reference.GEAR_MASK:
            return noise[index - 63 : index + 1]
    raise AssertionError("no trigger in the noise")


def test_record_layout():
    data = reference.split_mix(9, 300_000)
    packed, _ = ingest(data, [len(data)])
    for (blake3, xxh3, length), chunk in zip(
        struct.iter_unpack("<32sQI", packed), reference.chunks(data), strict=True
    ):
        assert length == len(chunk)
        assert blake3 == digests.chunk_hash(chunk)
        assert xxh3 == digests.xxh3_64(chunk)


@settings(max_examples=40, deadline=None)
@given(st.lists(RUN, max_size=4), st.lists(st.sampled_from(STEPS), min_size=1, max_size=4))
@example([], [1])
@example([("random", 1, 180_000), ("same", 59, 180_000)], [65, 131_072])
@example([("random", 2, 150_000)], [131_071])
def test_pass_equals_reference(runs: list[tuple[str, int, int]], steps: list[int]):
    data = build(runs)
    if min(steps) < 64:
        data = data[: 40_000 * len(steps)]
    want = reference.records(data)
    for level in LEVELS:
        with at_level(level):
            packed, done = ingest(data, steps)
            assert packed == want
            assert done.sha256() == reference.sha256(data)
            assert done.md5() == reference.md5(data)
            assert done.xet_hash() == reference.file_hash(want)
            assert chunk_lengths(data) == [len(chunk) for chunk in reference.chunks(data)]


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize(
    "end", [8128, 8191, 8192, 8193, 8255, 8256, 131_008, 131_071, 131_072, 131_073, 139_264]
)
def test_cut_at_the_edges_of_the_rule(level: int, end: int):
    """A place where the hash allows a cut, just before, at and after the least and the greatest length."""
    pattern = trigger()
    data = bytes(end - len(pattern)) + pattern + bytes(20_000)
    want = reference.records(data)
    assert (end in accumulate(chunk_lengths(data))) == (8192 <= end <= 131_072 or end >= 131_072 + 8192)
    with at_level(level):
        for steps in ([len(data)], [end], [end - 1], [end + 1, 64], [4096], [end - 40, 17]):
            assert ingest(data, steps)[0] == want


@pytest.mark.parametrize("level", LEVELS)
def test_shortest_chunk_from_every_place_in_a_block(level: int):
    """The pass works in blocks of 64 bytes; a chunk may start anywhere in one and end as early as it may."""
    pattern = trigger()
    shortest = bytes(8192 - len(pattern)) + pattern
    with at_level(level):
        for offset in range(64):
            data = bytes(offset) + shortest + shortest + bytes(100)
            lengths = [length for *_, length in struct.iter_unpack("<32sQI", ingest(data, [len(data)])[0])]
            assert lengths == [8192 + offset, 8192, 100]
            assert ingest(data, [8192 + offset, 5000])[0] == reference.records(data)


@pytest.mark.parametrize("level", LEVELS)
def test_hits_everywhere(level: int):
    """The worst data: a place to cut in almost every block, so that each chunk is as short as it may be."""
    data = (trigger() * 8000)[:400_000]
    want = reference.records(data)
    assert len(want) // CHUNK_RECORD > 45
    with at_level(level):
        for steps in ([len(data)], [4095], [64], [100_000, 3]):
            assert ingest(data, steps)[0] == want


def test_chunk_is_reported_with_its_last_byte():
    """A chunk may end inside a block of SHA-256, which must then not be lost with the chunk's bytes."""
    data = reference.split_mix(0, 200_000)
    ends = list(accumulate(chunk_lengths(data)))[:-1]
    assert any(end % 64 for end in ends)
    target = Ingest(md5=True)
    for before, end in zip([0, *ends], ends, strict=False):
        assert target.update(data[before : end - 1]) == b""
        assert len(target.update(data[end - 1 : end])) == CHUNK_RECORD
    target.update(data[ends[-1] :])
    target.finish()
    assert target.sha256() == reference.sha256(data)
    assert target.md5() == reference.md5(data)


def test_many_chunks_in_one_update():
    data = reference.split_mix(3, 6_000_000)
    whole, _ = ingest(data, [len(data)])
    pieces, _ = ingest(data, [100_003])
    assert whole == pieces
    assert sum(length for *_, length in struct.iter_unpack("<32sQI", whole)) == len(data)
    assert digests.verify_chunks(data, whole) == -1


def test_takes_any_buffer():
    data = reference.split_mix(4, 50_000)
    want, _ = ingest(data, [len(data)])
    for view in (bytearray(data), memoryview(data), memoryview(b"." + data + b".")[1:-1]):
        target = Ingest()
        assert target.update(view) + target.finish() == want


def test_copy_goes_its_own_way():
    data = reference.split_mix(6, 300_000)
    first = Ingest(md5=True)
    packed = first.update(data[:150_001])
    second = first.copy()
    first_rest = first.update(data[150_001:]) + first.finish()
    second_rest = second.update(b"other") + second.finish()
    assert packed + first_rest == reference.records(data)
    assert packed + second_rest == reference.records(data[:150_001] + b"other")
    assert second.md5() == reference.md5(data[:150_001] + b"other")
    assert first.copy().sha256() == first.sha256() == reference.sha256(data)
    assert first.copy().xet_hash() == reference.file_hash(packed + first_rest)


def test_is_not_pickled():
    with pytest.raises(TypeError):
        pickle.dumps(Ingest())


def test_md5_only_on_request():
    target = Ingest()
    target.finish()
    assert target.md5() is None


def test_use_out_of_turn():
    target = Ingest()
    for early in (target.sha256, target.md5, target.xet_hash):
        with pytest.raises(ValueError, match="not finished"):
            early()
    target.finish()
    with pytest.raises(ValueError, match="is finished"):
        target.update(b"")
    with pytest.raises(ValueError, match="is finished"):
        target.finish()


def test_wrong_types():
    target = Ingest()
    for wrong in ("text", 7, None):
        with pytest.raises(TypeError):
            target.update(wrong)  # type: ignore[arg-type]
    with pytest.raises(BufferError):
        target.update(memoryview(b"abcdef")[::2])
    with pytest.raises(TypeError):
        Ingest(True)  # type: ignore[call-arg,misc]
    assert target.update(b"still good") == b""


def test_update_leaves_the_gil_and_refuses_a_second_thread():
    """Only if the worker runs without the GIL can this thread meet it inside `update`."""
    data, target, refused = bytes(16 << 20), Ingest(), 0

    def work() -> None:
        while target.size < len(data):
            try:
                target.update(data)
            except ValueError:
                continue

    for _ in range(50):
        target = Ingest()
        worker = threading.Thread(target=work)
        worker.start()
        while worker.is_alive():
            try:
                target.update(b"")
            except ValueError as error:
                assert "another thread" in str(error)
                refused += 1
        worker.join()
        assert target.finish() == b""
        assert target.sha256() == digests.sha256(data)
        if refused:
            break
    assert refused
