"""What goes wrong between a client and its bytes: cuts anywhere, full disks, other versions of the client, and servers that lie."""

import os
import struct
import threading

import msgspec
import numpy
import pytest
from hostile import Origin, answer, plan_body, planned, version_info
from safetensors.numpy import save_file
from waiting import BIG, wait_for

from runstone._native.digests import blake3
from runstone.client import plan as plans
from runstone.client.cache import Cache
from runstone.client.eviction import make_room
from runstone.client.fetch import fetch
from runstone.client.following import Following
from runstone.client.keeping import pin
from runstone.client.kept import Keeping
from runstone.client.plan import Plan, PlannedFile
from runstone.client.tensors.load import load
from runstone.errors import Corrupt, Missing, RunstoneError, StorageFull


def test_cut_at_every_twentieth_of_a_transfer(bring, relay, whole, tmp_path):
    for twentieth in range(1, 20):
        relay.cut_after = relay.body + BIG * twentieth // 20
        before = relay.body
        found = bring(cache=tmp_path / str(twentieth))
        assert whole(found.path) and relay.cuts == twentieth
        # Nothing that had arrived is moved again, but for what was on its way in each connection.
        assert relay.body - before <= found.bytes_fetched + (16 << 20)
        found.release()
        assert make_room(Cache(tmp_path / str(twentieth), 0)) > 0


def test_cut_at_every_twentieth_and_killed_each_time(bring, relay, whole):
    """No retries: each cut ends a fetch, and the next one goes on from it."""
    for twentieth in range(1, 20):
        relay.cut_after = BIG * twentieth // 20
        relay.refuse_when_cut = True
        try:
            found = bring(retries=0, connections=1)
            break
        except RunstoneError:
            continue
    relay.cut_after = None
    found = bring()
    assert whole(found.path) and relay.body <= BIG * 1.6


@pytest.fixture
def weights(remote, tmp_path):
    folder = tmp_path / "weights"
    folder.mkdir()
    tensors = {name: numpy.random.default_rng(1).random((1000, 1000)) for name in ("a", "b")}
    save_file(tensors, folder / "w.safetensors")
    remote.put("demo/weights", folder, aliases=["prod"])
    return tensors


def test_a_shard_on_a_full_disk_is_an_error(relay, weights, cache, monkeypatch):
    def full(handle, offset, length):
        raise OSError(28, os.strerror(28))

    with monkeypatch.context() as patched, pytest.raises(StorageFull):
        patched.setattr(os, "posix_fallocate", full)
        load("local/demo/weights@prod", url=relay.url, cache=cache, tensors=["a"])
    with load("local/demo/weights@prod", url=relay.url, cache=cache, tensors=["a"]) as found:
        assert numpy.array_equal(found["a"], weights["a"])


def test_a_shard_takes_the_room_of_a_shard(relay, weights, cache):
    with load("local/demo/weights@prod", url=relay.url, cache=cache, tensors=["a"]) as found:
        held = os.fstat(found.place("a").handle)
        assert held.st_size > 16_000_000 and held.st_blocks * 512 <= 8_500_000


class TestTwoVersionsOfTheClient:
    """A cache that a newer client shares: what it wrote in forms that are not known here is passed over, not broken."""

    def test_a_newer_layout_is_left_alone(self, bring, cache, whole):
        newer = cache / "v2" / "files"
        newer.mkdir(parents=True)
        (newer / "x").write_bytes(b"theirs")
        assert whole(bring().path)
        make_room(Cache(cache, 0))
        assert (newer / "x").read_bytes() == b"theirs"

    def test_plans_with_more_in_them_are_read(self, bring, cache, whole, relay):
        assert whole(bring().path)
        for path in (cache / "v1" / "plans").rglob("*"):
            if path.is_file() and path.suffix == "" and not path.name.startswith("own-"):
                held = msgspec.msgpack.decode(path.read_bytes()[32:])
                body = msgspec.msgpack.encode(held | {"of_the_future": [1, 2]})
                path.write_bytes(blake3(body) + body)
        body = relay.body
        assert whole(bring().path) and relay.body == body
        assert relay.requests[-1].endswith("/plan")

    def test_files_with_another_header_are_verified_again(self, bring, cache, whole, relay):
        bring().release()
        body = relay.body
        for path in (cache / "v1" / "files").rglob("*.chunks"):
            path.write_bytes(b"RSCHUNK9" + path.read_bytes()[8:])
        assert whole(bring().path) and relay.body == body

    def test_a_journal_of_another_kind_is_not_believed(self, bring, cache, whole, relay):
        relay.cut_after, relay.refuse_when_cut = BIG // 2, True
        with pytest.raises(RunstoneError):
            bring(retries=0)
        for path in (cache / "v1" / "partial").glob("*.journal"):
            path.write_bytes(b"RSPART99" + path.read_bytes()[8:])
        relay.cut_after = None
        assert whole(bring().path)

    def test_records_with_more_in_them_still_keep(self, bring, relay, cache, model):
        pin("local/demo/model@prod", url=relay.url, cache=cache)
        (path,) = (cache / "v1" / "kept").iterdir()
        body = msgspec.msgpack.encode(msgspec.msgpack.decode(path.read_bytes()[32:]) | {"more": 1})
        path.write_bytes(blake3(body) + body)
        assert len(Keeping(Cache(cache)).all()) == 1
        assert make_room(Cache(cache, 0)) == 0


