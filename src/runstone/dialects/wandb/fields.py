"""The base of the classes whose methods are fields of Query and Mutation."""

from __future__ import annotations

from runstone.dialects.routing import Call


class Fields:
    """Fields for one request."""

    def __init__(self, call: Call) -> None:
        self._call = call
