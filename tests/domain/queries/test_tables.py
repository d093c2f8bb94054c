"""SQL over a project's own tables."""

import pytest

from runstone.errors import Denied, Invalid


@pytest.fixture
def filled(library, tmp_path):
    for number in range(6):
        library.create_run(
            f"demo/r{number}", config={"lr": number / 10, "Opt": "ab"[number % 2]}, tags={"t": "x"}
        )
        library.log_rows(
            f"demo/r{number}", [(step, step, {"loss": 10.0 - number - step}) for step in range(3)]
        )
    library.delete_run("demo/r5")
    (tmp_path / "f").write_bytes(b"x")
    library.put("demo/model", tmp_path / "f", aliases=["prod"])
    library.link("run:local/demo/r1", "produced", "local/demo/model@v1")
    return library


def rows(library, sql):
    return [tuple(row.values()) for row in library.sql("demo", sql).to_pylist()]


def test_runs(filled):
    asked = """SELECT id, "config.lr", "summary.loss" FROM runs WHERE "config.Opt" = 'a' ORDER BY "summary.loss" """
    assert rows(filled, asked) == [("r4", 0.4, 4.0), ("r2", 0.2, 6.0), ("r0", 0.0, 8.0)]
    assert rows(filled, 'SELECT count(*), min("summary.loss:max") FROM runs') == [(5, 6.0)]


def test_series_versions_aliases_lineage_and_log(filled):
    asked = "SELECT run, max(value) FROM series WHERE key = 'loss' GROUP BY run ORDER BY run LIMIT 2"
    assert rows(filled, asked) == [("r0", 10.0), ("r1", 9.0)]
    assert rows(filled, "SELECT collection, version, aliases FROM versions") == [
        ("local/demo/model", 1, "prod")
    ]
    assert rows(filled, "SELECT alias, version FROM aliases") == [("prod", 1)]
    assert rows(filled, "SELECT source, relation, target FROM lineage") == [
        ("run:local/demo/r1", "produced", "local/demo/model:v1")
    ]
    assert rows(filled, "SELECT count(*) FROM log WHERE kind = 'create_run'") == [(6,)]


def test_joins(filled):
    asked = """SELECT r.id, l.target FROM runs r JOIN lineage l ON l.source = 'run:local/demo/' || r.id"""
    assert rows(filled, asked) == [("r1", "local/demo/model:v1")]


@pytest.mark.parametrize(
    "sql",
    ["DELETE FROM runs", "SELECT * FROM read_csv('/etc/passwd')", "SELECT 1; SELECT 2", "COPY runs TO 'x'"],
)
def test_what_could_do_more_than_read_is_refused(filled, sql):
    with pytest.raises(Invalid):
        filled.sql("demo", sql)


def test_hidden_fields_are_no_columns_and_the_log_is_for_administrators(people):
    people.ann.create_run("lab/p/r", config={"secret": 1, "lr": 2})
    people.ann.set_field_class("lab/p", "config.secret", "secret")
    assert people.ann.sql("lab/p", "SELECT * FROM runs").column("config.secret").to_pylist() == [1.0]
    assert "config.secret" not in people.ria.sql("lab/p", "SELECT * FROM runs").column_names
    with pytest.raises(Invalid):
        people.ria.sql("lab/p", 'SELECT "config.secret" FROM runs')
    with pytest.raises(Denied):
        people.ria.sql("lab/p", "SELECT * FROM log")
