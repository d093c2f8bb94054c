"""A process that logs points and says of which batches it was told that they are stored.

    python -m reliability.ingest DATA FIRST SEED

logs batch after batch from number FIRST on, and compacts now and then. What a batch holds follows from its number.
"""

from __future__ import annotations

import math
import random
import sys
from collections.abc import Collection
from pathlib import Path
from typing import Any

import msgspec

import runstone
from runstone._native.points import encode_rows
from runstone.domain.runs import series
from runstone.library import Library

RUNS = 3
PROJECT = "ingest"
_pack = msgspec.msgpack.Encoder().encode
Row = tuple[int, int, dict[str, Any]]


def run_of(number: int) -> str:
    """The run of a batch."""
    return f"{PROJECT}/run-{number % RUNS}"


def batch(number: int) -> list[Row]:
    """The rows of a batch: at steps that no other batch has, and not always rising."""
    chance = random.Random(number)
    steps = [number * 50 + place for place in range(chance.randint(1, 40))]
    chance.shuffle(steps)
    special = [math.nan, math.inf, -0.0, 5e-324]
    return [
        (
            step,
            chance.randrange(1 << 40),
            {"loss": chance.choice([*special, chance.random()]), "n": step}
            | ({"o": {"_type": "t", "v": [step]}} if step % 7 == 0 else {}),
        )
        for step in steps
    ]


def set_up(library: Library) -> None:
    """Makes the runs."""
    for number in range(RUNS):
        library.create_run(run_of(number), resume="allow")


def compare(library: Library, stored: Collection[int], tried: int | None) -> int:
    """Holds every point of the runs against the batches that are owed, and the one that was under way; how many points it compared."""
    found: dict[int, dict[str, tuple[int, bytes]]] = {}
    for number in range(RUNS):
        for key in ("loss", "n", "o"):
            if key not in library.run_keys(PROJECT):
                continue
            page = library.series(run_of(number), key, limit=1_000_000)
            for step, time, value in zip(page.steps, page.times, page.values, strict=True):
                assert step // 50 % RUNS == number, f"a point of step {step} is in the wrong run"
                assert key not in found.setdefault(step, {}), f"{key} at step {step} is there twice"
                found[step][key] = (time, _pack(value))
    if tried is not None and any(step // 50 == tried for step in found):
        stored = [*stored, tried]  # what was not acknowledged is there whole, or not at all
    compared = 0
    for number in stored:
        for step, time, values in batch(number):
            assert found.pop(step) == {key: (time, _pack(value)) for key, value in values.items()}, step
            compared += len(values)
    assert not found, f"points that nobody logged: {sorted(found)[:5]}"
    return compared


def main() -> None:
    """Logs until it is killed."""
    data, first, seed = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    chance = random.Random(seed)
    with runstone.open(data) as library:
        print("READY", flush=True)
        number = first
        while True:
            print(f"TRY {number}", flush=True)
            if number % 2:
                library.log_rows(run_of(number), batch(number))
            else:
                library.log_batch(run_of(number), encode_rows(batch(number)))
            print(f"ACK {number}", flush=True)
            number += 1
            if chance.random() < 0.2:
                series.compact(library.store, everything=True, steps=chance.randint(1, 3))


if __name__ == "__main__":
    main()
