"""The oldest version of the SDK that is supported does what people do every day."""

from __future__ import annotations

from sdk import OLDER

from runstone.domain import versions
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
    assert said[0] == OLDER
    assert said[1] is True
    assert said[2] == ["finished", {"lr": 0.1}, 0, 21, 22]
    assert said[3] == ["kept", ["o"]]
    assert said[4] == [1.0, 0.5, 1 / 3, 0.25, 0.2, 9]
    assert said[5] == 1
    run = lifecycle.get(served.store, CTX, "local/older/o")
    assert (run.config, run.summary["more"]) == ({"lr": 0.1, "new": 1}, 3)
    found = rows.read(served.store, CTX, "local/older/o", wanted=lambda key: key == "loss")
    assert [values["loss"] for _, _, values in found] == [*(1 / (step + 1) for step in range(20)), 0]


def test_an_older_sdk_logs_links_and_fetches(served, older):
    said = older.run(
        """
        say(wandb.__version__)
        with wandb.init(project="linked", id="maker", config={"lr": 1}) as run:
            run.log({"x": 1.5})
            artifact = wandb.Artifact("net", type="model", metadata={"a": 1})
            with artifact.new_file("deep/w.txt") as file: file.write("weights")
            run.log_artifact(artifact, aliases=["latest", "best"]).wait()
            run.link_artifact(artifact, "wandb-registry-oldreg/Net", aliases=["prod"])
        with wandb.init(project="linked", id="user") as run:
            used = run.use_artifact("wandb-registry-oldreg/Net:prod")
            say([used.version, used.source_name, used.metadata, open(used.download(root="got") + "/deep/w.txt").read()])
            draft = run.use_artifact("net:best").new_draft()
            with draft.new_file("more.txt") as file: file.write("more")
            say(run.log_artifact(draft).wait().version)
        api = wandb.Api()
        say([[run.id for run in api.artifact("linked/net:v0").used_by()], sorted(api.artifact("linked/net:v1").manifest.entries),
             [each.name for each in api.registry("oldreg").collections()], [row["x"] for row in api.run("linked/maker").scan_history()]])
        """
    )
    assert said[0] == OLDER
    assert said[1:] == [
        ["v0", "net:v0", {"a": 1}, "weights"],
        "v1",
        [["user"], ["deep/w.txt", "more.txt"], ["Net"], [1.5]],
    ]
    files = versions.files(served.store, CTX, "local/oldreg/Net@prod")
    assert [(file.path, file.size) for file in files] == [("deep/w.txt", 7)]
