from collections.abc import Sequence
from typing import Self, final

DONE: int
HANGUP: int
STALLED: int
SHORT_FILE: int
CANCELLED: int

@final
class Pump:
    def __new__(
        cls,
        *,
        stall_seconds: float = 30.0,
        stall_bytes: int = 65536,
        quantum: int = 2097152,
        lanes: int = 2,
        loaders: int = 2,
    ) -> Self: ...
    def fileno(self) -> int: ...
    def submit(self, sock_fd: int, segments: Sequence[bytes | tuple[int, int, int]]) -> int: ...
    def cancel(self, job: int) -> bool: ...
    def drain(self) -> list[tuple[int, int, int]]: ...
    def stats(self) -> dict[str, int]: ...
    def close(self) -> None: ...
