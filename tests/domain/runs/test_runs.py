"""Runs through their life: made, resumed, forked, changed, finished, rewound, deleted, restored, purged."""

import math

import pytest

from runstone._native.points import encode_rows
from runstone.domain import archiving, audit, fields, maintenance
from runstone.domain.runs import console, lifecycle, liveness, points
from runstone.errors import Conflict, Denied, Exists, Gone, Invalid, Missing
from runstone.storage.tables import RUN_CHANGES

RUN = "local/vision/first"


def log(store, ctx, *rows, run=RUN):
    return points.log(store, ctx, run, encode_rows([(step, 1000 + step, values) for step, values in rows]))


def test_a_run_keeps_what_it_is_given(store, ctx):
    made = lifecycle.create(
        store,
        ctx,
        RUN,
        display_name="the first",
        group="g",
        job_type="train",
        sweep="s1",
        notes="so far",
        tags={"baseline": "", "team": "vision"},
        config={"lr": 0.1, "opt": {"name": "adam", "betas": [0.9, 0.999]}, "nothing": None, "inf": math.inf},
        goals={"loss": "min"},
        info={"host": "h"},
        started=5,
    )
    assert made == lifecycle.get(store, ctx, RUN)
    assert (made.namespace, made.project, made.name, made.path) == ("local", "vision", "first", RUN)
    assert (made.state, made.group, made.job_type, made.sweep, made.started) == (
        "running",
        "g",
        "train",
        "s1",
        5,
    )
    assert made.tags == {"baseline": "", "team": "vision"}
    assert made.config["opt"] == {"name": "adam", "betas": [0.9, 0.999]} and made.config["inf"] == math.inf
    assert (made.goals, made.info, made.summary, made.step, made.points) == (
        {"loss": "min"},
        {"host": "h"},
        {},
        -1,
        0,
    )


def test_resume_says_what_becomes_of_a_run_that_is_there(store, ctx):
    with pytest.raises(Missing, match="no run first to resume"):
        lifecycle.create(store, ctx, RUN, resume="must")
    lifecycle.create(store, ctx, RUN, config={"a": 1}, tags=["x"])
    with pytest.raises(Exists):
        lifecycle.create(store, ctx, RUN)
    lifecycle.set_state(store, ctx, RUN, "failed")
    again, resumed = lifecycle.create_or_resume(
        store, ctx, RUN, resume="allow", config={"b": 2}, tags=["y"], display_name="", group="", job_type="",
        sweep="", notes="", goals=None, info=None, started=0,
    )  # fmt: skip
    assert resumed and again.state == "running" and again.finished == 0
    assert again.config == {"a": 1, "b": 2} and again.tags == {"x": "", "y": ""}


def test_maps_are_merged_by_their_top_names_and_taken_apart_by_remove(store, ctx):
    lifecycle.create(store, ctx, RUN, config={"a": {"b": 1}, "c": 2}, tags=["old"])
    lifecycle.update(
        store, ctx, RUN, config={"a": {"d": 3}}, tags={"new": "t"}, remove=("config.c", "tags.old")
    )
    assert lifecycle.update(store, ctx, RUN, tags=["only"], remove=("tags",)).tags == {"only": ""}
    lifecycle.update(store, ctx, RUN, tags={"new": "t"}, remove=("tags",))
    after = lifecycle.update(store, ctx, RUN, summary={"score": 0.5}, notes="n", display_name="d")
    assert after.config == {"a": {"d": 3}} and after.tags == {"new": "t"}
    assert after.summary == {"score": 0.5} and (after.notes, after.display_name) == ("n", "d")


def test_the_summary_is_the_latest_point_of_each_key(store, ctx):
    lifecycle.create(store, ctx, RUN, goals={"loss": "min"})
    log(store, ctx, (0, {"loss": 3.0, "n": 1}), (1, {"loss": 1.0, "label": "cat"}))
    log(store, ctx, (2, {"loss": 2.0, "n": 7, "label": "dog", "bad": math.nan}))
    log(store, ctx, (1, {"n": 5}))  # late: it is not the latest
    run = lifecycle.get(store, ctx, RUN)
    assert run.summary.pop("bad") != run.summary
    assert run.summary == {"loss": 2.0, "n": 7, "label": "dog"} and isinstance(run.summary["n"], int)
    assert (run.step, run.points) == (2, 9)
    found = {each.key: each for each in points.statistics(store, ctx, RUN)}
    loss = found["loss"]
    assert (loss.points, loss.min, loss.max, loss.mean, loss.last, loss.best) == (3, 1.0, 3.0, 2.0, 2.0, 1.0)
    assert (found["bad"].points, found["bad"].nans) == (1, 1) and math.isnan(found["bad"].min)
    assert points.key_names(store, ctx, "local/vision") == ["bad", "label", "loss", "n"]
    assert points.key_names(store, ctx, "local/vision", prefix="l", after="label") == ["loss"]
    assert points.key_names(store, ctx, "local/vision", prefix="loss") == ["loss"]


