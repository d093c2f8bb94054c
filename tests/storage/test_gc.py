import contextlib
import fcntl
import os
import shutil
import tempfile
from itertools import product
from pathlib import Path

import pytest
from blobkit import (
    DAY,
    MIB,
    Clock,
    another,
    let_go,
    noise,
    open_blobs,
    pack_paths,
    refer,
    require_sound,
    send,
    sha,
    stored_bytes,
)
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, initialize, invariant, rule

from runstone.errors import Conflict, Missing, RunstoneError, StorageFailed
from runstone.storage import chunks, gc, space
from runstone.storage.backends.packs import BLOCK, LOCK, LocalPacks
from runstone.storage.tables import (
    BLOB_PARTS,
    BLOB_VERSIONS,
    BLOBS,
    CHUNKS,
    PACKS,
    PINS,
    UPLOAD_PARTS,
    UPLOADS,
)

LONG = 3 * 24 * 3600


def counts(blobs):
    with blobs.index.read() as view:
        return {
            table.name: view.count(table)
            for table in (BLOBS, BLOB_PARTS, CHUNKS, PACKS, PINS, UPLOADS, UPLOAD_PARTS)
        }


def test_the_bytes_freed_are_the_bytes_the_disk_gets_back(blobs, clock, tmp_path):
    kept, dropped = noise(5 * MIB, 1), noise(9 * MIB, 2)
    for data in (dropped, kept):
        blobs.put(0, "me", data)
        refer(blobs, data)
    clock.turn(LONG)
    assert blobs.collect(grace_seconds=3600).marked == 0
    let_go(blobs, dropped)
    before = stored_bytes(tmp_path)
    first = blobs.collect(grace_seconds=3600)
    assert (first.marked, first.deleted, first.bytes_freed, stored_bytes(tmp_path)) == (1, 0, 0, before)
    clock.turn(3599)
    assert blobs.collect(grace_seconds=3600).deleted == 0
    clock.turn(1)
    report = blobs.collect(grace_seconds=3600)
    assert (report.deleted, report.bytes_deleted, report.can_punch) == (1, len(dropped), True)
    assert report.bytes_freed == before - stored_bytes(tmp_path)
    assert len(dropped) - 2 * BLOCK <= report.bytes_freed <= len(dropped)
    with pytest.raises(Missing):
        blobs.read(0, sha(dropped))
    assert blobs.read(0, sha(kept)) == kept
    require_sound(blobs)
    assert blobs.collect(grace_seconds=0).bytes_freed == 0


def test_an_empty_pack_is_removed(blobs, clock, tmp_path):
    blobs.put(0, "me", noise(5 * MIB))
    clock.turn(LONG)
    report = blobs.collect(grace_seconds=0)
    assert (report.deleted, report.packs_removed, pack_paths(tmp_path)) == (1, 1, [])
    assert report.bytes_freed >= 5 * MIB
    assert set(counts(blobs).values()) <= {0, 1} and counts(blobs)["packs"] == 0
    blobs.put(0, "me", noise(5 * MIB))
    require_sound(blobs)


def test_chunks_shared_with_a_live_blob_stay(blobs, clock, tmp_path):
    base = noise(8 * MIB)
    derived = base[: 5 * MIB] + noise(MIB, 9)
    blobs.put(0, "me", base)
    blobs.put(0, "me", derived)
    refer(blobs, derived)
    clock.turn(LONG)
    before = stored_bytes(tmp_path)
    report = blobs.collect(grace_seconds=0)
    assert report.deleted == 1
    assert 2 * MIB <= before - stored_bytes(tmp_path) <= 3 * MIB + 256 * 1024
    assert blobs.read(0, sha(derived)) == derived
    require_sound(blobs)
    size = stored_bytes(tmp_path)
    blobs.put(0, "me", base[: 5 * MIB])
    assert stored_bytes(tmp_path) - size < 256 * 1024, "the chunks of the live blob are still known"
    require_sound(blobs)


