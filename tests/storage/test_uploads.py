import errno
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from blobkit import (
    DAY,
    MIB,
    another,
    extents_of,
    noise,
    open_blobs,
    pack_paths,
    require_sound,
    send,
    sha,
    stored_bytes,
)
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from faults import powercut
from faults.failing import Failing, available
from faults.killer import Victim
from runstone.errors import (
    Conflict,
    Corrupt,
    DigestMismatch,
    Gone,
    Invalid,
    Missing,
    OffsetMismatch,
    StorageFailed,
    TooLarge,
)
from runstone.storage.backends.packs import BLOCK, LocalPacks
from runstone.storage.tables import CHUNKS, PACKS, UPLOAD_PARTS, UPLOADS

HERE = Path(__file__).parent


def rows(blobs, *tables):
    with blobs.index.read() as view:
        return [view.count(table) for table in tables]


def test_an_upload_takes_pieces_of_any_size(blobs):
    data, dice = noise(7 * MIB + 3), random.Random(1)
    upload = blobs.begin(0, "me")
    at = 0
    while at < len(data):
        size = dice.choice((0, 1, 17, 4096, 65_536, 300_000, 2 * MIB))
        at = blobs.write(upload, at, data[at : at + size])
        assert blobs.upload(upload).offset == at
    assert blobs.finish(upload).sha256 == sha(data)
    assert blobs.read(0, sha(data)) == data
    assert len(extents_of(blobs, data)) == 1
    require_sound(blobs)


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    cuts=st.lists(st.integers(0, 1_500_000), max_size=12),
    rests=st.lists(st.booleans(), max_size=12),
    seed=st.integers(0, 3),
)
def test_the_way_it_is_cut_changes_nothing(blobs, cuts, rests, seed):
    data = noise(1_500_000, seed)
    upload, at = blobs.begin(0, "me"), 0
    doors = [blobs, another(blobs)]
    for place, cut in enumerate(sorted(cuts)):
        at = doors[0].write(upload, at, data[at:cut])
        if place < len(rests) and rests[place]:
            assert doors[0].checkpoint(upload) == at
            doors.reverse()
    doors[0].write(upload, at, data[at:])
    info = doors[0].finish(upload, sha(data), len(data))
    assert blobs.read(0, info.sha256) == data
    for door in doors:
        if door is not blobs:
            door.close()


def test_a_piece_that_does_not_continue_is_refused(blobs):
    data = noise(MIB)
    upload = blobs.begin(0, "me", len(data))
    blobs.write(upload, 0, data[:1000])
    for offset in (0, 999, 1001, len(data)):
        with pytest.raises(OffsetMismatch) as caught:
            blobs.write(upload, offset, b"x")
        assert caught.value.details == {"offset": 1000}
    blobs.write(upload, 1000, data[1000:])
    assert blobs.finish(upload).sha256 == sha(data)


def test_more_than_was_announced_is_refused(tmp_path):
    with open_blobs(tmp_path, size=5000) as blobs:
        upload = blobs.begin(0, "me", 1000)
        blobs.write(upload, 0, bytes(999))
        with pytest.raises(TooLarge, match="announced is 1000"):
            blobs.write(upload, 999, bytes(2))
        blobs.write(upload, 999, bytes(1))
        assert blobs.finish(upload).size == 1000
        endless = blobs.begin(0, "me")
        with pytest.raises(TooLarge, match="limit is 5000"):
            blobs.write(endless, 0, bytes(5001))
        with pytest.raises(TooLarge):
            blobs.begin(0, "me", 5001)
        with pytest.raises(Invalid):
            blobs.begin(0, "me", -1)
        with pytest.raises(Invalid):
            blobs.begin(0, "me", 5, b"short")


