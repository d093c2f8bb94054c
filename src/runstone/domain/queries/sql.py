"""Read-only SQL: DuckDB, loaded on demand (``runstone[sql]``), over tables that are made when a statement names them.

A statement passes two fences. Before it runs its parse tree is held to a list of what is allowed (:mod:`.sql_tree`). Then it runs in a
database of its own, in memory, with DuckDB's own locks closed: no files, network, extensions, Python variables, temporary files or settings.
"""

from __future__ import annotations

import json
import re
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from importlib import import_module
from typing import TYPE_CHECKING, Any

from runstone.domain.queries import sql_tree
from runstone.errors import Invalid, TooLarge

if TYPE_CHECKING:
    import duckdb
    import pyarrow

    #: Makes a table: of the columns whose names in lower case are among those given (others may be there too), or of all.
    Supplier = Callable[[frozenset[str] | None], "pyarrow.Table | pyarrow.RecordBatchReader"]

SECONDS = 10.0
MEMORY = 512 << 20
MAX_ROWS = 1_000_000

_EXTRA = "SQL needs the packages duckdb and pyarrow: pip install 'runstone[sql]'"
_BATCH = 8192


def run_sql(
    sql: str,
    tables: Mapping[str, Supplier],
    *,
    seconds: float = SECONDS,
    memory: int = MEMORY,
    max_rows: int = MAX_ROWS,
    isolated: bool = True,
    prepare: Callable[[Mapping[str, frozenset[str] | None]], None] = lambda named: None,
) -> pyarrow.Table:
    """The rows that a statement selects.

    ``tables`` make what the statement names, and only that. ``prepare`` is told these tables before the statement's time begins, each
    with its columns in lower case (None: all). Invalid says what is wrong with the statement or may not be done; TooLarge names the
    limit that was passed: ``seconds`` of time, ``memory`` in bytes (for DuckDB's work, and for the rows), ``max_rows``.

    DuckDB cannot be interrupted within one call of a function, and does not count the memory of texts that functions make. So a
    statement runs in a process of its own that is stopped from outside; with ``isolated`` false, for statements of one's own, it runs in this one.
    """
    duckdb = _loaded("duckdb")
    sql_tree.check_size(sql)
    with _database(duckdb, memory) as database:
        named = _parsed(duckdb, database, sql, tables)

    def made(once: bool) -> tuple[dict[str, Any], Watch]:
        pyarrow = _loaded("pyarrow")
        prepare(named.tables)
        watch = Watch(seconds)
        found = {}
        for name, columns in named.tables.items():
            found[name] = _made(pyarrow, tables[name](columns), once, memory)
            watch.check()
        return found, watch

    if not isolated:
        return execute(sql, *made(named.once), memory, max_rows)
    from runstone.domain.queries.sql_process import Worker

    with Worker() as worker:
        return worker.run(sql, *made(once=False), memory, max_rows)


def execute(sql: str, tables: Mapping[str, Any], watch: Watch, memory: int, max_rows: int) -> pyarrow.Table:
    """Runs a statement that has been found harmless over tables that have been made, in this process."""
    duckdb, pyarrow = _loaded("duckdb"), _loaded("pyarrow")
    with _database(duckdb, memory) as database:
        for name, table in tables.items():
            database.register(name, table)
        with _interrupted(database, watch):
            try:
                with database.sql(sql).to_arrow_reader(_BATCH) as reader:
                    return _collected(pyarrow, reader, watch.check, memory, max_rows)
            except duckdb.InterruptException:
                raise watch.passed() from None
            except (duckdb.OutOfMemoryException, MemoryError):
                raise out_of_memory(memory) from None
            except (duckdb.Error, pyarrow.ArrowException) as error:
                if watch.is_over():
                    raise watch.passed() from None
                raise Invalid(f"the statement cannot be run: {_told(error)}") from None


def _loaded(package: str) -> Any:
    try:
        return import_module(package)
    except ImportError:
        raise Invalid(_EXTRA) from None


