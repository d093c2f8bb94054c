"""Fetching from a real server through a relay that counts bytes and breaks things."""

import json
import os
import random
import signal
import subprocess
import sys
import time

import pytest
from relay import Relay
from waiting import BIG, until

from runstone.client import fetch as fetching
from runstone.client.fetch import StaleWarning, fetch
from runstone.client.remote import Remote
from runstone.errors import (
    Conflict,
    Corrupt,
    Denied,
    Gone,
    Invalid,
    Missing,
    RunstoneError,
    TryAgain,
    Unauthenticated,
)
from runstone.testing.served import served
from runstone.testing.store_contract import read, reference, write

CHILD = """
import json, sys, warnings
from runstone.client.fetch import fetch
options = json.loads(sys.argv[1])
found = fetch(options.pop("name"), options.pop("target", None), **options)
print(json.dumps([str(found.path), found.bytes_fetched, found.bytes_reused]), flush=True)
"""


def child(**options):
    """A fetch in a process of its own."""
    return subprocess.Popen(
        [sys.executable, "-c", CHILD, json.dumps(options)],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )


def result(process):
    out, _ = process.communicate(timeout=120)
    assert process.returncode == 0
    return json.loads(out)


def size_of(folder):
    return sum(len(content) for content in read(folder).values())


def test_every_byte_is_brought_once(bring, relay, whole, model, tmp_path):
    told = []
    first = bring(target=tmp_path / "out", progress=lambda done, total: told.append((done, total)))
    assert whole(first.path) and first.path == tmp_path / "out"
    assert (first.bytes_fetched, first.bytes_reused, first.stale) == (size_of(model), 0, False)
    assert first.version.name == "local/demo/model:v1"
    assert relay.body == size_of(model) and told[-1] == (size_of(model), size_of(model))


def test_an_unmoved_alias_costs_one_request_and_no_bytes(bring, relay, whole, tmp_path):
    bring()
    assert relay.down > BIG // (128 << 10) * 44
    relay.body, relay.down, relay.requests = 0, 0, []
    again = bring(target=tmp_path / "out")
    assert whole(again.path) and again.bytes_fetched == 0
    assert relay.requests == ["GET /api/v1/collections/local/demo/model/versions/prod/plan"]
    assert relay.body == 0 and relay.down < 2000


def test_without_a_target_it_lies_in_the_cache_read_only(bring, whole, cache):
    found = bring()
    assert found.path.is_relative_to(cache) and whole(found.path)
    assert os.stat(found.path / "model.bin").st_mode & 0o777 == 0o444


def test_a_name_of_two_parts_is_ones_own(bring, relay, whole):
    assert whole(bring("demo/model@prod").path)
    relay.requests.clear()
    assert whole(bring("demo/model@prod").path)
    assert not any("whoami" in request for request in relay.requests)


@pytest.mark.parametrize("name", ["local/demo/model", "local/demo/model:v1", "local/demo/model@1"])
def test_versions_are_named_as_anywhere(bring, whole, name):
    assert whole(bring(name).path)


def test_a_prefix_brings_a_part(bring, relay, model, tmp_path):
    found = bring(target=tmp_path / "out", prefix="deep/")
    assert list(read(found.path)) == ["deep/er/vocab größer.txt"]
    assert relay.body == found.bytes_fetched == 4000


@pytest.mark.parametrize("link", ["auto", "hard", "copy"])
def test_the_target_gets_whole_files(bring, whole, cache, tmp_path, link):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "config.json").write_text("an older one")
    (tmp_path / "out" / "mine").write_text("not the version's")
    found = bring(target=tmp_path / "out", link=link)
    assert (found.path / "mine").read_text() == "not the version's"
    (found.path / "mine").unlink()
    assert whole(found.path)
    held = os.stat(found.path / "model.bin")
    assert (held.st_nlink == 2) == (link == "hard" or (link == "auto" and not held.st_mode & 0o200))
    assert bool(held.st_mode & 0o200) == (held.st_nlink == 1)
    assert not list(found.path.rglob(".*"))


def test_another_way_to_link_replaces_the_link(bring, whole, tmp_path):
    bring(target=tmp_path / "out", link="hard")
    found = bring(target=tmp_path / "out", link="copy")
    assert whole(found.path) and os.stat(found.path / "model.bin").st_nlink == 1