@pytest.mark.parametrize("size", [10, 3 * MIB])
@pytest.mark.parametrize("wrong", ["announced digest", "announced size", "final digest", "final size"])
def test_other_bytes_than_announced_leave_nothing(blobs, tmp_path, size, wrong):
    data = noise(size)
    upload = blobs.begin(
        0,
        "me",
        size + 1 if wrong == "announced size" else None,
        bytes(32) if wrong == "announced digest" else None,
    )
    send(blobs, upload, data)
    with pytest.raises(DigestMismatch):
        blobs.finish(
            upload,
            bytes(32) if wrong == "final digest" else None,
            size - 1 if wrong == "final size" else None,
        )
    assert rows(blobs, UPLOADS, UPLOAD_PARTS, CHUNKS) == [0, 0, 0]
    assert stored_bytes(tmp_path) <= BLOCK, "all but the block that the next bytes will share"
    with pytest.raises(Missing):
        blobs.stat(0, sha(data))


def test_finish_can_be_asked_again(blobs, clock):
    data = noise(100_000)
    upload = blobs.begin(0, "me")
    send(blobs, upload, data)
    info = blobs.finish(upload)
    assert blobs.finish(upload) == info == blobs.finish(upload, sha(data))
    assert blobs.upload(upload).done == sha(data)
    with pytest.raises(Conflict):
        blobs.write(upload, len(data), b"more")
    blobs.abort(upload)
    with pytest.raises(Missing):
        blobs.finish(upload)


def test_an_aborted_upload_gives_its_bytes_back(blobs, tmp_path):
    upload = blobs.begin(0, "me")
    send(blobs, upload, noise(9 * MIB))
    assert stored_bytes(tmp_path) >= 8 * MIB
    blobs.abort(upload)
    # The last block, and those in which the file system notes where a file's pieces lie.
    assert stored_bytes(tmp_path) <= 4 * BLOCK
    assert rows(blobs, UPLOADS, UPLOAD_PARTS) == [0, 0]
    for call in (blobs.abort, blobs.upload, blobs.checkpoint, blobs.finish):
        with pytest.raises(Missing):
            call(upload)
    with pytest.raises(Missing):
        blobs.write(upload, 0, b"x")


def test_an_upload_expires(blobs, clock, tmp_path):
    upload = blobs.begin(0, "me")
    send(blobs, upload, noise(5 * MIB))
    blobs.checkpoint(upload)
    clock.turn(23 * 3600)
    send(blobs, upload, noise(6 * MIB), 5 * MIB)
    blobs.checkpoint(upload)
    clock.turn(23 * 3600)
    assert blobs.upload(upload).offset == 6 * MIB, "a sign of life prolongs it"
    clock.turn(2 * 3600)
    with pytest.raises(Gone):
        blobs.write(upload, 6 * MIB, b"x")
    report = blobs.collect(grace_seconds=0)
    assert report.uploads_expired == 1
    assert stored_bytes(tmp_path) == 0
    with pytest.raises(Missing):
        blobs.upload(upload)


def test_a_silent_sender_expires_too(blobs, clock, tmp_path):
    upload = blobs.begin(0, "me")
    send(blobs, upload, noise(5 * MIB))
    clock.turn(25 * 3600)
    blobs.collect(grace_seconds=0)
    assert rows(blobs, UPLOADS, UPLOAD_PARTS) == [0, 0]
    assert stored_bytes(tmp_path) == 0


def test_a_finished_blob_is_pinned_until_it_expires(blobs, clock):
    data = noise(100_000)
    upload = blobs.begin(0, "me")
    send(blobs, upload, data)
    blobs.finish(upload)
    clock.turn(23 * 3600)
    assert blobs.collect(grace_seconds=0).marked == 0
    clock.turn(2 * 3600)
    assert blobs.collect(grace_seconds=0).deleted == 1
    with pytest.raises(Missing):
        blobs.stat(0, sha(data))


