import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time

import pytest

from runstone.errors import Corrupt, Invalid, StorageFailed, TryAgain
from runstone.storage import filesystem
from runstone.storage.index import Index, MapGrown
from runstone.storage.tables import PROJECT_NAMES, SETTINGS, TILES


def put(index, name, value):
    while True:
        try:
            with index.write() as txn:
                txn.put(SETTINGS, name, value)
            return
        except MapGrown:
            continue


def test_a_value_survives_reopening(tmp_path):
    index = Index(tmp_path / "i")
    put(index, "a", b"1")
    index.close()
    with Index(tmp_path / "i").read() as view:
        assert view.get(SETTINGS, "a") == b"1"
        assert view.get(SETTINGS, "b") is None


def test_a_refused_transaction_leaves_nothing(tmp_path):
    index = Index(tmp_path / "i")
    with pytest.raises(RuntimeError), index.write() as txn:
        txn.put(SETTINGS, "a", b"1")
        raise RuntimeError
    with index.read() as view:
        assert view.get(SETTINGS, "a") is None


def test_scans_keep_to_their_prefix_in_both_directions(tmp_path):
    index = Index(tmp_path / "i")
    with index.write() as txn:
        for project in (1, 2, 3):
            for name in ("a", "b", "c"):
                txn.put(PROJECT_NAMES, project, name, project * 10)
    with index.read() as view:
        assert [key for key, _ in view.scan(PROJECT_NAMES, 2)] == [(2, "a"), (2, "b"), (2, "c")]
        assert [key for key, _ in view.scan(PROJECT_NAMES, 2, reverse=True)] == [(2, "c"), (2, "b"), (2, "a")]
        assert [key for key, _ in view.scan(PROJECT_NAMES, 2, after=(2, "a"))] == [(2, "b"), (2, "c")]
        assert [key for key, _ in view.scan(PROJECT_NAMES, 2, after=(2, "b"), reverse=True)] == [(2, "a")]
        assert [key for key, _ in view.scan(PROJECT_NAMES, 3, reverse=True)] == [(3, "c"), (3, "b"), (3, "a")]
        assert [key for key, _ in view.scan(PROJECT_NAMES, 9)] == []
        assert view.last(PROJECT_NAMES, 1) == ((1, "c"), 10)
    assert len(list(index.rows(PROJECT_NAMES, batch=2))) == 9


