"""Every window between a collection and what else goes on, held open by hand: two doors to one store stand for two processes.

No clock may matter: by that of the collector all pins have expired, and there is no grace.
"""

import contextlib
import gc as gc_module
import os

import pytest
from blobkit import DAY, MIB, extents_of, let_go, noise, open_blobs, refer, require_sound, send, sha

from runstone.errors import Conflict, Missing, StorageFailed
from runstone.storage import batches, gc, reading, sessions
from runstone.storage.blobs import Blobs
from runstone.storage.reading import Held
from runstone.storage.sessions import Session
from runstone.storage.tables import PACKS, UPLOADS


@pytest.fixture
def doors(tmp_path, clock):
    """Two doors with nothing in common but the directory and the index."""
    with open_blobs(tmp_path, clock=clock) as one:
        two = Blobs(one.index, tmp_path, clock=clock, limits=one.uploads.limits)
        yield one, two
        two.close()


def collect(blobs, clock, days=0, grace=0):
    return blobs.collect(grace_seconds=grace, now=clock.now + days * DAY)


@contextlib.contextmanager
def once(monkeypatch, owner, name, *, before=None, after=None):
    """Runs something ahead of the next call of ``owner.name``, or right after it; there must be one."""
    real, calls = getattr(owner, name), []

    def first(*args, **given):
        calls.append(1)
        now = len(calls) == 1
        if now and before is not None:
            before()
        answer = real(*args, **given)
        if now and after is not None:
            after()
        return answer

    with monkeypatch.context() as patch:
        patch.setattr(owner, name, first)
        yield
    assert calls, f"{name} was not called"


def test_what_another_process_reads_is_neither_deleted_nor_freed(doors, clock, monkeypatch):
    """The bytes were checked and are about to be copied, when the blob is let go of and collected elsewhere."""
    reader, collector = doors
    kept, data = noise(MIB, 1), noise(2 * MIB, 2)
    for content in (kept, data):
        reader.put(0, "me", content)
        refer(reader, content)
    reports = []

    def collected():
        let_go(collector, data)
        reports.append(collect(collector, clock, days=3))

    with once(monkeypatch, reading, "_read_all", before=collected):
        assert reader.read(0, sha(data)) == data
    assert (reports[0].marked, reports[0].deleted, reports[0].deferred) == (1, 0, 1)
    mapped = reader.map(0, sha(data))
    assert collect(collector, clock, days=3).deleted == 0
    assert mapped == data
    del mapped
    report = collect(collector, clock, days=3)
    assert (report.deleted, report.ranges_punched) == (1, 1)
    require_sound(reader)


def test_a_reader_that_comes_while_another_process_condemns_keeps_the_blob(doors, clock, monkeypatch):
    reader, collector = doors
    data = noise(MIB)
    reader.put(0, "me", data)
    opened = []
    with once(monkeypatch, gc.Collector, "_condemn", before=lambda: opened.append(reader.open(0, sha(data)))):
        assert collect(collector, clock, days=3).deleted == 0
    assert opened[0].read() == data
    opened[0].close()
    assert collect(collector, clock, days=3).deleted == 1


def test_a_deletion_that_was_cut_off_waits_for_readers_too(doors, clock, monkeypatch):
    """A collector ends right after it condemned a blob, and before it looked whether anybody reads it."""
    reader, collector = doors
    data = noise(MIB)
    reader.put(0, "me", data)
    opened, holds = [], Held.holds

    def comes():
        opened.append(reader.open(0, sha(data)))

    def ends(held, sha256):
        if opened:
            raise StorageFailed("cut off here")
        return holds(held, sha256)

    with monkeypatch.context() as patch:
        patch.setattr(Held, "holds", ends)
        with once(monkeypatch, gc.Collector, "_condemn", before=comes), pytest.raises(StorageFailed):
            collect(collector, clock, days=3)
    with pytest.raises(Missing):
        collector.stat(0, sha(data))
    assert collect(collector, clock, days=3).deleted == 0
    opened[0].close()
    assert collect(collector, clock, days=3).deleted == 1