def test_what_was_set_by_hand_stands_over_what_was_logged(store, ctx):
    lifecycle.create(store, ctx, RUN)
    log(store, ctx, (0, {"loss": 3.0}))
    assert lifecycle.update(store, ctx, RUN, summary={"loss": 0.1}).summary == {"loss": 0.1}
    assert lifecycle.update(store, ctx, RUN, remove=("summary.loss",)).summary == {"loss": 3.0}


def test_points_that_are_no_batch_are_refused_and_change_nothing(store, ctx):
    lifecycle.create(store, ctx, RUN)
    before = store.log.head()
    for bad in (b"", b"x" * 100, encode_rows([(0, 0, {"a": 1.0})])[:-1]):
        with pytest.raises(Invalid, match="not a batch of points"):
            points.log(store, ctx, RUN, bad)
    with pytest.raises(Missing):
        log(store, ctx, (0, {"a": 1.0}), run="local/vision/other")
    assert store.log.head() == before


def test_rewind_sets_aside_and_undo_brings_back(store, ctx):
    lifecycle.create(store, ctx, RUN)
    log(store, ctx, *((step, {"loss": float(step)}) for step in range(10)))
    rewound = lifecycle.rewind(store, ctx, RUN, 5)
    assert rewound.summary == {"loss": 4.0} and rewound.rewinds == 1 and rewound.step == 4
    log(store, ctx, (5, {"loss": 50.0}))
    assert lifecycle.get(store, ctx, RUN).summary == {"loss": 50.0}
    assert points.statistics(store, ctx, RUN)[0].points == 6
    back = lifecycle.undo_rewind(store, ctx, RUN)
    assert back.summary == {"loss": 9.0} and back.rewinds == 0
    with pytest.raises(Conflict, match="was not rewound"):
        lifecycle.undo_rewind(store, ctx, RUN)


def test_a_fork_begins_with_its_parents_history(store, ctx):
    lifecycle.create(store, ctx, RUN, goals={"loss": "max"})
    log(store, ctx, *((step, {"loss": float(step), "name": f"s{step}"}) for step in range(10)))
    fork = lifecycle.create(store, ctx, "local/vision/second", fork=RUN, step=3)
    assert (fork.parent, fork.forked, fork.summary, fork.step) == (RUN, 3, {"loss": 2.0, "name": "s2"}, 2)
    log(store, ctx, (3, {"loss": 30.0}), run="local/vision/second")
    assert lifecycle.get(store, ctx, RUN).summary == {"loss": 9.0, "name": "s9"}
    assert lifecycle.get(store, ctx, "local/vision/second").summary["loss"] == 30.0
    with pytest.raises(Invalid, match="project of the run"):
        lifecycle.create(store, ctx, "local/other/third", fork=RUN, step=3)


def test_a_fork_keeps_what_was_logged_below_step_zero(store, ctx):
    lifecycle.create(store, ctx, RUN)
    log(store, ctx, (-2, {"loss": 2.0}), (-1, {"loss": 1.0}))
    log(store, ctx, (5, {"loss": 5.0}))
    fork = lifecycle.create(store, ctx, "local/vision/second", fork=RUN, step=3)
    assert fork.summary == {"loss": 1.0}
    assert points.statistics(store, ctx, "local/vision/second")[0].points == 2


def test_a_purged_parent_leaves_its_forks_their_history(store, ctx):
    from runstone.storage.tables import ARRIVALS, STREAMS

    lifecycle.create(store, ctx, RUN)
    log(store, ctx, *((step, {"loss": float(step)}) for step in range(10)))
    lifecycle.create(store, ctx, "local/vision/second", fork=RUN, step=3)
    lifecycle.delete(store, ctx, RUN)
    lifecycle.purge(store, ctx, RUN)
    with store.index.read() as view:
        assert view.count(ARRIVALS) == 1
    lifecycle.delete(store, ctx, "local/vision/second")
    lifecycle.purge(store, ctx, "local/vision/second")
    with store.index.read() as view:
        assert (view.count(ARRIVALS), view.count(STREAMS)) == (0, 0)


