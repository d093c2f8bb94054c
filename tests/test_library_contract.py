"""The embedded library and its remote twin keep the same promises."""

import os
import re
import subprocess
import sys

import pytest

import runstone
from runstone.client.remote import Remote
from runstone.library import Library
from runstone.testing.store_contract import StoreContract, same_methods


class TestEmbedded(StoreContract):
    @pytest.fixture
    def store(self, tmp_path):
        with runstone.open(tmp_path / "data") as opened:
            yield opened


class TestRemote(StoreContract):
    @pytest.fixture
    def store(self, tmp_path):
        command = [sys.executable, "-m", "runstone.server", "--data", tmp_path / "data", "--port", "0"]
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
        server = subprocess.Popen(
            [*command, "--log-format", "off"], stdout=subprocess.PIPE, text=True, env=environment
        )
        with server:
            url = re.search(r"http://\S+", server.stdout.readline())[0]
            with runstone.connect(url) as remote:
                remote._cache_directory = tmp_path / "cache"
                yield remote
            server.kill()


def test_the_twins_have_the_same_methods():
    # A backup is written where the data directory is; more ways to fetch are the client's.
    assert same_methods(Library, Remote) == ["backup"]
    assert same_methods(Remote, Library) == ["fetch"]