def test_what_a_repair_lets_go_of_waits_for_a_reader_in_another_process(doors, clock, tmp_path):
    reader, other = doors
    kept, data = noise(MIB, 1), noise(4 * MIB, 2)
    for content in (kept, data):
        other.put(0, "me", content)
        refer(other, content)
    with reader.open(0, sha(data)) as opened:
        segments = opened.segments(0, MIB)
        ((pack, offset, _),) = extents_of(other, data)
        with other.backend.path(pack).open("r+b") as file:
            file.seek(offset + 3 * MIB)
            file.write(b"rot")
        assert other.scrub().damages
        other.put(0, "me", data)
        assert not other.scrub().damages
        report = collect(other, clock)
        assert report.failures and not report.ranges_punched
        assert b"".join(os.pread(s.handle, s.length, s.offset) for s in segments) == data[:MIB]
        with other.open(0, sha(data)) as later:
            assert later.read() == data
    with reader.open(0, sha(data)):  # one that began after the repair is in nobody's way
        report = collect(other, clock)
    assert not report.failures and report.ranges_punched
    for content in (kept, data):
        assert reader.read(0, sha(content)) == content
    require_sound(reader)


def test_an_upload_given_up_in_mid_collection_leaves_no_row_into_freed_bytes(doors, clock, monkeypatch):
    """Its stored parts share the chunks of a blob that is deleted as soon as the upload is gone."""
    collector, sender = doors
    data = noise(2 * MIB, 1)
    for content in (noise(MIB, 3), data):
        collector.put(0, "me", content)
    refer(collector, noise(MIB, 3))
    clock.turn(3 * 24 * 3600)
    upload = sender.begin(0, "me")
    send(sender, upload, data + noise(MIB, 2))
    sender.checkpoint(upload)
    with once(monkeypatch, gc.Collector, "_oldest_upload", before=lambda: sender.abort(upload)):
        report = collect(collector, clock)
    assert report.deleted == 1 and report.ranges_punched
    require_sound(collector)
    sender.put(0, "me", data)
    assert sender.read(0, sha(data)) == data


def test_bytes_given_up_are_another_uploads_as_soon_as_their_pack_is(doors, clock, monkeypatch):
    """An upload is given up in one thread, while another thread takes the pack over and writes to the same place."""
    blobs, _ = doors
    other = noise(2 * MIB, 2)
    upload = blobs.begin(0, "me")
    send(blobs, upload, noise(2 * MIB, 1))

    def comes():
        blobs.put(0, "me", other)
        refer(blobs, other)

    with once(monkeypatch, Session, "reset", after=comes):
        blobs.abort(upload)
    assert blobs.read(0, sha(other)) == other
    require_sound(blobs)


def test_a_second_copy_is_freed_and_nothing_else(doors, clock, monkeypatch):
    """An upload turns out to be of bytes that are here, and its pack is taken over before its own copy is freed."""
    blobs, collector = doors
    data, other = noise(2 * MIB, 1), noise(2 * MIB, 2)
    blobs.put(0, "me", data)
    assert collect(collector, clock, days=3, grace=10**9).marked == 1  # so that nothing of it is shared
    upload = blobs.begin(0, "me")
    send(blobs, upload, data)

    def comes():
        blobs.put(0, "me", other)
        refer(blobs, other)

    with once(monkeypatch, Session, "reset", after=comes):
        blobs.finish(upload)
    for content in (data, other):
        assert blobs.read(0, sha(content)) == content
    require_sound(blobs)


def test_a_batch_under_way_does_not_expire(doors, clock, monkeypatch):
    """It has looked chunks up, and verified them again; by the collector's clock it has expired, and its process lives."""
    sender, collector = doors
    data = noise(2 * MIB, 1)
    for content in (noise(MIB, 3), data):
        sender.put(0, "me", content)
    refer(sender, noise(MIB, 3))
    derived, reports = data + noise(MIB, 2), []
    with (
        once(
            monkeypatch,
            batches,
            "confirm",
            before=lambda: collect(collector, clock, days=3, grace=10**9),
            after=lambda: reports.extend(collect(door, clock, days=3) for door in doors),
        ),
    ):
        sender.put_bytes(0, "me", [derived])
    assert [(report.deferred, report.uploads_expired) for report in reports] == [(1, 0), (1, 0)]
    assert sender.read(0, sha(derived)) == derived
    require_sound(sender)
    refer(sender, derived)
    assert collect(collector, clock, days=3).deleted == 1
    assert not collector.locks.is_held(1, (1 << 62) - 1)