def test_a_deleted_run_is_gone_until_it_is_restored_and_for_good_when_purged(store, ctx):
    lifecycle.create(store, ctx, RUN)
    log(store, ctx, (0, {"loss": 1.0}))
    with pytest.raises(Conflict, match="not deleted"):
        lifecycle.purge(store, ctx, RUN)
    lifecycle.delete(store, ctx, RUN)
    with pytest.raises(Gone):
        lifecycle.get(store, ctx, RUN)
    with pytest.raises(Gone):
        log(store, ctx, (1, {"loss": 1.0}))
    with pytest.raises(Conflict, match="restore it first"):
        lifecycle.create(store, ctx, RUN, resume="allow")
    assert lifecycle.get(store, ctx, RUN, deleted=True).deleted
    assert lifecycle.restore(store, ctx, RUN).summary == {"loss": 1.0}
    lifecycle.delete(store, ctx, RUN)
    lifecycle.purge(store, ctx, RUN)
    with pytest.raises(Missing):
        lifecycle.get(store, ctx, RUN, deleted=True)
    assert lifecycle.create(store, ctx, RUN).points == 0


def test_a_silent_run_is_crashed_and_runs_again_when_it_reports(store, ctx):
    now = store.blobs.clock()
    lifecycle.create(store, ctx, RUN)
    lifecycle.create(store, ctx, "local/vision/beating")
    assert liveness.mark_crashed(store) == []
    store.blobs.clock = lambda: now + 400 * 10**6
    liveness.heartbeat(store, ctx, "local/vision/beating")
    assert liveness.mark_crashed(store) == [RUN]
    assert lifecycle.get(store, ctx, RUN).state == "crashed" and lifecycle.get(store, ctx, RUN).finished
    log(store, ctx, (0, {"loss": 1.0}))
    assert lifecycle.get(store, ctx, RUN).state == "running"


def test_console_lines_are_rewritten_paged_and_searched(store, ctx):
    lifecycle.create(store, ctx, RUN)
    assert console.log(store, ctx, RUN, [(1, "stdout", "", "hello"), (2, "stderr", "error", "10%")]) == 0
    assert console.log(store, ctx, RUN, [(3, "stdout", "", "World")]) == 2
    assert console.log(store, ctx, RUN, [(4, "stderr", "error", "20%")], first=1) == 1
    assert [line.text for line in console.read(store, ctx, RUN)] == ["hello", "20%", "World"]
    assert [line.number for line in console.read(store, ctx, RUN, search="wOr")] == [2]
    assert [line.text for line in console.read(store, ctx, RUN, stream="stderr")] == ["20%"]
    assert [line.text for line in console.read(store, ctx, RUN, start=1, limit=1)] == ["20%"]
    assert [line.text for line in console.tail(store, ctx, RUN, 1)] == ["World"]
    assert lifecycle.get(store, ctx, RUN).lines == 3


def test_writers_number_their_own_lines(store, ctx):
    def add(writer, first, *texts):
        return console.log(
            store, ctx, RUN, [(1, "stdout", "", text) for text in texts], first=first, writer=writer
        )

    lifecycle.create(store, ctx, RUN)
    assert add("a", 0, "a0", "a1") == 0
    assert add("b", 0, "b0") == 2
    assert add("a", 2, "a2", "a3") == 3
    assert add("a", 1, "A1", "A2", "A3", "A4") == 1
    assert add("b", None, "b1") == 6
    assert add("b", 5, "b5") == 7
    assert add("b", 4, "b4", "B5") == 8
    texts = [line.text for line in console.read(store, ctx, RUN)]
    assert texts == ["a0", "A1", "b0", "A2", "A3", "A4", "b1", "b5", "b4", "B5"]