def test_garbage_shares_no_chunk_with_a_new_upload(blobs, clock, tmp_path):
    data = noise(4 * MIB)
    blobs.put(0, "me", data)
    clock.turn(LONG)
    assert blobs.collect(grace_seconds=3600).marked == 1
    assert counts(blobs)["chunks"] == 0
    derived = data + b"!"
    before = stored_bytes(tmp_path)
    blobs.put(0, "me", derived)
    assert stored_bytes(tmp_path) - before >= 4 * MIB
    refer(blobs, derived)
    clock.turn(LONG)
    blobs.collect(grace_seconds=3600)
    assert blobs.read(0, sha(derived)) == derived
    require_sound(blobs)


def test_an_upload_of_garbage_brings_it_back(blobs, clock, tmp_path):
    data = noise(4 * MIB)
    blobs.put(0, "me", data)
    clock.turn(LONG)
    assert blobs.collect(grace_seconds=3600).marked == 1
    before = stored_bytes(tmp_path)
    assert blobs.put(0, "me", data).garbage == 0
    assert stored_bytes(tmp_path) <= before + BLOCK, "the second copy was freed"
    clock.turn(3600)
    report = blobs.collect(grace_seconds=0)
    assert (report.reindexed, report.deleted) == (1, 0)
    assert counts(blobs)["chunks"] > 0
    require_sound(blobs)


def test_an_upload_that_began_before_the_mark_keeps_what_it_shares(blobs, clock, tmp_path):
    data = noise(6 * MIB)
    blobs.put(0, "me", data)
    derived = data[: 5 * MIB] + noise(MIB, 4)
    clock.turn(LONG)
    upload = blobs.begin(0, "me")
    send(blobs, upload, derived, 0, MIB)
    report = blobs.collect(grace_seconds=0)
    assert (report.marked, report.deleted, report.deferred) == (1, 0, 1)
    send(blobs, upload, derived, MIB)
    assert blobs.finish(upload).sha256 == sha(derived)
    refer(blobs, derived)
    require_sound(blobs)
    clock.turn(LONG)
    report = blobs.collect(grace_seconds=0)
    assert report.deleted == 1
    assert blobs.read(0, sha(derived)) == derived
    require_sound(blobs)


def test_an_upload_that_began_after_the_mark_delays_nothing(blobs, clock):
    blobs.put(0, "me", noise(MIB))
    clock.turn(LONG)
    assert blobs.collect(grace_seconds=3600).marked == 1
    blobs.begin(0, "me")
    clock.turn(3600)
    assert blobs.collect(grace_seconds=3600).deleted == 1


def test_a_reader_keeps_a_blob(blobs, clock, tmp_path):
    data = noise(3 * MIB)
    blobs.put(0, "me", data)
    clock.turn(LONG)
    with blobs.open(0, sha(data)) as reader:
        report = blobs.collect(grace_seconds=0)
        assert (report.marked, report.deleted, report.deferred) == (1, 0, 1)
        assert reader.read() == data
    mapped = blobs.map(0, sha(data))
    assert blobs.collect(grace_seconds=0).deleted == 0
    assert mapped == data
    del mapped
    assert blobs.collect(grace_seconds=0).deleted == 1
    assert stored_bytes(tmp_path) == 0


def test_a_reader_that_comes_in_between_keeps_it_too(blobs, clock, monkeypatch):
    data = noise(MIB)
    blobs.put(0, "me", data)
    clock.turn(LONG)
    condemn, readers = gc.Collector._condemn, []
    holds = blobs.held.holds

    def just_before(digest):
        if not readers and blobs.stat(0, digest).garbage:
            answer = holds(digest)
            readers.append(blobs.open(0, digest))
            return answer
        return holds(digest)

    monkeypatch.setattr(blobs.held, "holds", just_before)
    assert condemn is gc.Collector._condemn
    assert blobs.collect(grace_seconds=0).deleted == 0
    assert readers[0].read() == data
    readers[0].close()
    assert blobs.collect(grace_seconds=0).deleted == 1


