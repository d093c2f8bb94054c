"""What a table is: its key layout, its value record, and the four groups there are."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import Any, Generic, TypeVar

import msgspec

from runstone.storage.keys import KeyLayout

FORMAT_VERSION = 1

V = TypeVar("V")
TABLES: dict[str, Table[Any]] = {}
_numbers: set[int] = set()
_encode = msgspec.msgpack.Encoder().encode


class Record(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """A value of a table: a MessagePack array of the fields, which never lead back to it and need no cycle collector."""


class Table(Generic[V]):
    """One table: a named LMDB database with a key layout and a value type."""

    def __init__(self, number: int, name: str, key: str, value: type[V], group: str) -> None:
        self.number = number
        self.name = name
        self.key = KeyLayout(key)
        self.value = value
        self.group = group
        self.hashed = group == "state"
        self.encode: Any = bytes if value is bytes else _encode
        assert name not in TABLES and number not in {table.number for table in TABLES.values()}
        assert name not in TABLES and number not in _numbers
        TABLES[name] = self
        _numbers.add(number)

    @cached_property
    def decode(self) -> Callable[[bytes], V]:
        """Decodes a body; made on first use, which most processes never come to for most tables."""
        return self.value if self.value is bytes else msgspec.msgpack.Decoder(self.value).decode

    def __repr__(self) -> str:
        return f"<table {self.name}>"


def state_table(number: int, name: str, key: str, value: type[V]) -> Table[V]:
    """A function of the change log alone, and covered by the state hash."""
    return Table(number, name, key, value, "state")


def log_table(number: int, name: str, key: str, value: type[V]) -> Table[V]:
    """The log itself."""
    return Table(number, name, key, value, "log")


def local_table(number: int, name: str, key: str, value: type[V]) -> Table[V]:
    """Where this machine keeps the bytes; replicas differ in it."""
    return Table(number, name, key, value, "local")


def derived_table(number: int, name: str, key: str, value: type[V]) -> Table[V]:
    """Made from the log in the background: may lag behind it, and is left out when an index is rebuilt."""
    return Table(number, name, key, value, "derived")
