"""A statement in a process of its own: what DuckDB cannot stop (a long function, memory it does not count, a crash) ends with it.

The process has no environment but where Python finds its modules, may write no file and dump no core, and its memory is limited. In: a line
of JSON, then each table as an Arrow stream, by the line's lengths. Out: a line of JSON, then the rows as an Arrow stream, or an error by its code.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from runstone.errors import Invalid, RunstoneError, TooLarge, by_code

if TYPE_CHECKING:
    import pyarrow

    from runstone.domain.queries.sql import Watch

#: What the interpreter, DuckDB, pyarrow and their threads take before any row is read.
_BASE = 512 << 20
#: What the process may take longer than the statement's limit: it should end by itself, and say more about why.
_GRACE = 1.0


class Worker:
    """A process for one statement. It loads what it needs while the tables are made; who leaves the context ends it."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-B", "-m", __name__],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={"PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        )

    def __enter__(self) -> Worker:
        return self

    def __exit__(self, *raised: object) -> None:
        self._process.kill()
        self._process.communicate()

    def run(
        self, sql: str, tables: Mapping[str, pyarrow.Table], watch: Watch, memory: int, max_rows: int
    ) -> pyarrow.Table:
        """The rows of a statement that has been found harmless; errors as in :func:`runstone.domain.queries.sql.run_sql`."""
        import pyarrow

        from runstone.domain.queries.sql import out_of_memory

        parts = [_packed(pyarrow, table, memory) for table in tables.values()]
        asked = {
            "sql": sql,
            "seconds": watch.left(),
            "memory": memory,
            "max_rows": max_rows,
            "tables": {name: len(part) for name, part in zip(tables, parts, strict=True)},
        }
        sent = b"".join([json.dumps(asked).encode(), b"\n", *parts])
        try:
            answer, _ = self._process.communicate(sent, watch.left() + _GRACE)
        except subprocess.TimeoutExpired:
            raise watch.passed() from None
        head, _, body = answer.partition(b"\n")
        if not head:
            # Killed or crashed without a word: its memory was refused, or DuckDB broke.
            raise watch.passed() if watch.is_over() else out_of_memory(memory)
        told: dict[str, Any] = json.loads(head)
        if told["code"] == TooLarge.code and watch.is_over():
            raise watch.passed()
        if told["code"]:
            raise by_code()[told["code"]](told["message"])
        return pyarrow.ipc.open_stream(body).read_all()


def _packed(pyarrow: Any, table: pyarrow.Table, memory: int) -> bytes:
    if table.nbytes > memory:
        raise TooLarge(
            f"the tables of the statement take more than {memory >> 20} MiB of memory; name fewer columns"
        )
    sink = pyarrow.BufferOutputStream()
    with pyarrow.ipc.new_stream(sink, table.schema) as stream:
        stream.write_table(table)
    return bytes(sink.getvalue())


def main() -> None:
    """Answers one statement from the standard input."""
    import duckdb  # noqa: F401
    import pyarrow

    from runstone.domain.queries.sql import Watch, execute

    asked = json.loads(sys.stdin.buffer.readline())
    limit = _BASE + 2 * asked["memory"] + sum(asked["tables"].values())
    resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    tables = {
        name: pyarrow.ipc.open_stream(sys.stdin.buffer.read(length)).read_all()
        for name, length in asked["tables"].items()
    }
    told, body = {"code": ""}, b""
    try:
        rows = execute(asked["sql"], tables, Watch(asked["seconds"]), asked["memory"], asked["max_rows"])
        body = _packed(pyarrow, rows, asked["memory"])
    except RunstoneError as error:
        told = {"code": error.code, "message": error.message}
    except Exception as error:
        told = {"code": Invalid.code, "message": f"the statement cannot be run: {type(error).__name__}"}
    sys.stdout.buffer.write(json.dumps(told).encode() + b"\n" + body)


if __name__ == "__main__":
    main()
