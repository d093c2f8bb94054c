"""Every instruction-set level of the kernels that this processor can run, one after the other."""

from collections.abc import Iterator
from contextlib import contextmanager

from runstone._native import digests, frames, ingest

LEVELS = digests._levels()


@contextmanager
def at_level(level: int) -> Iterator[None]:
    for module in (digests, frames, ingest):
        module._force_level(level)
    try:
        yield
    finally:
        for module in (digests, frames, ingest):
            module._force_level(LEVELS[-1])
