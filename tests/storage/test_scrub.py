import os
import random
import time

import pytest
from blobkit import (
    MIB,
    Clock,
    extents_of,
    noise,
    open_blobs,
    pack_paths,
    parts_of,
    refer,
    require_sound,
    send,
    sha,
)

from faults.bitflip import flip
from runstone._native.digests import seal, xxh3_64
from runstone.errors import Corrupt, DigestMismatch, Missing
from runstone.storage import damages
from runstone.storage.parts import RECORD_SIZE, extents, placed
from runstone.storage.tables import BLOB_PARTS, BLOBS, CHUNKS, DAMAGES, Part

FLIPS = int(os.environ.get("RUNSTONE_TEST_FLIPS", "240"))


@pytest.fixture
def blobs(tmp_path):
    with open_blobs(tmp_path, clock=Clock()) as opened:
        yield opened


def place_of(blobs, data, offset):
    """Where a byte of a blob lies: the pack's path and the offset in it."""
    at = 0
    for pack, start, length in extents_of(blobs, data):
        if at <= offset < at + length:
            return blobs.backend.path(pack), start + offset - at
        at += length
    raise AssertionError(offset)


def overwrite(blobs, data, offset, with_bytes=b"rotten"):
    path, at = place_of(blobs, data, offset)
    with path.open("r+b") as file:
        file.seek(at)
        file.write(with_bytes)


