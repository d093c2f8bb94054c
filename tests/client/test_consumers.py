"""Who fetched what, as the lineage has it: a fetch is one fetch, whatever it asks for."""

import pytest
from waiting import BIG

from runstone.client.fetch import fetch
from runstone.client.remote import Remote
from runstone.config import ServerOptions
from runstone.server.background import Background
from runstone.testing.store_contract import write

WHO = "trainer größer 7%"


@pytest.fixture
def near(tmp_path):
    """A server in this process that writes fetches to the lineage only when it is told to."""
    options = ServerOptions(data=str(tmp_path / "data"), port=0, log_format="off", upkeep_seconds=86_400)
    with Background(options) as server, Remote(server.url, cache=tmp_path / "other") as remote:
        noise = bytes(range(256)) * (BIG // 512)
        remote.put("demo/model", write(tmp_path / "m", {"model.bin": noise, "config.json": b"{}"}))
        yield server


def counted(server):
    """How often the lineage says that each consumer fetched the version, once what was noted is written."""
    server.worker.core.fetches.flush()
    with Remote(server.url) as remote:
        graph = remote.lineage("demo/model@v1", direction="downstream")
    names = {node.id: node.name for node in graph.nodes}
    return {names[edge.target]: edge.count for edge in graph.edges if edge.relation == "fetched_by"}


def test_a_fetch_is_noted_once_with_the_name_that_the_client_gives(near, cache):
    """Also when what was noted is written while the fetch goes on."""
    fetch(
        "local/demo/model",
        url=near.url,
        cache=cache,
        consumer=WHO,
        progress=lambda done, total: near.worker.core.fetches.flush(),
    )
    assert counted(near) == {f"local/{WHO}": 1}


def test_a_fetch_that_asks_for_no_file_is_a_fetch(near, cache):
    fetch("local/demo/model", url=near.url, cache=cache)
    assert counted(near) == {}
    for times in (1, 2):
        assert fetch("local/demo/model", url=near.url, cache=cache, consumer=WHO).bytes_fetched == 0
        assert counted(near) == {f"local/{WHO}": times}


def test_a_file_that_is_mapped_was_fetched(near, cache):
    with Remote(near.url, cache=cache, consumer="mapper") as remote:
        for times in (1, 2):
            with remote.open_file("demo/model", "config.json") as file:
                assert bytes(file.map()) == b"{}"
            assert counted(near) == {"local/mapper": times}


def test_nobody_is_noted_who_only_looks(near, cache):
    with Remote(near.url, cache=cache, consumer="looker") as remote:
        remote.resolve("demo/model")
        remote.version("demo/model")
        remote.files("demo/model")
    assert counted(near) == {}
