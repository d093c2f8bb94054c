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
