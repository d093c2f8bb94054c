"""A server with a version in it, a relay in front of it, and a cache."""

import os
import random

import pytest
from relay import Relay
from waiting import BIG

from runstone.client.fetch import fetch
from runstone.client.remote import Remote
from runstone.testing.served import served
from runstone.testing.store_contract import read, write


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with served(tmp_path_factory.mktemp("server") / "data") as running:
        yield running


@pytest.fixture(scope="module")
def remote(server, tmp_path_factory):
    with Remote(server.url, cache=tmp_path_factory.mktemp("remote")) as opened:
        yield opened


@pytest.fixture(scope="module")
def model(remote, tmp_path_factory):
    """The folder of ``local/demo/model@prod``: one large file and some small ones."""
    noise = random.Random(1)
    files = {
        "model.bin": noise.randbytes(BIG),
        "config.json": b"{}",
        "deep/er/vocab größer.txt": b"a\nb\n" * 1000,
        "empty": b"",
        "zeros": bytes(1 << 20),
    }
    folder = write(tmp_path_factory.mktemp("model") / "m", files)
    remote.put("demo/model", folder, aliases=["prod"])
    return folder


@pytest.fixture
def relay(server):
    passing = Relay(server.url)
    yield passing
    passing.close()


@pytest.fixture
def cache(tmp_path):
    return tmp_path / "cache"


@pytest.fixture
def bring(relay, cache, model):
    """Fetches through the relay into the cache of the test."""

    def brought(name="local/demo/model@prod", target=None, **options):
        options = {"url": relay.url, "cache": cache, "timeout": 5.0} | options
        return fetch(name, target, **options)

    yield brought


@pytest.fixture
def whole(model):
    """Whether a folder holds the version, byte for byte."""
    expected = read(model)
    return lambda folder: read(folder) == expected


@pytest.fixture(autouse=True)
def _no_settings(monkeypatch):
    for name in list(os.environ):
        if name.startswith("RUNSTONE_"):
            monkeypatch.delenv(name)