def test_a_reference_made_in_between_wins(blobs, clock, monkeypatch):
    """Whatever transaction of the collection a commit gets in before: the blob stays, or the commit is refused."""
    data = noise(2 * MIB)
    outcomes = set()
    for step in range(1, 12):
        blobs.put(0, "me", data)
        clock.turn(LONG)
        real, seen = chunks.transact, []

        def transact(index, change, step=step, seen=seen, real=real):
            seen.append(1)
            if len(seen) == step:
                with contextlib.suppress(Missing):
                    refer(blobs, data)
                    seen.append("referred")
            return real(index, change)

        for module in (gc, space):
            monkeypatch.setattr(module, "transact", transact)
        blobs.collect(grace_seconds=0)
        for module in (gc, space):
            monkeypatch.setattr(module, "transact", real)
        outcomes.add("referred" in seen)
        if "referred" in seen:
            assert blobs.read(0, sha(data)) == data
            require_sound(blobs)
            let_go(blobs, data)
        blobs.collect(grace_seconds=0)
    assert outcomes == {True, False}


def test_a_reference_made_after_the_look_prevents_the_mark(blobs, clock, monkeypatch):
    data = noise(MIB)
    blobs.put(0, "me", data)
    clock.turn(LONG)
    kept = space.Space.kept

    def look(self, without):
        refer(blobs, data)
        return kept(self, without)

    monkeypatch.setattr(space.Space, "kept", look)
    assert blobs.collect(grace_seconds=3600).marked == 0
    assert blobs.stat(0, sha(data)).garbage == 0


def test_a_reference_that_left_the_mark_saves_the_blob(blobs, clock):
    data = noise(MIB)
    blobs.put(0, "me", data)
    clock.turn(LONG)
    assert blobs.collect(grace_seconds=3600).marked == 1
    with blobs.index.write() as txn:
        txn.put(BLOB_VERSIONS, 0, sha(data), 1, 1)
    clock.turn(3600)
    assert blobs.collect(grace_seconds=3600).deleted == 0
    assert blobs.stat(0, sha(data)).garbage == 0


def test_a_collection_that_is_cut_off_is_finished_by_the_next(blobs, clock, tmp_path, monkeypatch):
    kept = noise(3 * MIB, 1)
    blobs.put(0, "me", kept)
    refer(blobs, kept)
    cuts = 0
    for step in range(1, 20):
        dropped = kept[:MIB] + noise(70 * MIB, 2) if step == 1 else kept[:MIB] + noise(MIB, step)
        blobs.put(0, "me", dropped)
        clock.turn(LONG)
        real, calls = chunks.transact, []

        def transact(index, change, step=step, calls=calls, real=real):
            calls.append(1)
            if len(calls) > step:
                raise StorageFailed("cut off here")
            return real(index, change)

        for module in (gc, space, chunks):
            monkeypatch.setattr(module, "transact", transact)
        try:
            blobs.collect(grace_seconds=0)
        except StorageFailed:
            cuts += 1
        for module in (gc, space, chunks):
            monkeypatch.setattr(module, "transact", real)
        require_sound(blobs)
        blobs.collect(grace_seconds=0)
        with pytest.raises(Missing):
            blobs.stat(0, sha(dropped))
        assert blobs.read(0, sha(kept)) == kept
        require_sound(blobs)
        assert stored_bytes(tmp_path) <= len(kept) + 4 * BLOCK
    assert cuts >= 3


def test_a_dying_blob_can_be_uploaded_again(blobs, clock, monkeypatch):
    data = noise(70 * MIB)
    monkeypatch.setattr(gc, "_PARTS", 1)
    blobs.put(0, "me", data)
    clock.turn(LONG)
    delete_one, again = gc.Collector._delete_one, []

    def delete(self, key, live):
        if not again:
            again.append(1)
            blobs.put(0, "me", data)
        return delete_one(self, key, live)

    monkeypatch.setattr(gc.Collector, "_delete_one", delete)
    assert blobs.collect(grace_seconds=0).deleted == 0
    assert blobs.read(0, sha(data)) == data
    require_sound(blobs)


def test_two_collections_do_not_run_at_once(blobs):
    other = another(blobs)
    with blobs.without_collection():
        for door in (blobs, other):
            with pytest.raises(Conflict):
                door.collect(grace_seconds=0)
    other.collect(grace_seconds=0)
    other.close()


