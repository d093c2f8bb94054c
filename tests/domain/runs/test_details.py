"""Runs as dialects write them: remembered until they change, and never what another reader may see."""

import json

import pytest

from runstone._native.points import encode_rows
from runstone.domain import fields, projects
from runstone.domain.runs import details, inputs, lifecycle, points, questions
from runstone.domain.runs.details import Rendering
from runstone.domain.runs.inputs import Used


@pytest.fixture
def store(people):
    return people.root.store


@pytest.fixture
def writings():
    """What was written so far, by run."""
    return []


@pytest.fixture
def ask(store, writings):
    """Asks a reader's page, and answers its runs as they were written."""

    def write(run):
        writings.append(run.name)
        told = {
            "name": run.name,
            "config": run.config,
            "tags": run.tags,
            "latest": run.latest,
            "at": run.path,
        }
        return json.dumps(told | {"reads": [used[0].name for used in run.uses.datasets]}).encode()

    def asked(ctx, project="lab/vision", form="a", **more):
        page = questions.across(store, ctx, {project: Rendering(form, write)}, "test", **more)
        return [json.loads(bytes(each)) for each in page.items]

    return asked


def log(store, ctx, run, values, step=0):
    points.log(store, ctx, run, encode_rows([(step, 1000 + step, values)]))


def test_a_run_is_written_once_until_it_changes(store, people, ask, writings):
    ctx = people.ann.ctx
    lifecycle.create(store, ctx, "lab/vision/r", config={"lr": 1})
    lifecycle.create(store, ctx, "lab/vision/s")
    log(store, ctx, "lab/vision/r", {"loss": 2.0, "acc": 1.0})
    first = ask(ctx, order="name")
    assert [each["latest"] for each in first] == [[["acc", 1.0, 1000, 0], ["loss", 2.0, 1000, 0]], []]
    assert ask(ctx, order="name") == first and writings == ["r", "s"]
    for change in (
        lambda: log(store, ctx, "lab/vision/r", {"loss": 1.5}, step=3),
        lambda: lifecycle.update(store, ctx, "lab/vision/r", config={"lr": 2}),
        lambda: lifecycle.update(store, ctx, "lab/vision/r", tags={"t": "v"}),
        lambda: inputs.note(store, ctx, "lab/vision/r", [Used("d", "1")]),
    ):
        writings.clear()
        change()
        assert ask(ctx, order="name") != first and writings == ["r"]
        first = ask(ctx, order="name")
    assert first[0] == {
        "name": "r",
        "config": {"lr": 2},
        "tags": {"t": "v"},
        "latest": [["acc", 1.0, 1000, 0], ["loss", 1.5, 1003, 3]],
        "at": "lab/vision/r",
        "reads": ["d"],
    }


def test_what_is_hidden_from_one_reader_is_not_written_for_them(store, people, ask):
    ann, ria = people.ann, people.ria
    lifecycle.create(store, ann.ctx, "lab/vision/r", config={"lr": 1, "email": "e"}, tags={"who": "x"})
    log(store, ann.ctx, "lab/vision/r", {"loss": 1.0, "cost": 5.0})
    whole = ask(ann.ctx)
    for field in ("config.email", "summary.cost", "tags.who"):
        fields.set_class(store, ann.ctx, "lab/vision", field, "secret")
    for _ in range(2):
        assert ask(ann.ctx) == whole
        [seen] = ask(ria.ctx)
        assert (seen["config"], seen["tags"]) == ({"lr": 1}, {})
        assert [each[0] for each in seen["latest"]] == ["loss"]


def test_another_form_name_or_kind_is_another_writing(store, people, ask, writings):
    ctx = people.ann.ctx
    lifecycle.create(store, ctx, "lab/vision/r")
    ask(ctx)
    ask(ctx, form="b")
    assert writings == ["r", "r"]
    projects.update(store, ctx, "lab/vision", new_name="sight")
    assert ask(ctx, "lab/sight")[0]["at"] == "lab/sight/r"


def test_a_purged_run_is_not_told_any_more(store, people, ask):
    ctx = people.ann.ctx
    lifecycle.create(store, ctx, "lab/vision/r")
    lifecycle.create(store, ctx, "lab/vision/s")
    assert len(ask(ctx, deleted=True)) == 2
    lifecycle.delete(store, ctx, "lab/vision/r")
    lifecycle.purge(store, people.root.ctx, "lab/vision/r")
    assert [each["name"] for each in ask(ctx, deleted=True)] == ["s"]


def test_no_more_is_remembered_than_there_is_room_for(store, people, ask, writings, monkeypatch):
    monkeypatch.setattr(details, "MAX_BYTES", 2000)
    for number in range(12):
        lifecycle.create(store, people.ann.ctx, f"lab/vision/r{number}")
    assert len(ask(people.ann.ctx)) == len(ask(people.ann.ctx)) == 12
    assert len(writings) > 12
    assert len(details.written(store)._held) < 8


def test_details_are_what_the_run_says(store, people):
    ctx = people.ann.ctx
    made = lifecycle.create(store, ctx, "lab/vision/r", config={"a": {"b": 1}}, tags={"t": ""}, started=7)
    found = details.get(store, ctx, "lab/vision/r")
    for name in ("id", "path", "state", "created", "started", "config", "tags", "by", "deleted", "updated"):
        assert getattr(found, name) == getattr(made, name)
