"""Read-only SQL: what it selects, what it asks of its tables, and every door that must stay shut."""

import subprocess
import sys
from pathlib import Path

import pyarrow
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.domain.queries import arrow_rows, golden

from runstone.domain.queries import sql
from runstone.errors import Invalid, RunstoneError, TooLarge

ROWS = golden.dataset()
SECRET = "a secret of this process"
secret_table = pyarrow.table({"text": [SECRET]})


def run(statement, isolated=False, **limits):
    tables = {
        "runs": arrow_rows.runs(ROWS),
        "series": lambda wanted: pyarrow.table({"run": ["a", "b"], "step": [1, 2]}),
    }
    return sql.run_sql(statement, tables, isolated=isolated, **limits)


def refused(statement, message, **limits):
    with pytest.raises(Invalid, match=message) as found:
        run(statement, **limits)
    assert SECRET not in found.value.message


@pytest.mark.parametrize("isolated", [True, False])
def test_rows_are_selected(isolated):
    found = run(
        'SELECT state, count(*) AS n, max("summary.epoch") AS top FROM runs GROUP BY state ORDER BY state',
        isolated,
    )
    epochs = {}
    for row in ROWS.values():
        epochs.setdefault(row["state"], []).append(row["summary.epoch"])
    expected = [{"state": state, "n": len(held), "top": max(held)} for state, held in sorted(epochs.items())]
    assert found.to_pylist() == expected and len(expected) == 5


@pytest.mark.parametrize(
    ("statement", "asked"),
    [
        ("SELECT * FROM runs", {"runs": None}),
        ("FROM runs", {"runs": None}),
        ("SELECT count(*) FROM runs", {"runs": frozenset()}),
        (
            'SELECT "Config.LR", r.name FROM RUNS r WHERE "summary.loss" < 1',
            {"runs": {"config.lr", "r", "name", "summary.loss"}},
        ),
        ("SELECT runs FROM runs", {"runs": None}),
        ("SELECT r FROM runs AS r", {"runs": None}),
        ("SELECT #1 FROM runs", {"runs": None}),
        ("SELECT COLUMNS('config.*') FROM runs", {"runs": None}),
        ("SELECT * EXCLUDE (id) FROM runs", {"runs": None}),
        ("SELECT count(*) FROM runs NATURAL JOIN series", {"runs": None, "series": None}),
        ("SELECT a FROM runs r(a)", {"runs": None}),
        (
            "SELECT step FROM runs JOIN series USING (run)",
            {"runs": {"run", "step"}, "series": {"run", "step"}},
        ),
        ("SELECT s.*, r.id FROM runs r, series s", {"runs": {"id", "r"}, "series": None}),
        ("SELECT * FROM (SELECT id FROM runs)", {"runs": {"id"}}),
        ("SELECT * FROM (SELECT id FROM runs) JOIN series ON true", {"runs": {"id"}, "series": None}),
        ("WITH x AS (SELECT id FROM runs) SELECT * FROM x", {"runs": {"id"}}),
        ("WITH x AS (SELECT * FROM runs) SELECT id FROM x", {"runs": None}),
        (
            "SELECT (SELECT max(step) FROM series WHERE run = id) FROM runs",
            {"runs": {"id", "run", "step"}, "series": {"id", "run", "step"}},
        ),
        ("SELECT id FROM runs WHERE EXISTS (FROM series)", {"runs": {"id"}, "series": None}),
        ("SELECT id FROM runs UNION ALL SELECT * FROM series", {"runs": {"id"}, "series": None}),
        ("FROM runs UNPIVOT (v FOR k IN (id, name))", {"runs": None}),
        ("SELECT 1", {}),
    ],
)
def test_only_what_is_named_is_made(statement, asked):
    class Named(Exception):
        pass

    def stop(named):
        raise Named(named)

    with pytest.raises(Named) as caught:
        sql.run_sql(statement, {"runs": None, "series": None}, prepare=stop)
    (found,) = caught.value.args
    assert found.keys() == asked.keys()
    for table, columns in asked.items():
        assert (
            found[table] == columns
            if columns is None
            else found[table] is not None and found[table] - {table, "r"} == columns - {"r"}
        )


