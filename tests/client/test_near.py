"""Fetches from a server on the same machine: its packs are read, under a lock and verified, and nothing crosses the wire."""

import random
from itertools import pairwise
from pathlib import Path

import httpx2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from runstone.client import near
from runstone.client.fetch import fetch

SIZE = 9 << 20


@pytest.fixture(scope="module")
def versions(remote, tmp_path_factory):
    """``local/demo/near``: a model, the same with bytes changed in two places, and one more that shares a half with it."""
    noise = random.Random(12)
    first = noise.randbytes(SIZE)
    second = bytearray(first)
    for at in (1 << 20, 5 << 20):
        second[at : at + 4096] = noise.randbytes(4096)
    third = noise.randbytes(1234) + first[: SIZE // 2]
    found = []
    for data in (first, bytes(second), third):
        folder = tmp_path_factory.mktemp("near")
        (folder / "model.bin").write_bytes(data)
        (folder / "empty").write_bytes(b"")
        (folder / "small.json").write_bytes(b"{}")
        remote.put("demo/near", folder)
        found.append(data)
    return found


def sent(server) -> int:
    lines = httpx2.get(f"{server.url}/metrics").text.splitlines()
    return sum(int(float(line.split()[-1])) for line in lines if line.startswith("runstone_sent_bytes"))


@pytest.mark.parametrize("version", [1, 2, 3])
def test_nothing_is_sent(server, versions, cache, tmp_path, version):
    before = sent(server)
    found = fetch(f"local/demo/near@v{version}", tmp_path / "to", url=server.url, cache=cache, link="copy")
    assert (tmp_path / "to" / "model.bin").read_bytes() == versions[version - 1]
    assert (tmp_path / "to" / "small.json").read_bytes() == b"{}"
    assert (tmp_path / "to" / "empty").read_bytes() == b""
    assert (found.bytes_fetched, found.bytes_reused) == (0, len(versions[version - 1]) + 2)
    assert sent(server) - before < 1 << 20  # plans, and these figures
    descriptors = Path("/proc/self/fd").iterdir()
    assert not any(each.readlink().suffix == ".pack" for each in descriptors if each.is_symlink())


def test_what_is_not_what_the_plan_says_is_asked_for(server, versions, cache, tmp_path, monkeypatch):
    """Bytes at another place than the server says: none verifies, and all of them are sent."""
    hold = near.hold

    def elsewhere(file):
        held = hold(file)
        assert held is not None
        return tuple(piece._replace(offset=piece.offset + 1) for piece in held)

    monkeypatch.setattr(near, "hold", elsewhere)
    found = fetch("local/demo/near@v2", tmp_path / "to", url=server.url, cache=cache)
    assert (tmp_path / "to" / "model.bin").read_bytes() == versions[1]
    assert found.bytes_fetched >= SIZE


def test_pieces_that_cannot_be_held_are_sent(server, versions, cache, tmp_path, monkeypatch):
    monkeypatch.setattr(near, "MAX_PIECES", 2)
    found = fetch("local/demo/near@v2", tmp_path / "to", url=server.url, cache=cache)
    assert (tmp_path / "to" / "model.bin").read_bytes() == versions[1]
    assert found.bytes_fetched >= SIZE


@given(st.data())
def test_chunks_are_found_in_the_pieces_that_hold_them_whole(data):
    lengths = data.draw(st.lists(st.integers(1, 9), min_size=1, max_size=30))
    offsets = [sum(lengths[:n]) for n in range(len(lengths) + 1)]
    cuts = sorted(data.draw(st.sets(st.integers(1, max(offsets[-1] - 1, 1)), max_size=6)))
    edges = [0, *cuts, offsets[-1]]
    pieces = [
        near.Piece(start, 0, 0, stop - start) for start, stop in pairwise(edges) if data.draw(st.booleans())
    ]
    bounds = sorted(data.draw(st.sets(st.integers(0, len(lengths)), max_size=8)))
    runs = list(zip(bounds[::2], bounds[1::2], strict=False))
    found, lacking = near.in_pieces(pieces, offsets, runs)
    held = {chunk: piece for piece, start, stop in found for chunk in range(start, stop)}
    for start, stop in runs:
        for chunk in range(start, stop):
            whole = [
                piece
                for piece in pieces
                if piece.start <= offsets[chunk] and offsets[chunk + 1] <= piece.start + piece.length
            ]
            assert [held[chunk]] == whole if chunk in held else not whole
    told = [chunk for start, stop in lacking for chunk in range(start, stop)] + list(held)
    assert sorted(told) == [chunk for start, stop in runs for chunk in range(start, stop)]
