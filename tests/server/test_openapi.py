"""The published description against the live server: every answer is one that it describes, and none is a failure.

RUNSTONE_SCHEMA_EXAMPLES is the number of requests tried for each operation.
"""

from __future__ import annotations

import os
import random
from collections.abc import Iterator
from typing import Any

import pytest
import schemathesis
from calling import Caller
from hypothesis import HealthCheck, given, settings
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from runstone import dialects
from runstone.config import ServerOptions
from runstone.dialects.routing import Dialect, Route
from runstone.server.background import Background
from runstone.server.openapi import DESCRIBED

EXAMPLES = int(os.environ.get("RUNSTONE_SCHEMA_EXAMPLES", "12"))
CHECKS = [not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance]
#: What the parts of a path may be, for requests to reach something that exists.
KNOWN = {
    "ns": ["local", "team"],
    "project": ["p"],
    "collection": ["m", "empty"],
    "version": ["1", "v2", "prod", "latest"],
    "alias": ["prod", "a/b"],
    "path": ["a.bin", "folder/b.txt", "elsewhere"],
    "user": ["local", "ann"],
    "field": ["a.b"],
    "tile": ["0/000.p/1", "0/000.p/5"],
}


def map_path_parameters(context: Any, path_parameters: dict[str, Any] | None) -> dict[str, Any] | None:
    """Turns most of the generated names into ones that exist."""
    for name in path_parameters or ():
        choose = random.Random(repr(path_parameters))
        if name in KNOWN and choose.random() < 0.7:
            path_parameters[name] = choose.choice(KNOWN[name])
    return path_parameters


@pytest.fixture(scope="module")
def described(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    folder = tmp_path_factory.mktemp("described")
    options = ServerOptions(data=str(folder / "data"), port=0, log_format="off")
    with Background(options) as server:
        fill(Caller(server.url))
        loaded = schemathesis.openapi.from_url(f"{server.url}/api/v1/openapi.json")
        loaded.hook(map_path_parameters)
        yield loaded


def fill(caller: Caller) -> None:
    caller.post("/api/v1/users", {"name": "ann"}).expect(201)
    caller.post("/api/v1/namespaces", {"name": "team"}).expect(201)
    for namespace in KNOWN["ns"]:
        caller.put_version(
            f"{namespace}/p/m", {"a.bin": b"1" * 300_000, "folder/b.txt": b""}, metadata={"a": {"b": 1}}
        )
        caller.put_version(f"{namespace}/p/m", {"a.bin": b"2"}, aliases=["prod", "a/b"])
        caller.post(f"/api/v1/projects/{namespace}/p/collections", {"name": "empty"}).expect(201)


def described_dialects() -> list[Dialect]:
    """Those of our own protocol; other clients' protocols have descriptions of their own."""
    return [dialect for dialect in dialects.shipped() if dialect.name in DESCRIBED]


def operations() -> Iterator[Any]:
    """Every operation with valid input, and those that take any with invalid input."""
    own = [Route("GET", path, print, "") for path in ("/health", "/metrics", "/api/v1/openapi.json")]
    for route in (*own, *(route for dialect in described_dialects() for route in dialect.routes())):
        path = route.path.replace("...}", "}")
        yield pytest.param(route.method, path, GenerationMode.POSITIVE, id=f"{route.method} {path} valid")
        if "{" in path or route.query or route.body:
            yield pytest.param(
                route.method, path, GenerationMode.NEGATIVE, id=f"{route.method} {path} invalid"
            )


@pytest.mark.parametrize(("method", "path", "mode"), list(operations()))
def test_every_answer_is_as_described(described: Any, method: str, path: str, mode: GenerationMode) -> None:
    operation = described[path][method]
    answered = 0

    @settings(
        # A stream of events is waited for until nobody reads it any more.
        max_examples=2 if "/events/" in path else EXAMPLES,
        deadline=None,
        suppress_health_check=list(HealthCheck),
        derandomize=True,
        database=None,
    )
    @given(case=operation.as_strategy(generation_mode=mode))
    def answers(case: schemathesis.Case) -> None:
        nonlocal answered
        case.call_and_validate(checks=CHECKS)
        answered += 1

    answers()
    assert answered