def test_a_wide_table_is_not_made_for_one_column():
    supply = arrow_rows.runs(ROWS)
    assert sql.run_sql(
        'SELECT count("config.lr") n FROM runs', {"runs": supply, "series": None}, isolated=False
    )["n"].to_pylist() == [sum(row.get("config.lr") is not None for row in ROWS.values())]
    assert supply.asked == [{"config.lr"}]
    assert sql.run_sql(
        "SELECT count(*) n FROM runs", {"runs": lambda wanted: pyarrow.table({"id": [1, 2]}).select([])}
    )["n"].to_pylist() == [2]


def test_a_reader_is_read_as_often_as_it_must_be():
    def reader(wanted):
        return pyarrow.table({"a": [1, 2, 3]}).to_reader(max_chunksize=1)

    for isolated in (True, False):
        for statement, expected in {
            "SELECT sum(a) s FROM t": 6,
            "SELECT sum(x.a * y.a) s FROM t x, t y": 36,
            "WITH c AS (FROM t) SELECT sum(p.a * q.a) s FROM c p, c q": 36,
            "SELECT sum(a) s FROM t WHERE a = (SELECT max(a) FROM t)": 3,
        }.items():
            assert sql.run_sql(statement, {"t": reader}, isolated=isolated)["s"].to_pylist() == [expected], (
                statement
            )


FILES = "read_csv read_csv_auto read_text read_blob read_json read_json_auto read_json_objects read_ndjson read_parquet parquet_scan"
FILES += " parquet_schema parquet_metadata glob sniff_csv read_duckdb seq_scan arrow_scan pandas_scan python_map_function query query_table"
FILES += " json_execute_serialized_sql duckdb_settings duckdb_functions duckdb_tables duckdb_secrets duckdb_extensions duckdb_variables"
FILES += " duckdb_databases duckdb_logs pragma_version pragma_database_size pragma_user_agent which_secret enable_logging test_all_types summary"
SCALARS = "getenv current_setting getvariable current_query current_database current_user current_schemas version nextval write_log sleep_ms"
SCALARS += " pg_sleep parse_duckdb_log_message txid_current json_serialize_plan json_deserialize_sql setseed pg_get_viewdef inet_server_addr"
SCALARS += " duckdb_secrets in_search_path list_aggregate invoke not_there"


@pytest.mark.parametrize("function", FILES.split())
def test_no_table_function_reaches_out(function):
    for argument in ("'/etc/passwd'", "140000000000", "'SELECT 1'", ""):
        refused(f"SELECT * FROM {function}({argument})", rf"function {function}\(\) may not be called")
        refused(f"SELECT (SELECT count(*) FROM {function.upper()}({argument}))", r"may not be called")


@pytest.mark.parametrize("function", SCALARS.split())
def test_no_function_tells_of_the_process(function):
    refused(f"SELECT {function}('HOME')", rf"function {function}\(\) may not be called")
    refused(f"SELECT id FROM runs ORDER BY {function}('HOME')", "may not be called")
    refused(f"SELECT list_transform([1], lambda x: {function}('HOME'))", "may not be called")