def spoil(blobs, table, key):
    """Turns a bit of a row over, as it lies in the index."""
    with blobs.index.write() as txn:
        stored = bytearray(seal(table.number, key, txn.get_body(table, key)))
        stored[len(stored) // 2] ^= 4
        txn._txn.put(key, bytes(stored), db=blobs.index.databases[table.name])


def known(blobs):
    with blobs.index.read() as view:
        return list(blobs.damaged(view))


def test_every_flipped_bit_is_found_and_never_served(tmp_path):
    dice = random.Random(11)
    contents = [noise(size, size) for size in (40, 5000, 70_000, MIB, 3 * MIB, 6 * MIB)]
    contents.append(contents[-1][: 2 * MIB] + noise(100_000, 1) + contents[-1][2 * MIB :])
    flips = detected = 0
    with open_blobs(tmp_path) as blobs:
        for data in contents:
            blobs.put(0, "me", data)
        for _ in range(FLIPS):
            data = dice.choice(contents)
            offset, bit = dice.randrange(len(data)), dice.randrange(8)
            path, at = place_of(blobs, data, offset)
            blobs.read(0, sha(data), offset, offset + 1)  # good, and known to be
            flip(path, at, bit)
            flips += 1
            near = max(0, offset - dice.randrange(5000)), min(len(data), offset + 1 + dice.randrange(5000))
            for start, stop in ((offset, offset + 1), near, (0, len(data))):
                with pytest.raises(Corrupt) as caught:
                    blobs.read(0, sha(data), start, stop)
            found = caught.value.details
            assert found["sha256"] == sha(data).hex() and found["pack"] == path.stem
            assert found["offset"] <= offset < found["offset"] + found["length"]
            with pytest.raises(Corrupt):
                blobs.map(0, sha(data))
            detected += 1
            assert any(hurt.sha256 == sha(data) and hurt.offset == found["offset"] for hurt in known(blobs))
            flip(path, at, bit)
            assert blobs.read(0, sha(data)) == data
        assert flips == detected == FLIPS >= 200
        report = blobs.scrub()
        assert report.clean and report.repaired > 0 and not known(blobs)


def test_the_scrubber_names_every_flipped_bit(tmp_path):
    dice, found = random.Random(12), 0
    contents = [noise(size, size) for size in (5000, 70_000, 2 * MIB)]
    with open_blobs(tmp_path) as blobs:
        for data in contents:
            blobs.put(0, "me", data)
        for _ in range(FLIPS // 2):
            data = dice.choice(contents)
            offset = dice.randrange(len(data))
            path, at = place_of(blobs, data, offset)
            flip(path, at, bit := dice.randrange(8))
            (damage,) = blobs.scrub(deep=dice.random() < 0.5).damages
            assert damage.sha256 == sha(data) and f"{damage.pack:016x}" == path.stem
            assert damage.offset <= offset < damage.offset + damage.length
            assert damage.pack_offset <= at < damage.pack_offset + damage.length
            flip(path, at, bit)
            found += 1
        assert found == FLIPS // 2
        assert blobs.scrub().clean


def test_bytes_around_a_damaged_chunk_are_served(blobs):
    data = noise(4 * MIB)
    blobs.put(0, "me", data)
    overwrite(blobs, data, 2 * MIB)
    with pytest.raises(Corrupt) as caught:
        blobs.read(0, sha(data))
    start = caught.value.details["offset"]
    stop = start + caught.value.details["length"]
    assert blobs.read(0, sha(data), 0, start) == data[:start]
    assert blobs.read(0, sha(data), stop) == data[stop:]
    with pytest.raises(Corrupt):
        blobs.read(0, sha(data), start, start + 1)


def test_a_change_after_the_first_check_is_seen(blobs):
    data = noise(2 * MIB)
    blobs.put(0, "me", data)
    with blobs.open(0, sha(data)) as reader:
        reader.segments()
        pack = next(iter(reader._packs.values()))
        assert blobs.packs.is_verified(pack, *_range_of(blobs, data))
        overwrite(blobs, data, MIB)
        with pytest.raises(Corrupt):
            reader.segments(MIB, MIB + 10)


def _range_of(blobs, data):
    ((_, start, length),) = extents_of(blobs, data)
    return start, start + length


def test_own_appends_do_not_undo_a_check(blobs):
    data = noise(2 * MIB)
    blobs.put(0, "me", data)
    with blobs.open(0, sha(data)) as reader:
        reader.segments()
        blobs.put(0, "me", noise(100_000, 1))
        reader.segments(0, 1)
        blobs.put(0, "me", noise(100_000, 2))
        reader.segments(0, 1)
        pack = next(iter(reader._packs.values()))
        assert blobs.packs.is_verified(pack, *_range_of(blobs, data))


def test_a_change_between_own_appends_is_seen(blobs):
    data = noise(2 * MIB)
    blobs.put(0, "me", data)
    blobs.put(0, "me", noise(100_000, 1))
    assert blobs.read(0, sha(data)) == data
    time.sleep(0.02)
    overwrite(blobs, data, MIB)
    time.sleep(0.02)
    blobs.put(0, "me", noise(100_000, 2))
    with pytest.raises(Corrupt):
        blobs.read(0, sha(data))


@pytest.mark.parametrize("left", [0, 1, MIB, 3 * MIB - 1])
def test_a_pack_cut_short_is_damage_and_no_crash(blobs, left):
    data = noise(3 * MIB)
    blobs.put(0, "me", data)
    mapped = blobs.map(0, sha(data), 0, 10)
    os.truncate(place_of(blobs, data, 0)[0], left)
    with pytest.raises(Corrupt) as caught:
        blobs.read(0, sha(data))
    assert caught.value.details["how"] == "truncated"
    with pytest.raises(Corrupt):
        blobs.map(0, sha(data))
    report = blobs.scrub()
    assert {damage.how for damage in report.damages} == {"truncated"}
    assert sum(damage.length for damage in report.damages) >= len(data) - left
    assert {damage.offset for damage in report.damages} == {hurt.offset for hurt in known(blobs)}
    del mapped
    blobs.put(0, "me", data)
    assert blobs.read(0, sha(data)) == data


def test_a_missing_pack_is_damage(blobs):
    data = noise(3 * MIB)
    blobs.put(0, "me", data)
    place_of(blobs, data, 0)[0].unlink()
    with pytest.raises(Corrupt, match="missing"):
        blobs.read(0, sha(data))
    report = blobs.scrub()
    assert sum(damage.length for damage in report.damages) == len(data)
    blobs.put(0, "me", data)
    assert blobs.read(0, sha(data)) == data


def test_a_pack_that_was_replaced_is_read_anew(blobs):
    data = noise(MIB)
    blobs.put(0, "me", data)
    assert blobs.read(0, sha(data)) == data
    path, _ = place_of(blobs, data, 0)
    copy = path.with_suffix(".copy")
    copy.write_bytes(path.read_bytes()[:-1] + b"?")
    copy.replace(path)
    with pytest.raises(Corrupt):
        blobs.read(0, sha(data))


def test_all_blobs_that_share_a_damaged_chunk_are_named(blobs):
    base = noise(4 * MIB)
    others = [base + b"1", base + b"2"]
    for data in (base, *others):
        blobs.put(0, "me", data)
    overwrite(blobs, base, MIB)
    report = blobs.scrub()
    assert {damage.sha256 for damage in report.damages} == {sha(data) for data in (base, *others)}
    assert len({(damage.pack, damage.pack_offset) for damage in report.damages}) == 1


def test_a_damaged_chunk_is_shared_with_no_new_upload(blobs):
    data = noise(4 * MIB)
    blobs.put(0, "me", data)
    overwrite(blobs, data, MIB)
    with pytest.raises(Corrupt):
        blobs.read(0, sha(data))
    blobs.put(0, "me", data + b"!")
    assert blobs.read(0, sha(data + b"!")) == data + b"!"


def test_the_same_bytes_again_repair_a_blob_and_those_that_share_it(blobs):
    base = noise(4 * MIB)
    sharing = base + noise(MIB, 3)
    for data in (base, sharing):
        blobs.put(0, "me", data)
        refer(blobs, data)
    overwrite(blobs, base, MIB)
    assert len(blobs.scrub().damages) == 2
    with pytest.raises(Corrupt):
        refer(blobs, base)
    blobs.put(0, "me", base)
    assert not known(blobs)
    for data in (base, sharing):
        assert blobs.read(0, sha(data)) == data
        refer(blobs, data)
    assert blobs.scrub(deep=True).clean
    blobs.collect(grace_seconds=0)
    for data in (base, sharing):
        assert blobs.read(0, sha(data)) == data
    require_sound(blobs)


def test_repair_takes_only_the_same_bytes(blobs):
    data = noise(2 * MIB)
    blobs.put(0, "me", data)
    overwrite(blobs, data, MIB)
    assert blobs.scrub().damages
    with pytest.raises(DigestMismatch):
        blobs.repair(0, sha(data), [data[:-1], b"x"])
    assert known(blobs)
    info = blobs.repair(0, sha(data), [data[:MIB], data[MIB:]])
    assert info.sha256 == sha(data) and not known(blobs)
    assert blobs.read(0, sha(data)) == data


def test_a_batch_repairs_too(blobs, tmp_path):
    data = noise(2 * MIB)
    (tmp_path / "file").write_bytes(data)
    blobs.put_many(0, "me", [tmp_path / "file"])
    overwrite(blobs, data, MIB)
    assert blobs.scrub().damages
    blobs.put_many(0, "me", [tmp_path / "file"])
    assert blobs.scrub(deep=True).clean
    assert blobs.read(0, sha(data)) == data


def test_the_scrubber_heals_from_another_copy(blobs):
    data = noise(2 * MIB)
    blobs.put(0, "me", data)
    overwrite(blobs, data, MIB)
    with pytest.raises(Corrupt):
        blobs.read(0, sha(data))
    blobs.put(0, "me", b"head" + noise(200_000, 4) + data[MIB - 300_000 :])
    report = blobs.scrub()
    assert blobs.read(0, sha(data)) == data
    assert blobs.scrub().clean
    assert not known(blobs) and report.index == []


def test_a_damaged_row_of_the_chunk_index_stops_no_upload(blobs):
    base = noise(MIB)
    blobs.put(0, "me", base)
    with blobs.index.read() as view:
        keys = [CHUNKS.key.pack(*key) for key, _ in view.scan(CHUNKS)]
    for key in keys[::3]:
        spoil(blobs, CHUNKS, key)
    for data in (base + b"!", noise(8 * MIB, 2)):
        blobs.put(0, "me", data)
        assert blobs.read(0, sha(data)) == data
    assert blobs.scrub().index


def test_what_verifies_again_is_forgotten_and_shared_again(blobs):
    data = noise(2 * MIB)
    blobs.put(0, "me", data)
    overwrite(blobs, data, MIB)
    assert blobs.scrub().damages and known(blobs)
    overwrite(blobs, data, MIB, data[MIB : MIB + 6])
    report = blobs.scrub()
    assert report.clean and report.repaired == 1 and not known(blobs)
    refer(blobs, data)
    blobs.collect(grace_seconds=0)
    with blobs.index.read() as view:
        assert view.count(CHUNKS) == sum(1 for part in parts_of(blobs, data) for _ in placed(part))
    require_sound(blobs)


def test_only_the_deep_scrub_finds_what_has_a_matching_checksum(blobs):
    data = noise(300_000)
    blobs.put(0, "me", data)
    (part,) = parts_of(blobs, data)
    overwrite(blobs, data, 0, b"forged")
    forged = bytearray(part.chunks)
    length = int.from_bytes(forged[40:44], "little")
    path, at = place_of(blobs, data, 0)
    forged[32:40] = xxh3_64(path.read_bytes()[at : at + length]).to_bytes(8, "little")
    with blobs.index.write() as txn:
        txn.put(BLOB_PARTS, 0, sha(data), 0, Part(part.size, bytes(forged), part.extents))
    assert blobs.scrub().clean
    assert [damage.offset for damage in blobs.scrub(deep=True).damages] == [0]


def test_damaged_rows_of_the_index_are_named_and_the_rest_is_read(blobs):
    contents = [noise(100_000, n) for n in range(5)]
    for data in contents:
        blobs.put(0, "me", data)
    key = BLOB_PARTS.key.pack(0, sha(contents[2]), 0)
    spoil(blobs, BLOB_PARTS, key)
    report = blobs.scrub()
    assert len(report.index) == 1 and key.hex() in report.index[0]
    assert [damage.sha256 for damage in report.damages] == [sha(contents[2])]
    assert report.rows > 20
    with pytest.raises(Corrupt):
        blobs.read(0, sha(contents[2]))
    for data in (*contents[:2], *contents[3:]):
        assert blobs.read(0, sha(data)) == data
        assert blobs.read(0, sha(data), 99_000) == data[99_000:]
        refer(blobs, data)
    blobs.put(0, "me", contents[2])
    assert blobs.scrub().clean
    assert blobs.read(0, sha(contents[2])) == contents[2]


def test_chunks_of_a_part_that_was_lost_are_taken_out_before_its_bytes_are_freed(tmp_path):
    clock, data = Clock(), noise(70 * MIB)
    with open_blobs(tmp_path, clock=clock) as blobs:
        blobs.put(0, "me", data)
        with blobs.index.write() as txn:
            (_, _, last), _ = txn.last(BLOB_PARTS, 0, sha(data))
            txn.delete(BLOB_PARTS, 0, sha(data), last)
        clock.turn(3 * 24 * 3600)
        report = blobs.collect(grace_seconds=0)
        assert report.deleted == 1 and report.packs_removed == 1
        require_sound(blobs)
        blobs.put(0, "me", data[-3 * MIB :])
        assert blobs.read(0, sha(data[-3 * MIB :])) == data[-3 * MIB :]


def test_nothing_is_freed_while_a_row_of_parts_cannot_be_read(tmp_path):
    clock, kept, dropped = Clock(), noise(MIB, 1), noise(MIB, 2)
    with open_blobs(tmp_path, clock=clock) as blobs:
        for data in (kept, dropped):
            blobs.put(0, "me", data)
        refer(blobs, kept)
        spoil(blobs, BLOB_PARTS, BLOB_PARTS.key.pack(0, sha(kept), 0))
        clock.turn(3 * 24 * 3600)
        for _ in range(2):
            with pytest.raises(Corrupt):
                blobs.collect(grace_seconds=0)
        assert blobs.read(0, sha(dropped)) == dropped
        blobs.put(0, "me", kept)
        assert blobs.collect(grace_seconds=0).deleted == 1
        assert blobs.read(0, sha(kept)) == kept
        require_sound(blobs)


def test_a_missing_part_is_named_and_repaired(blobs):
    data = noise(70 * MIB)
    blobs.put(0, "me", data)
    with blobs.index.write() as txn:
        (_, _, last), part = txn.last(BLOB_PARTS, 0, sha(data))
        txn.delete(BLOB_PARTS, 0, sha(data), last)
    report = blobs.scrub()
    assert [(damage.offset, damage.length) for damage in report.damages] == [(last, part.size)]
    blobs.put(0, "me", data)
    assert blobs.scrub().clean
    assert blobs.read(0, sha(data)) == data


def test_shared_bytes_are_read_once(blobs):
    data = noise(3 * MIB)
    blobs.put(0, "me", data)
    for n in range(5):
        blobs.put(0, "me", data + bytes([n]))
    report = blobs.scrub()
    assert report.blobs == 6
    assert len(data) <= report.bytes <= len(data) + 6 * 128 * 1024
    assert report.chunks > 6 * len(data) // (128 * 1024)


def test_progress_and_rate(blobs):
    data = noise(3 * MIB)
    blobs.put(0, "me", data)
    seen = []
    began = time.monotonic()
    blobs.scrub(limit_rate=6 * MIB, progress=lambda done, total: seen.append((done, total)))
    assert time.monotonic() - began > 0.3, "a limit holds a walk back"
    assert seen == [(len(data), len(data))]


def test_a_blob_deleted_under_the_scrubber_is_no_damage(tmp_path, monkeypatch):
    clock = Clock()
    with open_blobs(tmp_path, clock=clock) as blobs:
        contents = [noise(300_000, n) for n in range(4)]
        for data in contents:
            blobs.put(0, "me", data)
        clock.turn(3 * 24 * 3600)
        real, once = blobs.scrubber._scrub_blob, []

        def scrub_blob(blob, walk):
            if not once:
                once.append(1)
                blobs.collect(grace_seconds=0)
            real(blob, walk)

        monkeypatch.setattr(blobs.scrubber, "_scrub_blob", scrub_blob)
        assert blobs.scrub().clean
        with blobs.index.read() as view:
            assert view.count(BLOBS) == 1 and view.count(DAMAGES) == 0


def test_damage_that_is_met_after_a_repair_is_not_recorded(blobs, monkeypatch):
    """Between the look at the bytes and the record of it the blob was stored anew."""
    data = noise(2 * MIB)
    blobs.put(0, "me", data)
    overwrite(blobs, data, MIB)
    assert blobs.scrub().damages
    real, once = damages.record, []

    def late(index, domain, digest, found, now):
        faults = list(found)
        if not once:
            once.append(1)
            blobs.put(0, "me", data)
        return real(index, domain, digest, faults, now)

    monkeypatch.setattr(damages, "record", late)
    assert blobs.read(0, sha(data)) == data
    assert once and not known(blobs)


def test_an_upload_that_shares_a_chunk_found_damaged_meanwhile_is_refused(blobs):
    base = noise(4 * MIB)
    derived = base + b"!"
    blobs.put(0, "me", base)
    upload = blobs.begin(0, "me")
    send(blobs, upload, derived)
    overwrite(blobs, base, MIB)
    assert blobs.scrub().damages
    with pytest.raises(Corrupt, match="send it again"):
        blobs.finish(upload)
    with pytest.raises(Missing):
        blobs.upload(upload)
    blobs.put(0, "me", derived)
    assert blobs.read(0, sha(derived)) == derived


def test_extents_and_records_agree(blobs):
    data = noise(5 * MIB)
    blobs.put(0, "me", data)
    blobs.put(0, "me", data[: 2 * MIB] + b"?" + data[2 * MIB :])
    for content in (data, data[: 2 * MIB] + b"?" + data[2 * MIB :]):
        for part in parts_of(blobs, content):
            assert sum(length for _, _, length in extents(part)) == part.size
            assert len(part.chunks) % RECORD_SIZE == 0
            assert sum(length for _, _, _, length in placed(part)) == part.size


def test_packs_hold_the_raw_bytes(blobs, tmp_path):
    data = noise(100_000)
    blobs.put(0, "me", data)
    (pack,) = pack_paths(tmp_path)
    assert pack.read_bytes() == data