def test_many_console_lines_are_found_by_number(store, ctx):
    lifecycle.create(store, ctx, RUN)
    for start in range(0, 30_000, 5_000):
        console.log(store, ctx, RUN, [(1, "stdout", "", f"line {start + n}") for n in range(5_000)])
    console.log(store, ctx, RUN, [(1, "stdout", "", "rewritten")] * 3, first=12_344)
    found = console.read(store, ctx, RUN, start=12_340, limit=10)
    assert [line.number for line in found] == list(range(12_340, 12_350))
    assert [line.text for line in found][3:8] == ["line 12343", *["rewritten"] * 3, "line 12347"]
    assert [line.number for line in console.read(store, ctx, RUN, search="line 2999")] == [
        2999,
        *range(29_990, 30_000),
    ]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"config": {"": 1}}, "must be text and not empty"),
        ({"config": {"a": {1, 2}}}, "holds a set"),
        ({"config": {"a": 1 << 70}}, "cannot be stored"),
        ({"tags": {"a" * 500: ""}}, "limit is 400"),
        ({"goals": {"loss": "low"}}, "min or max"),
        ({"notes": "a\0"}, "NUL"),
        ({"started": -1}, "microseconds"),
    ],
)
def test_bad_changes_are_refused_and_change_nothing(store, ctx, change, message):
    lifecycle.create(store, ctx, RUN)
    before = store.log.head()
    with pytest.raises(Invalid, match=message):
        lifecycle.update(store, ctx, RUN, **change)
    assert store.log.head() == before


@pytest.mark.parametrize(
    "name", ["local/vision/a:b", "local/vision/ a", "local/vision/" + "a" * 200, "x", "local/vision/-a"]
)
def test_bad_names_are_refused(store, ctx, name):
    with pytest.raises(Invalid):
        lifecycle.create(store, ctx, name)


def test_who_may_not_write_may_not_log_and_who_may_not_read_sees_nothing(people):
    store = people.root.store
    lifecycle.create(store, people.max.ctx, "lab/vision/r")
    assert lifecycle.get(store, people.ria.ctx, "lab/vision/r").by == "max"
    with pytest.raises(Denied):
        log(store, people.ria.ctx, (0, {"a": 1.0}), run="lab/vision/r")
    with pytest.raises(Missing):
        lifecycle.get(store, people.eve.ctx, "lab/vision/r")
    with pytest.raises(Denied):
        lifecycle.create(store, people.ria.ctx, "lab/vision/q")


def test_hidden_fields_are_neither_shown_nor_settable(people):
    store, ann, ria = people.root.store, people.ann, people.ria
    lifecycle.create(store, ann.ctx, "lab/vision/r", config={"user": {"email": "e", "age": 3}, "lr": 1})
    log(store, ann.ctx, (0, {"loss": 1.0, "cost": 5.0}), run="lab/vision/r")
    for field in ("config.user.email", "summary.cost", "tags.who"):
        fields.set_class(store, ann.ctx, "lab/vision", field, "secret")
    ann.set_member("lab", "ria", "member")
    seen = lifecycle.get(store, ria.ctx, "lab/vision/r")
    assert seen.config == {"user": {"age": 3}, "lr": 1} and seen.summary == {"loss": 1.0}
    assert [each.key for each in points.statistics(store, ria.ctx, "lab/vision/r")] == ["loss"]
    assert points.key_names(store, ria.ctx, "lab/vision") == ["loss"]
    for change in ({"config": {"user": {}}}, {"remove": ("config.user.email",)}, {"tags": {"who": "x"}}):
        with pytest.raises(Denied, match="may not"):
            lifecycle.update(store, ria.ctx, "lab/vision/r", **change)
    lifecycle.update(store, ria.ctx, "lab/vision/r", config={"lr": 2})
    assert lifecycle.get(store, ann.ctx, "lab/vision/r").config == {"user": {"email": "e", "age": 3}, "lr": 2}


def test_lineage_runs_through_runs(library, tmp_path):
    (tmp_path / "data.txt").write_bytes(b"x")
    library.put("local/vision/set", tmp_path / "data.txt", type="dataset")
    lifecycle.create(library.store, library.ctx, RUN)
    library.put("local/vision/model", tmp_path / "data.txt")
    library.link("local/vision/set@v1", "used_by", f"run:{RUN}")
    library.link(f"run:{RUN}", "produced", "local/vision/model@v1")
    graph = library.lineage("local/vision/model@v1", direction="upstream")
    assert {(node.kind, node.name) for node in graph.nodes} == {
        ("version", "local/vision/model:v1"),
        ("run", RUN),
        ("version", "local/vision/set:v1"),
    }


