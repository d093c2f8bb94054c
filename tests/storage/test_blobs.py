import hashlib
import multiprocessing
import os
import random
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from blobkit import (
    MIB,
    Clock,
    extents_of,
    let_go,
    noise,
    open_blobs,
    pack_paths,
    parts_of,
    refer,
    require_sound,
    send,
    sha,
    stored_bytes,
)

from runstone._native.digests import verify_chunks
from runstone.errors import Conflict, Corrupt, DigestMismatch, Missing, RangeUnsatisfiable
from runstone.storage.backends.packs import LocalPacks
from runstone.storage.parts import lengths
from runstone.storage.tables import BLOB_PARTS, CHUNKS, PINS, UPLOADS

SIZES = [0, 1, 15, 16, 4096, 8191, 65_535, 65_536, 131_073, 1_000_003, 9 * MIB + 5]


@pytest.fixture
def blobs(tmp_path):
    with open_blobs(tmp_path) as opened:
        yield opened


@pytest.mark.parametrize("size", SIZES)
def test_bytes_come_back_whole_and_in_any_range(blobs, size):
    data = noise(size, size)
    info = blobs.put(0, "me", data)
    assert (info.sha256, info.size) == (sha(data), size)
    assert blobs.stat(0, sha(data)) == info
    assert blobs.read(0, sha(data)) == data
    mapped = blobs.map(0, sha(data))
    assert mapped is not None and mapped == data
    dice = random.Random(size)
    for _ in range(20):
        start = dice.randint(0, size)
        stop = dice.randint(start, size)
        assert blobs.read(0, sha(data), start, stop) == data[start:stop]
    require_sound(blobs)


def test_a_blob_survives_reopening(tmp_path):
    data = noise(3 * MIB)
    with open_blobs(tmp_path) as blobs:
        blobs.put(0, "me", data)
    with open_blobs(tmp_path) as blobs:
        assert blobs.read(0, sha(data)) == data
        assert blobs.put(0, "me", noise(MIB, 1)).size == MIB
        assert len(pack_paths(tmp_path)) == 1, "the pack is gone on with"


def test_ranges_outside_a_blob_are_refused(blobs):
    blobs.put(0, "me", b"0123456789")
    for start, stop in ((0, 11), (-1, 3), (5, 4), (11, 11)):
        with pytest.raises(RangeUnsatisfiable):
            blobs.read(0, sha(b"0123456789"), start, stop)


def test_an_unknown_blob_is_missing(blobs):
    for call in (blobs.stat, blobs.read, blobs.map, blobs.chunks, blobs.open):
        with pytest.raises(Missing):
            call(0, bytes(32))


def test_a_second_copy_stores_nothing(blobs, tmp_path):
    data = noise(4 * MIB)
    blobs.put(0, "me", data)
    before = stored_bytes(tmp_path), [path.stat().st_size for path in pack_paths(tmp_path)]
    assert before[0] >= len(data)
    blobs.put(0, "you", data)
    assert (stored_bytes(tmp_path), [path.stat().st_size for path in pack_paths(tmp_path)]) == before


