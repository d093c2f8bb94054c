from collections.abc import Callable, Iterable, Mapping
from typing import Any

from typing_extensions import Buffer

FLOAT: int
INT: int
OBJECT: int
MAX_NAME: int
MAX_ROWS: int
MAX_KEYS: int

_Point = tuple[int, int, Any]
_Summary = tuple[str, int, int, int, Any, Any, float | None, _Point, _Point, int, int]

def check(
    batch: Buffer, /
) -> list[tuple[int, tuple[int, int], tuple[int, int], list[tuple[str, int, int, int]]]]: ...
def count(batch: Buffer, /) -> tuple[int, int, int, int]: ...
def summaries(batch: Buffer, /) -> list[_Summary]: ...
def decode(batch: Buffer, /) -> list[tuple[Any, Any, list[tuple[str, int, Any]]]]: ...
def decode_rows(batch: Buffer, /) -> list[tuple[int, int, dict[str, Any]]]: ...
def encode_rows(rows: list[tuple[int, int, dict[str, Any]]], /) -> bytes: ...
def encode_entries(
    entries: list[Any], fields: tuple[str, str, str, str, str], latest: int, scale: int, /
) -> tuple[bytes, list[str]] | None: ...
def encode_lines(
    lines: list[str],
    first: int,
    now: int,
    fields: tuple[str, str] | None,
    other: Callable[[str, int], tuple[int, int, dict[str, Any]] | str],
    /,
) -> tuple[bytes, list[tuple[int, str]]]: ...
def encode_columns(
    steps: Buffer | range, times: Buffer | range, columns: Mapping[str, Buffer | list[Any]], /
) -> bytes: ...
def gather(
    batches: Iterable[Buffer], resolve: Callable[[str], int | None], /
) -> dict[int, tuple[bytes, bytes, bytes, bytes, list[bytes]]]: ...