def test_every_flipped_bit_of_a_value_is_found(tmp_path):
    index = Index(tmp_path / "i")
    put(index, "name", b"some value")
    with index.write() as txn:
        stored = bytes(txn._txn.get(b"name", db=index.databases["settings"]))
    flips = 0
    for bit in range(len(stored) * 8):
        damaged = bytearray(stored)
        damaged[bit // 8] ^= 1 << bit % 8
        with index.write() as txn:
            txn._txn.put(b"name", bytes(damaged), db=index.databases["settings"])
        with index.read() as view, pytest.raises(Corrupt, match="settings"):
            view.get(SETTINGS, "name")
        flips += 1
    assert flips == len(stored) * 8 > 100


def test_a_row_moved_to_another_key_or_table_is_found(tmp_path):
    index = Index(tmp_path / "i")
    put(index, "a", b"1")
    with index.write() as txn:
        stored = bytes(txn._txn.get(b"a", db=index.databases["settings"]))
        txn._txn.put(b"b", stored, db=index.databases["settings"])
        txn._txn.put(TILES.key.pack(0, 0), stored, db=index.databases["tiles"])
    with index.read() as view:
        with pytest.raises(Corrupt):
            view.get(SETTINGS, "b")
        with pytest.raises(Corrupt):
            view.get(TILES, 0, 0)


def test_the_map_grows_while_others_read(tmp_path):
    index = Index(tmp_path / "i", map_size=1 << 20)
    stop, reads, errors = threading.Event(), [0], []

    def read():
        while not stop.is_set():
            try:
                with index.read() as view:
                    view.get(SETTINGS, "n0")
                reads[0] += 1
            except Exception as error:
                errors.append(error)

    reader = threading.Thread(target=read)
    reader.start()
    for n in range(200):
        put(index, f"n{n}", bytes(50_000))
    stop.set()
    reader.join()
    assert not errors and reads[0] > 0
    assert (tmp_path / "i" / "data.mdb").stat().st_size > 8 << 20
    with index.read() as view:
        assert view.get(SETTINGS, "n199") == bytes(50_000)


def test_a_map_grown_by_another_process_is_followed(tmp_path):
    index = Index(tmp_path / "i", map_size=1 << 20)
    spawn = multiprocessing.get_context("spawn")
    writer = spawn.Process(target=_write_large, args=(tmp_path / "i",))
    writer.start()
    writer.join()
    assert writer.exitcode == 0
    with index.read() as view:
        assert view.get(SETTINGS, "n99") == bytes(50_000)
    put(index, "mine", b"x")


def _write_large(path):
    index = Index(path, map_size=1 << 20)
    for n in range(100):
        put(index, f"n{n}", bytes(50_000))


def _write_many(path, who, count):
    index = Index(path)
    for n in range(count):
        put(index, f"{who}-{n}", b"x")


def test_several_processes_write_one_directory(tmp_path):
    index = Index(tmp_path / "i")
    spawn = multiprocessing.get_context("spawn")
    writers = [spawn.Process(target=_write_many, args=(tmp_path / "i", who, 50)) for who in range(3)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
        assert writer.exitcode == 0
    assert len(list(index.rows(SETTINGS))) == 150


def test_a_killed_reader_is_cleared(tmp_path):
    index = Index(tmp_path / "i")
    code = (
        "import sys, time; from pathlib import Path; from runstone.storage.index import Index\n"
        f"i = Index(Path({str(tmp_path / 'i')!r}))\n"
        "with i.read() as view: print('in', flush=True); time.sleep(60)"
    )
    reader = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE)
    assert reader.stdout.readline() == b"in\n"
    reader.send_signal(signal.SIGKILL)
    reader.wait()
    reader.stdout.close()
    assert index.check_readers() == 1


def test_a_long_scan_is_refused(tmp_path):
    index = Index(tmp_path / "i")
    with index.write() as txn:
        txn.put_bodies(SETTINGS, [(b"%06d" % n, b"x") for n in range(2000)])
    with index.read(seconds=0.05) as view, pytest.raises(TryAgain, match="settings"):
        for _ in view.scan(SETTINGS):
            time.sleep(0.001)


def test_a_truncated_index_is_refused(tmp_path):
    index = Index(tmp_path / "i")
    for n in range(100):
        put(index, f"n{n}", bytes(5000))
    index.close()
    data = tmp_path / "i" / "data.mdb"
    size = data.stat().st_size
    for left in (size // 2, size - 4096, 5000):
        os.truncate(data, left)
        with pytest.raises(Corrupt):
            Index(tmp_path / "i")
        assert data.stat().st_size == left


def test_a_foreign_file_is_refused(tmp_path):
    (tmp_path / "i").mkdir()
    (tmp_path / "i" / "data.mdb").write_bytes(b"not an index at all" * 1000)
    with pytest.raises(Corrupt):
        Index(tmp_path / "i")


def test_a_missing_index_is_not_made_by_a_reader(tmp_path):
    with pytest.raises(Invalid):
        Index(tmp_path / "i", readonly=True)
    assert not (tmp_path / "i").exists()


def test_a_reader_cannot_write(tmp_path):
    Index(tmp_path / "i").close()
    with pytest.raises(Invalid, match="reading only"):
        put(Index(tmp_path / "i", readonly=True), "a", b"1")


@pytest.mark.parametrize("kind", ["nfs", "nfs4", "cifs", "9p", "fuse.sshfs"])
def test_network_file_systems_are_refused(tmp_path, kind):
    with pytest.raises(Invalid, match=kind):
        filesystem.refuse_network_file_system(tmp_path, kind)
    assert filesystem.file_system_of(tmp_path)


def test_a_forked_child_may_not_write(tmp_path):
    code = f"""
import os, sys
from pathlib import Path
from runstone.errors import StorageFailed
from runstone.storage.index import Index
from runstone.storage.tables import SETTINGS
index = Index(Path({str(tmp_path / "i")!r}))
child = os.fork()
if child == 0:
    try:
        with index.write() as txn:
            txn.put(SETTINGS, "a", b"1")
    except StorageFailed as error:
        os._exit(7 if "forked" in str(error) else 8)
    os._exit(9)
_, status = os.waitpid(child, 0)
sys.exit(os.waitstatus_to_exitcode(status))
"""
    assert subprocess.run([sys.executable, "-W", "ignore", "-c", code]).returncode == 7


def test_a_closed_index_refuses(tmp_path):
    index = Index(tmp_path / "i")
    index.close()
    with pytest.raises(StorageFailed, match="closed"):
        put(index, "a", b"1")


def test_the_last_commit_is_one_that_readers_see(tmp_path):
    """What is read after it was asked for is no older; else an old answer would be remembered as the newest."""
    index = Index(tmp_path / "index")
    done = threading.Event()

    def write():
        for _ in range(300):
            with index.write() as txn:
                txn.put(SETTINGS, "commit", str(txn._txn.id()).encode())
        done.set()

    put(index, "commit", b"0")
    writer = threading.Thread(target=write)
    writer.start()
    behind = []
    while not done.is_set():
        last = index.last_commit()
        with index.read() as view:
            seen = int(view.get(SETTINGS, "commit"))
        # The first commits are those that made the index.
        if 0 < seen < last:
            behind.append((seen, last))
    writer.join()
    index.close()
    assert behind == []