def test_strays_of_a_dead_process_are_removed(blobs, tmp_path):
    blobs.put(0, "me", noise(MIB))
    stray = blobs.backend.path(7)
    stray.parent.mkdir(exist_ok=True)
    stray.write_bytes(noise(MIB, 3))
    report = blobs.collect(grace_seconds=0)
    assert report.packs_removed == 1 and not stray.exists()
    assert report.bytes_freed >= MIB
    assert len(pack_paths(tmp_path)) == 1


def test_a_pack_that_is_being_written_is_no_stray(blobs, tmp_path):
    other = another(blobs)
    upload = other.begin(0, "me")
    send(other, upload, noise(MIB))
    assert len(pack_paths(tmp_path)) == 1
    assert blobs.collect(grace_seconds=0).packs_removed == 0
    assert other.finish(upload).sha256 == sha(noise(MIB))
    require_sound(blobs)
    other.close()


def test_a_range_that_another_process_maps_in_place_is_not_freed(blobs, clock):
    for seed in (1, 2):
        blobs.put(0, "me", noise(MIB, seed))
    refer(blobs, noise(MIB, 1))
    with blobs.open(0, sha(noise(MIB, 2))) as reader:
        ((path, offset, length),) = reader.places()
    handle = os.open(path, os.O_RDONLY)
    fcntl.fcntl(handle, fcntl.F_OFD_SETLK, LOCK.pack(fcntl.F_RDLCK, os.SEEK_SET, offset, length, 0))
    clock.turn(LONG)
    report = blobs.collect(grace_seconds=0)
    assert report.bytes_deferred >= MIB and not report.ranges_punched
    assert os.pread(handle, length, offset) == noise(MIB, 2)
    os.close(handle)
    assert blobs.collect(grace_seconds=0).ranges_punched


class _CannotPunch(LocalPacks):
    def punch(self, pack, offset, length):
        return False


def test_a_file_system_without_holes_is_reported(tmp_path):
    clock = Clock()
    with open_blobs(tmp_path, clock=clock, backend=_CannotPunch(tmp_path / "packs")) as blobs:
        for n in (1, 2):
            blobs.put(0, "me", noise(MIB, n))
        refer(blobs, noise(MIB, 1))
        clock.turn(LONG)
        report = blobs.collect(grace_seconds=0)
        assert (report.deleted, report.can_punch, report.bytes_freed) == (1, False, 0)
        let_go(blobs, noise(MIB, 1))
        assert blobs.collect(grace_seconds=0).packs_removed == 1


def test_a_mark_that_was_cut_off_does_not_wait_for_every_later_upload(blobs, clock, monkeypatch):
    blobs.put(0, "me", noise(MIB))
    clock.turn(LONG)

    def cut_off(txn):
        raise StorageFailed("cut off here")

    real = chunks.advance_epoch
    monkeypatch.setattr(chunks, "advance_epoch", cut_off)
    with pytest.raises(StorageFailed):
        blobs.collect(grace_seconds=0)
    monkeypatch.setattr(chunks, "advance_epoch", real)
    before = blobs.begin(0, "me")
    assert blobs.collect(grace_seconds=0).deferred == 1
    blobs.abort(before)
    blobs.begin(0, "me")
    assert blobs.collect(grace_seconds=0).deleted == 1


