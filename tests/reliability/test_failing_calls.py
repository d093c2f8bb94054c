"""Every k-th write, sync, rename or creation fails: what is acknowledged is durable, all else is a clean error, and reads go on."""

import errno
import json
import os
import random
import shutil
import subprocess
import sys
from collections import Counter
from contextlib import contextmanager
from pathlib import Path

import pytest

import runstone
from faults import failing, powercut
from faults.failing import Failing
from faults.killer import Victim
from faults.powercut import PowerCutDisk
from runstone.domain import maintenance
from runstone.errors import RunstoneError, StorageFailed, StorageFull

from .over_http import Client, OverHttp
from .programs import environment
from .test_kills import port_of, serve
from .workload import a_day_later, check, check_all, digest, set_up

#: No operation of these makes as many calls of one kind.
MOST_CALLS = 200

needs_shim = pytest.mark.skipif(failing.available() is not None, reason=str(failing.available()))


class Program:
    """A driven store in a process of its own."""

    def __init__(self, data, scratch, env):
        argv = [sys.executable, "-m", "reliability.driven", str(data), str(scratch)]
        self._process = subprocess.Popen(
            argv, env=environment(env), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def ask(self, request):
        """The answer; raises the error that the store answered."""
        print(json.dumps(request), file=self._process.stdin, flush=True)
        line = self._process.stdout.readline()
        assert line, f"the program ended with {self._process.wait()} on {request}"
        found = json.loads(line)
        assert "failed" not in found, f"{request}:\n{found['failed']}"
        if "error" in found:
            raise runstone.errors.by_code()[found["error"]](found["message"])
        return found["answer"]

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self._process.stdin.close()
        self._process.stdout.close()
        self._process.wait(60)


class Store:
    """A driven store, what it acknowledged, and one version that is read again and again."""

    def __init__(self, tmp_path, faults=None):
        self.data, self.scratch = tmp_path / "store" / "data", tmp_path / "scratch"
        self.scratch.mkdir()
        with runstone.open(self.data) as library:
            self.lanes = set_up(library, 1)
        self.lane = self.lanes[0]
        self.chance = random.Random(4)
        self.program = Program(self.data, self.scratch, faults.env if faults else None)
        self.program.ask({"do": "open"})
        self.first = self.done(self.op("put", "folder"))

    def op(self, do, way="folder"):
        """An operation that has something to do."""
        lane, chance = self.lane, self.chance
        idle = [
            number
            for number in lane.versions
            if number not in lane.aliases.values() and number != getattr(self, "first", 0)
        ]
        if do == "alias":
            return lane._op(
                chance, "alias", alias="prod", to=chance.choice(sorted(lane.versions)), expected=None
            )
        if do == "delete":
            return lane._op(chance, "delete", version=chance.choice(sorted(idle))) if idle else self.op("put")
        if do in ("gc", "open"):
            return lane._op(chance, do)
        files = {f"{n}.bin": seed for n, seed in enumerate([37, *chance.sample(range(60), 2)])}
        return lane._op(chance, "put", files=files, aliases=["next"], way=way)

    def done(self, op):
        """An operation that must succeed; its answer."""
        self.lane.tried(op)
        result = self.program.ask(op)
        self.lane.done(op, result)
        return result

    def make_garbage(self):
        """Bytes that nothing refers to any more, alone and between others."""
        for _ in range(2):
            self.done(self.op("put"))
        self.done(self.op("delete"))
        with runstone.open(self.data) as library:
            a_day_later(library)

    def reads_on(self):
        """A version that was there all along reads as it was put."""
        op = self.lane.versions[self.first]
        found = self.program.ask({"do": "read", "lane": 0, "version": self.first})
        assert found == {path: digest(seed) for path, seed in op["files"].items()}

    def verify(self):
        """Everything is as acknowledged, seen from another process."""
        with runstone.open(self.data) as library:
            library.verify()
            check(library, self.lanes)


@contextmanager
def failing_store(tmp_path):
    (tmp_path / "store").mkdir()
    with Failing(tmp_path / "store") as faults:
        store = Store(tmp_path, faults)
        with store.program:
            yield store, faults
    with runstone.open(store.data) as library:
        check_all(library, store.lanes)


FAULTS = [
    ("write", {"error": errno.EIO}),
    ("write", {"error": errno.ENOSPC}),
    ("write", {"error": errno.ENOSPC, "short": True, "sticky": True}),
    ("write", {"error": errno.EIO, "short": True}),
    ("sync", {"error": errno.EIO}),
    ("sync", {"error": errno.ENOSPC}),
    ("create", {"error": errno.ENOSPC}),
    ("create", {"error": errno.EIO}),
    ("name", {"error": errno.EIO}),
    ("unlink", {"error": errno.EIO}),
]


@needs_shim
@pytest.mark.parametrize(
    ("do", "way"),
    [("put", "folder"), ("put", "uploads"), ("alias", ""), ("delete", ""), ("gc", ""), ("open", "")],
)
def test_each_call_of_an_operation_fails_once(tmp_path, do, way):
    injected, outcomes = Counter(), Counter()
    with failing_store(tmp_path) as (store, faults):
        for kind, how in FAULTS:
            for nth in range(1, MOST_CALLS):
                if do == "gc":
                    store.make_garbage()
                op, before = store.op(do, way), faults.injected
                if do != "open":
                    store.lane.tried(op)
                faults.arm(kind, nth=nth, **how)
                error = None
                try:
                    result = store.program.ask(op)
                except RunstoneError as caught:
                    error = caught
                faults.disarm()
                hit = faults.injected - before
                injected[kind] += hit
                assert hit or error is None, error
                outcomes["acknowledged" if error is None else error.code] += bool(hit)
                if error is not None:
                    assert isinstance(error, StorageFull | StorageFailed), (kind, how, nth, error)
                    result = recovered(store, op, error)
                if do != "open":
                    store.lane.done(op, result)
                store.reads_on()
                if not hit:
                    break
            else:
                raise AssertionError(f"{do} makes over {MOST_CALLS} calls of kind {kind}")
            store.verify()
    print(f"{do} {way}: {sum(injected.values())} faults {dict(injected)}, {dict(outcomes)}")
    assert injected["create"] > 5 if do == "open" else injected["write"] > 3 and injected["sync"] > 0


def recovered(store, op, error):
    """The answer to an operation that failed, tried again with the same id: at once after a full disk, else once it was reopened."""
    if op["do"] == "open":
        return store.program.ask(op)
    store.reads_on()
    try:
        return store.program.ask(op)
    except StorageFailed:
        assert isinstance(error, StorageFailed), (
            "a disk that was full has room again, and writes are still refused"
        )
    store.reads_on()
    store.program.ask({"do": "open"})
    return store.program.ask(op)


@needs_shim
def test_writes_go_on_when_a_full_disk_has_room_again(tmp_path):
    refused = 0
    with failing_store(tmp_path) as (store, faults):
        for _ in range(6):
            faults.arm("write", nth=store.chance.randint(1, 6), error=errno.ENOSPC, short=True, sticky=True)
            for do in ("put", "alias", "put", "delete"):
                with pytest.raises(StorageFull):
                    while True:
                        store.done(store.op(do))
                refused += 1
                store.reads_on()
                pending = store.lane.pending
            faults.disarm()
            store.lane.done(pending, store.program.ask(pending))
            store.done(store.op("put"))
            store.verify()
        assert faults.injected > 20
    assert refused == 24


@needs_shim
def test_a_disk_that_fails_for_good_stops_writes_and_not_reads(tmp_path):
    with failing_store(tmp_path) as (store, faults):
        for kind in ("write", "sync"):
            faults.arm(kind, nth=2, error=errno.EIO, sticky=True)
            for do in ("put", "alias", "put"):
                with pytest.raises(StorageFailed):
                    while True:
                        store.done(store.op(do))
                store.reads_on()
            pending = store.lane.pending
            faults.disarm()
            store.program.ask({"do": "open"})
            store.lane.done(pending, store.program.ask(pending))
            store.verify()
        assert faults.injected > 4


@needs_shim
def test_each_call_of_a_backup_fails_once(tmp_path):
    """The faults are on the disk of the backup; the store itself is not touched."""
    (tmp_path / "store").mkdir()
    backups = tmp_path / "backups"
    backups.mkdir()
    injected = refused = restored = 0
    with Failing(backups) as faults:
        store = Store(tmp_path, faults)
        with store.program:
            for kind, how in (*FAULTS[:2], FAULTS[4], *FAULTS[6:]):
                for nth in range(1, MOST_CALLS):
                    store.done(store.op("put"))
                    target, before = backups / "backup", faults.injected
                    complete = (target / "BACKUP").exists()
                    faults.arm(kind, nth=nth, **how)
                    try:
                        store.program.ask({"do": "backup", "target": str(target)})
                        failed = False
                    except (StorageFull, StorageFailed):
                        failed = True
                    faults.disarm()
                    hit = faults.injected - before
                    injected += hit
                    refused += failed
                    assert hit or not failed
                    if not hit:
                        break
                    if nth % 3 == 0 and (complete or not failed):
                        maintenance.restore(target, tmp_path / "restored")
                        shutil.rmtree(tmp_path / "restored")
                        restored += 1
            store.program.ask({"do": "backup", "target": str(target)})
    maintenance.restore(target, tmp_path / "restored")
    with runstone.open(tmp_path / "restored") as library:
        check_all(library, store.lanes)
    print(f"{injected} faults, {refused} backups refused, {restored} restored after a fault")
    assert injected > 30 and refused > 20 and restored > 5


@needs_shim
@pytest.mark.parametrize(
    ("kind", "error"), [("write", errno.ENOSPC), ("write", errno.EIO), ("sync", errno.EIO)]
)
def test_a_server_goes_on(tmp_path, kind, error):
    (tmp_path / "store").mkdir()
    data = tmp_path / "store" / "data"
    with runstone.open(data) as library:
        lanes = set_up(library, 1)
    lane, chance, injected, refused, restarts = lanes[0], random.Random(8), 0, 0, 0
    with Failing(tmp_path / "store") as faults:
        servers = [Victim(serve(data, 1), environment(faults.env))]
        try:
            client = Client("127.0.0.1", port_of(servers[-1]))
            execute = OverHttp(client)
            first = lane._op(chance, "put", files={"first.bin": 22}, aliases=[], way="uploads")
            lane.tried(first)
            lane.done(first, execute(first))
            for nth in range(1, 15):
                op = lane._op(
                    chance, "put", files={"a.bin": 40 + nth, "b.bin": 37}, aliases=["prod"], way="uploads"
                )
                lane.tried(op)
                before = faults.injected
                faults.arm(kind, nth=nth, error=error)
                try:
                    lane.done(op, execute(op))
                    caught = None
                except (StorageFull, StorageFailed) as found:
                    caught = found
                faults.disarm()
                injected += faults.injected - before
                assert digest(22) == sha256(execute.read(f"{lane.name}@v1", "first.bin"))
                if caught is None:
                    continue
                refused += 1
                try:
                    lane.done(op, execute(op))
                except StorageFailed:
                    assert error == errno.EIO
                    client.close()
                    servers[-1].close()
                    servers.append(Victim(serve(data, 1), environment(faults.env)))
                    client = Client("127.0.0.1", port_of(servers[-1]))
                    execute, restarts = OverHttp(client), restarts + 1
                    lane.done(op, execute(op))
            client.close()
        finally:
            for server in servers:
                server.close()
    with runstone.open(data) as library:
        assert check_all(library, lanes) > 15
    print(f"{kind} {errno.errorcode[error]}: {injected} faults, {refused} refused, {restarts} restarts")
    assert injected > 8 and refused > 3
    assert error == errno.EIO or restarts == 0


def sha256(data):
    import hashlib

    return hashlib.sha256(data).hexdigest()


@contextmanager
def small_tmpfs(tmp_path):
    path = tmp_path / "small"
    path.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=12m", "runstone-test", str(path)], check=True)
    try:
        yield path
    finally:
        subprocess.run(["umount", "-l", str(path)], check=True)


@contextmanager
def small_ext4(tmp_path):
    with PowerCutDisk(tmp_path, 24) as disk:
        yield disk.path


def fill(path: Path):
    """Fills a disk to the last block, and says how to give the room back."""
    filler = path / "filler"
    with filler.open("wb", buffering=0) as file:
        for size in (1 << 20, 1 << 12, 1):
            try:
                while True:
                    file.write(os.urandom(size))
            except OSError as error:
                assert error.errno == errno.ENOSPC
    return filler.unlink


@pytest.mark.root
@pytest.mark.skipif(os.geteuid() != 0, reason="mounting a small disk needs root")
@pytest.mark.parametrize("disk", [small_tmpfs, small_ext4])
def test_a_disk_is_really_full(tmp_path, disk):
    if disk is small_ext4 and powercut.available():
        pytest.skip(str(powercut.available()))
    chance, refused, went_on = random.Random(2), 0, 0
    with disk(tmp_path) as path:
        with runstone.open(path / "data") as library:
            lanes = set_up(library, 1)
        lane = lanes[0]
        with Victim(serve(path / "data", 1), environment()) as server:
            client = Client("127.0.0.1", port_of(server))
            execute = OverHttp(client)

            def put(seed):
                op = lane.pending or lane._op(
                    chance, "put", files={"a.bin": seed, "b.bin": 37}, aliases=["prod"], way="uploads"
                )
                lane.tried(op)
                lane.done(op, execute(op))

            put(22)
            for round_ in range(4):
                empty = fill(path)
                with pytest.raises(StorageFull):
                    for seed in range(100 * round_, 100 * round_ + 60):
                        put(seed)
                refused += 1
                for _ in range(3):
                    assert sha256(execute.read(f"{lane.name}@v1", "a.bin")) == digest(22)
                    with pytest.raises(StorageFull):
                        put(0)
                empty()
                put(0)
                put(100 * round_ + 99)
                went_on += 1
            client.close()
        with runstone.open(path / "data") as library:
            check_all(library, lanes)
    assert (refused, went_on) == (4, 4)


MANY_READERS = """
import sys, runstone
library = runstone.open(sys.argv[1])
print("READY", flush=True)
input()
readers = [library.store.index.read() for _ in range(900)]
for reader in readers:
    reader.__enter__()
for reader in readers:
    reader.__exit__(None, None, None)
print("all read", flush=True)
"""


@pytest.mark.root
@pytest.mark.skipif(os.geteuid() != 0, reason="mounting a small disk needs root")
def test_more_readers_than_ever_on_a_full_disk(tmp_path):
    """LMDB's table of readers is a mapped file; a hole in it could not be filled."""
    with small_tmpfs(tmp_path) as path:
        argv = [sys.executable, "-c", MANY_READERS, str(path / "data")]
        with subprocess.Popen(
            argv, env=environment(), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        ) as program:
            assert program.stdout.readline() == "READY\n"
            fill(path)
            assert program.communicate("go on\n")[0] == "all read\n"
        assert program.returncode == 0
