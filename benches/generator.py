"""Projects as people have them: runs of about fifty fields, made from a seed, cheap to make by the hundred thousand.

Parameters come from grids, seeds and steps are ints, metrics are floats that hardly repeat, some fields exist in few runs, a name is every run's
own. A run's values depend on its number and its revision only.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

BLOCK = 8192
METRICS = [
    f"summary.{name}"
    for name in ("loss", "accuracy", "f1", "grad_norm", "perplexity", "throughput", "memory", "lr")
]
SUFFIXES = ("", ":min", ":max", ":best")
GRID = {
    "config.optimizer.lr": [3e-5, 1e-4, 3e-4, 1e-3, 3e-3, 0.01],
    "config.batch_size": [16, 32, 64, 128, 256],
    "config.optimizer.name": ["adam", "adamw", "sgd", "lion", "adafactor"],
    "config.model": [f"llama-{size}" for size in ("1b", "3b", "8b", "13b", "70b")],
    "config.dropout": [0.0, 0.05, 0.1, 0.2],
    "config.layers": [6, 12, 24, 32],
    "config.dataset": ["c4", "pile", "fineweb", "dclm"],
    "config.bf16": [True, False],
}
#: The chance that a run has the field.
RARE = {
    "tags.baseline": 0.02,
    "tags.sweep": 0.3,
    "tags.best": 0.001,
    "notes": 0.05,
    "config.lora.rank": 0.1,
    "summary.bleu": 0.1,
}


class Runs:
    """A source of runs (see :class:`runstone.storage.columns.table.Source`): each of ``count`` at revision 0, some changed since."""

    def __init__(self, count: int, seed: int = 7) -> None:
        self.count, self.seed = count, seed
        self.changed: dict[int, int] = {}
        self._block: tuple[int, list[dict[str, Any]]] = (-1, [])

    def change(self, ids: Sequence[int]) -> None:
        """Gives runs their next revision."""
        for row_id in ids:
            self.changed.pop(row_id, None)
            self.changed[row_id] = self.count + len(self.log)
            self.log.append(row_id)

    @property
    def log(self) -> list[int]:
        """Changes behind the first revision, in order."""
        if not hasattr(self, "_log"):
            self._log: list[int] = []
        return self._log

    def changes(self, after: int, limit: int) -> list[tuple[int, int]]:
        if after < self.count - 1:
            first = after + 1
            # A run that was changed since comes later.
            return [(n, n) for n in range(first, min(first + limit, self.count)) if n not in self.changed]
        latest = ((seq, row_id) for row_id, seq in self.changed.items() if seq > after)
        return sorted(latest)[:limit]

    def rows(self, ids: Sequence[int]) -> list[dict[str, Any] | None]:
        return [self.row(row_id) for row_id in ids]

    def row(self, row_id: int) -> dict[str, Any]:
        revision = self.changed.get(row_id, 0)
        if revision:
            return make(self.seed + revision, row_id, 1)[0]
        block = row_id // BLOCK
        if self._block[0] != block:
            self._block = (block, make(self.seed, block * BLOCK, BLOCK))
        return self._block[1][row_id % BLOCK]


def make(seed: int, first: int, count: int) -> list[dict[str, Any]]:
    """Runs ``first`` to ``first + count``."""
    noise = np.random.default_rng([seed, first])
    columns: dict[str, list[Any]] = {
        "name": [
            f"{'sweep' if n % 3 else 'debug'}-{n:07d}-{word}"
            for n, word in zip(range(first, first + count), _words(noise, count), strict=True)
        ],
        "state": _pick(noise, ["finished", "failed", "running", "crashed"], count),
        "user": _pick(noise, [f"user{n}" for n in range(40)], count),
        "created": (1.7e15 + np.arange(first, first + count) * 1e7 + noise.integers(0, 1e6, count))
        .astype(np.int64)
        .tolist(),
        "runtime": np.round(noise.exponential(3600, count), 3).tolist(),
        "config.seed": noise.integers(0, 1000, count).tolist(),
        "summary._step": noise.integers(100, 100_000, count).tolist(),
    }
    for field, grid in GRID.items():
        columns[field] = _pick(noise, grid, count)
    for field in METRICS:
        value = noise.gamma(2.0, 0.3, count)
        for suffix in SUFFIXES[: 4 if field in METRICS[:6] else 1]:
            columns[field + suffix] = (value * noise.uniform(0.9, 1.1, count)).tolist()
    rows = [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]
    for field, chance in RARE.items():
        for at in np.flatnonzero(noise.random(count) < chance).tolist():
            rows[at][field] = (
                "" if field.startswith("tags.") else 8 if field.startswith("config") else float(at) / count
            )
    return rows


def _pick(noise: np.random.Generator, grid: list[Any], count: int) -> list[Any]:
    return [grid[n] for n in noise.integers(0, len(grid), count).tolist()]


def _words(noise: np.random.Generator, count: int) -> list[str]:
    parts = ["amber", "brisk", "cedar", "dawn", "ember", "frost", "grove", "haze"]
    return [
        f"{one}-{two}"
        for one, two in zip(_pick(noise, parts, count), _pick(noise, parts, count), strict=True)
    ]
