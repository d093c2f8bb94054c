"""Backups made while a store is written to, and what comes back from them; and a store whose index is replaced."""

import random
import shutil
import sys
import threading

import pytest

import runstone
from faults.bitflip import flip
from faults.killer import Victim
from faults.lmdb_pages import record_of, root_of
from runstone.domain import content as files
from runstone.domain import maintenance
from runstone.domain.context import Context
from runstone.errors import Conflict, Corrupt, Invalid, Missing, StorageFailed
from runstone.storage import pages, recovery, snapshot

from .embedded import Embedded
from .programs import environment
from .workload import Lane, attempts, check, check_all, set_up


@pytest.fixture
def store(tmp_path):
    """An open store, its lanes and a function that does some operations."""
    with runstone.open(tmp_path / "data") as library:
        yield Working(library, set_up(library, 2), tmp_path)


class Working:
    def __init__(self, library, lanes, scratch, seed=5):
        self.library, self.lanes = library, lanes
        self._execute, self._chance = Embedded(library, scratch), random.Random(seed)

    def go_on(self, steps, lanes=None):
        for _ in range(steps):
            for lane in lanes or self.lanes:
                op = lane.next_op(self._chance)
                lane.tried(op)
                lane.done(op, attempts(self._execute, op))

    def ledger(self):
        return [Lane.from_json(lane.as_json()) for lane in self.lanes]


def test_a_backup_restores_to_what_it_was_made_of(store, tmp_path):
    store.go_on(25)
    made, then = store.library.backup(tmp_path / "backup"), store.ledger()
    store.go_on(10)
    head = maintenance.restore(tmp_path / "backup", tmp_path / "restored")
    assert (head.size, head.root.hex(), head.state.hex()) == (made["size"], made["root"], made["state"])
    with runstone.open(tmp_path / "restored") as restored:
        assert check_all(restored, then) > 10
        Working(restored, then, tmp_path, seed=6).go_on(5)
        check_all(restored, then)
    check_all(store.library, store.lanes)


def test_a_second_backup_copies_what_is_new(store, tmp_path):
    store.go_on(20)
    copied = []
    store.library.backup(tmp_path / "backup")
    packs = {path: path.stat().st_mtime_ns for path in (tmp_path / "backup").rglob("*.pack")}
    store.go_on(15)
    store.library.backup(tmp_path / "backup", progress=lambda done, total: copied.append(total))
    assert packs and copied
    maintenance.restore(tmp_path / "backup", tmp_path / "restored")
    with runstone.open(tmp_path / "restored") as restored:
        assert check_all(restored, store.lanes) > 10


def test_bytes_of_an_upload_that_was_given_up_are_not_taken_for_good_ones(store, tmp_path):
    """What lies past the accounted end of a pack is written over; a backup must not keep an earlier state of it."""
    ctx, inner = Context(), store.library.store
    noise = random.Random(1).randbytes(3_000_000)
    upload = files.begin_upload(inner, ctx, "local").id
    files.write_upload(inner, ctx, upload, 0, noise)
    pack = next(iter(inner.path.rglob("*.pack")))
    assert pack.stat().st_size > 2_000_000
    store.library.backup(tmp_path / "backup")
    files.abort_upload(inner, ctx, upload)
    (tmp_path / "model").write_bytes(random.Random(2).randbytes(3_000_000))
    store.library.put("reliability/other", tmp_path / "model")
    assert pack.stat().st_size > 2_000_000
    store.library.backup(tmp_path / "backup")
    maintenance.restore(tmp_path / "backup", tmp_path / "restored")
    with (
        runstone.open(tmp_path / "restored") as restored,
        restored.open_file("reliability/other", "model") as file,
    ):
        assert file.read() == (tmp_path / "model").read_bytes()


def test_a_backup_while_others_write_and_collect(store, tmp_path):
    stop, failures, busy = threading.Event(), [], [0]
    writing = store.lanes[0]

    def write():
        try:
            while not stop.is_set():
                store.go_on(1, [writing])
                busy[0] += 1
        except BaseException as error:
            failures.append(error)

    def collect():
        try:
            while not stop.is_set():
                stop.wait(0.05)
                try:
                    store.library.gc(grace_seconds=0)
                    busy[0] += 1
                except Conflict:
                    pass
        except BaseException as error:
            failures.append(error)

    store.go_on(15)
    # The lane at rest is what the backups are compared with.
    resting, threads = [store.ledger()[1]], [threading.Thread(target=write), threading.Thread(target=collect)]
    for thread in threads:
        thread.start()
    try:
        for n in range(3):
            before = busy[0]
            made = store.library.backup(tmp_path / "backup")
            head = maintenance.restore(tmp_path / "backup", tmp_path / f"restored-{n}")
            assert head.state.hex() == made["state"]
            with runstone.open(tmp_path / f"restored-{n}") as restored:
                restored.verify()
                assert check(restored, resting) > 5
                assert all(not report for report in (restored.damages(), restored.scrub()["damages"]))
            assert busy[0] > before
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert not failures, failures
    check_all(store.library, store.lanes)


