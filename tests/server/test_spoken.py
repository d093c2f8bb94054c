"""Routes are loaded when they are asked for, and answer as if all of them were there."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from runstone import dialects
from runstone.dialects.routing import Dialect, Route
from runstone.server.router import Router, segments_of
from runstone.server.spoken import Spoken

SHIPPED = dialects.shipped()
ROUTES = [
    pytest.param(dialect, route, id=f"{route.method} {route.path}")
    for dialect in SHIPPED
    for route in dialect.routes()
]
#: What loads when a server starts and answers the path, of dialects and the domain: nothing else may.
START = {
    "dialects",
    "dialects.hub",
    "dialects.hub.problem",
    "dialects.mlflow",
    "dialects.mlflow.problem",
    "dialects.native",
    "dialects.native.problem",
    "dialects.native.wire",
    "dialects.oci",
    "dialects.oci.problem",
    "dialects.routing",
    "dialects.wandb",
    "dialects.wandb.problem",
    "domain",
    "domain.accounts",
    "domain.context",
    "domain.keys",
    "domain.limits",
    "domain.names",
    "domain.policy",
    "domain.store",
}
SCRIPT = """
import asyncio, socket, sys
from contextlib import closing
from runstone.config import ServerOptions
from runstone.server import upkeep, worker

async def ask(port):
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(f"GET {path} HTTP/1.1\\r\\nHost: localhost\\r\\nAccept: text/html, */*\\r\\nConnection: close\\r\\n\\r\\n".encode())
    answer = await reader.read()
    assert answer.startswith(b"HTTP/1.1 200 "), answer

async def main():
    upkeep.TICK = 3600  # what is done later is not looked at
    options = ServerOptions(data=data, port=0, log_format="off", upkeep_seconds=86400)
    with closing(worker.open_store(options)) as store, socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        server = worker.Worker(store, options, bound)
        await server.start()
        await ask(bound.getsockname()[1])
        print(*sys.modules)
        await server.stop()

data, path = sys.argv[1:]
asyncio.run(main())
"""


def loaded(data: Path, path: str) -> set[str]:
    """The modules of a server that was asked for one path."""
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(data), path], capture_output=True, text=True, check=True
    )
    return set(done.stdout.split())


def layer(modules: set[str], *names: str) -> set[str]:
    return {
        module.removeprefix("runstone.")
        for module in modules
        if module.split(".")[0] == "runstone" and module.split(".")[1:2] in [[name] for name in names]
    }


@pytest.mark.parametrize(
    ("path", "more"),
    [("/health", set()), ("/", set()), ("/version", {"dialects.mlflow.service", "dialects.mlflow.wire"})],
)
def test_what_a_first_answer_loads(tmp_path: Path, path: str, more: set[str]) -> None:
    modules = loaded(tmp_path / "data", path)
    assert layer(modules, "dialects", "domain") == START | more
    assert not modules & {"numpy", "duckdb", "graphql", "cedarpy", "cryptography"}


@pytest.mark.parametrize(
    ("path", "needed"),
    [
        ("/api/2.0/mlflow/registered-models/search", "dialects.mlflow.models"),
        ("/api/2.0/mlflow/experiments/search?max_results=1", "dialects.mlflow.logging"),
    ],
)
def test_tracking_and_models_load_nothing_of_traces_or_other_dialects(
    tmp_path: Path, path: str, needed: str
) -> None:
    modules = layer(loaded(tmp_path / "data", path), "dialects", "domain")
    assert needed in modules
    assert not {name for name in modules if name.startswith("domain.traces")}
    assert not modules & {
        "dialects.mlflow.genai.traces",
        "dialects.mlflow.genai.infos",
        "dialects.mlflow.hooks",
    }
    others = {name for name in modules if name.startswith("dialects.") and ".mlflow." not in name}
    assert others <= START


@pytest.fixture(scope="module")
def whole() -> Router:
    router = Router()
    for dialect in SHIPPED:
        router.add(dialect, dialect.routes())
    return router


def asked(route: Route) -> Iterator[list[str]]:
    for value in ("x", "runs", "version"):
        parts = [value if part.startswith("{") else part for part in segments_of(route.path)]
        yield parts


@pytest.mark.parametrize(("dialect", "route"), ROUTES)
def test_a_path_means_the_same_before_the_rest_is_loaded(
    whole: Router, dialect: Dialect, route: Route, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dialects, "brought", lambda: pytest.fail("nobody shipped claims the path"))
    for segments in asked(route):
        spoken, expected = Spoken(()), whole.find(segments)
        found = spoken.find(segments)
        assert found is not None and expected is not None
        assert found.names == expected.names
        assert {method: each.route for method, each in found.endpoints.items()} == {
            method: each.route for method, each in expected.endpoints.items()
        }
        assert {each.dialect.name for each in found.endpoints.values()} == {dialect.name}
