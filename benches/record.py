"""How a bench says what it measured: one line, with the machine and the size of the data."""

import os
import platform
from pathlib import Path


def machine() -> str:
    """The processor and how many of its cores there are."""
    model = platform.machine()
    try:
        with Path("/proc/cpuinfo").open() as file:
            model = next(
                (line.partition(":")[2].strip() for line in file if line.startswith("model name")), model
            )
    except OSError:
        pass
    return f"{model}, {os.cpu_count()} cores"


def record(bench: str, *, size: str, **figures: object) -> None:
    """Prints a bench's figures; pytest shows them with ``-s`` or ``-rP``."""
    shown = "  ".join(f"{name}={figure}" for name, figure in figures.items())
    print(f"\n[bench] {bench}: {shown}  ({size}; {machine()})")