def test_a_link_that_cannot_be_made_says_so(bring, tmp_path):
    with pytest.raises(Invalid, match="link"):
        bring(target=tmp_path / "out", link="symbolic")


def test_what_the_target_holds_is_not_fetched_again(bring, relay, whole, model, tmp_path):
    target = tmp_path / "out"
    bring(target=target, link="copy")
    relay.body = 0
    (target / "config.json").write_text("changed")
    found = bring(target=target, cache=tmp_path / "fresh")
    assert whole(target) and relay.body == found.bytes_fetched == 2
    assert found.bytes_reused == size_of(model) - 2


def test_links_in_the_target_are_not_followed(bring, tmp_path):
    outside = write(tmp_path / "outside", {"config.json": b"precious"})
    target = tmp_path / "out"
    target.mkdir()
    (target / "deep").symlink_to(outside)
    with pytest.raises(Conflict, match="symbolic link"):
        bring(target=target)
    (target / "deep").unlink()
    (target / "config.json").symlink_to(outside / "config.json")
    bring(target=target)
    assert not (target / "config.json").is_symlink() and (target / "config.json").read_bytes() == b"{}"
    assert read(outside) == {"config.json": b"precious"}


def test_a_directory_in_the_way(bring, tmp_path):
    (tmp_path / "out" / "config.json").mkdir(parents=True)
    with pytest.raises(Conflict, match="is a directory"):
        bring(target=tmp_path / "out")


@pytest.mark.parametrize("offset", [0, 1_000_000, BIG - 1])
def test_a_flipped_bit_on_the_wire_is_fetched_again(bring, relay, whole, model, offset):
    relay.flip = [offset, 2]
    found = bring(prefix="model.bin")
    assert relay.flipped == 2
    assert (found.path / "model.bin").read_bytes() == (model / "model.bin").read_bytes()
    assert 0 < relay.body - BIG <= 2 * (128 << 10)


def test_bytes_that_never_verify_are_never_delivered(bring, relay, cache, tmp_path, whole):
    relay.flip = [3_000_000, 1000]
    with pytest.raises(Corrupt, match=r"model\.bin: the chunk at byte \d+ came damaged 4 times"):
        bring(target=tmp_path / "out")
    assert relay.flipped == 4
    assert not (tmp_path / "out" / "model.bin").exists()
    relay.flip = None
    found = bring(target=tmp_path / "out")
    assert whole(found.path) and found.bytes_reused >= 2_000_000


def test_cut_connections_are_gone_on_from(bring, relay, whole):
    relay.cut_after = 1 << 20
    for _ in range(8):
        found = bring(connections=2)
        relay.cut_after = relay.body + (3 << 20)
        if found:
            break
    assert relay.cuts >= 1 and whole(found.path)
    assert relay.body <= BIG * 1.2 + (2 << 20)


def test_many_cuts_in_one_fetch(bring, relay, whole, monkeypatch):
    cuts = []

    class Often(type(relay)):
        def _pass_on(self, client, data, exchange):
            if self.cut_after is None and len(cuts) < 15:
                self.cut_after = self.body + (1 << 20)
                cuts.append(self.body)
            return super()._pass_on(client, data, exchange)

    relay.__class__ = Often
    found = bring()
    assert whole(found.path) and relay.cuts >= 10


def test_a_connection_that_stalls_is_given_up(bring, relay, whole):
    relay.stall_after = 2 << 20
    with pytest.raises(TryAgain, match=r"nothing moved for 0\.3 s"):
        bring(timeout=0.3, retries=1)
    assert relay.stalled >= 2
    relay.stall_after = None
    relay.body = 0
    found = bring()
    assert whole(found.path) and relay.body == found.bytes_fetched < size_of(found.path)


