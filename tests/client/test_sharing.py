"""Versions that share their unchanged blocks in the cache, on a file system that can: XFS on a loop device."""

import os
import random
from pathlib import Path

import pytest
from benches.xfs import Unavailable, xfs

from runstone.client import partial
from runstone.client.cache import Cache
from runstone.client.fetch import fetch
from runstone.client.remote import Remote
from runstone.testing.served import served

SIZE = 24 << 20


@pytest.fixture(scope="module")
def disk():
    """A file system whose files can share blocks."""
    try:
        with xfs(400) as where:
            yield where
    except Unavailable as why:
        pytest.skip(str(why))


def put(remote: Remote, folder: Path, data: bytes):
    folder.mkdir(exist_ok=True)
    (folder / "model.bin").write_bytes(data)
    return remote.put("share/model", folder)


def used(path: Path) -> int:
    os.sync()
    found = os.statvfs(path)
    return (found.f_blocks - found.f_bfree) * found.f_frsize


@pytest.mark.root
@pytest.mark.parametrize("edit", ["in place", "longer by a block", "longer by a byte", "nothing else kept"])
def test_unchanged_blocks_are_shared_and_the_bytes_are_right(server, disk, tmp_path, edit):
    noise = random.Random(edit)
    before = noise.randbytes(SIZE)
    middle = SIZE // 2
    if edit == "in place":
        after = before[:middle] + noise.randbytes(1000) + before[middle + 1000 :]
    elif edit == "longer by a block":
        after = before[:middle] + noise.randbytes(4096) + before[middle:]
    elif edit == "longer by a byte":
        after = before[:middle] + b"!" + before[middle:]
    else:
        after = noise.randbytes(300_000) + before[middle:] + noise.randbytes(77)
    cache = disk / "cache" / edit.replace(" ", "-")
    options = {"url": server.url, "cache": cache, "link": "copy"}
    with Remote(server.url, cache=tmp_path / "put") as remote:
        first = put(remote, tmp_path / "m", before)
        fetch(first.name, tmp_path / "one", **options).release()
        start = used(disk)
        second = put(remote, tmp_path / "m", after)
        found = fetch(second.name, tmp_path / "two", **options)
        grown = used(disk) - start
    assert (tmp_path / "one" / "model.bin").read_bytes() == before
    assert (tmp_path / "two" / "model.bin").read_bytes() == after
    assert found.bytes_fetched + found.bytes_reused == len(after) and found.bytes_fetched < SIZE // 20
    found.release()
    # From where bytes moved by no whole block on, they are copied.
    copied = {"longer by a byte": SIZE // 2, "nothing else kept": SIZE // 2}.get(edit, 0)
    assert copied - (1 << 20) < grown < copied + (3 << 20), grown
    # The one is not the other's: what is done to one file leaves the other.
    held = [path for path in (Cache(cache).directory / "files").rglob("*") if path.stat().st_size > SIZE // 2]
    assert len(held) == 2
    for path in held:
        path.chmod(0o600)
        with path.open("r+b") as file:
            file.write(b"damage")
    fetched = fetch(second.name, tmp_path / "three", **options)
    assert (tmp_path / "three" / "model.bin").read_bytes() == after
    fetched.release()


@pytest.mark.root
def test_where_blocks_cannot_be_shared_they_are_copied(server, disk, tmp_path, monkeypatch):
    noise = random.Random(9)
    before = noise.randbytes(SIZE)
    options = {"url": server.url, "cache": disk / "cache" / "full", "link": "copy"}
    with Remote(server.url, cache=tmp_path / "put") as remote:
        first = put(remote, tmp_path / "m", before)
        fetch(first.name, tmp_path / "one", **options).release()
        second = put(remote, tmp_path / "m", noise.randbytes(100) + before[100:])

    def unable(*args: object) -> None:
        raise OSError(95, "not supported")

    monkeypatch.setattr(partial.fcntl, "ioctl", unable)
    fetch(second.name, tmp_path / "two", **options).release()
    assert (tmp_path / "two" / "model.bin").read_bytes()[100:] == before[100:]


@pytest.mark.root
def test_a_cache_shares_the_blocks_of_a_server_on_the_same_file_system(disk, tmp_path):
    data = random.Random(10).randbytes(SIZE)
    with served(disk / "data") as server, Remote(server.url, cache=tmp_path / "put") as remote:
        stored = put(remote, tmp_path / "m", data)
        start = used(disk)
        found = fetch(stored.name, url=server.url, cache=disk / "cache" / "near")
        assert (found.bytes_fetched, found.bytes_reused) == (0, SIZE)
        assert used(disk) - start < 2 << 20
        brought = (found.path / "model.bin").resolve()
        assert brought.read_bytes() == data
        brought.chmod(0o600)
        with brought.open("r+b") as file:
            file.write(b"damage")
        found.release()
        with remote.open_file(stored.name, "model.bin") as file:
            assert file.read() == data
