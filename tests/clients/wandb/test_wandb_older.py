"""The oldest version of the SDK that is supported does what people do every day."""

from __future__ import annotations

from runstone.domain.context import Context
from runstone.domain.runs import lifecycle, rows

CTX = Context()


def test_an_older_sdk_logs_resumes_finds_and_reads_back(served, older):
    said = older.run("""
        say(wandb.__version__)
        say(wandb.login(verify=True))
        with wandb.init(project="older", id="o", config={"lr": 0.1}, tags=["t"]) as run:
            for step in range(20): run.log({"loss": 1 / (step + 1), "deep": {"a": step}})
            run.log({"h": wandb.Histogram(np_histogram=([1, 2], [0., 1., 2.]))})
            open("f.txt", "w").write("kept"); run.save("f.txt"); run.alert("title", "text")
        with wandb.init(project="older", id="o", resume="must") as run: run.log({"loss": 0.0})
        with wandb.init(project="older", id="fork", fork_from="o?_step=4") as run: run.log({"loss": 9})
        api = wandb.Api()
        run = api.run("older/o")
        say([run.state, run.config, run.summary["loss"], len(list(run.scan_history(keys=["loss"]))), len(run.history(pandas=False))])
        say([run.file("f.txt").download(root="back").read(), [each.id for each in api.runs("older", filters={"config.lr": 0.1})]])
        say([line["loss"] for line in api.run("older/fork").scan_history(keys=["loss"])])
        run.summary["more"] = 3; run.config["new"] = 1; run.update()
        name = wandb.sweep({"method": "grid", "metric": {"name": "loss"}, "parameters": {"x": {"values": [1, 2]}}}, project="older")
        def train():
            with wandb.init() as run: run.log({"loss": run.config.x})
        wandb.agent(name, train, project="older", count=1)
        say(wandb.Api().sweep(f"older/{name}").best_run().summary["loss"])
    """)
    assert said[0] == "0.28.0"
    assert said[1] is True
    assert said[2] == ["finished", {"lr": 0.1}, 0, 21, 22]
    assert said[3] == ["kept", ["o"]]
    assert said[4] == [1.0, 0.5, 1 / 3, 0.25, 0.2, 9]
    assert said[5] == 1
    run = lifecycle.get(served.store, CTX, "local/older/o")
    assert (run.config, run.summary["more"]) == ({"lr": 0.1, "new": 1}, 3)
    found = rows.read(served.store, CTX, "local/older/o", wanted=lambda key: key == "loss")
    assert [values["loss"] for _, _, values in found] == [*(1 / (step + 1) for step in range(20)), 0]


def test_an_older_sdk_logs_and_uses_an_artifact(served, older):
    said = older.run("""
        open("a.txt", "w").write("content")
        with wandb.init(project="older", id="maker") as run:
            artifact = wandb.Artifact("data", type="dataset"); artifact.add_file("a.txt")
            run.log_artifact(artifact, aliases=["best"]).wait()
        with wandb.init(project="older", id="user") as run:
            used = run.use_artifact("data:best")
            folder = used.download(root="back")
            say([used.version, open(folder + "/a.txt").read(), used.logged_by().id])
    """)
    assert said == [["v0", "content", "maker"]]
