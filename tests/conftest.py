"""What several tests need: an open store, contexts of different principals, and folders to put."""

import random
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

import runstone
from runstone.domain import accounts, keys
from runstone.domain.context import Context
from runstone.library import Library

# How fast an example is says nothing on a machine that does other things.
settings.register_profile("runstone", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("runstone")


def pytest_xdist_make_scheduler(config, log):
    """Tests of one folder run in one process, after each other: they share servers, and some look at what the others did."""
    from xdist.scheduler import LoadScopeScheduling

    class Folders(LoadScopeScheduling):
        def _split_scope(self, nodeid):
            return nodeid.partition("::")[0].rpartition("/")[0]

    return Folders(config, log)


@pytest.fixture
def library(tmp_path):
    with runstone.open(tmp_path / "data") as opened:
        yield opened


@dataclass
class People:
    """A library seen by several users: an owner and a member and a reader of team ``lab``, and a stranger."""

    root: Library
    ann: Library
    max: Library
    ria: Library
    eve: Library
    nobody: Library


def seen_by(library: Library, name: str) -> Library:
    with library.store.index.read() as view:
        user = accounts.find_user(view, name)
    return Library(library.store, Context(principal=keys.principal_of(user)))


@pytest.fixture
def people(library):
    from runstone.domain.context import Principal

    for name in ("ann", "max", "ria", "eve"):
        library.create_user(name)
    ann = seen_by(library, "ann")
    ann.create_namespace("lab")
    ann.set_member("lab", "max", "member")
    ann.set_member("lab", "ria", "reader")
    return People(
        library,
        ann,
        seen_by(library, "max"),
        seen_by(library, "ria"),
        seen_by(library, "eve"),
        Library(library.store, Context(principal=Principal("anonymous"))),
    )


def make_folder(path: Path, files: dict[str, bytes]) -> Path:
    for name, content in files.items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_bytes(content)
    return path


@pytest.fixture
def folder(tmp_path):
    """A folder of a small model: one large random file and some small ones."""
    noise = random.Random(7)
    return make_folder(
        tmp_path / "model",
        {
            "model.safetensors": noise.randbytes(3_000_000),
            "config.json": b'{"layers": 2}',
            "tokenizer/vocab.txt": b"a\nb\n",
            "empty": b"",
        },
    )
