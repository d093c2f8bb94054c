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
            return [run.name for run in store.list_runs("demo", filter=filter, order=order, **options)]

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
        assert listed(order="name", after="r0", limit=2) == ["r1", "r2"]
        for wrong in (
            {"filter": "config.lr <"},
            {"order": "a b"},
            {"after": "nobody"},
            {"filter": "name ~ '(a+)+'"},
        ):
            with pytest.raises(Invalid):
                store.list_runs("demo", **wrong)
        with pytest.raises(Missing):
            store.list_runs("nothing")

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
