from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from runstone.config import ServerOptions
from runstone.server.background import Background

sys.path.append(str(Path(__file__).parents[2] / "server"))

from calling import Caller

#: Which routes were answered with success in the tests of this folder.
USED: set[tuple[str, str]] = set()


@pytest.fixture(scope="module")
def native(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Background]:
    """One server for a module: its tests use names of their own."""
    data = tmp_path_factory.mktemp("native") / "data"
    with Background(ServerOptions(data=str(data), port=0, log_format="off", auth="on")) as server:
        yield server


@pytest.fixture(autouse=True)
def remember_routes(native: Background, monkeypatch: pytest.MonkeyPatch):
    """Notes which routes were answered with success."""
    app = native.connections.app
    finished = app.finished

    def noting(request: Any, response: Any) -> None:
        if request.endpoint is not None and response.status < 400:
            USED.add((request.method, request.endpoint.route.path))
        finished(request, response)

    monkeypatch.setattr(app, "finished", noting)


@pytest.fixture(scope="module")
def root(native: Background) -> Caller:
    """The owner of the store."""
    from runstone.domain import keys
    from runstone.domain.context import Context

    return Caller(native.url, keys.create(native.store, Context(), "local", "test").key)


@pytest.fixture(scope="module")
def people(root: Caller) -> dict[str, Caller]:
    """ann owns the team ``lab``, max is a member of it, ria a reader, eve a stranger."""
    found = {"root": root}
    for name in ("ann", "max", "ria", "eve"):
        root.post("/api/v1/users", {"name": name, "email": f"{name}@lab.example"}).expect(201)
        found[name] = root.with_key(
            root.post(f"/api/v1/users/{name}/keys", {"name": "test"}).expect(201)["key"]
        )
    found["ann"].post("/api/v1/namespaces", {"name": "lab", "description": "ours"}).expect(201)
    found["ann"].put("/api/v1/namespaces/lab/members/max", {"role": "member"}).expect(200)
    found["ann"].put("/api/v1/namespaces/lab/members/ria", {"role": "reader"}).expect(200)
    return found


@pytest.fixture(scope="session")
def used() -> set[tuple[str, str]]:
    """Which routes were answered with success so far."""
    return USED