@pytest.mark.parametrize(
    ("statement", "message"),
    [
        ("", "one statement is asked at a time, not 0"),
        ("-- nothing", "one statement is asked at a time, not 0"),
        ("SELECT 1; SELECT 2", "one statement is asked at a time, not 2"),
        ("SELECT 1; DROP TABLE runs", "one statement is asked at a time"),
        ("CREATE TABLE t AS SELECT 1", "only SELECT is allowed, not CREATE"),
        ("CREATE MACRO f(x) AS getenv(x)", "only SELECT is allowed, not CREATE"),
        ("CREATE TEMP VIEW v AS SELECT 1", "only SELECT is allowed"),
        ("INSERT INTO runs VALUES (1)", "only SELECT is allowed, not INSERT"),
        ("UPDATE runs SET id = 1", "only SELECT is allowed, not UPDATE"),
        ("DELETE FROM runs", "only SELECT is allowed, not DELETE"),
        ("DROP VIEW runs", "only SELECT is allowed, not DROP"),
        ("ATTACH '/tmp/x.db' AS x", "only SELECT is allowed, not ATTACH"),
        ("DETACH memory", "only SELECT is allowed"),
        ("COPY runs TO '/tmp/x.csv'", "only SELECT is allowed, not COPY"),
        ("COPY (SELECT 1) TO '/tmp/x.csv'", "only SELECT is allowed"),
        ("EXPORT DATABASE '/tmp/x'", "only SELECT is allowed"),
        ("IMPORT DATABASE '/tmp/x'", "only SELECT is allowed|cannot be read"),
        ("INSTALL httpfs", "only SELECT is allowed"),
        ("LOAD httpfs", "only SELECT is allowed, not LOAD"),
        ("SET enable_external_access = true", "only SELECT is allowed, not"),
        ("SET VARIABLE x = 1", "only SELECT is allowed"),
        ("RESET memory_limit", "only SELECT is allowed"),
        ("PRAGMA database_list", "only SELECT is allowed|may not be called"),
        ("CALL pragma_version()", "only SELECT is allowed, not CALL"),
        ("CHECKPOINT", "only SELECT is allowed|may not be called"),
        ("VACUUM", "only SELECT is allowed"),
        ("BEGIN", "only SELECT is allowed"),
        ("PREPARE p AS SELECT 1", "only SELECT is allowed"),
        ("EXECUTE p", "only SELECT is allowed"),
        ("EXPLAIN SELECT 1", "only SELECT is allowed, not EXPLAIN"),
        ("PIVOT runs ON state USING count(*)", "only SELECT is allowed"),
        ("SHOW TABLES", "SHOW, DESCRIBE and SUMMARIZE"),
        ("DESCRIBE runs", "SHOW, DESCRIBE and SUMMARIZE"),
        ("SUMMARIZE runs", "SHOW, DESCRIBE and SUMMARIZE"),
        ("SELECT * FROM (SHOW ALL TABLES)", "SHOW, DESCRIBE and SUMMARIZE"),
        ("WITH x AS (INSERT INTO runs VALUES (1) RETURNING *) SELECT 1", "a part of it would write"),
        ("WITH x AS (DELETE FROM runs RETURNING *) FROM x", "a part of it would write"),
        ("SELECT ?", "parameters are not supported"),
        ("SELECT $name", "parameters are not supported"),
        ("SELECT * FROM '/etc/passwd'", "there is no table '/etc/passwd'"),
        ("SELECT * FROM 'https://example.com/x.parquet'", "there is no table 'https"),
        ('SELECT * FROM "/etc/passwd.csv"', "there is no table"),
        ("SELECT * FROM secret_table", "there is no table 'secret_table'; the tables are runs, series"),
        ("SELECT * FROM sqlite_master", "there is no table"),
        ("SELECT * FROM information_schema.tables", "without a schema"),
        ("SELECT * FROM pg_catalog.pg_settings", "without a schema"),
        ("SELECT * FROM memory.main.runs", "without a schema"),
        ("SELECT * FROM runs AT (VERSION => 1)", "AT is not supported"),
        ("SELECT system.main.getenv('HOME')", "by its name alone"),
        ("SELECT main.lower('A')", "by its name alone"),
        ("SELECT FROM WHERE", "the statement cannot be read: Parser Error"),
        ("SELECT 'x", "the statement cannot be read: Parser Error"),
        ("SELECT nope FROM runs", "the statement cannot be run: Binder Error"),
        ("SELECT config.lr FROM runs", 'a name with a dot stands in double quotes, as in "config.lr"'),
        ("SELECT name + 1 FROM runs", "the statement cannot be run: "),
        ("SELECT 'x'::INT", "the statement cannot be run: Conversion Error"),
        ("SELECT error('x')", "the statement cannot be run: "),
        ("WITH RECURSIVE r AS (SELECT 1 UNION ALL FROM r, r2) FROM r", "there is no table 'r2'"),
    ],
)
def test_what_is_not_a_harmless_select_is_refused(statement, message):
    refused(statement, message)


