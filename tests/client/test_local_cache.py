"""The shared cache: what it vouches for, what it lets go, and what it keeps."""

import fcntl
import os
import random
import threading
from pathlib import Path

import pytest
from hostile import chunks_of

from runstone._native.digests import xet_file_hash
from runstone.client import cache as caching
from runstone.client import eviction, verify
from runstone.client.cache import Cache, parse_size
from runstone.client.eviction import Pin, make_room
from runstone.client.lock import FileLock
from runstone.client.plan import Content
from runstone.errors import Invalid, TryAgain

SIZE = 1 << 20


def content_of(data):
    chunks = chunks_of(data)
    return Content(xet_file_hash(chunks).hex(), len(data), chunks)


def admit(cache, seed, size=SIZE):
    data = random.Random(seed).randbytes(size)
    content = content_of(data)
    lock = cache.lock(content)
    partial = cache.begin(content)
    partial.write(0, content.chunk_count, memoryview(data))
    path = cache.admit(partial)
    lock.release(remove=True)
    return content, path, data


def age(path, seconds):
    held = path.stat()
    os.utime(path, ns=(held.st_atime_ns - seconds * 10**9, held.st_mtime_ns))


@pytest.fixture
def cache(tmp_path):
    return Cache(tmp_path / "cache", 10 * SIZE)


def test_what_is_admitted_is_found(cache):
    content, path, data = admit(cache, 1)
    assert cache.find(content) == path and path.read_bytes() == data
    assert Path(f"{path}.chunks").read_bytes().endswith(content.chunks)
    assert cache.find(content_of(b"another")) is None
    assert list((cache.directory / "partial").iterdir()) == []
    assert (
        (cache.directory.parent / "CACHEDIR.TAG")
        .read_bytes()
        .startswith(b"Signature: 8a477f597d28d172789f06886806bc55")
    )


@pytest.mark.parametrize("harm", ["edited", "truncated", "replaced", "appended"])
def test_what_was_changed_behind_its_back_is_dropped(cache, harm):
    content, path, _ = admit(cache, 1)
    path.chmod(0o644)
    if harm == "edited":
        with path.open("r+b") as file:
            file.seek(1000)
            file.write(b"!")
    elif harm == "truncated":
        os.truncate(path, SIZE - 1)
    elif harm == "appended":
        with path.open("ab") as file:
            file.write(b"x")
    else:
        os.replace(path, path.with_name("old"))
        path.write_bytes(bytes(SIZE))
    assert cache.find(content) is None and not path.exists()
    assert not path.with_name(f"{path.name}.chunks").exists()


def test_what_was_only_touched_is_verified_and_kept(cache, monkeypatch):
    content, path, _ = admit(cache, 1)
    os.utime(path)
    checked = []
    real = verify.is_whole
    monkeypatch.setattr(verify, "is_whole", lambda *given: checked.append(1) or real(*given))
    assert cache.find(content) == path and cache.find(content) == path
    assert len(checked) == 1


def test_after_a_boot_a_file_is_verified_once(cache, monkeypatch):
    content, path, _ = admit(cache, 1)
    checked = []
    real = verify.is_whole
    monkeypatch.setattr(verify, "is_whole", lambda *given: checked.append(1) or real(*given))
    assert cache.find(content) == path and not checked
    for boot in (b"b" * 16, b"c" * 16):
        monkeypatch.setattr(caching, "_boot", boot)
        assert cache.find(content) == path and cache.find(content) == path
        assert len(checked) == 1


@pytest.mark.parametrize("header", [b"", b"RSCHUNK1", b"x" * 1000])
def test_a_damaged_header_vouches_for_nothing(cache, header):
    content, path, _ = admit(cache, 1)
    path.with_name(f"{path.name}.chunks").write_bytes(header)
    assert cache.find(content) == path
    path.chmod(0o644)
    path.write_bytes(bytes(SIZE))
    path.with_name(f"{path.name}.chunks").write_bytes(header)
    assert cache.find(content) is None


def test_the_least_recently_used_go_first(cache):
    held = [admit(cache, seed) for seed in range(10)]
    for number, (_, path, _) in enumerate(held):
        age(path, 100 - number)
    cache.touch(held[0][1])
    assert make_room(cache, 2 * SIZE) == 2 * SIZE
    gone = [number for number, (_, path, _) in enumerate(held) if not path.exists()]
    assert gone == [1, 2]
    assert make_room(cache, 0) == 0


def test_the_bound_holds_whatever_comes(cache):
    for seed in range(30):
        make_room(cache, SIZE)
        admit(cache, seed)
        held = [
            path for path in (cache.directory / "files").rglob("*") if path.is_file() and "." not in path.name
        ]
        assert sum(path.stat().st_size for path in held) <= cache.limit
    assert len(held) == 10


def test_what_is_pinned_stays(cache):
    held = [admit(cache, seed) for seed in range(10)]
    pin = Pin(cache, [held[0][0], held[1][0]])
    assert make_room(cache, 100 * SIZE) == 8 * SIZE
    assert held[0][1].exists() and held[1][1].exists()
    pin.release()
    pin.release()
    assert make_room(cache, 100 * SIZE) == 2 * SIZE
    assert list((cache.directory / "pins").iterdir()) == []


