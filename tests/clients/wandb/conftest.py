from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from runstone.config import ServerOptions
from runstone.server.background import Background

sys.path.append(str(Path(__file__).parent))

from sdk import ANY_KEY, OLDER, OLDER_SDK, Sdk

#: What it needs and the newest does not.
BESIDE = ("sentry-sdk", "gitpython", "gitdb", "smmap")


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Background]:
    """One server for a module: its tests use projects of their own."""
    data = tmp_path_factory.mktemp("wandb") / "data"
    with Background(ServerOptions(data=str(data), port=0, log_format="off")) as server:
        yield server


@pytest.fixture(scope="session")
def older_packages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with an older version of the SDK; the test is skipped when it cannot be installed."""
    folder = tmp_path_factory.mktemp("older")
    into = ["--quiet", "--no-deps", "--target", str(folder)]
    command = [sys.executable, "-m", "pip", "install", *into, *BESIDE, f"wandb=={OLDER}"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    if done.returncode != 0:
        pytest.skip(f"wandb {OLDER} cannot be installed: {done.stderr[-300:]}")
    return folder


@pytest.fixture
def older(served: Background, older_packages: Path, tmp_path: Path) -> Sdk:
    return Sdk(served.url, ANY_KEY, tmp_path / "older", older_packages)


@pytest.fixture
def sdk(served: Background, tmp_path: Path, request: pytest.FixtureRequest) -> Sdk:
    """The installed SDK; with RUNSTONE_WANDB_SDK=0.28.0 that one, for everything that tests do with it."""
    packages = request.getfixturevalue("older_packages") if OLDER_SDK else None
    return Sdk(served.url, ANY_KEY, tmp_path / "sdk", packages)