@pytest.fixture
def database():
    """DuckDB as a statement finds it, without the first fence before it."""
    import duckdb

    with sql._database(duckdb, 64 << 20) as opened:
        yield opened


@pytest.mark.parametrize(
    "statement",
    [
        "SELECT * FROM read_text('/etc/passwd')",
        "SELECT * FROM '/etc/passwd'",
        "SELECT * FROM glob('/etc/*')",
        "SELECT * FROM read_csv('https://example.com/x.csv')",
        "SELECT * FROM secret_table",
        "COPY (SELECT 1) TO '/tmp/runstone-sql-door.csv'",
        "ATTACH '/tmp/runstone-sql-door.db' AS x",
        "EXPORT DATABASE '/tmp/runstone-sql-door'",
        "INSTALL httpfs",
        "LOAD httpfs",
        "SET enable_external_access = true",
        "SET lock_configuration = false",
        "SET memory_limit = '8GB'",
        "SET temp_directory = '/tmp'",
        "SET python_enable_replacements = true",
        "CREATE SECRET s (TYPE s3, KEY_ID 'a', SECRET 'b')",
    ],
)
def test_the_second_fence_holds_without_the_first(database, statement):
    import duckdb

    with pytest.raises(duckdb.Error):
        database.execute(statement).fetchall()
    assert not list(Path("/tmp").glob("runstone-sql-door*"))


def test_the_locks_of_the_second_fence_are_closed(database):
    closed = {
        "enable_external_access": False,
        "python_enable_replacements": False,
        "autoinstall_known_extensions": False,
        "autoload_known_extensions": False,
        "allow_community_extensions": False,
        "lock_configuration": True,
        "temp_directory": "",
        "memory_limit": "64.0 MiB",
    }
    for name, value in closed.items():
        assert database.execute("SELECT current_setting(?)", [name]).fetchall() == [(value,)], name


def test_a_name_defined_elsewhere_in_the_statement_opens_nothing():
    """The parse tree's check of names does not know scopes; DuckDB's own locks do the rest."""
    for name in ("secret_table", "/etc/passwd", "/etc/passwd.csv"):
        statement = f'SELECT * FROM (WITH "{name}" AS (SELECT 1 AS x) FROM "{name}"), "{name}"'
        refused(statement, "the statement cannot be run: (Catalog|Permission) Error")
        refused(statement, "the statement cannot be run: (Catalog|Permission) Error", isolated=True)


@pytest.mark.parametrize(
    ("statement", "message"),
    [
        ("SELECT count(*) FROM range(100000000000)", "ran longer than 1 s"),
        (
            "WITH RECURSIVE r AS (SELECT 1 a UNION ALL SELECT a + 1 FROM r) SELECT count(*) FROM r",
            "ran longer than 1 s",
        ),
        ("SELECT * FROM range(1000000000000)", "selects more than 1000 rows; add a LIMIT"),
        ("SELECT array_agg(range) FROM range(100000000)", "needs more than 64 MiB of memory"),
        (
            "SELECT * FROM range(1000000) a, range(1000000) b ORDER BY 1, 2",
            "needs more than 64 MiB of memory|ran longer than 1 s",
        ),
    ],
)
def test_limits_of_time_memory_and_rows(statement, message):
    with pytest.raises(TooLarge, match=message):
        run(statement, seconds=1, memory=64 << 20, max_rows=1000)


@pytest.mark.parametrize(
    "statement",
    [
        "SELECT repeat('x', 4000000000)",
        "SELECT list_sum(range(1000000000))",
        "SELECT levenshtein(repeat('a', 200000), repeat('b', 200000))",
        "SELECT repeat(i, 100000) FROM (SELECT repeat('x', 10000) i FROM range(100))",
    ],
)
def test_a_function_that_cannot_be_interrupted_ends_with_its_process(statement):
    with pytest.raises(TooLarge):
        run(statement, isolated=True, seconds=2, memory=64 << 20)


def test_the_rows_of_a_result_are_limited_in_bytes():
    with pytest.raises(TooLarge, match=r"the rows take more than 1 MiB of memory|needs more than 1 MiB"):
        run("SELECT repeat('x', 1000) FROM range(5000)", memory=1 << 20)


