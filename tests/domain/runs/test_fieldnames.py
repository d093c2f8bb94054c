"""Names of fields and keys: found by words, in sections, and by how many runs have them."""

import pytest

from runstone.domain.runs import columns, fieldnames

KEYS = [
    "loss", "zeta", "/odd", "_step", "train/_own", "train/Loss", "train/acc", "train/deep/acc", "val/acc", "Ünder/Maß", "val.acc", "valid/x",
]  # fmt: skip


@pytest.fixture(params=["in memory", "sealed"])
def demo(library, request):
    for number in range(3):
        library.create_run(f"demo/r{number}", config={"lr": number, "acc": 1} if number else {"lr": 0})
    library.log_rows("demo/r0", [(0, 1, dict.fromkeys(KEYS, 1.0))])
    library.log_rows("demo/r1", [(0, 1, {"val/acc": 0.5, "zeta": 1.0})])
    library.update_run("demo/r2", summary={"note": "no number"})
    if request.param == "sealed":
        with library.store.index.read() as view:
            from runstone.domain import names

            _, project = names.find_project(
                library.store, view, library.ctx, names.parse_project(library.ctx, "demo")
            )
        columns.tables(library.store).of(project.id).seal()
    return library


def sections_of(library, **given):
    found, after = [], ""
    while True:
        piece, after = fieldnames.sections(library.store, library.ctx, "demo", after=after, **given)
        found += piece
        if not after:
            return found


def test_keys_stand_in_sections(demo):
    found = {each.name: (each.keys, bool(each.next)) for each in sections_of(demo)}
    assert found == {
        "": (("/odd", "loss", "val.acc", "zeta"), False),
        "train": (("train/Loss", "train/acc", "train/deep/acc"), False),
        "val": (("val/acc",), False),
        "valid": (("valid/x",), False),
        "Ünder": (("Ünder/Maß",), False),
    }
    one_by_one = sections_of(demo, limit=1, keys=1)
    assert [each.name for each in one_by_one] == list(found)
    for each in one_by_one:
        keys, after = list(each.keys), each.next
        while after:
            more, after = fieldnames.section_keys(
                demo.store, demo.ctx, "demo", each.name, after=after, limit=1
            )
            keys += more
        assert tuple(keys) == found[each.name][0]


def test_words_find_keys_in_whatever_case(demo):
    assert [(each.name, each.keys) for each in sections_of(demo, contains="ACC")] == [
        ("train", ("train/acc", "train/deep/acc")), ("", ("val.acc",)), ("val", ("val/acc",)),
    ]  # fmt: skip
    pieces = [key for each in sections_of(demo, contains="ACC", keys=1) for key in each.keys]
    assert pieces == ["train/acc", "train/deep/acc", "val.acc", "val/acc"]
    assert [each.keys for each in sections_of(demo, contains="acc deep")] == [("train/deep/acc",)]
    assert [each.keys for each in sections_of(demo, contains="maß")] == [("Ünder/Maß",)]
    # Neither the word before the dot nor a statistic is part of a key.
    assert sections_of(demo, contains="summary") == sections_of(demo, contains="mean") == []


def test_keys_of_deleted_runs_are_none(demo):
    demo.delete_run("demo/r0")
    # Deleted runs are still rows; purged ones are none.
    demo.purge_run("demo/r0")
    assert [(each.name, each.keys) for each in sections_of(demo)] == [("", ("zeta",)), ("val", ("val/acc",))]


def test_fields_of_a_kind(demo):
    def found(**given):
        return [each.field for each in fieldnames.listed(demo.store, demo.ctx, "demo", **given)[0]]

    assert found(contains="acc", kind="plain") == [
        "config.acc", "summary.train/acc", "summary.train/deep/acc", "summary.val.acc", "summary.val/acc",
    ]  # fmt: skip
    assert "summary.note" in found(kind="plain") and "summary.note" not in found(kind="numbers")
    foremost = fieldnames.frequent(demo.store, demo.ctx, "demo", prefix="summary.", kind="numbers", limit=3)
    assert [(each.field, each.runs) for each in foremost] == [
        ("summary.val/acc", 2), ("summary.zeta", 2), ("summary./odd", 1),
    ]  # fmt: skip
    foremost = fieldnames.frequent(demo.store, demo.ctx, "demo", prefix="config.", limit=1)
    assert [(each.field, each.runs) for each in foremost] == [("config.lr", 3)]


def test_who_may_not_see_a_field_finds_no_key_of_it(people):
    people.ann.create_project("lab/p")
    people.ann.create_run("lab/p/r")
    people.ann.log_rows("lab/p/r", [(0, 1, {"acc": 1.0, "train/acc": 1.0, "train/deep/acc": 1.0})])
    people.ann.set_field_class("lab/p", "summary.train/acc", "secret")

    def keys(reader):
        found = fieldnames.sections(reader.store, reader.ctx, "lab/p", contains="acc")[0]
        return [key for each in found for key in each.keys]

    assert keys(people.ria) == ["acc", "train/deep/acc"]
    assert keys(people.ann) == ["acc", "train/acc", "train/deep/acc"]