def test_a_killed_fetch_is_gone_on_from_by_another_process(relay, cache, whole, model):
    relay.rate = 20 << 20
    first = child(name="local/demo/model@prod", url=relay.url, cache=str(cache))
    until(lambda: relay.body >= size_of(model) // 2, first)
    first.kill()
    first.communicate()
    assert first.returncode == -signal.SIGKILL
    relay.hang_up()
    time.sleep(0.2)
    at_kill, relay.body, relay.rate = relay.body, 0, None
    assert at_kill < size_of(model)
    path, fetched, reused = result(child(name="local/demo/model@prod", url=relay.url, cache=str(cache)))
    assert whole(fetching.Path(path))
    assert relay.body == fetched <= 0.55 * size_of(model)
    assert fetched + reused == size_of(model) and reused > 0


def test_a_journal_that_claims_too_much_is_not_believed(bring, relay, cache, whole):
    relay.cut_after = BIG // 2
    relay.stall_after = BIG // 2
    with pytest.raises(TryAgain):
        bring(timeout=0.3, retries=0)
    (partial,) = [path for path in (cache / "v1" / "partial").iterdir() if path.stat().st_size == BIG]
    with partial.open("r+b") as file:
        file.write(bytes(4 << 20))
    relay.stall_after, relay.body = None, 0
    assert whole(bring().path)
    assert relay.body > (4 << 20)


def test_eight_processes_at_once_move_the_bytes_once(relay, cache, whole, model, tmp_path):
    relay.rate = 40 << 20
    targets = [tmp_path / f"out{number}" for number in range(8)]
    children = [
        child(name="local/demo/model@prod", target=str(target), url=relay.url, cache=str(cache))
        for target in targets
    ]
    moved = [result(process)[1] for process in children]
    assert all(whole(target) for target in targets)
    assert relay.body == sum(moved) == size_of(model)


def test_a_waiting_process_takes_over_from_one_that_dies(relay, cache, whole, model):
    relay.rate = 20 << 20
    first = child(name="local/demo/model@prod", url=relay.url, cache=str(cache))
    until(lambda: relay.body >= BIG // 4, first)
    relay.rate = 256 << 10  # however long the second takes to start, the first is not done
    second = child(name="local/demo/model@prod", url=relay.url, cache=str(cache))
    until(lambda: sum("plan" in request for request in relay.requests) == 2, second)
    time.sleep(0.1)
    before = relay.body
    first.kill()
    first.communicate()
    relay.rate = None
    path, fetched, _ = result(second)
    assert whole(fetching.Path(path))
    assert 0 < fetched <= size_of(model) - before + (4 << 20)


def test_a_lost_server_is_survived_from_the_cache(bring, relay, whole, tmp_path):
    bring()
    relay.refuse = True
    relay.hang_up()
    with pytest.warns(StaleWarning, match="served from the cache as local/demo/model:v1"):
        found = bring(target=tmp_path / "out", retries=0)
    assert found.stale and found.bytes_fetched == 0 and whole(found.path)
    with pytest.raises(TryAgain):
        bring(retries=0, stale=False)
    with pytest.raises(TryAgain):
        bring("local/demo/model@other", retries=0)


def test_a_lost_server_cannot_be_survived_without_the_bytes(bring, relay, cache):
    found = bring()
    found.release()
    for path in (cache / "v1" / "files").rglob("*"):
        if path.is_file() and path.stat().st_size == BIG:
            path.unlink()
    relay.refuse = True
    relay.hang_up()
    with pytest.raises(TryAgain, match=r"closed|reset"):
        bring(retries=0)


@pytest.fixture
def guarded(tmp_path):
    """A server that wants keys, a version in it, and a reader's key."""
    with (
        served(tmp_path / "guarded", "--auth", "on") as server,
        Remote(server.url, key=server.first_key, cache=tmp_path / "c") as remote,
    ):
        remote.put("demo/model", write(tmp_path / "m", {"a": b"a" * 1000}), aliases=["prod"])
        yield server, remote


def test_a_refusal_is_never_answered_from_the_cache(guarded, cache, recwarn):
    server, remote = guarded
    options = {"url": server.url, "cache": cache, "retries": 0}
    made = remote.create_key("local", "laptop")
    name = "local/demo/model@prod"
    assert not fetch(name, key=made.key, **options).stale
    remote.revoke_key(made.info.id)
    with pytest.raises(Unauthenticated):
        fetch(name, key=made.key, **options)
    remote.create_user("eve")
    eve = remote.create_key("eve", "k").key
    with pytest.raises((Denied, Missing)):
        fetch(name, key=eve, **options)
    good = remote.create_key("local", "other").key
    remote.put("demo/model", files=[reference()], aliases=["prod"])
    remote.delete_version("demo/model@v1")
    fetch("local/demo/model@prod", key=good, **options)
    with pytest.raises(Gone):
        fetch("local/demo/model@v1", key=good, **options)
    remote.delete_alias("demo/model", "prod")
    with pytest.raises(Missing):
        fetch(name, key=good, **options)
    assert not [warning for warning in recwarn if issubclass(warning.category, StaleWarning)]


def test_references_are_named_and_not_fetched(remote, bring, relay):
    remote.put("demo/far", files=[reference("weights")], aliases=["prod"])
    found = bring("local/demo/far@prod")
    assert [file.url for file in found.references] == ["s3://bucket/key"]
    assert read(found.path) == {} and relay.body == 0


def test_a_changed_version_moves_its_changed_chunks(remote, bring, relay, model, tmp_path):
    bring()
    content = bytearray((model / "model.bin").read_bytes())
    noise = random.Random(2)
    for place in (100, 5_000_000, 20_000_000):
        content[place : place + 4096] = noise.randbytes(4096)
    content[9_000_000:9_000_000] = b"inserted"
    changed = write(tmp_path / "changed", read(model) | {"model.bin": bytes(content)})
    remote.put("demo/model", changed, aliases=["next"])
    relay.body = 0
    found = bring("local/demo/model@next", tmp_path / "out")
    assert read(found.path) == read(changed)
    assert relay.body == found.bytes_fetched < 8 * (128 << 10)
    assert found.bytes_fetched + found.bytes_reused == size_of(changed)
    remote.delete_alias("demo/model", "next")


def test_repeated_chunks_are_copied_however_often_they_occur(remote, bring, relay, tmp_path):
    block = random.Random(3).randbytes(1 << 20)
    remote.put("demo/repeats", write(tmp_path / "one", {"f": block}), aliases=["a"])
    bring("local/demo/repeats@a")
    remote.put("demo/repeats", write(tmp_path / "many", {"f": block * 5}), aliases=["b"])
    relay.body = 0
    found = bring("local/demo/repeats@b")
    assert read(found.path) == {"f": block * 5}
    assert relay.body < 12 * (128 << 10)


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to mount a tmpfs")
class TestDisks:
    @pytest.fixture
    def small(self, tmp_path):
        place = tmp_path / "small"
        place.mkdir()
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", place], check=True)
        yield place
        subprocess.run(["umount", "-l", place], check=True)

    def test_a_full_cache_disk_is_an_error_and_leaves_nothing(self, bring, small, relay):
        with pytest.raises(RunstoneError) as caught:
            bring(cache=small)
        assert type(caught.value).__name__ == "StorageFull"
        assert relay.body < 2 << 20
        assert sum(path.stat().st_size for path in small.rglob("*") if path.is_file()) < 2 << 20

    def test_room_is_made_of_what_is_not_in_use(self, remote, bring, small, tmp_path):
        for name in "ab":
            content = random.Random(name).randbytes(5 << 20)
            remote.put(f"demo/{name}", write(tmp_path / name, {"f": content}), aliases=["x"])
            found = bring(f"local/demo/{name}@x", cache=small)
            assert read(found.path) == {"f": content}
            found.release()
        assert (
            sum(path.stat().st_size for path in (small / "v1" / "files").rglob("*") if path.is_file())
            < 6 << 20
        )

    def test_a_full_target_disk_is_an_error_and_leaves_no_part(self, bring, small):
        with pytest.raises(RunstoneError) as caught:
            bring(target=small / "out")
        assert type(caught.value).__name__ == "StorageFull"
        assert not (small / "out" / "model.bin").exists() and not list((small / "out").glob(".*"))

    def test_a_read_only_target_is_refused_before_anything_is_fetched(self, bring, small, relay):
        subprocess.run(["mount", "-o", "remount,ro", small], check=True)
        with pytest.raises(Invalid, match="Read-only file system"):
            bring(target=small / "out")
        assert relay.body == 0


def test_a_dead_server_that_comes_back_serves_again(tmp_path, cache):
    with served(tmp_path / "data") as server:
        with Remote(server.url, cache=tmp_path / "c") as remote:
            remote.put("demo/m", write(tmp_path / "m", {"a": b"1"}), aliases=["prod"])
        relay = Relay(server.url)
        options = {"url": relay.url, "cache": cache, "timeout": 2.0, "retries": 0}
        fetch("local/demo/m@prod", **options)
        server.kill()
        with pytest.warns(StaleWarning):
            assert fetch("local/demo/m@prod", **options).stale
        server.start()
        assert not fetch("local/demo/m@prod", **options).stale
        relay.close()
