"""The SDK and the server die in the middle: every point that was logged is there once."""

from __future__ import annotations

import signal

from sdk import ANY_KEY, Sdk

from runstone.config import ServerOptions
from runstone.domain import accounts, keys, runs
from runstone.domain.context import Context
from runstone.domain.runs import rows
from runstone.domain.store import Store
from runstone.server.background import Background
from runstone.testing.served import served as serve


def values(store, name):
    return [
        (step, each["x"])
        for step, _, each in rows.read(store, Context(), name, wanted=lambda key: key == "x")
    ]


def test_the_sdk_is_killed_and_synced_later(served, sdk):
    process = sdk.start("""
        import os, time
        run = wandb.init(project="killed", id="k", settings=wandb.Settings(x_file_stream_transmit_interval=1))
        for step in range(6000):
            run.log({"x": step})
            if step % 2000 == 0: time.sleep(1.2)
        time.sleep(1.2)
        for child in open(f"/proc/self/task/{os.getpid()}/children").read().split():
            os.kill(int(child), 9)
        os.kill(os.getpid(), 9)
    """)
    process.communicate(timeout=60)
    assert process.returncode == -signal.SIGKILL
    early = values(served.store, "local/killed/k")
    assert len(early) > 2000
    for _ in range(2):
        sdk.command("sync", "--include-synced", str(next(sdk.folder.glob("wandb/run-*-k"))))
        late = values(served.store, "local/killed/k")
        assert len(late) >= len(early)
        assert late == [(step, step) for step in range(len(late))]
    stat = next(
        each for each in runs.points.statistics(served.store, Context(), "local/killed/k") if each.key == "x"
    )
    assert stat.points == len(late)


def test_the_server_is_killed_while_the_sdk_goes_on(tmp_path):
    with serve(tmp_path / "data") as server:
        sdk = Sdk(server.url, ANY_KEY, tmp_path / "sdk")
        process = sdk.start("""
            import time
            run = wandb.init(project="down", id="d", settings=wandb.Settings(
                x_file_stream_transmit_interval=1, x_file_stream_retry_wait_min_seconds=0.2, x_file_stream_retry_wait_max_seconds=1))
            for step in range(400):
                run.log({"x": step}); time.sleep(0.01)
                if step == 200: say("half")
            run.finish()
            say("done")
        """)
        assert process.stdout is not None
        while "half" not in process.stdout.readline():
            pass
        server.kill()
        with Store(tmp_path / "data") as store:
            assert 0 < len(values(store, "local/down/d")) < 400
        server.start()
        out, _ = process.communicate(timeout=90)
        assert process.returncode == 0, out
        server.stop()
    with Store(tmp_path / "data") as store:
        assert values(store, "local/down/d") == [(step, step) for step in range(400)]
        assert runs.lifecycle.get(store, Context(), "local/down/d").state == "finished"


def test_keys_are_asked_for(tmp_path):
    with Background(
        ServerOptions(data=str(tmp_path / "data"), port=0, log_format="off", auth="on")
    ) as server:
        accounts.create_user(server.store, Context(), "ann")
        key = keys.create(server.store, Context(), "ann", "test").key
        ann = Sdk(server.url, key, tmp_path / "ann")
        said = ann.run("""
            say(wandb.login(verify=True))
            with wandb.init(project="mine", id="r") as run:
                run.log({"x": 1})
            say([wandb.Api().default_entity, wandb.Api().viewer.username])
            with open("f.txt", "w") as file: file.write("by a signed address")
            run = wandb.Api().run("mine/r"); run.upload_file("f.txt")
            say(run.file("f.txt").download(root="back").read())
        """)
        assert said == [True, ["ann", "ann"], "by a signed address"]
        assert values(server.store, "ann/mine/r") == [(0, 1)]
        eve = Sdk(server.url, ANY_KEY, tmp_path / "eve")
        eve.run("wandb.init(project='mine', id='r', settings=wandb.Settings(init_timeout=10))", fails=True)
        assert "401" in eve.output or "API key" in eve.output