def test_a_dead_process_pins_nothing(cache):
    content, _, _ = admit(cache, 1)
    child = os.fork()
    if not child:
        Pin(cache, [content])
        os._exit(0)
    os.waitpid(child, 0)
    assert len(list((cache.directory / "pins").iterdir())) == 1
    assert make_room(cache, 100 * SIZE) == SIZE
    assert list((cache.directory / "pins").iterdir()) == []


def test_abandoned_parts_go_and_live_ones_stay(cache):
    live, dead, tiny = (
        content_of(kind * size) for kind, size in ((b"l", 2 * SIZE), (b"d", 2 * SIZE), (b"t", 1000))
    )
    lock = cache.lock(live)
    partial = cache.begin(live)
    for abandoned in (dead, tiny):
        other = cache.lock(abandoned)
        cache.begin(abandoned).close()
        other.release()
    assert make_room(cache, 0) == 0
    # One that came in one piece cannot be gone on with, and is of no use to anybody.
    assert (cache.directory / "partial" / dead.root).exists() and not (
        cache.directory / "partial" / tiny.root
    ).exists()
    assert make_room(cache, 100 * SIZE) == 2 * SIZE
    assert partial.path.exists() and not (cache.directory / "partial" / dead.root).exists()
    partial.close()
    lock.release(remove=True)


def test_a_partial_file_is_as_large_as_it_will_be_and_resumes_what_verifies(cache):
    data = random.Random(5).randbytes(4 * SIZE)
    content = content_of(data)
    partial = cache.begin(content)
    assert partial.path.stat().st_blocks * 512 >= len(data)
    middle = content.chunk_count // 2
    offsets = content.offsets()
    partial.write(0, middle, memoryview(data)[: offsets[middle]])
    partial.close()
    with partial.path.open("r+b") as file:
        file.seek(offsets[3])
        file.write(b"rot")
    with partial.journal_path.open("ab") as file:
        file.write(b"\xff" * 8 + b"torn")
    again = cache.begin(content)
    assert again.missing() == [(3, 4), (middle, content.chunk_count)]
    assert again.resumed == offsets[middle] - (offsets[4] - offsets[3])
    again.discard()


def test_a_lock_is_one_processs_and_its_file_may_go(tmp_path):
    path = tmp_path / "lock"
    first = FileLock.acquire(path)
    assert FileLock.try_acquire(path) is None
    with pytest.raises(TryAgain, match="held"):
        FileLock.acquire(path, seconds=0.02)
    taken = []
    waiting = threading.Thread(target=lambda: taken.append(FileLock.acquire(path, seconds=10)))
    waiting.start()
    first.release(remove=True)
    waiting.join()
    assert path.exists() and FileLock.try_acquire(path) is None
    taken[0].release()
    shared = FileLock.acquire(path, shared=True)
    with FileLock.acquire(path, shared=True):
        assert FileLock.try_acquire(path) is None
    shared.release()


def test_a_lock_on_a_file_that_was_removed_is_no_lock(tmp_path, monkeypatch):
    path, real, removed = tmp_path / "lock", fcntl.flock, []

    def removing(handle, kind):
        if not removed:
            removed.append(path.unlink())
        real(handle, kind)

    monkeypatch.setattr(fcntl, "flock", removing)
    with FileLock.acquire(path) as lock:
        assert removed and os.fstat(lock.handle).st_ino == path.stat().st_ino


def test_a_part_that_somebody_goes_on_with_is_not_evicted(cache, monkeypatch):
    content = content_of(b"x" * SIZE)
    lock = cache.lock(content)
    partial = cache.begin(content)
    stat = partial.path.stat()
    monkeypatch.setattr(eviction, "_partials", lambda _: [(partial.path, stat, False)])
    assert make_room(cache, 100 * SIZE) == 0 and partial.path.exists()
    partial.discard()
    lock.release(remove=True)


def test_sizes_as_people_write_them():
    assert [parse_size(text) for text in ("5", "1K", "2 MiB", "3GB", "1t")] == [
        5,
        1024,
        2 << 20,
        3 << 30,
        1 << 40,
    ]
    for text in ("", "x", "-1", "1.5G", "1X", "G"):
        with pytest.raises(Invalid):
            parse_size(text)


def test_settings_come_from_the_environment(tmp_path, monkeypatch):
    monkeypatch.setenv("RUNSTONE_CACHE", str(tmp_path / "named"))
    monkeypatch.setenv("RUNSTONE_CACHE_SIZE", "5M")
    made = Cache()
    assert made.directory == tmp_path / "named" / "v1" and made.limit == 5 << 20
    monkeypatch.delenv("RUNSTONE_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert Cache().directory == tmp_path / "xdg" / "runstone" / "v1"


def test_a_cache_that_cannot_be_made_says_how_to_move_it(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(Invalid, match="RUNSTONE_CACHE"):
        Cache(tmp_path / "file" / "cache")


def test_eviction_survives_strangers_in_the_directory(cache):
    admit(cache, 1)
    (cache.directory / "files" / "stray").mkdir()
    (cache.directory / "partial" / "stray.lock").write_text("")
    assert eviction.make_room(cache, 100 * SIZE) == SIZE
