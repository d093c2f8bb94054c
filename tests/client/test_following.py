"""A followed alias: brought, verified, switched in one step, gone back from; and versions that are pinned."""

import multiprocessing
import os
import queue
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from waiting import wait_for

import runstone
from runstone.client.cache import Cache
from runstone.client.eviction import make_room
from runstone.client.fetch import fetch
from runstone.client.following import Following, rollback
from runstone.client.kept import Keeping
from runstone.errors import Conflict, Denied, Invalid, Missing, RunstoneError
from runstone.testing.store_contract import read, write

MB = 1 << 20


@pytest.fixture
def models(remote, tmp_path, request):
    """Makes versions of a collection of the test's own, and moves its alias ``prod``."""
    name = f"demo/{request.node.name[:40].replace('[', '-').replace(']', '')}"

    class Models:
        full = f"local/{name}"
        prod = f"local/{name}@prod"

        @staticmethod
        def put(content, number):
            folder = write(tmp_path / f"v{number}", {"w.bin": content, "config.json": b"%d" % number})
            return remote.put(name, folder)

        @staticmethod
        def move(number):
            remote.set_alias(f"{name}@v{number}", "prod")

    models = Models()
    models.put(b"1" * MB, 1)
    models.move(1)
    return models


@pytest.fixture
def follow(relay, cache, models):
    opened = []

    def followed(target=None, **options):
        options = {"url": relay.url, "cache": cache, "timeout": 5.0, "retries": 1} | options
        opened.append(Following(models.prod, target, **options))
        return opened[-1]

    yield followed
    for each in opened:
        each.close()


def test_a_move_is_switched_to_and_gone_back_from(follow, models, relay, tmp_path):
    link = tmp_path / "deep" / "current"
    following = follow(link)
    first = next(following)
    assert first.old is None and first.new.version == f"{models.full}:v1"
    assert link.is_symlink() and read(link)["config.json"] == b"1"
    models.put(b"1" * MB + b"2", 2)
    models.move(2)
    second = next(following)
    assert (second.old.number, second.new.number) == (1, 2) and second.path == link.resolve()
    assert read(link)["config.json"] == b"2" and second.fetched < 300_000
    body = relay.body
    back = following.rollback()
    assert back.number == 1 and read(link)["config.json"] == b"1" and relay.body == body
    models.put(b"3", 3)
    models.move(3)
    third = next(following)
    assert (third.old.number, third.new.number) == (1, 3) and read(link)["config.json"] == b"3"
    assert following.current.number == 3 and following.previous.number == 1


def test_without_a_target_callbacks_get_the_paths(follow, models):
    told = queue.Queue()
    with follow(on_ready=lambda old, new: told.put((old, new))) as following:
        assert told.get(timeout=20)[1].number == 1
        models.put(b"2", 2)
        models.move(2)
        old, new = told.get(timeout=20)
        assert (old.number, new.number) == (1, 2)
        assert read(Path(new.path))["config.json"] == b"2" and read(Path(old.path))["config.json"] == b"1"
        assert following.rollback().number == 1


def test_a_rejected_version_is_not_gone_to_again_also_after_a_restart(follow, models, cache, tmp_path):
    link = tmp_path / "current"
    following = follow(link)
    next(following)
    models.put(b"2", 2)
    models.move(2)
    next(following)
    following.close()
    assert rollback(link, cache=cache).number == 1 and read(link)["config.json"] == b"1"
    again = follow(link)
    assert next(again).new.number == 1
    models.put(b"3", 3)
    models.move(3)
    assert next(again).new.number == 3 and read(link)["config.json"] == b"3"
    with pytest.raises(Missing, match="not the link of a name"):
        rollback(tmp_path / "other", cache=cache)


def test_there_may_be_nothing_to_go_back_to(follow):
    following = follow()
    next(following)
    with pytest.raises(Missing, match="no version before"):
        following.rollback()


def test_versions_are_brought_ahead_of_the_move(follow, models, relay, cache):
    following = follow(ahead=True)
    next(following)
    moved = threading.Thread(target=lambda: (models.put(os.urandom(MB), 2), models.move(2)))
    moved.start()
    switch = next(following)
    moved.join()
    assert switch.new.number == 2
    assert [line for line in relay.requests if line.endswith("/versions/v2/plan")]


def test_a_server_that_goes_and_comes_back_is_listened_to_again(follow, models, relay, tmp_path, recwarn):
    link = tmp_path / "current"
    following = follow(link)
    next(following)
    relay.refuse = True
    relay.hang_up()
    models.put(b"2", 2)
    models.move(2)
    timer = threading.Timer(0.7, lambda: setattr(relay, "refuse", False))
    timer.start()
    assert next(following).new.number == 2
    timer.join()
    assert any("stays in its place" in str(warning.message) for warning in recwarn)


def test_a_quarantined_or_removed_alias_leaves_the_last_good_version(
    follow, models, remote, tmp_path, recwarn
):
    link = tmp_path / "current"
    told = queue.Queue()
    follow(link, on_ready=lambda old, new: told.put(new.number))
    assert told.get(timeout=20) == 1
    remote.delete_alias(models.full, "prod")
    wait_for(lambda: any("stays in its place" in str(warning.message) for warning in recwarn))
    assert read(link)["config.json"] == b"1"
    models.put(b"2", 2)
    models.move(2)
    assert told.get(timeout=20) == 2


