"""A dialect that another package brings is found by its entry point, and speaks in its own way."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parents[1] / "server"))

from calling import Process

MODULE = """
from runstone.dialects.routing import Raw, Route
from runstone.domain import versions

def parrot(call):
    return Raw(call.path["word"].encode() * 2, "text/plain")

def size(call):
    return versions.resolve(call.store, call.ctx, call.path["name"]).size

class Parrot:
    name = "parrot"
    prefixes = ("/parrot",)
    def routes(self):
        yield Route("GET", "/parrot/{word}", parrot, "Says it twice.", media_type="text/plain")
        yield Route("GET", "/parrot/sizes/{name...}", size, "How large.", answer=int)
    def problem(self, error, request_id):
        return Raw(f"squawk: {error.code}".encode(), "text/plain", error.status)
"""


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Process]:
    site = tmp_path / "site"
    described = site / "parrot-1.0.dist-info"
    described.mkdir(parents=True)
    (site / "parrot_dialect.py").write_text(MODULE)
    (described / "METADATA").write_text("Metadata-Version: 2.1\nName: parrot\nVersion: 1.0\n")
    (described / "entry_points.txt").write_text("[runstone.dialects]\nparrot = parrot_dialect:Parrot\n")
    path = os.pathsep.join([str(site), *filter(None, [os.environ.get("PYTHONPATH")])])
    with Process(tmp_path / "data", PYTHONPATH=path) as started:
        yield started


def test_it_is_found_when_it_is_first_spoken(server: Process):
    caller = server.caller()
    assert caller.get("/health").status == 200
    assert caller.get("/parrot/hello").content == b"hellohello"
    caller.put_version("local/p/m", {"a": b"12345"})
    assert caller.get("/parrot/sizes/local/p/m@1").json == 5


def test_its_errors_have_its_own_shape(server: Process):
    caller = server.caller()
    for path, answer in (
        ("/parrot/sizes/local/p/none@1", (404, b"squawk: missing")),
        ("/parrot/a/b/c", (404, b"squawk: unknown_path")),
    ):
        found = caller.get(path)
        assert (found.status, found.content) == answer
    assert caller.delete("/parrot/hello").content == b"squawk: method_not_allowed"
    assert caller.get("/elsewhere").code == "unknown_path"
