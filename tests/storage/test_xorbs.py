"""Xorbs in the store: what files are made of them, what a collection leaves, and what is forgotten."""

from __future__ import annotations

import hashlib
import sys
from pathlib import Path

import pytest
from blobkit import Clock, noise, open_blobs, refer, sha

from runstone._native.digests import xet_file_hash, xet_xorb_hash
from runstone._native.ingest import Ingest
from runstone.errors import DigestMismatch, Invalid, Missing, TooLarge
from runstone.storage import xetnames
from runstone.storage.tables import XET_NAMES, XORBS

sys.path.append(str(Path(__file__).parents[1] / "native"))

import reference_frames as plain

DAY = 24 * 3600


def records_of(data: bytes) -> bytes:
    kernel = Ingest()
    return kernel.update(data) + kernel.finish()


def framed(data: bytes) -> bytes:
    out, at, records = b"", 0, records_of(data)
    for number in range(0, len(records), 44):
        length = int.from_bytes(records[number + 40 : number + 44], "little")
        out += plain.frame(data[at : at + length])
        at += length
    return out


def take(blobs, data: bytes, owner: str = "ann", digest: bytes | None = None, piece: int = 100_000) -> bytes:
    digest = xet_xorb_hash(records_of(data)) if digest is None else digest
    intake = blobs.xorbs.begin(0, owner, digest)
    try:
        body = framed(data)
        for at in range(0, len(body), piece):
            intake.take(body[at : at + piece])
        intake.finish()
    except BaseException:
        intake.abort()
        raise
    return digest


def form(blobs, records: bytes, sha256: bytes = b""):
    return blobs.xorbs.form(0, "ann", xet_file_hash(records), records, sha256, lambda count: None)


def test_a_file_of_two_xorbs_stores_nothing_twice(tmp_path):
    with open_blobs(tmp_path) as blobs:
        data = noise(6_000_000, 1)
        records = records_of(data)
        cut = sum(int.from_bytes(records[at + 40 : at + 44], "little") for at in range(0, 44 * 40, 44))
        take(blobs, data[:cut])
        take(blobs, data[cut:])
        size = sum(path.stat().st_size for path in tmp_path.rglob("*.pack"))
        info = form(blobs, records, sha(data))
        assert (info.sha256, info.size, blobs.read(0, info.sha256)) == (sha(data), len(data), data)
        assert sum(path.stat().st_size for path in tmp_path.rglob("*.pack")) - size < 1_000_000
        with blobs.index.read() as view:
            assert xetnames.has(view, 0, info.xet, info.sha256)
        assert form(blobs, records, sha(data)) == info


def test_a_collection_keeps_what_files_are_made_of_and_forgets_the_rest(tmp_path):
    clock = Clock()
    with open_blobs(tmp_path, clock=clock) as blobs:
        kept, dropped = noise(2_000_000, 2), noise(2_000_000, 3)
        xorb = take(blobs, kept)
        take(blobs, dropped)
        blobs.xorbs.note_blob(0, [xorb], form(blobs, records_of(kept), sha(kept)).sha256)
        refer(blobs, kept)
        assert blobs.xorbs.generation() == 0
        for _ in range(3):
            clock.turn(DAY + 1)
            blobs.collect(grace_seconds=0)
        assert blobs.xorbs.generation() == 1
        with blobs.index.read() as view:
            assert [key for key, _ in view.scan(XORBS)] == [(0, xorb)]
            assert {key[2] for key, _ in view.scan(XET_NAMES)} == {sha(kept)}
        assert blobs.read(0, sha(kept)) == kept
        blocks = sum(path.stat().st_blocks for path in tmp_path.rglob("*.pack")) * 512
        assert blocks < 2_300_000
        with pytest.raises(Missing, match="repeat the upload"):
            form(blobs, records_of(dropped), sha(dropped))
        assert form(blobs, records_of(kept), sha(kept)).size == len(kept)


def test_an_intake_that_is_given_up_leaves_nothing(tmp_path):
    with open_blobs(tmp_path) as blobs:
        data = noise(9_000_000, 4)
        for wrong in (bytes(32), xet_file_hash(records_of(data))):
            with pytest.raises(DigestMismatch):
                take(blobs, data, digest=wrong)
        intake = blobs.xorbs.begin(0, "ann", bytes(32))
        intake.take(framed(data)[:5_000_001])
        with pytest.raises(Invalid, match="ends inside a frame"):
            intake.finish()
        intake.abort()
        with blobs.index.read() as view:
            assert not list(view.scan(XORBS))
        assert sum(path.stat().st_size for path in tmp_path.rglob("*.pack")) == 0
        intake = blobs.xorbs.begin(0, "ann", bytes(32))
        with pytest.raises(TooLarge):
            for _ in range(2000):
                intake.take(plain.frame(bytes(128 << 10)) * 8)
        intake.abort()


def test_chunks_that_somebody_cut_otherwise_give_way_to_those_that_are_cut_here(tmp_path):
    """Whoever knows somebody's bytes cannot spoil the way that they are stored."""
    with open_blobs(tmp_path) as blobs:
        data = noise(3_000_000, 5)
        odd = [data[at : at + 1000] for at in range(0, len(data), 1000)]
        body = b"".join(plain.frame(piece) for piece in odd)
        from runstone._native.frames import unframe

        digest = xet_xorb_hash(unframe(body, 1 << 30)[1])
        intake = blobs.xorbs.begin(0, "eve", digest)
        intake.take(body)
        intake.finish()
        with pytest.raises(DigestMismatch, match="not cut"):
            form(blobs, unframe(body, 1 << 30)[1], hashlib.sha256(data).digest())
        stored = blobs.put(0, "ann", data)
        assert stored.xet == xet_file_hash(records_of(data))
        assert blobs.chunks(0, stored.sha256).records == records_of(data)
        assert blobs.read(0, stored.sha256) == data
