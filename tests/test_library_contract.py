"""The embedded library and its remote twin keep the same promises."""

import pytest

import runstone
from runstone.client.remote import Remote
from runstone.library import Library
from runstone.testing.served import served
from runstone.testing.store_contract import StoreContract, same_methods
from runstone.testing.tracking_contract import TrackingContract


class TestEmbedded(StoreContract, TrackingContract):
    @pytest.fixture
    def store(self, tmp_path):
        with runstone.open(tmp_path / "data") as opened:
            yield opened


class TestRemote(StoreContract, TrackingContract):
    @pytest.fixture
    def store(self, tmp_path, monkeypatch):
        monkeypatch.setenv("RUNSTONE_CACHE", str(tmp_path / "cache"))
        with served(tmp_path / "data") as server, runstone.connect(server.url) as remote:
            yield remote


def test_the_twins_have_the_same_methods():
    # Backups and bundles are written where the data directory is; more ways to fetch are the client's.
    assert same_methods(Library, Remote) == ["backup", "export_project", "import_project"]
    assert same_methods(Remote, Library) == ["fetch"]
