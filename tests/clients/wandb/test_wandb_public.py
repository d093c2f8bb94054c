"""The public API of the real SDK: runs found, ordered and read back exactly; files saved and fetched."""

from __future__ import annotations

import time

from sdk import since_newer

from runstone.domain.context import Context
from runstone.domain.runs import console, liveness, rows
from runstone.errors import Missing


def test_runs_are_found_in_order_and_read_back(served, sdk):
    said = sdk.run("""
        for number in range(4):
            with wandb.init(project="find", id=f"r{number}", config={"lr": number / 10, "kind": "ab"[number % 2]},
                            tags=["even"] if number % 2 == 0 else ["odd"]) as run:
                for step in range(30):
                    run.log({"loss": number + step / 7, "deep": {"a": step}})
        api = wandb.Api()
        ids = lambda **asked: [run.id for run in api.runs("find", per_page=3, **asked)]
        say([ids(), ids(order="-created_at"), ids(filters={"config.kind": "a"}), ids(filters={"tags": "odd"}),
             ids(filters={"$or": [{"config.lr.value": {"$gt": 0.25}}, {"displayName": {"$regex": "0$"}}]}),
             ids(order="-summary_metrics.loss", filters={"summary_metrics.loss": {"$lt": 6.9}}), len(api.runs("find"))])
        run = api.run("find/r2")
        say([run.state, run.config, run.summary["loss"], run.tags, run.lastHistoryStep])
        say([[line["_step"], line["loss"], line["deep.a"]] for line in run.scan_history(page_size=7)])
        say([[line["_step"], line["loss"]] for line in run.scan_history(keys=["loss"], min_step=5, max_step=9)])
        say(run.history(keys=["loss"], samples=10, pandas=False) == run.history(keys=["loss"], samples=10, pandas=False))
        say(len(run.history(keys=["loss"], samples=10)))
        run.config["new"] = 4; run.tags.append("more"); run.notes = "said"; run.update()
        run = wandb.Api().run("find/r2")
        say([run.config, sorted(run.tags), run.notes, sorted(project.name for project in api.projects())])
        run.delete()
        say(sorted(run.id for run in wandb.Api().runs("find")))
    """)
    found, run, scanned, some, same, count, changed, left = said
    assert found == [
        ["r0", "r1", "r2", "r3"],
        ["r3", "r2", "r1", "r0"],
        ["r0", "r2"],
        ["r1", "r3"],
        ["r0", "r3"],
        ["r2", "r1", "r0"],
        4,
    ]
    assert run == ["finished", {"lr": 0.2, "kind": "a"}, 2 + 29 / 7, ["even"], 29]
    assert scanned == [[step, 2 + step / 7, step] for step in range(30)]
    assert some == [[step, 2 + step / 7] for step in range(5, 9)]
    assert same
    assert count == 10
    assert changed == [{"lr": 0.2, "kind": "a", "new": 4}, ["even", "more"], "said", ["find"]]
    assert left == ["r0", "r1", "r3"]


def test_what_is_missing(served, sdk):
    sdk.run("wandb.Api().run('nothing/here')", fails=True)
    assert "Could not find run" in sdk.output
    sdk.run("list(wandb.Api().runs('nothing'))", fails=True)
    assert "Could not find project" in sdk.output


def test_files(served, sdk):
    said = sdk.run("""
        import os
        os.makedirs("out dir")
        with open("out dir/a é.bin", "wb") as file: file.write(bytes(range(256)) * 4000)
        with open("empty.txt", "w"): pass
        with wandb.init(project="files", id="f") as run:
            run.save("out dir/a é.bin", base_path="."); run.save("empty.txt")
        run = wandb.Api().run("files/f")
        say(sorted(file.name for file in run.files()))
        file = run.file("out dir/a é.bin")
        file.download(root="back")
        say([file.size, open("back/out dir/a é.bin", "rb").read() == bytes(range(256)) * 4000])
        say([file.name for file in run.files(pattern="%.txt")])
        with open("later.txt", "w") as file: file.write("later")
        run.upload_file("later.txt")
        say(run.file("later.txt").download(root="back").read())
        run.file("later.txt").delete()
        say(sorted(file.name for file in wandb.Api().run("files/f").files(per_page=2)))
    """)
    names = ["config.yaml", "empty.txt", "out dir/a é.bin", "requirements.txt", "wandb-metadata.json"]
    assert set(names) <= set(said[0])
    assert said[1] == [1_024_000, True]
    assert said[2] == ["empty.txt", "requirements.txt"]
    assert said[3] == "later"
    assert said[4] == said[0]


def logged(served, run):
    """What a run logged so far; nothing before it is made."""
    try:
        return rows.read(served.store, Context(), run)
    except Missing:
        return []


@since_newer
def test_the_console_is_read_back(served, sdk):
    said = sdk.run("""
        import sys
        with wandb.init(project="said", id="c") as run:
            for number in range(7): print(f"line {number} é")
            print("wrong", file=sys.stderr)
        run = wandb.Api().run("said/c")
        say([line.content for line in run.console_logs(per_page=3)])
        say([[line.number, line.content, line.level] for line in run.console_logs(last=2)])
    """)
    lines = [*(f"line {number} é" for number in range(7)), "wrong"]
    assert said[0] == lines
    assert said[1] == [[6, "line 6 é", "info"], [7, "wrong", "error"]]
    kept = console.read(served.store, Context(), "local/said/c")
    assert [line.text for line in kept] == lines


def test_a_run_that_falls_silent_is_crashed_and_can_be_resumed(served, sdk):
    process = sdk.start("""
        import os, time
        run = wandb.init(project="silent", id="s", settings=wandb.Settings(x_file_stream_transmit_interval=0.1))
        run.log({"x": 1})
        while not os.path.exists("go"): time.sleep(0.05)
        for child in open(f"/proc/self/task/{os.getpid()}/children").read().split(): os.kill(int(child), 9)
        os.kill(os.getpid(), 9)
    """)
    until = time.monotonic() + 60
    while not logged(served, "local/silent/s") and time.monotonic() < until:
        time.sleep(0.05)
    (sdk.folder / "go").touch()
    process.communicate(timeout=60)
    assert liveness.mark_crashed(served.store, silence=-1) == ["local/silent/s"]
    said = sdk.run("""
        say(wandb.Api().run("silent/s").state)
        with wandb.init(project="silent", id="s", resume="must") as run:
            run.log({"x": 2}); say(wandb.Api().run("silent/s").state)
        run = wandb.Api().run("silent/s")
        say([run.state, [[line["_step"], line["x"]] for line in run.scan_history()]])
    """)
    assert said == ["crashed", "running", ["finished", [[0, 1], [1, 2]]]]