def test_another_process_goes_on_from_a_checkpoint(blobs):
    data, other = noise(9 * MIB), another(blobs)
    upload = blobs.begin(0, "me", len(data))
    send(blobs, upload, data, 0, 3 * MIB + 7)
    with pytest.raises(Conflict, match="another request"):
        other.write(upload, 3 * MIB + 7, data[3 * MIB + 7 :])
    with pytest.raises(Conflict):
        other.finish(upload)
    with pytest.raises(Conflict):
        other.abort(upload)
    assert blobs.checkpoint(upload) == 3 * MIB + 7
    assert other.upload(upload).offset == 3 * MIB + 7
    send(other, upload, data, 3 * MIB + 7, 5 * MIB)
    with pytest.raises(Conflict):
        blobs.write(upload, 5 * MIB, b"x")
    other.checkpoint(upload)
    with pytest.raises(OffsetMismatch) as caught:
        blobs.write(upload, 3 * MIB + 7, b"x")
    assert caught.value.details["offset"] == 5 * MIB
    send(blobs, upload, data, 5 * MIB)
    assert blobs.finish(upload, sha(data)).size == len(data)
    assert blobs.read(0, sha(data)) == data
    other.close()
    require_sound(blobs)


def test_two_requests_may_not_write_at_once(tmp_path):
    inside, go_on = threading.Event(), threading.Event()

    class Slow(LocalPacks):
        def append(self, pack, handle, buffers, offset):
            inside.set()
            assert go_on.wait(30)
            super().append(pack, handle, buffers, offset)

    data = noise(MIB)
    with open_blobs(tmp_path, backend=Slow(tmp_path / "packs")) as blobs:
        upload = blobs.begin(0, "me")
        first = threading.Thread(target=blobs.write, args=(upload, 0, data))
        first.start()
        assert inside.wait(30)
        with pytest.raises(Conflict):
            blobs.write(upload, 0, data)
        with pytest.raises(Conflict):
            blobs.finish(upload)
        go_on.set()
        first.join()
        assert blobs.finish(upload).sha256 == sha(data)


def test_an_upload_that_rests_stays_one_extent(blobs):
    data = noise(8 * MIB)
    upload = blobs.begin(0, "me")
    for at in range(0, len(data), 2 * MIB):
        send(blobs, upload, data, at, at + 2 * MIB)
        blobs.checkpoint(upload)
        blobs.put(0, "you", noise(200_000, at + 1))
    blobs.finish(upload)
    assert len(extents_of(blobs, data)) == 1


def test_resumed_bytes_that_rotted_are_found(blobs, tmp_path):
    data, other = noise(5 * MIB), another(blobs)
    upload = blobs.begin(0, "me")
    send(blobs, upload, data)
    blobs.checkpoint(upload)
    (pack,) = pack_paths(tmp_path)
    with pack.open("r+b") as file:
        file.seek(3 * MIB)
        file.write(b"rot")
    with pytest.raises(Corrupt, match="send it again"):
        other.write(upload, len(data), b"x")
    other.close()


def test_the_end_of_a_process_keeps_what_was_sent(tmp_path):
    data = noise(3 * MIB)
    with open_blobs(tmp_path) as blobs:
        upload = blobs.begin(0, "me")
        send(blobs, upload, data, 0, 2 * MIB + 5)
    with open_blobs(tmp_path) as blobs:
        assert blobs.upload(upload).offset == 2 * MIB + 5
        send(blobs, upload, data, 2 * MIB + 5)
        assert blobs.finish(upload).sha256 == sha(data)


KILLED = """
import sys, json
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from blobkit import *
with open_blobs(Path(sys.argv[1]), checkpoint=MIB) as blobs:
    upload = blobs.begin(0, "me")
    print("ACK " + json.dumps([upload.hex(), 0]))
    data, at = noise(40 * MIB), 0
    while at < len(data):
        at = blobs.write(upload, at, data[at:at + 100_000])
        print("ACK " + json.dumps([upload.hex(), blobs.uploads._sessions[upload].row.offset]))
    blobs.finish(upload)
    print("ACK " + json.dumps([upload.hex(), -1]))
"""


