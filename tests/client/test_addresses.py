"""A store with several addresses: the first that can be connected to is asked, for reads and writes."""

import contextlib
import socket

import pytest
from relay import Relay

import runstone
from runstone.client.remote import Remote
from runstone.errors import Denied, Missing, Unauthenticated, Unreachable

CONTENT = b"x" * (5 << 20)


@pytest.fixture
def dead():
    """An address at which nobody listens."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{taken.getsockname()[1]}"


@pytest.fixture
def doors(server):
    """Two addresses of one server that can be closed, one at a time."""
    found = [Relay(server.url), Relay(server.url)]
    yield found
    for door in found:
        with contextlib.suppress(OSError):  # closed by the test
            door.close()


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "m").mkdir()
    (tmp_path / "m" / "weights").write_bytes(CONTENT)
    return tmp_path / "m"


def test_the_first_that_answers_is_asked(dead, server, folder, tmp_path):
    for given in ([dead, server.url], f"{dead}, {server.url}", (server.url, dead)):
        with runstone.connect(given) as store:
            version = store.put("addresses/first", folder)
            assert store.resolve(version.name).version == version.number
            assert store.url == server.url
            store.get(version.name, tmp_path / "out")
    assert (tmp_path / "out" / "weights").read_bytes() == CONTENT


def test_the_environment_may_name_several(dead, server, monkeypatch):
    monkeypatch.setenv("RUNSTONE_URL", f"{dead},{server.url}")
    with Remote() as store:
        assert store.whoami() and store.url == server.url


def test_an_address_that_goes_is_left_for_the_next(doors, folder):
    first, second = doors
    with runstone.connect([first.url, second.url]) as store:
        assert store.put("addresses/moving", folder).number == 1
        assert store.url == first.url
        first.close()
        (folder / "weights").write_bytes(CONTENT + b"2")
        assert store.put("addresses/moving", folder).number == 2
        assert store.url == second.url
        assert [version.number for version in store.versions("addresses/moving")] == [2, 1]


def test_what_one_address_refuses_is_not_asked_of_the_next(doors):
    with runstone.connect([door.url for door in doors]) as store:
        with pytest.raises((Missing, Denied, Unauthenticated)):
            store.resolve("addresses/none@prod")
        assert store.url == doors[0].url


def test_all_are_gone(dead):
    store = Remote([dead, dead.replace("127.0.0.1", "localhost")], retries=0)
    with store, pytest.raises(Unreachable, match="cannot connect to"):
        store.whoami()