@contextmanager
def _database(duckdb: Any, memory: int) -> Iterator[duckdb.DuckDBPyConnection]:
    """An empty database in memory that cannot reach anything outside it."""
    config = {
        "enable_external_access": "false",
        "autoinstall_known_extensions": "false",
        "autoload_known_extensions": "false",
        "allow_community_extensions": "false",
        "python_enable_replacements": "false",
        "temp_directory": "",
        "memory_limit": f"{max(memory >> 10, 1)}KiB",
        "threads": "2",
    }
    database = duckdb.connect(":memory:", config=config)
    try:
        database.execute("SET lock_configuration = true")
        yield database
    finally:
        database.close()


def _parsed(
    duckdb: Any, database: duckdb.DuckDBPyConnection, sql: str, known: Mapping[str, Any]
) -> sql_tree.Named:
    try:
        statements = database.extract_statements(sql)
        if len(statements) != 1:
            raise Invalid(f"one statement is asked at a time, not {len(statements)}")
        if statements[0].type != duckdb.StatementType.SELECT:
            raise Invalid(f"only SELECT is allowed, not {statements[0].type.name}")
        ((text,),) = database.execute("SELECT json_serialize_sql(?::VARCHAR)", [sql]).fetchall()
        tree = json.loads(text)
    except duckdb.Error as error:
        raise Invalid(f"the statement cannot be read: {_told(error)}") from None
    except RecursionError:
        raise TooLarge("the statement nests too deep") from None
    if tree.get("error"):
        raise Invalid(f"the statement cannot be read: {tree.get('error_message')}")
    return sql_tree.named(tree, known)


def _made(pyarrow: Any, table: Any, once: bool, memory: int) -> Any:
    """A table that DuckDB can read as often as the statement needs: a reader gives its rows only once."""
    if isinstance(table, pyarrow.RecordBatchReader):
        if once and table.schema.names:
            return table
        table = _collected(pyarrow, table, lambda: None, memory, None)
    if not table.num_columns:
        # Rows without columns can still be counted.
        return pyarrow.table({"": pyarrow.nulls(table.num_rows)})
    return table


def _collected(
    pyarrow: Any, reader: Any, check: Callable[[], None], memory: int, max_rows: int | None
) -> Any:
    batches, rows, size = [], 0, 0
    for batch in reader:
        check()
        rows += batch.num_rows
        size += batch.nbytes
        if max_rows is not None and rows > max_rows:
            raise TooLarge(f"the statement selects more than {max_rows} rows; add a LIMIT")
        if size > memory:
            raise TooLarge(f"the rows take more than {memory >> 20} MiB of memory; select less")
        batches.append(batch)
    return pyarrow.Table.from_batches(batches, schema=reader.schema)


class Watch:
    """A time limit, which begins when this is made."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self._end = time.monotonic() + seconds

    def left(self) -> float:
        """The seconds that are left."""
        return max(self._end - time.monotonic(), 0.0)

    def is_over(self) -> bool:
        """Whether the time has passed."""
        return not self.left()

    def check(self) -> None:
        """Raises TooLarge when the time has passed."""
        if self.is_over():
            raise self.passed()

    def passed(self) -> TooLarge:
        """What is raised when the time has passed."""
        return TooLarge(
            f"the statement ran longer than {self.seconds:g} s; select less, or ask for fewer rows and columns"
        )


def out_of_memory(memory: int) -> TooLarge:
    """What is raised when the memory is used up."""
    return TooLarge(f"the statement needs more than {memory >> 20} MiB of memory; select or group less")


@contextmanager
def _interrupted(database: duckdb.DuckDBPyConnection, watch: Watch) -> Iterator[None]:
    """Interrupts what runs in a database once the time has passed, again and again: an interrupt between two steps is lost."""
    done = threading.Event()

    def interrupt() -> None:
        while not done.wait(max(watch.left(), 0.05)):
            database.interrupt()

    thread = threading.Thread(target=interrupt, name="runstone-sql-watch", daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


def _told(error: Exception) -> str:
    """The first lines of DuckDB's message, with help for the commonest slip."""
    message = str(error).strip().split("\n\n")[0][:500]
    if re.search(r'"(config|summary|tags)" not found', message):
        message += '; a name with a dot stands in double quotes, as in "config.lr"'
    elif message.startswith("Binder Error: Referenced column"):
        # What it would offer are the columns that were read so far, which are not those that there are.
        message = (
            message.split("\n")[0] + ' A column of runs is named as in filters: "summary.loss", "config.lr".'
        )
    return message.replace("\n", " ")