def run(code: str, *arguments: object) -> list[str]:
    return [sys.executable, "-c", code, *map(str, arguments)]


def test_a_killed_process_loses_nothing_that_was_checkpointed(tmp_path):
    kills, data = int(os.environ.get("RUNSTONE_TEST_KILLS", "8")), noise(40 * MIB)
    dice, hit, resumed = random.Random(3), 0, 0
    for _ in range(kills):
        with Victim(
            run(KILLED, tmp_path, HERE), env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
        ) as victim:
            victim.wait_for("ACK ", dice.randint(1, 380))
            killed = victim.end()
        hit += killed.hit
        upload, promised = killed.acks[-1]
        with open_blobs(tmp_path, checkpoint=4 * MIB) as blobs:
            state = blobs.upload(bytes.fromhex(upload))
            if state.done:
                continue
            assert state.offset >= promised
            resumed += state.offset > 0
            send(blobs, state.id, data, state.offset)
            assert blobs.finish(state.id, sha(data), len(data)).size == len(data)
            assert blobs.read(0, sha(data)) == data
            require_sound(blobs)
            blobs.abort(state.id)
            blobs.collect(grace_seconds=0)
            with pytest.raises(Missing):
                blobs.stat(0, sha(data))
            assert rows(blobs, PACKS, CHUNKS) == [0, 0] and not pack_paths(tmp_path)
    assert hit >= kills - 1 and resumed, "the kills met uploads in progress"


FAILING = """
import sys, json
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from blobkit import *
from runstone.errors import RunstoneError, StorageFull, StorageFailed, TryAgain
with open_blobs(Path(sys.argv[1]), checkpoint=MIB) as blobs:
    print("READY")
    for seed in range(2, 6):
        try:
            data = noise(3 * MIB, seed)
            upload = blobs.begin(0, "me", len(data))
            send(blobs, upload, data, piece=300_000)
            blobs.finish(upload)
            print("ACK " + json.dumps([seed, "stored"]))
        except (StorageFull, StorageFailed) as error:
            print("ACK " + json.dumps([seed, type(error).__name__]))
"""


def _fault_cases():
    counts = {"write": (1, 2, 3, 5, 9, 14, 23, 31), "sync": (1, 2, 3, 5, 8, 12, 17), "create": (1, 2, 3)}
    every = [
        (kind, nth, how)
        for kind, nths in counts.items()
        for nth in nths
        for how in ("EIO", "ENOSPC", *(("short",) if kind == "write" else ()))
    ]
    return random.Random(5).sample(every, min(len(every), int(os.environ.get("RUNSTONE_TEST_FAULTS", "14"))))


@pytest.mark.skipif(available() is not None, reason=str(available()))
def test_failing_calls_end_in_durable_bytes_or_a_clean_error(tmp_path):
    injected = refused = 0
    for number, (kind, nth, how) in enumerate(_fault_cases()):
        directory = tmp_path / f"{number}"
        with open_blobs(directory) as blobs:
            blobs.put(0, "me", noise(MIB, 1))
        with Failing(directory) as failing:
            failing.arm(
                kind, nth=nth, error=getattr(errno, "EIO" if how == "short" else how), short=how == "short"
            )
            with Victim(
                run(FAILING, directory, HERE), env={**failing.env, "PYTHONPATH": os.pathsep.join(sys.path)}
            ) as victim:
                while victim.alive:
                    signal.sigtimedwait([], 0.02)
                ended = victim.end()
            injected += failing.injected
            hits = failing.injected
        outcomes = dict(map(tuple, ended.acks))
        with open_blobs(directory) as blobs:
            for seed, outcome in outcomes.items():
                if outcome == "stored":
                    assert blobs.read(0, sha(noise(3 * MIB, seed))) == noise(3 * MIB, seed), (kind, nth, how)
                else:
                    refused += 1
                    assert hits, "nothing fails by itself"
            assert blobs.read(0, sha(noise(MIB, 1))) == noise(MIB, 1)
            require_sound(blobs)
            assert blobs.put(0, "me", noise(MIB, 9)).size == MIB, "a new process writes again"
            require_sound(blobs)
    assert injected >= number // 2 and refused, (injected, refused)


