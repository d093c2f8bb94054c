"""The fault tools themselves: each fault happens where it should, nowhere else, and is counted."""

from __future__ import annotations

import errno
import itertools
import json
import os
import random
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import lmdb
import pytest

from . import failing, powercut
from .bitflip import (
    Place,
    bookkeeping_byte_ranges,
    data_extents,
    flip,
    flipped,
    lies_in,
    random_places,
    used_byte_ranges,
)
from .failing import Failing
from .killer import Victim, acknowledged, complete_lines, killed_at_line, killed_at_random
from .lmdb_pages import page_use
from .powercut import PowerCutDisk

needs_compiler = pytest.mark.skipif(failing.available() is not None, reason=str(failing.available()))


def python(program: str, *arguments: object) -> list[str]:
    return [sys.executable, "-c", program, *map(str, arguments)]


def answer(faults: Failing, program: str, *arguments: object) -> Any:
    """Runs a program under the shim, and reads the JSON it prints."""
    done = subprocess.run(
        python(program, *arguments), env=faults.env, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    path = tmp_path / "data"
    path.mkdir()
    return path


@pytest.fixture
def faults(directory: Path) -> Iterator[Failing]:
    with Failing(directory) as faults:
        yield faults


# Every call of each kind, tried once under the directory sys.argv[1]. Prints {call: errno, or 0}.
EVERY_CALL = """
import ctypes, json, mmap, os, sys
root = sys.argv[1]
libc = ctypes.CDLL(None, use_errno=True)
fd = os.open(f"{root}/old", os.O_RDWR)
source = os.open(sys.argv[2], os.O_RDONLY)
directory = os.open(root, os.O_RDONLY)
mapped = mmap.mmap(fd, 4096)
pipe = os.pipe()
os.write(pipe[1], b"ab")
os.chdir(root)

def native(name, *arguments):
    def call():
        ctypes.set_errno(0)
        wrap = [a if isinstance(a, bytes) else ctypes.c_long(a) for a in arguments]
        result = getattr(libc, name)(*wrap)
        if name.startswith("posix_fallocate"):
            ctypes.set_errno(result)
        elif result == -1:
            raise OSError(ctypes.get_errno(), name)
        if ctypes.get_errno():
            raise OSError(ctypes.get_errno(), name)
    return call

at, here = f"{root}/", os.fsencode(root) + b"/"
calls = {
    "write": {
        "write": lambda: os.write(fd, b"ab"),
        "pwrite": lambda: os.pwrite(fd, b"ab", 0),
        "writev": lambda: os.writev(fd, [b"a", b"b"]),
        "pwritev": lambda: os.pwritev(fd, [b"a", b"b"], 0),
        "pwritev2": lambda: os.pwritev(fd, [b"a", b"b"], 0, os.RWF_DSYNC),
        "copy_file_range": lambda: os.copy_file_range(source, fd, 2, 0, 0),
        "sendfile": lambda: os.sendfile(fd, source, 0, 2),
        "splice": lambda: os.splice(pipe[0], fd, 1),
        "ftruncate": lambda: os.ftruncate(fd, 8192),
        "truncate": lambda: os.truncate("old", 8192),
        "posix_fallocate": lambda: os.posix_fallocate(fd, 0, 8192),
        "file object": lambda: open(f"{root}/old", "r+b", buffering=0).write(b"ab"),
        **{name: native(name, fd, b"ab", 2, 0) for name in ("pwrite64",)},
        **{name: native(name, fd, 8192) for name in ("ftruncate64",)},
        **{name: native(name, here + b"old", 8192) for name in ("truncate64",)},
        **{name: native(name, fd, 0, 0, 8192) for name in ("fallocate", "fallocate64")},
        **{name: native(name, fd, 0, 8192) for name in ("posix_fallocate64",)},
    },
    "sync": {
        "fsync": lambda: os.fsync(fd),
        "fsync of the directory": lambda: os.fsync(directory),
        "fdatasync": lambda: os.fdatasync(fd),
        "msync": mapped.flush,
        "syncfs": native("syncfs", fd),
        "sync_file_range": native("sync_file_range", fd, 0, 4096, 2),
    },
    "name": {
        "rename": lambda: os.rename(at + "a1", at + "b1"),
        "replace": lambda: os.replace("a2", "b2"),
        "renameat": lambda: os.rename("a3", "b3", src_dir_fd=directory, dst_dir_fd=directory),
        "renameat2": native("renameat2", -100, here + b"a4", -100, here + b"b4", 1),
        "link": lambda: os.link(at + "old", at + "b5"),
        "linkat": lambda: os.link("old", "b6", src_dir_fd=directory, dst_dir_fd=directory),
        "symlink": lambda: os.symlink("old", at + "b7"),
        "symlinkat": lambda: os.symlink("old", "b8", dir_fd=directory),
        "through a subdirectory": lambda: os.rename("sub/../a9", "./sub/b9"),
    },
    "create": {
        "open": lambda: os.open(at + "c1", os.O_CREAT | os.O_WRONLY, 0o600),
        "open relative": lambda: os.open("c2", os.O_CREAT | os.O_WRONLY, 0o600),
        "openat": lambda: os.open("c3", os.O_CREAT | os.O_WRONLY, 0o600, dir_fd=directory),
        "tmpfile": lambda: os.open(root, os.O_TMPFILE | os.O_WRONLY, 0o600),
        "mkdir": lambda: os.mkdir(at + "c4/"),
        "mkdirat": lambda: os.mkdir("c5", dir_fd=directory),
        "open()": lambda: open("c6", "xb").close(),
        "creat": native("creat", here + b"c7", 0o600),
        "creat64": native("creat64", here + b"c8", 0o600),
        "openat64": native("openat64", -100, here + b"c9", os.O_CREAT | os.O_WRONLY, 0o600),
    },
    "unlink": {
        "unlink": lambda: os.unlink(at + "d1"),
        "unlinkat": lambda: os.unlink("d2", dir_fd=directory),
        "rmdir": lambda: os.rmdir("d3"),
    },
}
result = {}
for kind, each in calls.items():
    result[kind] = {}
    for name, call in each.items():
        try:
            call()
            result[kind][name] = 0
        except OSError as error:
            result[kind][name] = error.errno
mode = os.stat("c1").st_mode & 0o777 if os.path.exists("c1") else None
print(json.dumps([result, mode]))
"""


def prepare(path: Path) -> None:
    path.mkdir(exist_ok=True)
    (path / "old").write_bytes(bytes(8192))
    for name in ("a1", "a2", "a3", "a4", "a9", "d1", "d2"):
        (path / name).touch()
    (path / "d3").mkdir()
    (path / "sub").mkdir()


@needs_compiler
def test_every_call_fails_inside_the_directory_and_none_outside(
    faults: Failing, directory: Path, tmp_path: Path
) -> None:
    source = tmp_path / "source"
    source.write_bytes(b"0123456789")
    outside = tmp_path / "data-not"
    prepare(directory)
    prepare(outside)
    for kind in failing.KINDS:
        faults.arm(kind, every=1, error=errno.EDQUOT)
    before = sorted(path.name for path in directory.rglob("*"))

    passed, mode = answer(faults, EVERY_CALL, outside, source)
    assert {name: code for calls in passed.values() for name, code in calls.items() if code} == {}
    assert mode == 0o600
    assert faults.injected == sum(faults.seen.values()) == 0

    failed, _ = answer(faults, EVERY_CALL, directory, source)
    assert {
        name: code for calls in failed.values() for name, code in calls.items() if code != errno.EDQUOT
    } == {}
    assert faults.injected_by_kind == faults.seen == {kind: len(calls) for kind, calls in failed.items()}
    assert sorted(path.name for path in directory.rglob("*")) == before
    assert (directory / "old").read_bytes() == bytes(8192)

    faults.disarm()
    passed, mode = answer(faults, EVERY_CALL, directory, source)
    assert {name: code for calls in passed.values() for name, code in calls.items() if code} == {}
    assert mode == 0o600
    assert faults.injected * 2 == sum(faults.seen.values())


WRITES = """
import json, os, sys
fd = os.open(f"{sys.argv[1]}/file", os.O_CREAT | os.O_WRONLY | os.O_APPEND)
result = []
for n in range(int(sys.argv[2])):
    try:
        result.append(os.write(fd, bytes([n]) * 10))
    except OSError as error:
        result.append(-error.errno)
print(json.dumps(result))
"""


@needs_compiler
def test_every_kth_or_exactly_the_kth_call_fails(faults: Failing, directory: Path) -> None:
    faults.arm("write", every=3)
    assert answer(faults, WRITES, directory, 9) == [10, 10, -errno.EIO] * 3
    assert faults.injected == 3
    faults.arm("write", nth=2, error=errno.ENOSPC)
    assert answer(faults, WRITES, directory, 4) == [10, -errno.ENOSPC, 10, 10]
    assert faults.injected == 4
    faults.arm("sync", every=1)
    assert answer(faults, WRITES, directory, 2) == [10, 10]
    assert faults.injected == 4
    assert faults.seen["write"] == 15


@needs_compiler
def test_short_writes_and_a_disk_that_stays_full(faults: Failing, directory: Path) -> None:
    faults.arm("write", nth=2, error=errno.ENOSPC, short=True, sticky=True)
    assert answer(faults, WRITES, directory, 4) == [10, 5, -errno.ENOSPC, -errno.ENOSPC]
    assert (directory / "file").read_bytes() == bytes(10) + b"\x01" * 5
    assert faults.injected == 3

    vectored = """
import json, os, sys
fd = os.open(f"{sys.argv[1]}/vector", os.O_CREAT | os.O_RDWR)
written = os.writev(fd, [b"abc", b"", b"defg", b"hijk"]), os.pwritev(fd, [b"ABC", b"DEF"], 20)
os.pwrite(fd, b"x", 9)
print(json.dumps([written, os.pread(fd, 100, 0).decode()]))
"""
    faults.arm("write", every=1, short=True)
    with pytest.raises(AssertionError, match="Input/output error"):
        answer(faults, vectored, directory)
    assert (directory / "vector").read_bytes() == b"abcde" + bytes(15) + b"ABC"

    whole = "import pathlib, sys; pathlib.Path(sys.argv[1], 'whole').write_bytes(bytes(range(200))); print(1)"
    faults.arm("write", nth=1, short=True)
    assert answer(faults, whole, directory) == 1
    assert (directory / "whole").read_bytes() == bytes(range(200))
    assert faults.injected == 7


@needs_compiler
def test_threads_and_child_processes_are_counted_exactly(faults: Failing, directory: Path) -> None:
    program = """
import os, subprocess, sys, threading
def work(n):
    fd, failed = os.open(f"{sys.argv[1]}/{n}", os.O_CREAT | os.O_WRONLY), 0
    for _ in range(5000):
        try: os.write(fd, b"x")
        except OSError: failed += 1
    failures.append(failed)
failures = []
threads = [threading.Thread(target=work, args=(f"{os.getpid()}-{n}",)) for n in range(4)]
children = [subprocess.Popen([*sys.orig_argv, "child"], stdout=subprocess.PIPE)] if len(sys.argv) == 2 else []
for thread in threads: thread.start()
for thread in threads: thread.join()
print(sum(failures) + sum(int(child.communicate()[0]) for child in children))
"""
    faults.arm("write", every=7)
    assert answer(faults, program, directory) == 40_000 // 7
    assert faults.seen["write"] == 40_000
    assert faults.injected == 40_000 // 7


@needs_compiler
def test_a_running_process_is_armed_and_disarmed(faults: Failing, directory: Path) -> None:
    program = """
import os, sys, time
fd = os.open(f"{sys.argv[1]}/file", os.O_CREAT | os.O_WRONLY)
while True:
    try: os.fsync(fd); print("fine")
    except OSError as error: print("failed", error.errno)
    time.sleep(0.001)
"""
    with Victim(python(program, directory), faults.env) as victim:
        victim.wait_for("fine", 3)
        assert faults.injected == 0
        faults.arm("sync", every=1, error=errno.ENOSPC)
        victim.wait_for(f"failed {errno.ENOSPC}", 3)
        faults.disarm()
        time.sleep(0.02)
        fine = sum(line == "fine" for line in victim.lines)
        injected = faults.injected
        victim.wait_for("fine", fine + 3)
        lines = victim.end().lines
    assert injected == faults.injected == sum(line.startswith("failed") for line in lines) >= 3


def test_a_rule_must_make_sense(directory: Path) -> None:
    with Failing(directory) as faults:
        wrongs: list[dict[str, Any]] = [{}, {"every": 0}, {"nth": 0}, {"every": 1, "nth": 1}]
        for wrong in [*wrongs, {"every": 1, "error": 0}]:
            with pytest.raises(ValueError, match=r"give either|not an errno"):
                faults.arm("write", **wrong)
        with pytest.raises(ValueError, match="none of"):
            faults.arm("read", every=1)


LMDB_COMMITS = """
import json, os, sys, time, lmdb
env = lmdb.open(sys.argv[1], map_size=1 << 24)
print("READY", flush=True)
while not os.path.exists(sys.argv[2]): time.sleep(0.001)
for n in range(50):
    try:
        with env.begin(write=True) as txn:
            for m in range(20):
                txn.put(f"{n} {m}".encode(), bytes([n]) * 500)
    except lmdb.Error as error:
        print("FAILED", n, type(error).__name__, flush=True)
        break
    print("ACK", n, flush=True)
"""


def lmdb_run(faults: Failing, home: Path, go: Path, **rule: object) -> tuple[list[int], list[str], list[int]]:
    """Commits until one fails; answers what was acknowledged, how it failed, and what is there afterwards."""
    with Victim(python(LMDB_COMMITS, home, go), faults.env) as victim:
        victim.wait_for("READY")
        if rule:
            faults.arm(**rule)  # type: ignore[arg-type]
        go.touch()
        victim.wait_for("FAILED" if rule else "ACK 49")
        run = victim.end()
    go.unlink()
    with lmdb.open(str(home), map_size=1 << 24, readonly=True) as env, env.begin() as txn:
        keys = [bytes(key).decode().split() for key, _ in txn.cursor()]
    commits = {int(n) for n, _ in keys}
    assert len(keys) == 20 * len(commits), "a commit is there in part"
    return run.acks, [line for line in run.lines if line.startswith("FAILED")], sorted(commits)


@needs_compiler
def test_lmdb_writes_and_syncs_fail(faults: Failing, directory: Path, tmp_path: Path) -> None:
    go = tmp_path / "go"
    acks, failures, there = lmdb_run(faults, directory / "counted", go)
    assert (acks, failures, there) == (list(range(50)), [], list(range(50)))
    # A commit is at least one write of pages, one of the meta page, and one sync.
    assert faults.seen["write"] >= 100
    assert faults.seen["sync"] >= 50

    rules = [("write", nth, code) for nth in (1, 2, 3, 4) for code in (errno.EIO, errno.ENOSPC)]
    rules += [("sync", 1, errno.EIO), ("sync", 5, errno.EIO)]
    for kind, nth, code in rules:
        injected = faults.injected
        home = directory / f"{kind} {nth} {code}"
        acks, failures, there = lmdb_run(faults, home, go, kind=kind, nth=nth, error=code)
        faults.disarm()
        assert faults.injected == injected + 1
        assert len(failures) == 1, f"no commit failed with {kind} {nth}"
        # The commit whose call failed was refused; whether it is there after all is LMDB's to decide.
        assert set(acks) <= set(there) <= {*acks, len(acks)}


needs_disk = pytest.mark.skipif(powercut.available() is not None, reason=str(powercut.available()))


def write_file(path: Path, content: bytes, *, sync: bool) -> None:
    with path.open("wb") as file:
        file.write(content)
        if sync:
            file.flush()
            os.fsync(file.fileno())
    if sync:
        handle = os.open(path.parent, os.O_RDONLY)
        os.fsync(handle)
        os.close(handle)


@pytest.mark.root
@needs_disk
def test_a_power_cut_loses_what_was_not_synced_and_nothing_else(tmp_path: Path) -> None:
    with PowerCutDisk(tmp_path, 32) as disk:
        for n in range(5):
            write_file(disk.path / f"kept {n}", b"k" * 70_000, sync=True)
            write_file(disk.path / f"lost {n}", b"l" * 70_000, sync=False)
            disk.cut()
            with pytest.raises(OSError, match="Input/output error"):
                write_file(disk.path / "too late", b"x", sync=False)
            disk.recover(check=n == 4)
            names = sorted(path.name for path in disk.path.glob("*[0-9]"))
            assert names == [f"kept {m}" for m in range(n + 1)]
            assert all((disk.path / name).read_bytes() == b"k" * 70_000 for name in names)
        assert disk.cuts == 5
        home = disk.path
    assert not home.exists()
    assert list(tmp_path.iterdir()) == []
    assert str(tmp_path) not in Path("/proc/self/mounts").read_text()


@pytest.mark.root
@needs_disk
def test_rename_without_sync_leaves_an_empty_or_the_old_file(tmp_path: Path) -> None:
    """The classic mistake is caught: the disk does not save the new file's bytes out of kindness."""
    with PowerCutDisk(tmp_path, 32) as disk:
        write_file(disk.path / "file", b"old" * 5000, sync=True)
        write_file(disk.path / "new", b"new" * 5000, sync=False)
        (disk.path / "new").rename(disk.path / "file")
        write_file(disk.path / "other", b"x", sync=True)
        disk.cut()
        disk.recover()
        assert (disk.path / "file").read_bytes() == b""


LMDB_ACKS = """
import sys, lmdb
env = lmdb.open(sys.argv[1], map_size=1 << 24, sync=sys.argv[2] == "sync")
print("READY", flush=True)
n = env.stat()["entries"]
while True:
    with env.begin(write=True) as txn:
        txn.put(n.to_bytes(4, "big"), bytes(300))
    print("ACK", n, flush=True)
    n += 1
"""


@pytest.mark.root
@needs_disk
@pytest.mark.parametrize("durable", [True, False], ids=["synced", "unsynced"])
def test_cutting_the_power_under_a_writing_lmdb(tmp_path: Path, durable: bool) -> None:
    lost = 0
    with PowerCutDisk(tmp_path, 64) as disk:
        write_file(disk.path / "mark", b"", sync=True)
        for n in range(3):
            with Victim(python(LMDB_ACKS, disk.path / "db", "sync" if durable else "no")) as victim:
                victim.wait_for("ACK", 20 + 30 * n)
                disk.cut()
                disk.recover(kill=[victim])
                run = victim.end()
                assert run.hit or "I/O error" in run.stderr or "Input/output" in run.stderr, run.stderr
            try:
                with lmdb.open(str(disk.path / "db"), readonly=True) as env, env.begin() as txn:
                    there = {int.from_bytes(key, "big") for key, _ in txn.cursor()}
            except lmdb.Error:
                there = set()
            lost += len(set(run.acks) - there)
        assert disk.cuts == 3
    assert lost == 0 if durable else lost > 0


@pytest.mark.root
@needs_disk
def test_recovery_goes_on_when_something_still_holds_the_disk(tmp_path: Path) -> None:
    with PowerCutDisk(tmp_path, 32) as disk:
        write_file(disk.path / "kept", b"kept", sync=True)
        with (disk.path / "kept").open("rb") as held:
            disk.cut()
            disk.recover()
            assert (disk.path / "kept").read_bytes() == b"kept"
            assert os.fstat(held.fileno()).st_dev != (disk.path / "kept").stat().st_dev
            write_file(disk.path / "more", b"more", sync=True)
        sleeper = subprocess.Popen(python("import time; time.sleep(60)"), cwd=disk.path)
        disk.cut()
        disk.recover(kill=[sleeper.pid])
        assert sleeper.wait(10) == -signal.SIGKILL
        assert {path.name for path in disk.path.iterdir()} == {"kept", "more", "lost+found"}
    assert list(tmp_path.iterdir()) == []


COUNTING = """
import os, sys
file = os.open(sys.argv[2], os.O_CREAT | os.O_WRONLY)
print("READY")
for n in range(int(sys.argv[1])):
    os.pwrite(file, b"%20d" % n, 0)
    print("ACK", '{"n": %d}' % n)
"""


def test_a_killed_process_is_met_alive_and_its_acknowledgements_are_read(tmp_path: Path) -> None:
    done = []
    for seed in range(4):
        file = tmp_path / str(seed)
        run = killed_at_random(
            python(COUNTING, 10**9, file), seed=seed, min_ms=0 if seed % 2 else 100, max_ms=120, ready="READY"
        )
        assert run.hit
        assert run.seconds >= (0 if seed % 2 else 0.1)
        assert run.returncode == -signal.SIGKILL
        assert run.acks == [{"n": n} for n in range(len(run.acks))]
        written = int(file.read_bytes() or -1)
        assert len(run.acks) - 1 <= written <= len(run.acks)
        done.append(len(run.acks))
    assert sum(done) > 0


def test_a_kill_that_comes_too_late_is_not_a_hit(tmp_path: Path) -> None:
    with Victim(python(COUNTING, 3, tmp_path / "file")) as victim:
        victim.wait_for("ACK", 3)
        deadline = time.monotonic() + 30
        while victim.alive and time.monotonic() < deadline:
            time.sleep(0.005)
        run = victim.end()
    assert not run.hit
    assert run.returncode == 0
    assert run.acks == [{"n": 0}, {"n": 1}, {"n": 2}]


def test_a_kill_at_a_random_line() -> None:
    program = """
import time
print("other")
for n in range(60): print("ACK", n); time.sleep(0.002)
"""
    wanted = {seed: random.Random(seed).randint(5, 50) for seed in range(3)}
    assert len(set(wanted.values())) > 1
    for seed, count in wanted.items():
        run = killed_at_line(python(program), seed=seed, low=5, high=50)
        assert run.hit
        assert len(run.acks) >= count


def test_the_whole_group_is_killed(tmp_path: Path) -> None:
    program = """
import os, sys, time
child = os.fork()
if child: print("CHILD", child)
time.sleep(600)
"""
    with Victim(python(program)) as victim:
        child = int(victim.wait_for("CHILD").split()[1])
        handle = os.pidfd_open(child)
        timer = victim.kill_after(0.05)
        timer.join()
        assert victim.end().hit
    assert select.select([handle], [], [], 10)[0], "the child lives on"
    os.close(handle)


def test_a_program_that_ends_early_is_reported_with_its_errors() -> None:
    ends = python("import sys; sys.exit('no such model')")
    with Victim(ends) as victim, pytest.raises(RuntimeError, match="no such model"):
        victim.wait_for("READY")
    with Victim(python("import time; time.sleep(60)")) as victim, pytest.raises(TimeoutError):
        victim.wait_for("READY", timeout=0.1)


def test_a_torn_last_line_is_no_acknowledgement() -> None:
    assert acknowledged(complete_lines(b'ACK {"n": 1}\nnoise\nACK [2]\nACK {"n": 3')) == [{"n": 1}, [2]]
    assert acknowledged(complete_lines(b"ACK 4")) == []
    with pytest.raises(ValueError, match="Expecting"):
        acknowledged(complete_lines(b"ACK {torn\nACK 2\n"))


def test_flip_turns_one_bit_over_and_back(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(bytes(range(100)))
    before = path.stat()
    flip(path, 7, 3)
    assert path.read_bytes() == bytes([*range(7), 7 ^ 8, *range(8, 100)])
    assert (path.stat().st_mtime_ns, path.stat().st_size) == (before.st_mtime_ns, 100)
    flip(path, 7, 3)
    with pytest.raises(RuntimeError, match="inside"), flipped(Place(path, 99, 0)):
        assert path.read_bytes()[99] == 98
        raise RuntimeError("inside")
    assert path.read_bytes() == bytes(range(100))
    with flipped(Place(path, 0, 0)):
        path.unlink()
    for wrong in ((100, 0), (0, 8)):
        path.write_bytes(bytes(100))
        with pytest.raises(ValueError, match=r"none at|no bit"):
            flip(path, *wrong)


def test_places_are_in_data_and_weighted_by_it(tmp_path: Path) -> None:
    small, large, empty, sparse = (tmp_path / name for name in ("small", "large", "empty", "sparse"))
    small.write_bytes(bytes(4096))
    large.write_bytes(bytes(10 * 4096))
    empty.touch()
    with sparse.open("wb") as file:
        file.seek(1 << 30)
        file.write(b"x" * 4096)
        file.truncate(1 << 32)
    assert data_extents(empty) == []
    assert data_extents(large) == [(0, 40960)]
    if sparse.stat().st_blocks * 512 < 1 << 20:
        assert data_extents(sparse) == [(1 << 30, 4096)]
    files = [small, large, empty, sparse]
    places = random_places(files, 2400, seed=5)
    assert places == random_places(reversed(files), 2400, seed=5)
    assert places != random_places(files, 2400, seed=6)
    counts = {path: sum(place.path == path for place in places) for path in (small, large, empty, sparse)}
    assert counts[empty] == 0
    assert 120 < counts[small] < 280
    assert 120 < counts[sparse] < 280
    assert {place.bit for place in places} == set(range(8))
    assert all(lies_in(data_extents(place.path), place.offset) for place in places)
    with pytest.raises(ValueError, match="no data"):
        random_places([empty], 1, seed=0)


def test_lies_in() -> None:
    ranges = [(10, 5), (20, 1)]
    assert [offset for offset in range(30) if lies_in(ranges, offset)] == [10, 11, 12, 13, 14, 20]
    assert not lies_in([], 0)


def content(count: int) -> dict[str, dict[bytes, bytes]]:
    """What the environment below holds in its single-valued databases."""
    chance = random.Random(1)
    rows = {
        f"key {chance.getrandbits(40)} {n}".encode(): chance.randbytes(chance.randrange(1, 90))
        for n in range(count)
    }
    large = {f"large {n}".encode(): chance.randbytes(chance.randrange(3000, 30_000)) for n in range(12)}
    return {"rows": rows, "large": large, "empty": {}}


def make_environment(home: Path) -> None:
    """Several commits with deletions, so that there are free pages, gaps and a free list of some size."""
    wanted = content(1500)
    with lmdb.open(str(home), map_size=1 << 26, max_dbs=8) as env:
        rows, large, _ = (env.open_db(name.encode()) for name in wanted)
        with env.begin(write=True) as txn:
            for n in range(2000):
                txn.put(f"gone {n}".encode(), bytes(200), db=rows)
            for key in wanted["large"]:
                txn.put(key, bytes(40_000), db=large)
        with env.begin(write=True) as txn:
            for n in range(2000):
                txn.delete(f"gone {n}".encode(), db=rows)
            for key, value in wanted["rows"].items():
                txn.put(key, value, db=rows)
        with env.begin(write=True) as txn:
            for key, value in wanted["large"].items():
                txn.put(key, value, db=large)


# Opens an environment in a child for each place of stdin, with the bit flipped; prints what the child made of
# it: a digest of every row, of every key looked up and of every count, or how it ended.
READ_FLIPPED = """
import hashlib, json, os, sys, lmdb
home, keys = sys.argv[1], None
def digest():
    seen = hashlib.sha256()
    with lmdb.open(home, readonly=True, lock=False, max_dbs=8, map_size=1 << 26) as env:
        names = [b"rows", b"large", b"empty"]
        opened = {name: env.open_db(name, create=False) for name in names}
        with env.begin() as txn:
            for name, db in opened.items():
                seen.update(repr((name, txn.stat(db)["entries"])).encode())
                for row in txn.cursor(db): seen.update(repr(row).encode())
                for key in keys[name]: seen.update(repr(txn.get(key, db=db)).encode())
            for key in txn.cursor().iternext(values=False): seen.update(key)
    return seen.hexdigest()
def in_child(handle):
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
    try: result = digest()
    except Exception as error: result = type(error).__name__
    os.write(handle, result.encode())
def child():
    reading, writing = os.pipe()
    pid = os.fork()
    if not pid:
        in_child(writing)
        os._exit(0)
    os.close(writing)
    result = os.read(reading, 200).decode()
    os.close(reading)
    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    return result or f"ended with {status}"
def all_keys():
    with lmdb.open(home, readonly=True, lock=False, max_dbs=8, map_size=1 << 26) as env:
        found = {}
        for name in [b"rows", b"large", b"empty"]:
            db = env.open_db(name, create=False)
            with env.begin() as txn: found[name] = list(txn.cursor(db).iternext_nodup())
        return found
keys = all_keys()
results = [child()]
file = os.open(home + "/data.mdb", os.O_RDWR)
for offset, bit in json.load(sys.stdin):
    byte = os.pread(file, 1, offset)
    os.pwrite(file, bytes([byte[0] ^ 1 << bit]), offset)
    results.append(child())
    os.pwrite(file, byte, offset)
print(json.dumps(results))
"""


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("environment")
    make_environment(home)
    return home


def read_flipped(home: Path, offsets: list[int], seed: int) -> tuple[str, list[str]]:
    chance = random.Random(seed)
    places = json.dumps([(offset, chance.randrange(8)) for offset in offsets])
    done = subprocess.run(
        python(READ_FLIPPED, home), input=places, capture_output=True, text=True, check=True, timeout=120
    )
    intact, *results = json.loads(done.stdout)
    assert len(intact) == 64
    return intact, results


def test_pages_in_use_and_free_pages_are_the_whole_file(environment: Path) -> None:
    used, free_list, free, total = page_use(environment / "data.mdb")
    assert len(free) > 20
    assert len(free_list) >= 1
    assert not used & free_list
    assert not (used | free_list) & free
    assert used | free_list | free == set(range(total))


def test_the_pages_are_those_lmdb_counts(environment: Path) -> None:
    used, *_ = page_use(environment / "data.mdb")
    with lmdb.open(str(environment), readonly=True, max_dbs=8) as env, env.begin() as txn:
        stats = [txn.stat(env.open_db(key, txn=txn, create=False)) for key, _ in txn.cursor()] + [env.stat()]
        assert env.info()["last_pgno"] + 1 == page_use(environment / "data.mdb")[3]
    pages = sum(stat[kind] for stat in stats for kind in ("branch_pages", "leaf_pages", "overflow_pages"))
    assert max(stat["depth"] for stat in stats) >= 2
    assert sum(stat["overflow_pages"] for stat in stats) > 40
    assert len(used) - 2 == pages


def test_used_and_bookkeeping_bytes_are_apart_and_in_order(environment: Path) -> None:
    data = environment / "data.mdb"
    used, bookkeeping = used_byte_ranges(data), bookkeeping_byte_ranges(data)
    for ranges in (used, bookkeeping):
        assert all(length > 0 for _, length in ranges)
        assert all(a + n < b for (a, n), (b, _) in itertools.pairwise(ranges))
        assert sum(ranges[-1]) <= data.stat().st_size
    assert not any(lies_in(used, offset) or lies_in(used, offset + n - 1) for offset, n in bookkeeping)
    values = sum(len(key) + len(value) for rows in content(1500).values() for key, value in rows.items())
    assert values < sum(length for _, length in used) < data.stat().st_size


def test_every_byte_of_every_row_is_in_use(environment: Path) -> None:
    data = (environment / "data.mdb").read_bytes()
    used = used_byte_ranges(environment / "data.mdb")
    usable = b"".join(data[offset : offset + length] for offset, length in used)
    for rows in content(1500).values():
        for key, value in rows.items():
            assert key in usable
            assert value in usable


def test_a_flip_in_no_used_byte_changes_nothing_a_reader_sees(environment: Path) -> None:
    data = environment / "data.mdb"
    used, bookkeeping = used_byte_ranges(data), bookkeeping_byte_ranges(data)
    chance = random.Random(11)
    in_books = [chance.randrange(at, at + n) for at, n in chance.choices(bookkeeping, k=100)]
    # Beside used bytes, where a wrong length would show, and anywhere.
    beside = [offset for at, n in chance.sample(used, min(70, len(used))) for offset in (at - 1, at + n)]
    anywhere = [place.offset for place in random_places([data], 150, seed=12)]
    unused = [at for at in beside + anywhere if 0 <= at < data.stat().st_size and not lies_in(used, at)]
    assert len(unused) > 120
    intact, results = read_flipped(environment, in_books + unused, seed=13)
    assert len(results) == len(in_books + unused)
    assert set(results) == {intact}


def test_a_flip_in_a_used_byte_is_mostly_seen(environment: Path) -> None:
    data = environment / "data.mdb"
    used = used_byte_ranges(data)
    places = [place.offset for place in random_places([data], 600, seed=14) if lies_in(used, place.offset)]
    intact, results = read_flipped(environment, places, seed=15)
    seen = sum(result != intact for result in results)
    assert len(results) > 100
    # What a reader can depend on and this one did not: flags that mean nothing here, the length of no data,
    # a bit of a branch's key that leaves all keys on their side.
    assert seen > 0.9 * len(results)


def test_ranges_of_a_file_that_is_not_a_whole_environment(tmp_path: Path, environment: Path) -> None:
    whole = (environment / "data.mdb").read_bytes()
    wrong = {
        "empty": b"",
        "short": whole[:100],
        "foreign": b"x" * 10_000,
        "cut": whole[: len(whole) // 2],
        "newer": whole[:20] + b"\x02" + whole[21:],
        "no page size": whole[:40] + bytes(4) + whole[44:],
    }
    for name, content_of_it in wrong.items():
        path = tmp_path / name
        path.write_bytes(content_of_it)
        with pytest.raises(ValueError, match=r"."):
            used_byte_ranges(path)


def test_the_ranges_of_one_row_to_the_byte(tmp_path: Path) -> None:
    with lmdb.open(str(tmp_path)) as env:
        size = env.stat()["psize"]
        with env.begin(write=True) as txn:
            txn.put(b"key", b"four")
    old = [(10, 2), (16, 8), (40, 4), (144, 8)]
    latest = [(10, 2), (16, 8), (32, 14), (88, 8), (120, 32)]
    # One pointer; a node of 8 + 3 + 4 bytes and one of padding.
    leaf = [(10, 8), (size - 16, 15)]
    pages = [(0, old), (size, latest), (2 * size, leaf)]
    data = tmp_path / "data.mdb"
    assert used_byte_ranges(data) == [(start + at, n) for start, ranges in pages for at, n in ranges]
    books = [(size, [(24, 8), (46, 42), (96, 24)]), (2 * size, [(0, 10)])]
    assert bookkeeping_byte_ranges(data) == [(start + at, n) for start, ranges in books for at, n in ranges]


def test_the_latest_of_the_two_states_is_followed(tmp_path: Path) -> None:
    data = tmp_path / "data.mdb"
    with lmdb.open(str(tmp_path)) as env:
        for n in range(4):
            before, value = b"value %d" % (n - 1), b"value %d" % n
            with env.begin(write=True) as txn:
                txn.put(b"key", value)
            whole = data.read_bytes()
            used = b"".join(whole[at : at + length] for at, length in used_byte_ranges(data))
            assert (value in used, before in used) == (True, False)
            assert page_use(data)[3] == env.info()["last_pgno"] + 1


def test_a_fresh_environment(tmp_path: Path) -> None:
    with lmdb.open(str(tmp_path)):
        pass
    used = used_byte_ranges(tmp_path / "data.mdb")
    assert 50 < sum(length for _, length in used) < 250
    assert page_use(tmp_path / "data.mdb") == ({0, 1}, set(), set(), 2)