def test_a_change_of_one_percent_stores_about_one_percent(blobs, tmp_path):
    data = bytearray(noise(32 * MIB))
    blobs.put(0, "me", bytes(data))
    before = sum(path.stat().st_size for path in pack_paths(tmp_path))
    at = 10 * MIB + 17
    data[at : at + len(data) // 100] = noise(len(data) // 100, 5)
    blobs.put(0, "me", bytes(data))
    stored = sum(path.stat().st_size for path in pack_paths(tmp_path)) - before
    assert len(data) // 100 <= stored <= len(data) // 100 + 4 * 128 * 1024
    assert blobs.read(0, sha(bytes(data))) == data
    assert len(extents_of(blobs, bytes(data))) == 3
    require_sound(blobs)


def test_bytes_put_in_before_the_rest_move_no_chunk_far(blobs, tmp_path):
    data = noise(8 * MIB)
    blobs.put(0, "me", data)
    before = sum(path.stat().st_size for path in pack_paths(tmp_path))
    blobs.put(0, "me", b"a new header" + data)
    assert sum(path.stat().st_size for path in pack_paths(tmp_path)) - before <= 3 * 128 * 1024


def test_repetitions_within_a_blob_are_stored_once(blobs, tmp_path):
    data = bytes(20 * MIB)
    blobs.put(0, "me", data)
    assert sum(path.stat().st_size for path in pack_paths(tmp_path)) <= 256 * 1024
    assert blobs.read(0, sha(data)) == data


def test_residency_domains_share_nothing(blobs, tmp_path):
    data = noise(MIB)
    blobs.put(1, "me", data)
    with pytest.raises(Missing):
        blobs.stat(2, sha(data))
    blobs.put(2, "me", data)
    assert stored_bytes(tmp_path) >= 2 * MIB
    assert extents_of(blobs, data, 1)[0][0] != extents_of(blobs, data, 2)[0][0]


def test_new_bytes_of_a_blob_are_one_extent_aligned_for_mapping(blobs):
    for size, step in ((70_000, 4096), (3 * MIB, 4096), (65_536, 4096), (100, 16), (65_535, 16), (33, 16)):
        data = noise(size, size)
        blobs.put(0, "me", data)
        (extent,) = extents_of(blobs, data)
        assert extent[1] % step == 0


def test_small_blobs_lie_back_to_back(blobs, tmp_path):
    files = []
    for n in range(200):
        files.append(tmp_path / f"f{n}")
        files[-1].write_bytes(noise(100, n))
    blobs.put_many(0, "me", files)
    (pack,) = pack_paths(tmp_path)
    assert pack.stat().st_size <= 200 * 112


def test_a_mapping_costs_no_copy_and_outlives_the_reader(blobs):
    data = noise(5 * MIB)
    blobs.put(0, "me", data)
    mapped = blobs.map(0, sha(data), 4096, 8192)
    assert mapped == data[4096:8192] and mapped.readonly
    assert type(mapped.obj).__name__ == "mmap"
    assert blobs.held.holds(sha(data))
    part = mapped[10:20]
    del mapped
    assert blobs.held.holds(sha(data)), "a slice keeps it"
    assert part == data[4106:4116]
    del part
    assert not blobs.held.holds(sha(data))


def test_a_blob_in_several_places_is_not_mapped(blobs):
    data = noise(4 * MIB)
    blobs.put(0, "me", data)
    changed = data[: 2 * MIB] + b"!" + data[2 * MIB :]
    blobs.put(0, "me", changed)
    assert blobs.map(0, sha(changed)) is None
    assert blobs.read(0, sha(changed)) == changed


def test_segments_are_where_the_bytes_are(blobs):
    data = noise(6 * MIB)
    blobs.put(0, "me", data)
    changed = noise(70_000, 3) + data[:MIB] + noise(70_000, 4) + data[MIB:]
    blobs.put(0, "me", changed)
    with blobs.open(0, sha(changed)) as reader:
        handles = set()
        for start in range(0, len(changed), 500_001):
            stop = min(len(changed), start + 500_001)
            segments = reader.segments(start, stop)
            handles |= {segment.handle for segment in segments}
            assert (
                b"".join(os.pread(fd, length, offset) for fd, offset, length in segments)
                == changed[start:stop]
            )
        assert len(reader.segments()) > 2
    assert len(handles) == 1


def test_descriptors_are_bounded_and_never_closed_under_a_reader(blobs, tmp_path):
    blobs.packs._capacity = 2
    contents = [noise(100_000, n) for n in range(8)]
    for domain, data in enumerate(contents):
        blobs.put(domain, "me", data)
    readers = [blobs.open(domain, sha(data)) for domain, data in enumerate(contents)]
    segments = [reader.segments()[0] for reader in readers]
    for (fd, offset, length), data in zip(segments, contents, strict=True):
        assert os.pread(fd, length, offset) == data
    for reader in readers:
        reader.close()
        reader.close()
    for domain, data in enumerate(contents):
        assert blobs.read(domain, sha(data)) == data
    assert len(blobs.packs._open) <= 2
    handles = {held.handle for held in blobs.packs._open.values()}
    for fd in {segment.handle for segment in segments} - handles:
        with pytest.raises(OSError):
            os.fstat(fd)


def test_chunk_records_describe_the_bytes(blobs):
    data = noise(80 * MIB)
    blobs.put(0, "me", data)
    assert len(parts_of(blobs, data)) > 1, "the range crosses parts"
    whole = blobs.chunks(0, sha(data))
    assert whole.offset == 0 and sum(lengths(whole.records)) == len(data)
    assert verify_chunks(data, whole.records) == -1
    first, records = blobs.chunks(0, sha(data), 60 * MIB, 75 * MIB)
    size = sum(lengths(records))
    assert first <= 60 * MIB and first + size >= 75 * MIB and size < 15 * MIB + 2 * 128 * 1024
    assert verify_chunks(data[first : first + size], records) == -1
    assert blobs.read(0, sha(data), 60 * MIB - 3, 75 * MIB + 3) == data[60 * MIB - 3 : 75 * MIB + 3]


def test_md5_is_there_when_asked_for(blobs):
    data = noise(300_000)
    assert blobs.put(0, "me", data).md5 == b""
    assert blobs.put(0, "me", data, md5=True).md5 == hashlib.md5(data).digest()
    assert blobs.stat(0, sha(data)).md5 == hashlib.md5(data).digest()


def test_uploads_in_many_threads_each_get_one_extent(blobs):
    contents = [noise(6 * MIB + n, n) for n in range(8)]
    start = threading.Barrier(len(contents))

    def put(data):
        upload = blobs.begin(0, "me", len(data))
        start.wait()
        send(blobs, upload, data, piece=300_000)
        return blobs.finish(upload)

    with ThreadPoolExecutor(len(contents)) as threads:
        infos = list(threads.map(put, contents))
    for info, data in zip(infos, contents, strict=True):
        assert info.sha256 == sha(data)
        assert len(extents_of(blobs, data)) == 1
        assert blobs.read(0, sha(data)) == data
    require_sound(blobs)


def test_the_same_content_from_many_threads_is_one_blob(blobs, tmp_path):
    data = noise(5 * MIB)
    start = threading.Barrier(4)

    def put(_):
        upload = blobs.begin(0, "me")
        start.wait()
        send(blobs, upload, data)
        return blobs.finish(upload)

    with ThreadPoolExecutor(4) as threads:
        infos = set(threads.map(put, range(4)))
    assert len(infos) == 1
    assert blobs.read(0, sha(data)) == data
    assert stored_bytes(tmp_path) < 1.1 * len(data), "what the losers wrote was freed"
    require_sound(blobs)


def _put_from_another_process(directory, seeds, size):
    with open_blobs(directory) as blobs:
        for seed in seeds:
            blobs.put(0, "me", noise(size, seed))


def test_two_processes_store_into_one_directory(tmp_path):
    spawn = multiprocessing.get_context("spawn")
    seeds = [(1, 2, 3, 4, 5), (4, 5, 6, 7, 8)]
    with open_blobs(tmp_path) as blobs:
        workers = [
            spawn.Process(target=_put_from_another_process, args=(tmp_path, s, 2 * MIB)) for s in seeds
        ]
        for worker in workers:
            worker.start()
        for seed in range(20, 24):
            blobs.put(0, "me", noise(2 * MIB, seed))
        for worker in workers:
            worker.join()
            assert worker.exitcode == 0
        for seed in (*range(1, 9), *range(20, 24)):
            assert blobs.read(0, sha(noise(2 * MIB, seed))) == noise(2 * MIB, seed)
        require_sound(blobs)


class _Counting(LocalPacks):
    syncs = 0

    def sync(self, pack, handle, *, name):
        type(self).syncs += 1
        super().sync(pack, handle, name=name)


def test_many_files_are_stored_with_one_sync_and_one_transaction(tmp_path, monkeypatch):
    files, contents = [], [noise(size, size) for size in (0, 1, 5000, 3 * MIB, 70_000, 3 * MIB)]
    for n, data in enumerate(contents):
        files.append(tmp_path / f"f{n}")
        files[-1].write_bytes(data)
    monkeypatch.setattr(_Counting, "syncs", 0)
    seen = []
    with open_blobs(tmp_path / "data", backend=_Counting(tmp_path / "data" / "packs")) as blobs:
        before = blobs.index._env.info()["last_txnid"]
        infos = blobs.put_many(0, "me", files, seen.append)
        assert _Counting.syncs == 1
        assert blobs.index._env.info()["last_txnid"] - before == 2, "one to announce, one to store"
        assert [info.sha256 for info in infos] == [sha(data) for data in contents]
        assert sum(seen) == sum(map(len, contents))
        for data in contents:
            assert blobs.read(0, sha(data)) == data
            with blobs.index.read() as view:
                assert len(list(view.scan(PINS, 0, sha(data)))) == 1
        with blobs.index.read() as view:
            assert view.count(UPLOADS) == 0
        require_sound(blobs)


def test_a_batch_that_fails_keeps_nothing(blobs, tmp_path):
    good = tmp_path / "good"
    good.write_bytes(noise(3 * MIB))
    with pytest.raises(Missing):
        blobs.put_many(0, "me", [good, tmp_path / "absent"])
    with pytest.raises(Missing):
        blobs.stat(0, sha(noise(3 * MIB)))
    assert stored_bytes(tmp_path) == 0
    with blobs.index.read() as view:
        assert view.count(UPLOADS) == view.count(CHUNKS) == 0


def test_a_file_that_changes_while_it_is_read_is_refused(blobs, tmp_path):
    path = tmp_path / "growing"
    path.write_bytes(noise(9 * MIB))

    def grow(_):
        with path.open("ab") as file:
            file.write(b"more")

    with pytest.raises(Conflict, match="changed while it was read"):
        blobs.put_many(0, "me", [path], grow)
    assert stored_bytes(tmp_path) == 0


def test_a_file_over_the_batch_size_is_an_upload_of_its_own(blobs, tmp_path, monkeypatch):
    monkeypatch.setattr("runstone.storage.batches._LARGE_FILE", MIB)
    files = [tmp_path / "a", tmp_path / "b"]
    for n, path in enumerate(files):
        path.write_bytes(noise(3 * MIB * n + 10, n))
    infos = blobs.put_many(0, "me", files)
    assert [info.size for info in infos] == [10, 3 * MIB + 10]
    assert blobs.read(0, infos[1].sha256) == noise(3 * MIB + 10, 1)


def test_a_batch_is_stored_in_bounded_transactions(blobs, tmp_path, monkeypatch):
    monkeypatch.setattr("runstone.storage.batches._MAX_FILES", 3)
    files = []
    for n in range(8):
        files.append(tmp_path / f"f{n}")
        files[-1].write_bytes(noise(200_000, n % 5))
    infos = blobs.put_many(0, "me", files)
    assert [info.sha256 for info in infos] == [sha(noise(200_000, n % 5)) for n in range(8)]
    require_sound(blobs)


def test_a_batch_shares_nothing_with_bytes_it_did_not_need(tmp_path, monkeypatch):
    """A blob that is here already, though its chunks are not indexed, is stored twice and once of it freed."""
    monkeypatch.setattr("runstone.storage.batches._MAX_FILES", 2)
    first, clock = noise(3 * MIB, 1), Clock()
    contents = [first, noise(MIB, 2), first + noise(4 * MIB, 3)]
    files = [tmp_path / f"f{n}" for n in range(3)]
    for path, data in zip(files, contents, strict=True):
        path.write_bytes(data)
    with open_blobs(tmp_path / "data", clock=clock) as blobs:
        blobs.put(0, "me", first)
        clock.turn(3 * 24 * 3600)
        assert blobs.collect(grace_seconds=3600).marked == 1
        freed, sizes = [], []

        def progress(size):
            sizes.append(size)
            if len(sizes) == 3:
                freed.append(blobs.collect(grace_seconds=3600).bytes_freed)

        blobs.put_many(0, "me", files, progress)
        assert freed[0] > 2 * MIB
        for data in contents:
            assert blobs.read(0, sha(data)) == data
        require_sound(blobs)


def test_the_guard_names_what_is_absent(blobs):
    data = noise(100_000)
    blobs.put(0, "me", data)
    refer(blobs, data)
    for absent in (noise(100_000, 1), noise(5, 2)):
        with pytest.raises(Missing) as caught:
            refer(blobs, absent)
        assert caught.value.details["sha256"] == [sha(absent).hex()]
    with pytest.raises(Missing):
        refer(blobs, data, domain=1)
    with blobs.index.write() as txn, pytest.raises(DigestMismatch):
        from runstone.storage.state import State

        blobs.guard(0, {sha(data): 99_999})(State(txn))


def test_the_guard_refuses_a_blob_that_lacks_a_part(blobs):
    data = noise(70 * MIB)
    blobs.put(0, "me", data)
    refer(blobs, data)
    with blobs.index.write() as txn:
        (_, _, last), _ = txn.last(BLOB_PARTS, 0, sha(data))
        assert last > 0
        txn.delete(BLOB_PARTS, 0, sha(data), last)
    with pytest.raises(Missing):
        refer(blobs, data)
    with pytest.raises(Corrupt, match="lacks a part"):
        blobs.read(0, sha(data))
    blobs.put(0, "me", data)
    refer(blobs, data)
    assert blobs.read(0, sha(data)) == data


def test_the_guard_brings_garbage_back(tmp_path):
    clock, data = Clock(), noise(2 * MIB)
    with open_blobs(tmp_path, clock=clock) as blobs:
        blobs.put(0, "me", data)
        clock.turn(2 * 24 * 3600)
        assert blobs.collect(grace_seconds=60).marked == 1
        with blobs.index.read() as view:
            assert view.count(CHUNKS) == 0
        assert blobs.stat(0, sha(data)).garbage == clock.now
        refer(blobs, data)
        assert blobs.stat(0, sha(data)).garbage == 0
        with blobs.index.read() as view:
            assert view.count(CHUNKS) > 10
        clock.turn(1000)
        assert blobs.collect(grace_seconds=60).deleted == 0
        assert blobs.read(0, sha(data)) == data
        let_go(blobs, data)
        require_sound(blobs)


def test_a_pack_is_full_at_some_point(blobs, tmp_path, monkeypatch):
    monkeypatch.setattr("runstone.storage.packs.FULL", 4 * MIB)
    for n in range(10):
        blobs.put(0, "me", noise(MIB, n))
    sizes = [path.stat().st_size for path in pack_paths(tmp_path)]
    assert len(sizes) == 3 and max(sizes) <= 5 * MIB
    assert all(writer.end < 4 * MIB for writer in blobs.pool._idle)


def test_what_a_crash_left_past_the_accounted_bytes_is_cut_off(tmp_path):
    data = noise(MIB)
    with open_blobs(tmp_path) as blobs:
        blobs.put(0, "me", data)
    (pack,) = pack_paths(tmp_path)
    with pack.open("ab") as file:
        file.write(b"torn" * 10_000)
    with open_blobs(tmp_path) as blobs:
        assert blobs.read(0, sha(data)) == data
        blobs.put(0, "me", b"small")
        assert pack_paths(tmp_path) == [pack]
        assert pack.stat().st_size == MIB + 5
        require_sound(blobs)


def test_a_reader_that_was_closed_finds_no_damage(blobs):
    """Its packs are not there any more for it, which says nothing about them."""
    data = noise(300_000, 77)
    info = blobs.put(0, "me", data)
    reader = blobs.open(0, info.sha256)
    assert reader.read() == data
    reader.close()
    with pytest.raises(Missing, match="closed"):
        reader.segments()
    with blobs.index.read() as view:
        assert list(blobs.damaged(view)) == []
