"""Xet hashes as the real hf_xet makes them: pinned, and asked of it live."""

from itertools import accumulate
from pathlib import Path

import hf_xet
import pytest
import reference
from kernel_levels import LEVELS, at_level

from runstone._native import digests
from runstone._native.ingest import Ingest, chunk_lengths

TEXT = b"".join(b"%d bottles of beer on the wall\n" % count for count in range(20_000))

# Made with hf_xet 1.8.0, hf_xet.hash_files. Bytes on disk depend on these: they never change.
GOLDEN = {
    "0000000000000000000000000000000000000000000000000000000000000000": b"",
    "49a7fffaf5f34109d4a191757f3e541e26437dcd1e0e83153454a503757856be": b"a",
    "c9972474e2169b770d0595da498b63ce4ceb28b565bd5395121b648c0c0c8d6a": reference.split_mix(1, 8191),
    "092549df2ade2842aaf826348895bc281d6ea61507857a40659ffa139d1e60ae": reference.split_mix(1, 8192),
    "dae9a611062da0b461aab85e2a61d4bd646262421a028bfa0bf66de682a376aa": reference.split_mix(1, 8193),
    "3595fc9338a290b4fa03b4d550d5b3662bacc137f71b4d3605042f78da64ce83": reference.split_mix(2, 65536),
    "bec57496a2d05fd35006f8d7be62370bfe62b40edded8b41265160df2f993f37": reference.split_mix(3, 131072),
    "3d17b2d7d64a0e011b6717a52d9a16bd2c3f05b743fa8adf52a7d75dafab6d89": reference.split_mix(0, 10**6),
    "53f845640fcd1c7440befff65bd93434c83a30c6559a705597d61f2ef64e2f88": bytes([59]) * 10**6,
    "1b059fe434dc947abd864dc448986eab08fdc7382c3bf9d15db0ef8090a29d4a": TEXT,
}


def xet_hex(data: bytes) -> str:
    target = Ingest()
    target.update(data)
    target.finish()
    return digests.xet_hex(target.xet_hash())


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("want", GOLDEN)
def test_pinned_hashes(want: str, level: int):
    with at_level(level):
        assert xet_hex(GOLDEN[want]) == want


def test_pinned_boundaries():
    """The ends that xet-core has for the same data: chunking.rs, test_correctness_1mb_random_data."""
    ends = list(accumulate(chunk_lengths(reference.split_mix(0, 10**6))))
    assert ends[:10] == [84493, 134421, 144853, 243318, 271793, 336457, 467529, 494581, 582000, 596735]
    assert ends[10:] == [616815, 653164, 678202, 724510, 815591, 827760, 958832, 991092, 1000000]


def test_hashes_asked_of_hf_xet(tmp_path: Path):
    noise = reference.split_mix(2024, 5 << 20)
    cases = [noise[:size] for size in (0, 1, 8191, 8192, 8193, 64 << 10, 128 << 10, 1 << 20, 5 << 20)]
    cases += [bytes(5 << 20), TEXT * 8, noise[: 3 << 20] + bytes(1 << 20) + noise[: 1 << 20]]
    paths = [str(tmp_path / str(number)) for number in range(len(cases))]
    for path, data in zip(paths, cases, strict=True):
        Path(path).write_bytes(data)
    for data, info in zip(cases, hf_xet.hash_files(paths), strict=True):
        assert info.file_size == len(data)
        assert xet_hex(data) == info.hash
