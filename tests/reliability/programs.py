"""How the programs of these tests are started, and what they printed."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import runstone

from .workload import Lane

#: ``tests`` and the package, so that a program finds both from anywhere.
SEARCH_PATH = [str(Path(__file__).parents[1]), str(Path(runstone.__file__).parents[1])]


def environment(base: dict[str, str] | None = None) -> dict[str, str]:
    """The environment of a program."""
    given = dict(os.environ if base is None else base)
    return {
        **given,
        "PYTHONPATH": os.pathsep.join([*SEARCH_PATH, given.get("PYTHONPATH", "")]).rstrip(os.pathsep),
    }


def writer(data: Path, ledger: Path, scratch: Path, lanes: list[Lane], seed: int) -> list[str]:
    """The command line of a writer that goes on where the ledger ends."""
    ledger.write_text(json.dumps([lane.as_json() for lane in lanes]))
    return [sys.executable, "-m", "reliability.writer", str(data), str(ledger), str(scratch), str(seed)]


def events(lines: Sequence[str]) -> Iterator[tuple[str, Any]]:
    """What a writer printed: operations tried and acknowledged. One that failed by itself is a failure of the test."""
    for line in lines:
        kind, _, body = line.partition(" ")
        assert kind in ("READY", "TRY", "ACK"), (
            f"the writer failed:\n{json.loads(body) if kind == 'FAILED' else line}"
        )
        if kind != "READY":
            yield kind, json.loads(body)


def count(name: str, default: int) -> int:
    """The size of a test, from the environment."""
    return int(os.environ.get(name) or default)
