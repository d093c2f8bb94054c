from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from calling import Caller, Process

from runstone.config import ServerOptions
from runstone.server.background import Background


@pytest.fixture
def background(tmp_path: Path) -> Iterator[Callable[..., Background]]:
    """Starts servers in this process, each with options of its own, on one store."""
    with ExitStack() as stack:
        started: list[Background] = []

        def start(**given: Any) -> Background:
            options = {
                "data": str(tmp_path / "data"),
                "port": 0,
                "log_format": "off",
                "shutdown_seconds": 5,
                **given,
            }
            store = started[0].store if started else None
            started.append(stack.enter_context(Background(ServerOptions(**options), store)))
            return started[-1]

        yield start


@pytest.fixture
def server(background: Callable[..., Background]) -> Background:
    return background()


@pytest.fixture
def caller(server: Background) -> Caller:
    return Caller(server.url)


@pytest.fixture
def process(tmp_path: Path) -> Iterator[Callable[..., Process]]:
    """Starts servers as processes."""
    with ExitStack() as stack:

        def start(*arguments: str, **given: Any) -> Process:
            return stack.enter_context(Process(tmp_path / "data", *arguments, **given))

        yield start