def test_an_upload_that_begins_and_a_repair_while_space_is_looked_for(blobs, clock, monkeypatch, tmp_path):
    """The repair lets go of a place that the new upload has looked up: it is not freed before that upload has ended."""
    data = noise(4 * MIB)
    derived = data[: 3 * MIB] + noise(MIB, 5)
    blobs.put(0, "me", data)
    refer(blobs, data)
    (pack,) = pack_paths(tmp_path)
    sending = []
    real = gc.Collector._oldest_upload

    def oldest(self):
        answer = real(self)
        if not sending:
            sending.append(blobs.begin(0, "me"))
            send(blobs, sending[0], derived)
            with pack.open("r+b") as file:
                file.seek(3 * MIB + MIB // 2)
                file.write(b"rot")
            blobs.scrub()
            blobs.put(0, "me", data)
        return answer

    monkeypatch.setattr(gc.Collector, "_oldest_upload", oldest)
    for _ in range(3):
        assert not blobs.collect(grace_seconds=0).ranges_punched
    assert blobs.finish(sending[0]).sha256 == sha(derived)
    assert blobs.collect(grace_seconds=0).ranges_punched
    for content in (data, derived):
        assert blobs.read(0, sha(content)) == content
    require_sound(blobs)


def test_what_a_repair_lets_go_waits_for_older_uploads(blobs, clock, tmp_path):
    data = noise(4 * MIB)
    blobs.put(0, "me", data)
    refer(blobs, data)
    older = blobs.begin(0, "me")
    derived = data[: 3 * MIB] + noise(MIB, 5)
    send(blobs, older, derived)
    (pack,) = pack_paths(tmp_path)
    with pack.open("r+b") as file:
        file.seek(3 * MIB + MIB // 2)
        file.write(b"rot")
    assert blobs.scrub().damages
    blobs.put(0, "me", data)
    assert not blobs.scrub().damages
    report = blobs.collect(grace_seconds=0)
    assert report.failures and not report.ranges_punched
    assert blobs.finish(older).sha256 == sha(derived)
    report = blobs.collect(grace_seconds=0)
    assert not report.failures and report.ranges_punched
    for content in (data, derived):
        assert blobs.read(0, sha(content)) == content
    require_sound(blobs)


BLOCKS = [noise(size, 100 + n) for n, size in enumerate((90_000, 150_000, 40_000, 200_000, 300))]
#: Few enough to meet again and again: two pairs that share chunks.
CONTENTS = st.sampled_from(
    [b"".join(BLOCKS[place] for place in places) for places in ((0, 1), (0, 1, 2), (3,), (3, 4))]
)


class Store(RuleBasedStateMachine):
    """Uploads, commits, deletions, crashes, reads and collections in any order, through two doors, against a model in memory."""

    uploads = Bundle("uploads")

    def __init__(self):
        super().__init__()
        # In memory, where a sync costs nothing: what a crash leaves is another test's matter.
        self.directory = Path(tempfile.mkdtemp(dir="/dev/shm" if Path("/dev/shm").is_dir() else None))
        self.clock = Clock()
        self.stack = contextlib.ExitStack()
        self.doors = [
            self.stack.enter_context(open_blobs(self.directory, clock=self.clock, checkpoint=100_000))
        ]
        self.doors.append(another(self.doors[0]))
        self.sending: dict[bytes, dict] = {}
        self.references: set[bytes] = set()
        self.pinned: dict[bytes, int] = {}
        self.known: set[bytes] = set()
        self.collected = False

    def teardown(self):
        try:
            self._leave_nothing()
        finally:
            self.doors[1].close()
            self.stack.close()
            shutil.rmtree(self.directory)

    def _leave_nothing(self):
        blobs = self.doors[0]
        for upload in list(self.sending):
            self.abort(upload)
        for data in list(self.references):
            self.delete_version(data)
        self.clock.turn(LONG)
        for door in (self.doors[0], self.doors[1], self.doors[0]):
            report = door.collect(grace_seconds=0)
            assert not report.failures
        for door in self.doors:
            door.pool.close()
        blobs.collect(grace_seconds=0)
        assert set(counts(blobs).values()) == {0}, counts(blobs)
        assert not pack_paths(self.directory)

    @rule(
        target=uploads,
        data=CONTENTS,
        door=st.integers(0, 1),
        sent=st.sampled_from((0.3, 1)),
        rests=st.booleans(),
    )
    def begin_and_send(self, data, door, sent, rests):
        upload = self.begin(data, door, rests)
        self.write(upload, int(len(data) * sent))
        if rests:
            self.checkpoint_and_change_doors(upload)
        return upload

    @rule(target=uploads, data=CONTENTS, door=st.integers(0, 1), known=st.booleans())
    def begin(self, data, door, known):
        size = len(data) if known else None
        upload = self.doors[door].begin(0, "me", size)
        self.sending[upload] = {
            "data": data,
            "at": 0,
            "saved": 0,
            "door": door,
            "expires": self.clock.now + DAY,
        }
        self.known.add(data)
        return upload

    def _live(self, upload):
        state = self.sending.get(upload)
        return state if state is not None and state["expires"] > self.clock.now else None

    @initialize(contents=st.lists(CONTENTS, min_size=1, max_size=2))
    def put_some(self, contents):
        for data in contents:
            self.put(data, 0, "committed")

    @rule(data=CONTENTS, door=st.integers(0, 1), fate=st.sampled_from(("pinned", "committed", "dropped")))
    def put(self, data, door, fate):
        self.finish(self.begin(data, door, True))
        if fate != "pinned":
            refer(self.doors[door], data, owner="me")
            self.references.add(data)
            del self.pinned[data]
        if fate == "dropped":
            self.delete_version(data)
            self.collect(0, 1 - door)

    @rule(upload=uploads, size=st.integers(1, 400_000))
    def write(self, upload, size):
        state = self._live(upload)
        if state is None:
            return
        data, at = state["data"], state["at"]
        stop = min(len(data), at + size)
        assert self.doors[state["door"]].write(upload, at, data[at:stop]) == stop
        state["at"] = stop
        saved = self.doors[0].index.read
        with saved() as view:
            row = view.get(UPLOADS, upload)
        if row.offset > state["saved"]:
            state["saved"], state["expires"] = row.offset, row.expires

    @rule(upload=uploads)
    def checkpoint_and_change_doors(self, upload):
        state = self._live(upload)
        if state is None:
            return
        assert self.doors[state["door"]].checkpoint(upload) == state["at"]
        if state["at"] > state["saved"]:
            state["saved"], state["expires"] = state["at"], self.clock.now + DAY
        state["door"] = 1 - state["door"]

    @rule(upload=consumes(uploads))
    def finish(self, upload):
        state = self._live(upload)
        if state is None:
            return
        data, door = state["data"], self.doors[state["door"]]
        door.write(upload, state["at"], data[state["at"] :])
        info = door.finish(upload, sha(data), len(data))
        assert info.size == len(data) and not info.garbage
        del self.sending[upload]
        self.pinned[data] = self.clock.now + DAY

    @rule(upload=consumes(uploads))
    def give_up(self, upload):
        if upload in self.sending:
            self.abort(upload)

    def abort(self, upload):
        state = self.sending.pop(upload)
        with contextlib.suppress(Missing):
            self.doors[state["door"]].abort(upload)

    @rule(door=st.integers(0, 1))
    def kill(self, door):
        """What the end of a process leaves: no lock, no descriptor, nothing said to anybody."""
        blobs = self.doors[door]
        for session in blobs.uploads._sessions.values():
            if session._lease is not None and session._lease.writer is not None:
                os.close(session._lease.writer.handle)
        for writer in blobs.pool._idle:
            os.close(writer.handle)
        blobs.packs.close()
        blobs.locks.close()
        self.doors[door] = another(blobs)
        for state in self.sending.values():
            if state["door"] == door:
                state["at"] = state["saved"]

    def _must_be_here(self, data):
        return data in self.references or self.pinned.get(data, 0) > self.clock.now

    @rule(data=CONTENTS, door=st.integers(0, 1))
    def commit(self, data, door):
        try:
            refer(self.doors[door], data)
        except Missing:
            assert not self._must_be_here(data)
        else:
            self.references.add(data)
            assert self.doors[door].read(0, sha(data)) == data

    @rule(data=CONTENTS)
    def delete_version(self, data):
        let_go(self.doors[0], data)
        self.references.discard(data)

    @rule(seconds=st.sampled_from((1, 3600, 3600, 26 * 3600)))
    def pass_time(self, seconds):
        self.clock.turn(seconds)

    @rule(grace=st.sampled_from((0, 1800, 1800, 90_000)), door=st.integers(0, 1))
    def collect(self, grace, door):
        report = self.doors[door].collect(grace_seconds=grace)
        assert report.can_punch
        self.collected = True

    @rule(upload=uploads, grace=st.sampled_from((0, 1800)), step=st.integers(1, 6))
    def collect_while_one_finishes(self, upload, grace, step):
        """An upload ends between two transactions of a collection."""
        state = self._live(upload)
        if state is None:
            return
        door = self.doors[1 - state["door"]]
        real, calls = chunks.transact, []

        def transact(index, change):
            calls.append(1)
            if len(calls) == step and upload in self.sending:
                self.finish(upload)
            return real(index, change)

        gc.transact = space.transact = transact
        try:
            door.collect(grace_seconds=grace)
        finally:
            gc.transact = space.transact = real

    @invariant()
    def what_must_be_here_reads_back(self):
        for data in self.known:
            try:
                found = self.doors[0].read(0, sha(data))
            except Missing:
                assert not self._must_be_here(data)
            else:
                assert found == data
        if self.collected:
            self.collected = False
            require_sound(self.doors[0])


TestStore = Store.TestCase
TestStore.settings = settings(
    max_examples=int(os.environ.get("RUNSTONE_TEST_EXAMPLES", "30")),
    stateful_step_count=30,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)


def test_uploads_that_end_while_the_live_bytes_are_looked_up_lose_nothing(blobs, clock, monkeypatch):
    """After any row that the collection reads, an upload that was under way ends and another one comes and goes."""
    kept = noise(300_000, 1)
    blobs.put(0, "me", kept)
    refer(blobs, kept)
    real, ended = blobs.index.rows, []
    for turn, (nth, where) in enumerate(
        product(range(12), ("uploads", "pins", "blobs", "blob_parts", "upload_parts"))
    ):
        ending, coming = noise(250_000, 2 * turn + 100), noise(200_000, 2 * turn + 101)
        clock.turn(30 * 3600 if turn % 4 == 3 else 3600)
        upload = blobs.begin(0, "me")
        send(blobs, upload, ending)
        blobs.checkpoint(upload)
        blobs.put(0, "me", noise(200_000, 90 + turn % 2))
        seen = []

        def rows(
            table,
            prefix=b"",
            batch=4096,
            nth=nth,
            where=where,
            upload=upload,
            ending=ending,
            coming=coming,
            seen=seen,
        ):
            for row in (*real(table, prefix, 1), None):
                seen += [1] * (table.name == where)
                if len(seen) > nth and table.name == where and blobs.upload(upload).done == b"":
                    monkeypatch.setattr(blobs.index, "rows", real)
                    blobs.finish(upload)
                    refer(blobs, ending)
                    blobs.put(0, "me", coming)
                    refer(blobs, coming)
                    monkeypatch.setattr(blobs.index, "rows", rows)
                    ended.append(table.name)
                if row is not None:
                    yield row

        monkeypatch.setattr(blobs.index, "rows", rows)
        blobs.collect(grace_seconds=0)
        monkeypatch.setattr(blobs.index, "rows", real)
        for data in (kept, *((ending, coming) if ended and blobs_has(blobs, coming) else ())):
            assert blobs.read(0, sha(data)) == data
        require_sound(blobs)
        for data in (ending, coming):
            let_go(blobs, data)
    assert {"upload_parts", "blob_parts", "blobs", "pins", "uploads"} <= set(ended)


def blobs_has(blobs, data):
    try:
        blobs.stat(0, sha(data))
    except Missing:
        return False
    return True


def test_errors_of_one_pack_do_not_stop_the_others(tmp_path):
    clock = Clock()

    class Stubborn(LocalPacks):
        bad = -1

        def punch(self, pack, offset, length):
            if pack == self.bad:
                raise StorageFailed(f"pack {pack:016x}: cannot free: Input/output error")
            return super().punch(pack, offset, length)

    backend = Stubborn(tmp_path / "packs")
    with open_blobs(tmp_path, clock=clock, backend=backend) as blobs:
        for domain in (1, 2):
            for seed in (1, 2):
                blobs.put(domain, "me", noise(MIB, seed))
            refer(blobs, noise(MIB, 1), domain=domain)
        clock.turn(LONG)
        backend.bad = min(backend.packs())
        report = blobs.collect(grace_seconds=0)
        assert len(report.failures) == 1 and f"{backend.bad:016x}" in report.failures[0]
        assert report.bytes_freed >= MIB - 2 * BLOCK
        assert isinstance(StorageFailed("x"), RunstoneError)
