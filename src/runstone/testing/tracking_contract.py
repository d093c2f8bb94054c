"""What every store promises of runs, however it is reached; see :mod:`runstone.testing.store_contract`."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest

from runstone._native.points import encode_rows
from runstone.errors import Conflict, Exists, Gone, Invalid, Missing

RUN = "demo/first"


class TrackingContract:
    """Subclass it, and give it the fixture ``store``."""

    def test_a_run_is_what_it_was_made_as(self, store: Any) -> None:
        """Attributes, nested config, tags and numbers that JSON lacks come back as they were given."""
        made = store.create_run(
            RUN,
            display_name="the first",
            group="g",
            tags={"baseline": "", "team": "vision"},
            config={"lr": 0.1, "opt": {"name": "adam"}, "inf": math.inf, "nothing": None},
            goals={"loss": "min"},
            info={"host": "h"},
            started=5,
        )
        assert made == store.get_run(f"local/{RUN}")
        assert (made.path, made.state, made.started, made.group) == (f"local/{RUN}", "running", 5, "g")
        assert made.config == {"lr": 0.1, "opt": {"name": "adam"}, "inf": math.inf, "nothing": None}
        assert made.tags == {"baseline": "", "team": "vision"}
        with pytest.raises(Exists):
            store.create_run(RUN)
        with pytest.raises(Missing):
            store.create_run("demo/other", resume="must")
        again = store.create_run(RUN, resume="allow", config={"b": 2}, tags=["more"])
        assert again.id == made.id and again.config["b"] == 2 and "more" in again.tags
        with pytest.raises(Invalid):
            store.get_run(f"{RUN}@v1")

    def test_a_run_is_changed_and_finished(self, store: Any) -> None:
        """Maps are merged by their top names, and names are taken away."""
        store.create_run(RUN, config={"a": {"b": 1}, "c": 2}, tags=["old"])
        run = store.update_run(RUN, config={"a": {"d": math.nan}}, remove=["config.c", "tags.old"], notes="n")
        assert list(run.config) == ["a"] and math.isnan(run.config["a"]["d"]) and run.tags == {}
        store.heartbeat(RUN)
        done = store.finish_run(RUN, "failed", finished=7)
        assert (done.state, done.finished, done.notes) == ("failed", 7, "n")
        with pytest.raises(Invalid):
            store.finish_run(RUN, "done")

    def test_points_make_the_summary(self, store: Any) -> None:
        """Rows and batches add up, the latest point counts, and statistics need no goal."""
        store.create_run(RUN, goals={"loss": "min"})
        assert store.log_rows(RUN, [(0, 1, {"loss": 3.0, "n": 1}), (1, 2, {"loss": 1.0, "who": "cat"})]) == 4
        assert store.log_batch(RUN, encode_rows([(2, 3, {"loss": 2.0, "bad": math.nan})])) == 2
        run = store.get_run(RUN)
        assert math.isnan(run.summary.pop("bad"))
        assert run.summary == {"loss": 2.0, "n": 1, "who": "cat"} and (run.step, run.points) == (2, 6)
        stats = store.run_stats(RUN)
        assert [each.key for each in stats] == ["bad", "loss", "n"]
        assert (stats[1].min, stats[1].max, stats[1].mean, stats[1].last, stats[1].best) == (
            1.0,
            3.0,
            2.0,
            2.0,
            1.0,
        )
        assert store.run_stats(RUN, prefix="l", after="bad") == [stats[1]]
        assert store.run_keys("demo") == ["bad", "loss", "n", "who"]
        assert store.run_keys("demo", limit=2, after="bad") == ["loss", "n"]
        with pytest.raises(Invalid):
            store.log_batch(RUN, b"not a batch")
        with pytest.raises(Invalid):
            store.log_rows(RUN, [(0, 0, {"": 1})])

    def test_a_run_is_forked_rewound_deleted_restored_and_purged(self, store: Any) -> None:
        """History is shared and never destroyed, until a run is purged."""
        store.create_run(RUN)
        store.log_rows(RUN, [(step, step, {"loss": float(step)}) for step in range(10)])
        fork = store.create_run("demo/second", fork=RUN, step=4)
        assert (fork.summary, fork.parent, fork.forked) == ({"loss": 3.0}, f"local/{RUN}", 4)
        assert store.rewind_run(RUN, 6).summary == {"loss": 5.0}
        assert store.undo_rewind(RUN).summary == {"loss": 9.0}
        with pytest.raises(Conflict):
            store.undo_rewind(RUN)
        store.delete_run(RUN)
        with pytest.raises(Gone):
            store.get_run(RUN)
        assert store.get_run(RUN, deleted=True).deleted > 0
        assert store.restore_run(RUN).deleted == 0
        store.delete_run(RUN)
        store.purge_run(RUN)
        with pytest.raises(Missing):
            store.get_run(RUN, deleted=True)

    def test_runs_are_found_ordered_grouped_and_paged(self, store: Any) -> None:
        """The same question has the same answer, in whichever language, and pages have no seams."""
        for number in range(30):
            store.create_run(
                f"demo/run-{number:02}",
                config={"lr": number / 10, "opt": ("adam", "sgd", "lion")[number % 3]},
                tags=["even"] if number % 2 == 0 else [],
            )
            store.log_rows(f"demo/run-{number:02}", [(0, 0, {"loss": 30.0 - number})])
        best = store.runs(
            "demo", 'config.opt = "adam" and summary.loss < 20', order="summary.loss", limit=5, total=True
        )
        assert [run.name for run in best.items] == ["run-27", "run-24", "run-21", "run-18", "run-15"]
        assert best.total == 6 and best.next
        rest = store.runs(
            "demo", 'config.opt = "adam" and summary.loss < 20', order="summary.loss", after=best.next
        )
        assert [run.name for run in rest.items] == ["run-12"] and rest.next == ""
        assert best.items[0] == store.get_run("demo/run-27")
        same = {"$and": [{"config.opt": "adam"}, {"summary_metrics.loss": {"$lt": 20}}]}
        assert store.runs("demo", same, order="summary.loss", limit=5).items == best.items
        assert [run.name for run in store.runs("demo", limit=2).items] == ["run-29", "run-28"]
        assert store.runs("demo", "tags.even exists", total=True, limit=1).total == 15
        groups = store.group_runs(
            "demo", ["config.opt"], ["count()", "mean(summary.loss)"], order="config.opt"
        )
        assert [(each.key, each.figures) for each in groups.items] == [
            (("adam",), (10, 16.5)),
            (("lion",), (10, 14.5)),
            (("sgd",), (10, 15.5)),
        ]
        fields = {each.field: each.runs for each in store.run_fields("demo", prefix="config.")}
        assert fields == {"config.lr": 30, "config.opt": 30}
        found = [each.field for each in store.run_fields("demo", contains="L M")]
        assert found == ["summary.loss:max", "summary.loss:mean", "summary.loss:min"]
        assert [each.field for each in store.run_fields("demo", contains="L M", limit=1)] == found[:1]
        store.delete_run("demo/run-29")
        store.log_rows("demo/run-00", [(1, 1, {"loss": -1.0})])
        assert store.runs("demo", order="summary.loss", limit=1).items[0].name == "run-00"
        assert [run.name for run in store.runs("demo", limit=1).items] == ["run-28"]
        assert store.runs("demo", limit=1, deleted=True).items[0].name == "run-29"
        for wrong in ("summary.loss <", "(", 'name ~ "["'):
            with pytest.raises(Invalid):
                store.runs("demo", wrong)

    def test_sql_selects(self, store: Any) -> None:
        """Rows of a project, as Arrow; and nothing but reading."""
        for number in range(3):
            store.create_run(f"demo/r{number}", config={"lr": number / 10})
        found = store.sql("demo", 'SELECT id, "config.lr" AS lr FROM runs ORDER BY lr DESC')
        assert found.to_pylist() == [{"id": f"r{n}", "lr": n / 10} for n in (2, 1, 0)]
        with pytest.raises(Invalid):
            store.sql("demo", "DROP TABLE runs")

    def test_series_are_exact_and_pictures_hold_every_point(self, store: Any) -> None:
        """What was logged comes back as it was, by pages and ranges, and in buckets."""
        store.create_run(RUN)
        store.log_rows(RUN, [(step, 1000 + step, {"loss": step / 3, "n": step}) for step in range(50)])
        store.log_rows(RUN, [(50, 1050, {"loss": math.nan, "who": ["cat"]})])
        page = store.series(RUN, "loss", limit=40)
        assert page.steps == list(range(40)) and page.values == [step / 3 for step in range(40)]
        rest = store.series(RUN, "loss", after=page.next, limit=40)
        assert rest.steps == list(range(40, 51)) and math.isnan(rest.values[-1]) and rest.next == ""
        assert store.series(RUN, "n", low=1010, high=1013, by="time").values == [10, 11, 12]
        rows = store.rows(RUN, ["n", "who"], low=49)
        assert rows.rows == ((49, 1049, {"n": 49}), (50, 1050, {"who": ["cat"]}))
        (drawn,) = store.pictures([RUN], ["loss", "nothing"], buckets=10)
        assert drawn.run == f"local/{RUN}" and sum(drawn.count) == 51 and sum(drawn.nans) == 1
        assert max(value for value in drawn.max if not math.isnan(value)) == 49 / 3
        with pytest.raises(Missing):
            store.series(RUN, "nothing")

    def test_a_run_is_logged_to_by_its_handle(self, store: Any, tmp_path: Path) -> None:
        """What the handle logged is all there when it has finished."""
        (tmp_path / "f").write_bytes(b"x")
        store.put("demo/data", tmp_path / "f", type="dataset")
        with store.run(
            "demo",
            "live",
            config={"lr": 0.1},
            tags=["a"],
            goals={"loss": "min"},
            system=0,
            spool=tmp_path / "spool",
        ) as run:
            for step in range(100):
                run.log({"loss": 1 / (step + 1), "nested": {"a": step}})
            run.config["batch"] = 32
            run.summary["final"] = True
            run.console("one\n10%\r20%\rdone\n")
            run.use("local/demo/data@v1")
        found = store.get_run("demo/live")
        assert (found.state, found.points, found.step) == ("finished", 200, 99)
        assert found.config == {"lr": 0.1, "batch": 32} and found.tags == {"a": ""}
        assert found.summary == {"loss": 0.01, "nested.a": 99, "final": True}
        assert store.series("demo/live", "nested.a").values == list(range(100))
        assert [line.text for line in store.lines("demo/live")] == ["one", "done"]
        graph = store.lineage("demo/data@v1", direction="downstream")
        assert "local/demo/live" in {node.name for node in graph.nodes}

    def test_console_lines(self, store: Any) -> None:
        """Lines are numbered, rewritten, searched and paged."""
        store.create_run(RUN)
        assert store.log_lines(RUN, [(1, "stdout", "", "one"), (2, "stderr", "error", "10%")]) == 0
        assert store.log_lines(RUN, [(3, "stdout", "", "three")]) == 2
        assert store.log_lines(RUN, [(4, "stderr", "error", "20%")], first=1) == 1
        assert [line.text for line in store.lines(RUN)] == ["one", "20%", "three"]
        assert [line.number for line in store.lines(RUN, search="THR")] == [2]
        assert [line.text for line in store.lines(RUN, stream="stderr", start=1, limit=5)] == ["20%"]
        assert [line.text for line in store.last_lines(RUN, 1)] == ["three"]

    def test_a_runs_files(self, store: Any, tmp_path: Path) -> None:
        """Files are saved beside a run, and read back."""
        store.create_run(RUN)
        folder = tmp_path / "out"
        (folder / "sub").mkdir(parents=True)
        (folder / "a.txt").write_bytes(b"a" * 1000)
        (folder / "sub" / "b.bin").write_bytes(bytes(range(256)))
        saved = store.save_run_files(RUN, folder)
        assert (
            [file.path for file in saved]
            == ["a.txt", "sub/b.bin"]
            == [file.path for file in store.run_files(RUN)]
        )
        with store.open_run_file(RUN, "sub/b.bin") as file:
            assert (file.name, file.size, file.read(3, 6)) == ("b.bin", 256, b"\x03\x04\x05")
            assert bytes(file.map()) == bytes(range(256))
            file.copy_to(tmp_path / "copy")
        assert (tmp_path / "copy").read_bytes() == bytes(range(256))
        store.remove_run_file(RUN, "a.txt")
        assert [file.path for file in store.run_files(RUN, prefix="sub/")] == ["sub/b.bin"]
        with pytest.raises(Missing):
            store.open_run_file(RUN, "a.txt")

    def test_lineage_goes_through_runs(self, store: Any, tmp_path: Path) -> None:
        """A run is an end of an edge, by its full name."""
        (tmp_path / "f").write_bytes(b"x")
        store.put("demo/data", tmp_path / "f", type="dataset")
        store.create_run(RUN)
        store.link("demo/data@v1", "used_by", f"run:local/{RUN}")
        graph = store.lineage("demo/data@v1", direction="downstream")
        assert ("run", f"local/{RUN}") in {(node.kind, node.name) for node in graph.nodes}

    def test_runs_are_listed_by_filter_and_order(self, store: Any) -> None:
        """Conditions, orders and pages; a run that lacks what is asked for comes last, and a deleted one not at all."""
        for number, loss in enumerate((0.3, 0.1, math.nan, 0.2)):
            store.create_run(
                f"demo/r{number}",
                config={"lr": 10.0**-number, "opt": {"name": "adam"}},
                tags={"odd": ""} if number % 2 else {},
            )
            store.log_rows(f"demo/r{number}", [(0, 1, {"loss": loss})])
        store.create_run("demo/none")
        store.create_run("demo/gone")
        store.delete_run("demo/gone")

        def listed(filter: str = "", order: str = "", **options: Any) -> list[str]:
            return [run.name for run in store.runs("demo", filter, order=order, **options).items]

        assert listed() == ["none", "r3", "r2", "r1", "r0"]
        assert listed(deleted=True)[0] == "gone"
        assert listed(order="summary.loss") == ["r1", "r3", "r0", "r2", "none"]
        assert listed(order="summary.loss desc") == ["r0", "r3", "r1", "r2", "none"]
        assert listed(order="config.opt.name, name") == ["r0", "r1", "r2", "r3", "none"]
        assert listed("summary.loss < 0.25") == ["r3", "r1"]
        assert listed("not summary.loss < 0.25", "name") == ["none", "r0", "r2"]
        assert listed("tags.odd exists and config.lr <= 0.1") == ["r3", "r1"]
        assert listed("name in ('r0', 'none') or summary.loss = nan") == ["none", "r2", "r0"]
        assert listed("name like 'r%' and config.opt.name ilike 'AD_M' and not name contains '2'") == [
            "r3",
            "r1",
            "r0",
        ]
        assert listed("config.lr = '1'") == [] and listed("text(config.lr) = '1.0'") == ["r0"]
        assert listed("summary.loss is null") == ["none"]
        assert listed(order="name", limit=2) == ["none", "r0"]
        after = store.runs("demo", order="name", limit=2).next
        assert listed(order="name", after=after, limit=2) == ["r1", "r2"]
        for wrong in (
            {"filter": "config.lr <"},
            {"order": "a b"},
            {"after": "nobody"},
        ):
            with pytest.raises(Invalid):
                store.runs("demo", **wrong)
        with pytest.raises(Missing):
            store.runs("nothing")

    def test_what_happens_is_told(self, store: Any) -> None:
        """Events come in the order of the log, from where the listener stands, and again from any place."""
        store.create_run(RUN)
        events = store.events("demo")
        store.log_rows(RUN, [(3, 1, {"loss": 0.5})])
        store.log_lines(RUN, [(1, "stdout", "", "x")])
        store.finish_run(RUN)
        found = [next(events) for _ in range(3)]
        assert [(event.kind, event.name) for event in found] == [
            ("points", f"local/{RUN}"), ("lines", f"local/{RUN}"), ("run", f"local/{RUN}")
        ]  # fmt: skip
        assert found[0].detail == {"points": 1, "step": 3}
        again = store.events("demo", after=found[0].seq)
        assert next(again) == found[1]
        for each in (events, again):
            each.close()
        with pytest.raises(Missing):
            store.events("nothing")