def test_a_store_goes_back_to_any_entry_of_its_log(store, tmp_path):
    heads = []
    for _ in range(8):
        store.go_on(2)
        head = store.library.store.log.head()
        heads.append((head.size, head.state, store.ledger()))
    store.library.backup(tmp_path / "backup")
    for size, state, then in heads[::3]:
        target = tmp_path / f"restored-{size}"
        head = maintenance.restore(tmp_path / "backup", target, to=size)
        # One entry more says where it came from, and changes no row.
        assert (head.size, head.state) == (size + 1, state)
        with runstone.open(target) as restored:
            restored.verify()
            assert check(restored, then, read=False) == 0
            assert restored.store.id != store.library.store.id
            assert restored.log_key() != store.library.log_key()
            assert restored.store.log.root_at(size) == store.library.store.log.root_at(size)
            Working(restored, then, tmp_path, seed=6).go_on(3)
            restored.verify()
    assert not (tmp_path / f"restored-{heads[0][0]}" / "index.old").exists()


def damage_a_pack(backup):
    path = max(backup.rglob("*.pack"), key=lambda path: path.stat().st_size)
    flip(path, path.stat().st_size - 5, 3)


def cut_a_pack(backup):
    path = max(backup.rglob("*.pack"), key=lambda path: path.stat().st_size)
    with path.open("r+b") as file:
        file.truncate(path.stat().st_size - 1)


def lose_a_pack(backup):
    next(backup.rglob("*.pack")).unlink()


def damage_the_index(backup):
    path = next(backup.glob("index*/data.mdb"))
    with pages.PageFile(path) as file:
        page, place = record_of(file, "log_headers")
    flip(path, page.number * 4096 + page.offsets[place] + 9, 0)


def other_index(backup):
    path = next(backup.glob("index*/data.mdb"))
    with runstone.open(backup.parent / "other") as library:
        library.backup(backup.parent / "other-backup")
    shutil.copy(next((backup.parent / "other-backup").glob("index*/data.mdb")), path)


def damage_the_manifest(backup):
    (backup / "BACKUP").write_bytes((backup / "BACKUP").read_bytes()[:-20])


@pytest.mark.parametrize(
    "damage", [damage_a_pack, cut_a_pack, lose_a_pack, damage_the_index, other_index, damage_the_manifest]
)
def test_a_damaged_backup_is_refused(store, tmp_path, damage):
    store.go_on(12)
    store.library.put("reliability/other", files_of(tmp_path))
    store.library.backup(tmp_path / "backup")
    damage(tmp_path / "backup")
    with pytest.raises(Corrupt):
        maintenance.restore(tmp_path / "backup", tmp_path / "restored")


def files_of(tmp_path):
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "large").write_bytes(random.Random(9).randbytes(500_000))
    return folder


def test_what_is_no_backup_or_another_store_s_is_refused(store, tmp_path):
    store.library.backup(tmp_path / "backup")
    with runstone.open(tmp_path / "other") as other, pytest.raises(Invalid, match="another store"):
        other.backup(tmp_path / "backup")
    with pytest.raises(Invalid, match="not a backup"):
        store.library.backup(tmp_path / "other")
    with pytest.raises(Invalid, match="not a backup"):
        maintenance.restore(tmp_path / "other", tmp_path / "restored")
    with pytest.raises(Invalid, match="not empty"):
        maintenance.restore(tmp_path / "backup", tmp_path / "other")


def test_a_backup_that_is_cut_off_leaves_the_one_before(store, tmp_path, monkeypatch):
    store.go_on(15)
    store.library.backup(tmp_path / "backup")
    then, cut_off = store.ledger(), 0
    for step, name in enumerate(("_copy_packs", "_copy_whole", "_remove_others")):
        store.go_on(6)

        def fails(*args, **kwargs):
            raise OSError("the power is gone")

        with monkeypatch.context() as patched, pytest.raises(StorageFailed, match="power"):
            patched.setattr(snapshot, name, fails)
            store.library.backup(tmp_path / "backup")
        cut_off += 1
        if name == "_remove_others":
            then = store.ledger()
        maintenance.restore(tmp_path / "backup", tmp_path / f"restored-{step}")
        with runstone.open(tmp_path / f"restored-{step}") as restored:
            check_all(restored, then)
    store.library.backup(tmp_path / "backup")
    assert cut_off == 3 and len(list((tmp_path / "backup").glob("index*"))) == 1


BACK_UP = """
import sys, runstone
with runstone.open(sys.argv[1]) as library:
    print("READY")
    while True:
        library.backup(sys.argv[2])
        print("ACK 1")
"""


