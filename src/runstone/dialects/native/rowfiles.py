"""Rows answered as files, for a client that asks for one of :mod:`runstone.domain.queries.sheets`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from runstone.dialects.routing import Call, Stream
from runstone.domain.queries import sheets

#: Media types that a route of rows can answer with besides JSON and MessagePack.
SHEETS = tuple(sheets.FORMS.values())


def sheet(call: Call) -> str:
    """The form of a file that the client asked for; empty when it wants JSON or MessagePack."""
    return sheets.form_of(call.headers.get("Accept", ""))


def as_sheet(form: str, rows: Iterable[Mapping[str, Any]], columns: Sequence[str] = ()) -> Stream:
    """Rows as a file."""
    return Stream(sheets.written(rows, form, columns), sheets.FORMS[form])