def test_places_are_not_taken_from_a_server_that_left_no_token(tmp_path):
    """It may say that a file lies in /etc/passwd: without a token of this user's own server nobody looks there."""

    def script(target, headers):
        assert "x-runstone-near" not in headers
        file = PlannedFile(path="m.safetensors", size=10, places=(("/etc/passwd", 0, 10),))
        return answer(200, msgspec.msgpack.encode(Plan(version_info(), (file,), 1)))

    with Origin(script) as served, pytest.raises(Corrupt):
        load("n/p/c@x", url=served.url.replace("localhost", "127.0.0.1"), cache=tmp_path, retries=0)


@pytest.mark.parametrize(
    "places",
    [(("/p", 0, 9),), (("/p", -1, 10),), (("/p", 0, 5), ("/p", 5, 4)), (("/p", 0, 11), ("/p", 5, -1)), ()],
)
def test_places_that_do_not_make_up_the_file(places):
    file = PlannedFile(path="m", size=10, places=places)
    with pytest.raises(Corrupt, match="do not make up the file"):
        plans.read_near(msgspec.msgpack.encode(Plan(version_info(), (file,), 1)))


@pytest.mark.parametrize("head", [b"x", b"other bytes....", bytes(1 << 17)])
def test_a_head_that_is_not_the_first_chunks(head):
    with pytest.raises(Corrupt, match="head"):
        plans.read(plan_body(planned("m.safetensors", b"the bytes......", head=head)))


def test_a_header_that_lies_about_its_tensors_moves_nothing(tmp_path):
    header = b'{"a":{"dtype":"F32","shape":[9],"data_offsets":[0,4]}}'
    data = struct.pack("<Q", len(header)) + header + bytes(4)

    def script(target, headers):
        assert target.endswith("/plan")
        return answer(200, plan_body(planned("m.safetensors", data, head=data)))

    with Origin(script) as served, pytest.raises(Corrupt, match="for the shape"):
        load("n/p/c@x", url=served.url, cache=tmp_path, tensors=["a"], retries=0)


def test_a_server_without_heads_is_loaded_from_whole(tmp_path):
    header = b'{"a":{"dtype":"U8","shape":[4],"data_offsets":[0,4]}}'
    data = struct.pack("<Q", len(header)) + header + b"1234"

    def script(target, headers):
        return answer(200, plan_body(planned("m.safetensors", data)) if target.endswith("/plan") else data)

    with Origin(script) as served:
        options = {"url": served.url, "cache": tmp_path, "retries": 0}
        with pytest.raises(RunstoneError, match="has no header"):
            load("n/p/c@x", tensors=["a"], **options)
        with load("n/p/c@x", **options) as found:
            assert found["a"].tolist() == [49, 50, 51, 52]


@pytest.mark.parametrize("events", [b"data: {nope\n\n", b"id: x\n\n", b"data: " + b"x" * (2 << 20), b""])
def test_events_that_are_none_end_nothing(tmp_path, events, recwarn):
    asked = threading.Event()

    def script(target, headers):
        if "/events/" in target:
            asked.set()
            return answer(200, events, Content_Type="text/event-stream")
        return answer(200, plan_body(planned("f", b"bytes")) if target.endswith("/plan") else b"bytes")

    with Origin(script) as served:
        following = Following("n/p/c@x", tmp_path / "link", url=served.url, cache=tmp_path / "c", retries=0)
        assert next(following).new.number == 1
        thread = threading.Thread(target=lambda: next(following, None))
        thread.start()
        wait_for(lambda: sum("/events/" in line for line, *_ in served.requests) >= 2)
        following.close()
        thread.join()
    assert (tmp_path / "link" / "f").read_bytes() == b"bytes"


def test_a_version_that_is_not_there_is_no_failure_of_the_server(bring, relay):
    with pytest.raises(Missing):
        bring("local/demo/model@none", url=[relay.url, "http://127.0.0.1:9"])


def test_a_directory_that_cannot_be_written_says_so(model, server, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(RunstoneError, match="RUNSTONE_CACHE"):
        fetch("local/demo/model@prod", url=server.url, cache=tmp_path / "file")
