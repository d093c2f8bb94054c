"""One change of many runs: all that fit, once, and taken back; nothing where it may not be, or where it is another number by now."""

import pytest

import runstone
from runstone.domain.runs import changing, lifecycle
from runstone.errors import Conflict, Invalid, Missing, TooLarge

RUNS = 1203


@pytest.fixture(scope="module")
def library(tmp_path_factory):
    with runstone.open(tmp_path_factory.mktemp("changing") / "data") as opened:
        for number in range(RUNS):
            name = f"local/many/r{number}"
            lifecycle.create(
                opened.store, opened.ctx, name, config={"n": number}, tags=["odd"] * (number % 2)
            )
        yield opened


@pytest.fixture
def change(library):
    return lambda act, **given: changing.change(library.store, library.ctx, "local/many", act, **given)


def tags(library, number):
    return lifecycle.get(library.store, library.ctx, f"local/many/r{number}").tags


def test_tags_go_to_all_that_fit_and_back(library, change):
    before = library.store.index.last_commit()
    found = change("tag", filter="config.n >= 1", expected=RUNS - 1, tags={"odd": "", "kind": "x"})
    assert (found.matched, len(found.runs)) == (RUNS - 1, RUNS - 1)
    assert library.store.index.last_commit() - before <= 3 + 2  # a commit for each batch
    assert tags(library, 0) == {} and tags(library, 2) == {"odd": "", "kind": "x"}
    again = change("tag", filter="config.n >= 1", tags={"kind": "x"})
    assert (again.matched, again.runs) == (RUNS - 1, ())
    added = change("tag", filter="config.n < 4", tags={"new": ""}).runs
    assert set(added) == {f"r{n}" for n in range(4)}
    assert set(change("tag", runs=added, untag=["new", "never"]).runs) == set(added)
    assert "new" not in tags(library, 1)


def test_deleted_runs_come_back_by_their_names(library, change):
    gone = change("delete", filter="config.n in (5, 6, 7) and tags.odd exists")
    assert set(gone.runs) <= {"r5", "r6", "r7"} and "r5" in gone.runs
    with pytest.raises(Exception, match="deleted"):
        tags(library, 5)
    assert change("delete", runs=["r5"]).runs == ()
    assert change("restore", runs=gone.runs).runs == gone.runs
    assert change("restore", runs=gone.runs).runs == ()
    assert tags(library, 5)["odd"] == ""


def test_what_is_refused_changes_nothing(library, change, monkeypatch):
    head = library.store.index.last_commit()
    with pytest.raises(Conflict, match="look again"):
        change("delete", filter="config.n < 3", expected=2)
    with pytest.raises(Missing, match="'nope'"):
        change("delete", runs=["r1", "nope"])
    with pytest.raises(Invalid, match="by their names"):
        change("restore", filter="")
    with pytest.raises(Invalid, match="no other act"):
        change("delete", filter="", tags={"a": ""})
    with pytest.raises(Invalid, match="no other act"):
        change("tag", filter="")
    with pytest.raises(Invalid):
        change("tag", filter="config.n <", tags={"a": ""})
    monkeypatch.setattr(changing, "MAX_RUNS", 100)
    with pytest.raises(TooLarge, match="narrow the filter"):
        change("delete", filter="")
    assert library.store.index.last_commit() == head