def test_a_backup_is_killed_at_any_time(store, tmp_path):
    store.go_on(10)
    store.library.backup(tmp_path / "backup")
    hits = 0
    for round_ in range(12):
        store.go_on(3)
        argv = [sys.executable, "-c", BACK_UP, str(tmp_path / "data"), str(tmp_path / "backup")]
        with Victim(argv, environment()) as victim:
            victim.wait_for("READY")
            victim.kill_after(random.Random(round_).uniform(0, 0.05)).join()
            hits += victim.end().hit
        maintenance.restore(tmp_path / "backup", tmp_path / f"restored-{round_}")
        shutil.rmtree(tmp_path / f"restored-{round_}")
    assert hits == 12
    store.library.backup(tmp_path / "backup")
    maintenance.restore(tmp_path / "backup", tmp_path / "restored")
    with runstone.open(tmp_path / "restored") as restored:
        check_all(restored, store.lanes)


def test_a_rebuilt_index_has_the_same_state(store, tmp_path):
    store.go_on(25)
    before = store.library.store.log.head()
    with pytest.raises(Conflict, match="open in another"):
        maintenance.rebuild(tmp_path / "data")
    store.library.close()
    head = maintenance.rebuild(tmp_path / "data")
    assert (head.size, head.root, head.state) == (before.size, before.root, before.state)
    with runstone.open(tmp_path / "data") as library:
        check_all(library, store.lanes)


def test_an_index_with_damaged_state_is_rebuilt_from_its_log(store, tmp_path):
    store.go_on(60)
    store.library.close()
    data = tmp_path / "data" / "index" / "data.mdb"
    with pages.PageFile(data) as file:
        walk = pages.check(data)
        root = root_of(file, "alias_history")
        leaf = file.page(root)
    assert walk is not None and walk.tables["alias_history"] > 5 and not leaf.branch
    flip(data, root * 4096 + leaf.offsets[0] + 8 + 9, 2)
    flip(data, root * 4096 + 12, 1)
    with runstone.open(tmp_path / "data") as library, pytest.raises(Corrupt, match=f"page {root}"):
        library.verify()
    with runstone.open(tmp_path / "data") as library, pytest.raises(Corrupt, match=f"page {root}"):
        library.backup(tmp_path / "backup")
    with runstone.open(tmp_path / "data") as library, pytest.raises(Corrupt, match=f"page {root}"):
        library.scrub()
    maintenance.rebuild(tmp_path / "data")
    with runstone.open(tmp_path / "data") as library:
        check_all(library, store.lanes)


@pytest.mark.parametrize("table", ["log_payloads", "chunks"])
def test_an_index_with_a_damaged_log_is_not_rebuilt(store, tmp_path, table):
    store.go_on(40)
    store.library.close()
    data = tmp_path / "data" / "index" / "data.mdb"
    with pages.PageFile(data) as file:
        root = root_of(file, table)
    flip(data, root * 4096 + 11, 5)
    before = sorted((tmp_path / "data").iterdir())
    with pytest.raises(Corrupt, match=f"page {root}"):
        maintenance.rebuild(tmp_path / "data")
    assert sorted((tmp_path / "data").iterdir()) == before


def test_a_replacement_that_was_cut_off_is_put_right(store, tmp_path):
    store.go_on(15)
    store.library.close()
    data = tmp_path / "data"
    (data / "index").rename(data / "index.old")
    with runstone.open(data) as library:
        check_all(library, store.lanes)
    shutil.rmtree(data / "index")
    with pytest.raises(Corrupt, match="lost its index"):
        runstone.open(data)
    assert not (data / "index").exists()


def test_bytes_that_are_gone_from_a_point_in_time_are_not_invented(store, tmp_path):
    """Going back does not bring back bytes that the collector freed; what is left of them is an error, and all else is there."""
    store.library.put("reliability/other", files_of(tmp_path))
    then = store.library.store.log.head().size
    kept = store.library.put("reliability/kept", tmp_path / "folder", metadata={"n": 1})
    (tmp_path / "folder" / "large").write_bytes(b"small")
    store.library.put("reliability/kept", tmp_path / "folder")
    for name in ("reliability/other@v1", "reliability/kept@v1"):
        store.library.delete_version(name)
    clock = store.library.store.blobs.clock() + 48 * 3600 * 1_000_000
    for _ in range(2):
        store.library.store.blobs.collect(grace_seconds=0, now=clock)
    store.library.backup(tmp_path / "backup")
    maintenance.restore(tmp_path / "backup", tmp_path / "restored", to=then)
    assert kept.number == 1
    with runstone.open(tmp_path / "restored") as restored:
        assert restored.version("reliability/other@v1").state == "live"
        with pytest.raises(Missing):
            restored.open_file("reliability/other@v1", "large").read()
        restored.verify()


def test_the_pages_of_an_index_that_others_write_to_are_checked(store):
    """The walk sees one commit, while others are made."""
    stop, failures = threading.Event(), []

    def write():
        try:
            while not stop.is_set():
                store.go_on(1, [store.lanes[0]])
        except BaseException as error:
            failures.append(error)

    thread = threading.Thread(target=write)
    thread.start()
    commits = set()
    try:
        while len(commits) < 30 and not failures:
            report = recovery.check_pages(store.library.store.index)
            commits.add(report.commit)
            pages.check_roots(store.library.store.path / "index" / "data.mdb")
    finally:
        stop.set()
        thread.join()
    assert not failures and len(commits) == 30
