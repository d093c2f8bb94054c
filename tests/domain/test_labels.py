"""Labels on projects, collections and versions; archiving; config that is set once; runs that may be silent."""

import pytest

from runstone.domain import archiving, collections, described, labels, projects, versions
from runstone.domain.context import Context
from runstone.domain.runs import lifecycle, liveness
from runstone.errors import Conflict, Missing, TooLarge

OWNER = Context()


@pytest.fixture
def store(library):
    projects.create(library.store, OWNER, "local/p")
    return library.store


def test_labels_are_set_merged_and_taken_away(store):
    labels.label_project(store, OWNER, "local/p", {"a": "1", "b": ""})
    labels.label_project(store, OWNER, "local/p", {"a": "2"}, remove=["b", "absent"])
    labels.label_project(store, OWNER, "local/p", {"a": "hidden"}, kind="property")
    found = described.project(store, OWNER, "local/p")
    assert (found.tags, found.properties) == ({"a": "2"}, {"a": "hidden"})
    assert described.project_numbered(store, OWNER, found.id) == found
    with pytest.raises(TooLarge):
        labels.label_project(store, OWNER, "local/p", {f"k{at}": "" for at in range(labels.MAX_LABELS + 1)})


def test_collections_and_versions_have_labels(store):
    collections.create(store, OWNER, "local/p/c")
    versions.commit(store, OWNER, "local/p/c", [], reuse=False)
    labels.label_collection(store, OWNER, "local/p/c", {"a": "1"})
    labels.label_version(store, OWNER, "local/p/c@v1", {"b": "2"})
    assert described.collection(store, OWNER, "local/p/c").tags == {"a": "1"}
    assert [each.tags for each in described.list_versions(store, OWNER, "local/p/c")] == [{"b": "2"}]
    versions.delete(store, OWNER, "local/p/c@v1")
    assert described.list_versions(store, OWNER, "local/p/c") == []
    with pytest.raises(Missing):
        described.version(store, OWNER, "local/p/c@v1")


def test_an_archived_project_takes_no_runs_and_gives_them_all_back(store):
    for name in ("one", "two"):
        lifecycle.create(store, OWNER, f"local/p/{name}")
    lifecycle.delete(store, OWNER, "local/p/one")
    archiving.archive(store, OWNER, "local/p")
    assert described.project(store, OWNER, "local/p").deleted
    assert lifecycle.get(store, OWNER, "local/p/two", deleted=True).deleted
    with pytest.raises(Conflict, match="archived"):
        lifecycle.create(store, OWNER, "local/p/three")
    archiving.restore(store, OWNER, "local/p")
    assert not described.project(store, OWNER, "local/p").deleted
    assert [lifecycle.get(store, OWNER, f"local/p/{name}").deleted for name in ("one", "two")] == [0, 0]


def test_config_that_is_set_once_is_refused_whole(store):
    lifecycle.create(store, OWNER, "local/p/r", config={"a": "1"})
    lifecycle.update(store, OWNER, "local/p/r", once={"a": "1", "b": "2"})
    with pytest.raises(Conflict) as refused:
        lifecycle.update(store, OWNER, "local/p/r", once={"c": "3", "b": "4"}, tags={"t": ""})
    assert refused.value.details == {"name": "b", "held": "2", "given": "4"}
    found = lifecycle.get(store, OWNER, "local/p/r")
    assert (found.config, found.tags) == ({"a": "1", "b": "2"}, {})


def test_a_run_without_heartbeats_is_not_taken_for_crashed(store):
    lifecycle.create(store, OWNER, "local/p/quiet", info={"heartbeats": False})
    lifecycle.create(store, OWNER, "local/p/gone")
    assert liveness.mark_crashed(store, silence=-1) == ["local/p/gone"]
