"""The languages that ask about rows: each compiles to the tree of :mod:`runstone.query`; SQL is executed by DuckDB."""
