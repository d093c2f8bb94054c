"""The columnar copies of projects: made before anybody asks, bounded in number, made anew when their shape changes."""

import logging

import pytest

import runstone
from runstone.domain.runs import columns, questions
from runstone.domain.runs.columns import Tables
from runstone.query import Query


@pytest.fixture
def library(tmp_path, monkeypatch):
    monkeypatch.setattr(columns, "EAGER", 5)
    with runstone.open(tmp_path / "data") as opened:
        yield opened


def project_of(library, name):
    return questions.place_of(library.store, library.ctx, name)[0].project.id


def test_columns_are_made_before_anybody_asks(library, monkeypatch, caplog):
    monkeypatch.setattr(columns, "TELL", -1)
    for number in range(20):
        library.create_run(f"many/r{number}")
    library.create_run("few/r")
    tables = Tables(library.store)
    with caplog.at_level(logging.INFO, "runstone.columns"):
        tables.maintain()
    assert "making columns of project" in caplog.text and tables.behind == 0
    project = project_of(library, "many")
    asked = Tables(library.store)._opened(project)
    assert (asked.refresh(), len(asked.execute(Query()).ids)) == (0, 20)
    assert not (
        library.store.path / "columns" / f"runs-{columns.SHAPE}" / f"{project_of(library, 'few'):x}"
    ).exists()


def test_few_projects_are_held_open(library, monkeypatch):
    monkeypatch.setattr(columns, "MAX_OPEN", 2)
    tables = Tables(library.store)
    for name in "abca":
        library.create_run(f"{name}/{name}1", resume="allow")
        assert len(tables.of(project_of(library, name)).execute(Query()).ids) == 1
    assert list(tables._held) == [project_of(library, "c"), project_of(library, "a")]


def test_columns_of_another_shape_are_dropped(library):
    library.create_run("p/r")
    old = library.store.path / "columns" / "3f"
    old.mkdir(parents=True)
    (old / "manifest").write_bytes(b"x")
    columns.tables(library.store).of(project_of(library, "p"))
    columns.tables(library.store).maintain()
    assert not old.exists()
    assert [run.name for run in library.runs("p").items] == ["r"]