CUT = """
import sys, json
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from blobkit import *
with open_blobs(Path(sys.argv[1]), checkpoint=MIB) as blobs:
    (Path(sys.argv[1]) / "f").write_bytes(noise(200_000, int(sys.argv[3])))
    for seed in range(int(sys.argv[3]) + 1, int(sys.argv[3]) + 100):
        upload = blobs.begin(0, "me")
        data = noise(2 * MIB + seed, seed)
        send(blobs, upload, data, 0, MIB)
        print("ACK " + json.dumps(["at", upload.hex(), blobs.checkpoint(upload), seed]))
        send(blobs, upload, data, MIB)
        blobs.finish(upload)
        print("ACK " + json.dumps(["put", upload.hex(), 0, seed]))
        if seed % 3 == 0:
            blobs.put_many(0, "me", [Path(sys.argv[1]) / "f"])
            print("ACK " + json.dumps(["put_many", "", 0, int(sys.argv[3])]))
            blobs.abort(upload)
            blobs.collect(grace_seconds=0)
"""


@pytest.mark.root
@pytest.mark.skipif(powercut.available() is not None, reason=str(powercut.available()))
def test_a_power_cut_loses_nothing_that_was_acknowledged(tmp_path):
    cuts, dice, owed = int(os.environ.get("RUNSTONE_TEST_CUTS", "5")), random.Random(2), 0
    with powercut.PowerCutDisk(tmp_path, size_mb=512) as disk:
        for n in range(cuts):
            directory = disk.path / f"{n}"
            directory.mkdir()
            argv = run(CUT, directory, HERE, 1000 * n)
            with Victim(argv, env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}) as victim:
                victim.wait_for("ACK ", dice.randint(1, 25))
                disk.cut()
                disk.recover(kill=[victim])
                acks = victim.end().acks
            with open_blobs(directory) as blobs:
                finished = {upload for what, upload, _, _ in acks if what == "put"}
                for what, upload, offset, seed in acks:
                    if what == "at" and upload not in finished:
                        state = blobs.upload(bytes.fromhex(upload))
                        assert state.done or state.offset >= offset
                        if not state.done:
                            data = noise(2 * MIB + seed, seed)
                            send(blobs, state.id, data, state.offset)
                            assert blobs.finish(state.id).sha256 == sha(data)
                    elif what == "put" and seed % 3:
                        assert blobs.read(0, sha(noise(2 * MIB + seed, seed))) == noise(2 * MIB + seed, seed)
                    elif what == "put_many":
                        assert blobs.read(0, sha(noise(200_000, seed))) == noise(200_000, seed)
                    owed += 1
                blobs.collect(grace_seconds=0)
                require_sound(blobs)
            shutil.rmtree(directory)
        assert disk.cuts == cuts and owed > cuts


FULL = """
import sys, json, resource, signal
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from blobkit import *
from runstone.errors import StorageFull
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
with open_blobs(Path(sys.argv[1]), checkpoint=MIB) as blobs:
    small = blobs.put(0, "me", noise(MIB, 1))
    data = noise(8 * MIB)
    upload = blobs.begin(0, "me", len(data))
    resource.setrlimit(resource.RLIMIT_FSIZE, (4 * MIB, resource.RLIM_INFINITY))
    try:
        send(blobs, upload, data, piece=MIB)
        print("ACK " + json.dumps("took it all"))
    except StorageFull:
        print("ACK " + json.dumps("full"))
    assert blobs.read(0, small.sha256) == noise(MIB, 1)
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    at = blobs.upload(upload).offset
    print("ACK " + json.dumps(at))
    send(blobs, upload, data, at)
    blobs.finish(upload, sha(data))
    assert blobs.read(0, sha(data)) == data
    require_sound(blobs)
    print("ACK " + json.dumps("done"))
"""