def test_large_tables_do_not_reach_the_process():
    with pytest.raises(TooLarge, match="take more than 1 MiB of memory; name fewer columns"):
        sql.run_sql(
            "SELECT sum(a) FROM t", {"t": lambda wanted: pyarrow.table({"a": range(200_000)})}, memory=1 << 20
        )


def test_the_process_has_no_environment_and_may_write_no_file(monkeypatch, tmp_path):
    monkeypatch.setenv("RUNSTONE_SQL_SECRET", SECRET)
    started = []
    real = subprocess.Popen
    monkeypatch.setattr(
        subprocess, "Popen", lambda *args, **named: started.append(named) or real(*args, **named)
    )
    assert run("SELECT 1 AS x", isolated=True)["x"].to_pylist() == [1]
    (named,) = started
    assert named["env"].keys() == {"PYTHONPATH"}
    assert named["stderr"] == subprocess.DEVNULL
    code = f"""
import sys
from runstone.domain.queries import sql, sql_process
def writes(*args):
    with open({str(tmp_path / "x")!r}, "w") as file:
        file.write("x")
sql.execute = writes
sys.argv = ["x"]
sql_process.main()
"""
    asked = b'{"sql": "", "seconds": 1, "memory": 1, "max_rows": 1, "tables": {}}\n'
    answer = subprocess.run(
        [sys.executable, "-c", code], input=asked, capture_output=True, env=named["env"], check=False
    )
    assert b"OSError" in answer.stdout
    assert (tmp_path / "x").stat().st_size == 0


@pytest.mark.parametrize(
    ("statement", "message"),
    [
        ("SELECT " + "(" * 3000, "nests brackets deeper than 64"),
        ("SELECT " + "(" * 3000 + "1" + ")" * 3000, "nests brackets deeper than 64"),
        ("SELECT " + "abs(" * 65 + "1" + ")" * 65, "nests brackets deeper than 64"),
        ("SELECT " + "[" * 65, "nests brackets deeper than 64"),
        ("SELECT " + "1+" * 40_000 + "1", "the most is 65536"),
        ("SELECT " + "1+" * 30_000 + "1", "Max expression depth"),
        ("SELECT " + "NOT " * 10_000 + "true", "more than 64 signs in a row"),
        ("SELECT " + "- " * 30_000 + "1", "more than 64 signs in a row"),
        (r"SELECT e'\'', " + "- " * 20_000 + "1, ''", "more than 64 signs in a row"),
        ("SELECT $a$ $$ $a$, " + "- " * 20_000 + "1, $$", "more than 64 signs in a row"),
        ("SELECT " + "/*" * 30_000, "cannot be read|one statement"),
        ("SELECT " + "-/* */~" * 5_000 + "1", "more than 64 signs in a row"),
        ("SELECT " + "CASE WHEN true THEN " * 2000 + "1" + " END" * 2000, "Max expression depth"),
    ],
)
def test_recursion_bombs(statement, message):
    refused(statement, message)


def test_quotes_and_comments_are_no_brackets():
    text = "(" * 100
    assert run(f"SELECT '{text}' AS \"{text}\" -- {text}")[text].to_pylist() == [text]


WORDS = (
    "SELECT FROM runs series WHERE ( ) , * . ; 'x' \"config.lr\" id name AS WITH x UNION ALL JOIN ON = < 1 read_csv getenv "
    "'/etc/passwd' secret_table PRAGMA SET COPY TO [ ] { } :: count lambda : -> ? $1 # /* */ -- VALUES INSERT INTO ORDER BY LIMIT NATURAL"
)
PIECES = WORDS.split()


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.sampled_from(PIECES), max_size=14).map(" ".join) | st.text(max_size=30))
def test_any_text_is_answered_or_refused(statement):
    try:
        found = run(statement, seconds=5, memory=64 << 20, max_rows=10_000)
    except RunstoneError as error:
        assert isinstance(error, Invalid)
    else:
        assert SECRET not in str(found.to_pydict())
