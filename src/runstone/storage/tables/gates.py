"""Collections whose files are given only to those who are let in."""

from __future__ import annotations

from runstone.storage.tables.table import Record, state_table


class Gate(Record, frozen=True):
    """A collection whose files are given only to those who are let in: ``auto``, whoever asks, or ``manual``, whom an owner accepts."""

    mode: str
    by: str
    time: int


class Admission(Record, frozen=True):
    """Who asked to be let in, and what became of it: ``pending``, ``accepted`` or ``rejected``, by whom and when."""

    state: str
    asked: int
    fields: bytes = b"\x80"
    by: str = ""
    time: int = 0
    why: str = ""


GATES = state_table(154, "gates", "collection:u64", Gate)
ADMISSIONS = state_table(155, "admissions", "collection:u64 user:u64", Admission)