def test_what_is_in_the_way_is_not_replaced(follow, tmp_path):
    (tmp_path / "there").mkdir()
    with pytest.raises(Conflict, match="no symbolic link"):
        follow(tmp_path / "there")


def test_a_name_is_followed_in_full(cache):
    with pytest.raises(Invalid, match="full name"):
        Following("demo/model@prod", url="http://127.0.0.1:9", cache=cache)


def test_readers_of_the_link_see_one_version_or_the_other(follow, models, tmp_path):
    link = tmp_path / "current"
    following = follow(link)
    next(following)
    seen, stop = set(), threading.Event()

    def reading():
        while not stop.is_set():
            handle = os.open(link, os.O_RDONLY | os.O_DIRECTORY)
            files = [os.open(name, os.O_RDONLY, dir_fd=handle) for name in ("w.bin", "config.json")]
            seen.add(tuple(os.read(file, 1) for file in files))
            for file in files:
                os.close(file)
            os.close(handle)

    reader = threading.Thread(target=reading)
    reader.start()
    for number in (2, 3, 4):
        models.put(b"%d" % number * MB, number)
        models.move(number)
        assert next(following).new.number == number
    stop.set()
    reader.join()
    assert len(seen) >= 2 and all(weights == config for weights, config in seen)


def test_a_follower_that_is_killed_amid_a_switch_goes_on(relay, models, cache, tmp_path):
    link = tmp_path / "current"
    script = (
        f"import sys; sys.path[:] = {sys.path!r}\n"
        "from runstone.client.following import Following\n"
        f"f = Following({models.prod!r}, {str(link)!r}, url={relay.url!r}, cache={str(cache)!r})\n"
        "for switch in f: print(switch.new.number, flush=True)"
    )
    command = [sys.executable, "-c", script]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "1\n"
        relay.rate = 3_000_000
        before = relay.body
        models.put(os.urandom(4 * MB), 2)
        models.move(2)
        wait_for(lambda: relay.body > before + 2 * MB)
        process.send_signal(signal.SIGKILL)
    assert read(link)["config.json"] == b"1"
    relay.rate = None
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "2\n"
        process.terminate()
    assert read(link)["config.json"] == b"2"
    assert relay.body - before <= 5 * MB


def test_a_pinned_version_survives_eviction_and_processes(relay, cache, models):
    options = {"url": relay.url, "cache": cache}
    context = multiprocessing.get_context("spawn")
    process = context.Process(
        target=runstone.pin, args=(models.prod,), kwargs={k: str(v) for k, v in options.items()}
    )
    process.start()
    process.join()
    (keep,) = runstone.pins(cache=cache)
    assert keep.name == models.prod and keep.versions[0].version == f"{models.full}:v1"
    assert make_room(Cache(cache, 0)) == 0
    assert fetch(models.prod, **options).bytes_fetched == 0
    fetch(models.prod, **options).release()
    assert runstone.unpin(models.prod, cache=cache) and not runstone.unpin(models.prod, cache=cache)
    assert make_room(Cache(cache, 0)) >= MB


def test_what_is_followed_survives_eviction_the_rest_does_not(follow, models, cache, tmp_path):
    following = follow(tmp_path / "current")
    next(following)
    for number in (2, 3):
        models.put(os.urandom(MB), number)
        models.move(number)
        next(following)
    following.close()
    assert make_room(Cache(cache, 0)) >= MB - 1
    assert read(tmp_path / "current")["config.json"] == b"3"
    assert len(read(Path(rollback(tmp_path / "current", cache=cache).path))["w.bin"]) == MB


@pytest.mark.parametrize("harm", ["cut", "flip", "empty"])
def test_a_damaged_record_keeps_nothing(relay, cache, models, harm):
    runstone.pin(models.prod, url=relay.url, cache=cache)
    (path,) = (cache / "v1" / "kept").iterdir()
    content = bytearray(path.read_bytes())
    content[40] ^= 1
    path.write_bytes({"cut": content[:-3], "flip": bytes(content), "empty": b""}[harm])
    assert Keeping(Cache(cache)).all() == []
    assert make_room(Cache(cache, 0)) >= MB


def test_who_may_not_any_more_is_told(relay, tmp_path, cache):
    from runstone.client.remote import Remote
    from runstone.testing.served import served

    with (
        served(tmp_path / "data", "--auth", "on") as server,
        Remote(server.url, key=server.first_key, cache=tmp_path / "put") as owner,
    ):
        owner.put("demo/m", write(tmp_path / "m", {"a": b"1"}), aliases=["prod"])
        made = owner.create_key("local", "brief")
        following = Following("local/demo/m@prod", url=server.url, key=made.key, cache=cache, retries=0)
        next(following)
        owner.revoke_key(made.info.id)
        owner.put("demo/m", write(tmp_path / "m2", {"a": b"2"}), aliases=["prod"])
        with pytest.raises(RunstoneError) as caught:
            next(following)
        assert isinstance(caught.value, Denied) or type(caught.value).__name__ == "Unauthenticated"
        following.close()
