"""The query tree asked of rows one by one, for small tables and for rows that a caller works out; the columns say the same of many."""

from __future__ import annotations

from runstone.storage.columns.rows import Row, matches, ordered

__all__ = ["Row", "matches", "ordered"]