def test_a_batch_that_somebody_ended_stores_nothing(doors, clock, monkeypatch):
    sender, collector = doors
    for content in (noise(MIB, 3), noise(2 * MIB, 1)):
        sender.put(0, "me", content)
    refer(sender, noise(MIB, 3))
    derived = noise(2 * MIB, 1) + noise(MIB, 2)

    def ended():
        with collector.index.write() as txn:
            for (upload,), row in list(txn.scan(UPLOADS)):
                if not row.done:
                    txn.delete(UPLOADS, upload)
        collect(collector, clock, days=3)

    with (
        once(
            monkeypatch,
            batches,
            "confirm",
            before=lambda: collect(collector, clock, days=3, grace=10**9),
            after=ended,
        ),
        pytest.raises(Conflict),
    ):
        sender.put_bytes(0, "me", [derived])
    with pytest.raises(Missing):
        sender.stat(0, sha(derived))
    require_sound(sender)
    sender.put_bytes(0, "me", [derived])
    assert sender.read(0, sha(derived)) == derived


@pytest.mark.parametrize("way", ["upload", "batch"])
def test_an_interrupt_right_after_the_commit_takes_nothing_back(doors, monkeypatch, way):
    blobs, _ = doors
    data = noise(2 * MIB, 1)
    module = sessions if way == "upload" else batches
    real = module.transact

    def transact(index, change):
        answer = real(index, change)
        if change.__qualname__.endswith(("store.<locals>.change", "_store.<locals>.change")):
            raise KeyboardInterrupt
        return answer

    with monkeypatch.context() as patch:
        patch.setattr(module, "transact", transact)
        with pytest.raises(KeyboardInterrupt):
            if way == "upload":
                blobs.finish(_sent(blobs, data))
            else:
                blobs.put_bytes(0, "me", [data])
    assert blobs.read(0, sha(data)) == data
    later = noise(MIB, 2)
    blobs.put(0, "me", later)
    for content in (data, later):
        assert blobs.read(0, sha(content)) == content
    require_sound(blobs)
    with blobs.index.read() as view:
        assert [row.size for _, row in view.scan(PACKS)] == [3 * MIB]


def _sent(blobs, data):
    upload = blobs.begin(0, "me")
    send(blobs, upload, data)
    return upload


def test_an_upload_that_began_after_a_repair_in_mid_mark_keeps_what_it_shares(doors, clock, monkeypatch):
    """The repair moves the epoch on between the collector's look at it and the mark."""
    collector, sender = doors
    kept, data = noise(MIB, 3), noise(2 * MIB, 1)
    for content in (kept, data):
        collector.put(0, "me", content)
    refer(collector, kept)
    clock.turn(3 * 24 * 3600)
    derived, sending = data + noise(MIB, 2), []

    def repaired():
        ((pack, offset, _),) = extents_of(sender, kept)
        with sender.backend.path(pack).open("r+b") as file:
            file.seek(offset)
            file.write(b"rot")
        assert sender.scrub().damages
        sender.put(0, "me", kept)
        sending.append(_sent(sender, derived))

    with once(monkeypatch, gc.Collector, "_mark_one", before=repaired):
        report = collect(collector, clock)
    assert (report.marked, report.deleted) == (1, 0)
    assert sender.finish(sending[0]).sha256 == sha(derived)
    refer(sender, derived)
    assert collect(collector, clock).deleted == 1
    for content in (kept, derived):
        assert sender.read(0, sha(content)) == content
    require_sound(sender)


def test_a_xorb_that_was_dropped_on_its_way_in_expires(doors, clock):
    blobs, collector = doors
    intake = blobs.xorbs.begin(0, "me", bytes(32))
    assert [collect(door, clock, days=3).uploads_expired for door in doors] == [0, 0]
    del intake
    gc_module.collect()
    assert collect(collector, clock, days=3).uploads_expired == 1
