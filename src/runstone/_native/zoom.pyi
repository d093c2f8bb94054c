from typing import Self, final

from typing_extensions import Buffer

INT_COLUMNS: tuple[str, ...]
FLOAT_COLUMNS: tuple[str, ...]

def cells(
    steps: Buffer, times: Buffer, values: Buffer, numeric: Buffer, step_shift: int, time_shift: int, /
) -> tuple[bytes, bytes]: ...

@final
class Buckets:
    last_step: int
    def __new__(cls, start: int, width: int, count: int, low: int, high: int, by_time: bool) -> Self: ...
    def add_points(self, steps: Buffer, times: Buffer, values: Buffer, numeric: Buffer, /) -> None: ...
    def add_cells(
        self, ints: Buffer, floats: Buffer, only: tuple[int, int] | None, /
    ) -> list[tuple[int, int]]: ...
    def columns(self) -> tuple[bytes, bytes, bytes, bytes, bytes, bytes]: ...
