import pytest

from runstone.errors import Denied, Invalid
from runstone.types import FileEntry

META = {"acc": 1, "author": {"name": "n", "mail": "m"}, "runs": [{"cost": 5, "id": 1}]}


def test_a_masked_field_is_not_there(people):
    people.ann.put("lab/p/m", files=[FileEntry(path="a", size=1, url="s3://b/k", etag="e")], metadata=META)
    people.ann.set_field_class("lab/p", "author.mail", "pii")
    people.ann.set_field_class("lab/p", "runs.cost", "confidential")
    assert people.ann.field_classes("lab/p") == {"author.mail": "pii", "runs.cost": "confidential"}
    assert people.ann.version("lab/p/m").metadata == META
    assert people.max.version("lab/p/m").metadata == {**META, "author": {"name": "n"}}
    assert people.ria.version("lab/p/m").metadata == {
        "acc": 1, "author": {"name": "n"}, "runs": [{"id": 1}],
    }  # fmt: skip
    people.ann.set_member("lab", "ria", "reader", classes=["public", "pii"])
    assert people.ria.versions("lab/p/m")[0].metadata["author"] == {"name": "n", "mail": "m"}
    people.ann.set_field_class("lab/p", "author", "secret")
    assert "author" not in people.max.version("lab/p/m").metadata
    people.ann.set_field_class("lab/p", "author", "public")
    assert "author" in people.max.version("lab/p/m").metadata


def test_classes_are_set_by_who_administers(people):
    people.ann.create_project("lab/p")
    with pytest.raises(Denied):
        people.max.set_field_class("lab/p", "x", "pii")
    with pytest.raises(Invalid):
        people.ann.set_field_class("lab/p", "x", "private")


@pytest.fixture
def lab(people):
    """A collection with fields that max, who may write it, does not see."""
    people.ann.create_project("lab/p")
    for field, name in (("mail", "pii"), ("author.mail", "pii"), ("runs.cost", "secret")):
        people.ann.set_field_class("lab/p", field, name)
    people.ann.create_collection("lab/p/m", metadata={**META, "mail": "x", "none": None})
    return people


SHOWN = {"acc": 1, "author": {"name": "n"}, "runs": [{"id": 1}], "none": None}


def stored(people):
    return people.ann.collection("lab/p/m").metadata


def test_fields_that_a_writer_does_not_see_stay(lab):
    assert lab.max.collection("lab/p/m").metadata == SHOWN
    changed = lab.max.update_collection(
        "lab/p/m", metadata={**SHOWN, "acc": 2, "author": {"name": "o", "x": {}}}
    )
    assert changed.metadata == {**SHOWN, "acc": 2, "author": {"name": "o", "x": {}}}
    assert stored(lab) == {
        **META, "acc": 2, "author": {"name": "o", "x": {}, "mail": "m"}, "mail": "x", "none": None,
    }  # fmt: skip
    lab.max.update_collection("lab/p/m", metadata={"runs": SHOWN["runs"]})
    assert stored(lab) == {"author": {"mail": "m"}, "mail": "x", "runs": META["runs"]}
    lab.max.update_collection("lab/p/m", description="other")
    assert stored(lab)["mail"] == "x"
    assert lab.ann.update_collection("lab/p/m", metadata={"acc": 3}).metadata == {"acc": 3}


@pytest.mark.parametrize(
    "named",
    [{"mail": "x"}, {"mail": None}, {"author": {"mail": "m"}}, {"author": {"mail": {"deep": 1}}},
     {"author": [{"mail": 1}]}, {"runs": [{"id": 1}, {"cost": 5}]}],
)  # fmt: skip
def test_setting_a_field_that_is_not_seen_is_refused_whatever_it_holds(lab, named):
    """The same refusal where the field has this value, where it has another, and where it is not there."""
    lab.ann.create_collection("lab/p/bare")
    said = set()
    for name in ("lab/p/m", "lab/p/bare"):
        with pytest.raises(Denied) as caught:
            lab.max.update_collection(name, metadata={**named, "acc": 9})
        said.add(caught.value.message)
    assert len(said) == 1
    assert stored(lab) == {**META, "mail": "x", "none": None}
    assert lab.ann.update_collection("lab/p/m", metadata=named).metadata == named


@pytest.mark.parametrize(
    "given",
    [{**SHOWN, "runs": []}, {**SHOWN, "runs": [{"id": 2}]}, {**SHOWN, "author": "me"}, {}, [SHOWN], "x"],
)
def test_what_is_answered_does_not_depend_on_what_is_hidden(lab, given):
    """Two collections that look the same to a writer go on looking the same to it."""
    lab.ann.create_collection("lab/p/bare", metadata=SHOWN)
    told = []
    for name in ("lab/p/m", "lab/p/bare"):
        try:
            told.append(lab.max.update_collection(name, metadata=given).metadata)
        except Denied as error:
            told.append(error.message)
    assert told[0] == told[1]
    left = stored(lab)
    assert (left["mail"], left["author"]["mail"], left["runs"][0]["cost"]) == ("x", "m", 5)


def test_a_version_is_not_answered_for_a_guess_of_what_is_hidden(lab):
    """Whoever makes a version may say anything of it, and learns nothing of one that says the same."""
    held = [FileEntry(path="a", size=1, url="s3://b/k", etag="e")]
    assert lab.ann.put("lab/p/m", files=held, metadata={"mail": "x"}).number == 1
    assert lab.ann.put("lab/p/m", files=held, metadata={"mail": "x"}).number == 1
    assert lab.max.put("lab/p/m", files=held, metadata={"mail": "x"}).number == 2
    assert lab.max.put("lab/p/m", files=held, metadata={"acc": 1}).number == 3
    assert lab.max.put("lab/p/m", files=held, metadata={"acc": 1}).number == 3


def test_a_move_does_not_show_what_is_hidden(lab):
    """In a project of one's own, where nothing is classed, one would read all of it."""
    lab.max.create_project("max/own")
    with pytest.raises(Denied):
        lab.max.update_collection("lab/p/m", project="max/own")
    assert stored(lab)["mail"] == "x"
    lab.ann.create_project("ann/own")
    assert lab.ann.update_collection("lab/p/m", project="ann/own").metadata["mail"] == "x"
