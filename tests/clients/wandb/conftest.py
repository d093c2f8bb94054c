from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from runstone.config import ServerOptions
from runstone.server.background import Background

sys.path.append(str(Path(__file__).parent))

from sdk import ANY_KEY, Sdk


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Background]:
    """One server for a module: its tests use projects of their own."""
    data = tmp_path_factory.mktemp("wandb") / "data"
    with Background(ServerOptions(data=str(data), port=0, log_format="off")) as server:
        yield server


@pytest.fixture
def sdk(served: Background, tmp_path: Path) -> Sdk:
    return Sdk(served.url, ANY_KEY, tmp_path / "sdk")