def test_a_runs_files_hold_their_bytes(library, tmp_path):
    from runstone.domain import content
    from runstone.domain.runs import files

    store, ctx = library.store, library.ctx
    lifecycle.create(store, ctx, RUN)
    (tmp_path / "a").write_bytes(b"abc" * 1000)
    (entry,) = content.put_files(store, ctx, "local", [("out/a.bin", tmp_path / "a")])
    files.put(store, ctx, RUN, [entry])
    files.put(store, ctx, RUN, [type(entry)(path="copy.bin", size=entry.size, sha256=entry.sha256)])
    assert [file.path for file in files.listed(store, ctx, RUN)] == ["copy.bin", "out/a.bin"]
    files.remove(store, ctx, RUN, ["copy.bin"])
    library.gc(grace_seconds=0)
    library.gc(grace_seconds=0)
    with files.open_file(store, ctx, RUN, "out/a.bin") as stored:
        assert stored.read() == b"abc" * 1000
    with pytest.raises(Missing):
        files.remove(store, ctx, RUN, ["copy.bin"])


def test_a_rebuilt_index_is_equal(library, tmp_path):
    store, ctx = library.store, library.ctx
    lifecycle.create(store, ctx, RUN, config={"a": 1})
    log(store, ctx, *((step, {"loss": float(step), "x": "y"}) for step in range(10)))
    lifecycle.rewind(store, ctx, RUN, 5)
    console.log(store, ctx, RUN, [(1, "stdout", "", "hello")])
    lifecycle.create(store, ctx, "local/vision/second", fork=RUN, step=3)
    lifecycle.delete(store, ctx, RUN)
    lifecycle.purge(store, ctx, RUN)
    assert library.verify()["entries"] == store.log.head().size
    before = store.log.head()
    library.close()
    assert maintenance.rebuild(store.path) == before


def test_what_a_parent_logs_late_is_told_of_its_forks(library):
    library.create_run("p/parent")
    library.log_rows("p/parent", [(step, step, {"a": float(step)}) for step in (1, 6)])
    library.create_run("p/fork", fork="p/parent", step=5)
    before = library.get_run("p/fork")
    library.log_rows("p/parent", [(step, step, {"a": -float(step), "b": {"x": step}}) for step in (4, 5)])
    after = library.get_run("p/fork")
    assert (after.summary, after.step, after.updated) == ({"a": -4.0, "b.x": 4}, 4, before.updated)
    stat = library.run_stats("p/fork", prefix="a")[0]
    assert (stat.points, stat.min, stat.max) == (2, -4.0, 1.0)
    assert [run.name for run in library.runs("p", "summary.a = -4").items] == ["fork"]


def test_every_run_of_an_archived_project_is_back_when_it_is_restored(library):
    for number in range(3):
        library.create_run(f"p/r{number}")
    assert len(library.runs("p").items) == 3
    archiving.archive(library.store, library.ctx, "local/p")
    assert library.runs("p").items == ()
    archiving.restore(library.store, library.ctx, "local/p")
    assert len(library.runs("p").items) == 3
    with library.store.index.read() as view:
        assert len({run for (_, _, run), _ in view.scan(RUN_CHANGES)}) == 3


def test_the_history_of_a_config_is_told_in_clear_to_whom_may_read_all_of_it(people):
    store, ann, ria = people.root.store, people.ann, people.ria
    lifecycle.create(store, ann.ctx, "lab/vision/h", config={"lr": 1, "opt": {"betas": [0.9, math.nan]}})
    lifecycle.update(store, ann.ctx, "lab/vision/h", config={"lr": 2}, summary={"best": True})
    lifecycle.update(store, ann.ctx, "lab/vision/h", once={"seed": 7})
    told = [each.command for each in audit.history(store, ann.ctx, "run:lab/vision/h")]
    assert told[0]["config"]["lr"] == 1 and math.isnan(told[0]["config"]["opt"]["betas"][1])
    assert (told[1]["config"], told[1]["summary"]) == ({"lr": 2}, {"best": True})
    assert told[2]["once"] == {"seed": 7}
    assert told[1:] == [each.command for each in audit.history(store, ria.ctx, "run:lab/vision/h")][1:]
    fields.set_class(store, ann.ctx, "lab/vision", "config.seed", "secret")
    hidden = [each.command for each in audit.history(store, ria.ctx, "run:lab/vision/h")]
    assert len(hidden) == 3 and not any({"config", "once", "summary"} & set(command) for command in hidden)