def test_a_full_disk_fails_the_write_and_the_upload_goes_on_later(tmp_path):
    ended = subprocess.run(
        run(FULL, tmp_path, HERE),
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    said = [json.loads(line.removeprefix("ACK ")) for line in ended.stdout.splitlines()]
    assert said[0] == "full" and said[2] == "done"
    assert MIB <= said[1] < 4 * MIB, "what was checkpointed is kept"


class _FailsToSync(LocalPacks):
    failing = True

    def sync(self, pack, handle, *, name):
        if self.failing:
            raise StorageFailed(f"pack {pack:016x}: cannot be made durable: Input/output error")
        super().sync(pack, handle, name=name)


def test_a_pack_is_never_written_again_after_a_failed_sync(tmp_path):
    backend = _FailsToSync(tmp_path / "packs")
    with open_blobs(tmp_path, backend=backend) as blobs:
        backend.failing = False
        blobs.put(0, "me", noise(MIB, 1))
        (pack,) = pack_paths(tmp_path)
        size = pack.stat().st_size
        backend.failing = True
        with pytest.raises(StorageFailed):
            blobs.put(0, "me", noise(MIB, 2))
        backend.failing = False
        blobs.put(0, "me", noise(MIB, 3))
        with blobs.index.read() as view:
            row = view.get(PACKS, int(pack.stem, 16))
        assert row.sealed and row.size == size
        assert len(pack_paths(tmp_path)) == 2
        assert blobs.read(0, sha(noise(MIB, 1))) == noise(MIB, 1)
        require_sound(blobs)
    with open_blobs(tmp_path) as blobs:
        blobs.put(0, "me", noise(MIB, 4))
        assert len(pack_paths(tmp_path)) == 2


def test_many_waiting_uploads_are_let_go(blobs, monkeypatch):
    monkeypatch.setattr("runstone.storage.uploads._MAX_WAITING", 3)
    uploads = []
    for n in range(8):
        uploads.append(blobs.begin(0, "me"))
        send(blobs, uploads[-1], noise(400_000, n), 0, 300_000)
        blobs.checkpoint(uploads[-1])
    assert len(blobs.uploads._sessions) <= 4
    for n, upload in enumerate(uploads):
        send(blobs, upload, noise(400_000, n), 300_000)
        assert blobs.finish(upload).sha256 == sha(noise(400_000, n))
    require_sound(blobs)


def test_an_upload_lasts_a_day(blobs, clock):
    upload = blobs.begin(3, "ann", 10, sha(b"0123456789"))
    state = blobs.upload(upload)
    assert (state.domain, state.owner, state.offset, state.size, state.done) == (3, "ann", 0, 10, b"")
    assert state.expires - state.created == DAY


def test_a_collection_turns_no_sender_away(blobs):
    """What is kept for an upload is looked through between two of its requests, and a request may come just then."""
    upload, done, failures, swept = blobs.begin(0, "ann"), threading.Event(), [], [0]

    def sweep():
        while not done.is_set():
            blobs.uploads.sweep(blobs.clock())
            swept[0] += 1

    sweepers = [threading.Thread(target=sweep) for _ in range(2)]
    for sweeper in sweepers:
        sweeper.start()
    try:
        for n in range(1500):
            try:
                blobs.write(upload, n, b"x")
                blobs.checkpoint(upload) if n % 50 == 0 else blobs.upload(upload)
            except Conflict as error:
                failures.append(error)
                break
            if n % 50 == 0:
                for other in [blobs.begin(0, "max") for _ in range(2)]:
                    blobs.write(other, 0, b"y")
                    blobs.checkpoint(other)
    finally:
        done.set()
        for sweeper in sweepers:
            sweeper.join()
    assert not failures and swept[0] > 10
