"""Documents: who may see and change them, and what listeners are told."""

import pytest

from runstone.domain import events
from runstone.errors import Conflict, Denied, Missing


@pytest.fixture
def lab(people):
    people.ann.create_project("lab/demo")
    return people


def test_members_write_and_readers_read(lab):
    lab.max.create_document("lab/demo", "view", "all", {"a": 1})
    assert lab.ria.document("lab/demo", "view", "all").spec == {"a": 1}
    with pytest.raises(Denied):
        lab.ria.update_document("lab/demo", "view", "all", title="mine")
    with pytest.raises(Denied):
        lab.ria.create_document("lab/demo", "view", "own", {})
    with pytest.raises(Missing):
        lab.eve.document("lab/demo", "view", "all")
    assert lab.ann.document("lab/demo", "view", "all").title == ""


def test_a_private_document_is_its_makers_alone(lab):
    place = events.head(lab.root.store)
    lab.max.create_document("lab/demo", "view", "own", {"a": 1}, private=True)
    lab.max.update_document("lab/demo", "view", "own", spec={"a": 2})
    for other in (lab.ann, lab.ria):
        assert other.documents("lab/demo") == []
        with pytest.raises(Missing):
            other.document("lab/demo", "view", "own")
    assert [item.name for item in lab.max.documents("lab/demo")] == ["own"]
    with pytest.raises(Missing):
        lab.ann.delete_document("lab/demo", "view", "own")
    lab.max.delete_document("lab/demo", "view", "own")
    assert events.since(lab.ann.store, lab.ann.ctx, "lab/demo", place)[0] == []


def test_changes_are_told(lab):
    place = events.head(lab.root.store)
    lab.max.create_document("lab/demo", "report", "weekly", {"a": 1})
    lab.ann.update_document("lab/demo", "report", "weekly", title="Weekly")
    told, place = events.since(lab.ria.store, lab.ria.ctx, "lab/demo", place)
    lab.ann.delete_document("lab/demo", "report", "weekly")
    told += events.since(lab.ria.store, lab.ria.ctx, "lab/demo", place)[0]
    assert [(event.kind, event.name, event.detail) for event in told] == [
        ("document", "report/weekly", {"revision": 1}),
        ("document", "report/weekly", {"revision": 2}),
        ("document", "report/weekly", {"revision": 0}),
    ]


def test_a_project_with_runs_stays(lab):
    lab.max.create_run("lab/demo/first")
    with pytest.raises(Conflict, match="runs"):
        lab.ann.delete_project("lab/demo")
    assert lab.ann.get_run("lab/demo/first").state == "running"
