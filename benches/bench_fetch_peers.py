"""One model to one host, cold and changed by 1 %, by everybody's client in one run; and how evenly our own fetch takes its time.

curl copies the bytes from nginx. ``runstone`` fetches to mapped, verified tensors; ``huggingface_hub`` downloads from our server, in plain
HTTP and by hf-xet (which ran before on the first version, and may keep what it likes of it); mlflow's client downloads from mlflow's own
server. Every client is a process of its own that times itself without its imports. RUNSTONE_BENCH_MB is the size of the model (1024 for
the figures), RUNSTONE_BENCH_ROUNDS the number of rounds, interleaved; RUNSTONE_BENCH_COLD how many cold fetches the percentile is of.
"""

import os
import random
import shutil
import statistics
import subprocess
import sys
import time

import httpx2
import pytest

from benches.bench_fetch import CURL, MB, NGINX, ROUNDS, away, log_key_of, nginx, noise
from benches.bench_hub import client
from benches.bench_mlflow import theirs
from benches.record import record
from runstone.client.remote import Remote
from runstone.client.tensors.load import load
from runstone.testing.served import served

COLD = int(os.environ.get("RUNSTONE_BENCH_COLD", "3"))
OURS = """
import sys, time
from runstone.client.tensors.load import load
start = time.perf_counter()
found = load(sys.argv[2], url=sys.argv[1], cache=sys.argv[3], log_key=sys.argv[4])
print(time.perf_counter() - start)
"""
HUB = "file_download.hf_hub_download('local/bench.model', 'model.safetensors', revision=sys.argv[1])"
MLFLOW = """
import sys, time
import mlflow.artifacts
start = time.perf_counter()
mlflow.artifacts.download_artifacts("mlflow-artifacts:/m/model.safetensors", dst_path=sys.argv[2], tracking_uri=sys.argv[1])
print(time.perf_counter() - start)
"""


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """A model, and the same with 1 % of it replaced."""
    folders = [tmp_path_factory.mktemp(name) for name in ("first", "second")]
    noise(folders[0] / "model.safetensors", MB << 20)
    shutil.copy(folders[0] / "model.safetensors", folders[1])
    with (folders[1] / "model.safetensors").open("r+b") as file:
        file.seek(MB << 19)
        file.write(random.Random(3).randbytes((MB << 20) // 100))
    return folders


@pytest.fixture(scope="module")
def server(tmp_path_factory, models):
    # One that announces xet; who is told not to use it does not.
    os.environ["RUNSTONE_XET_READS"] = "1"
    try:
        with served(tmp_path_factory.mktemp("server") / "data") as running:
            away(running)
            with Remote(running.url, cache=tmp_path_factory.mktemp("put")) as remote:
                for folder in models:
                    remote.put("bench/model", folder)
            yield running
    finally:
        del os.environ["RUNSTONE_XET_READS"]


def itself(code, *args, **more):
    """Seconds that a process says it took."""
    command = [sys.executable, "-c", code, *map(str, args)]
    done = subprocess.run(command, env=os.environ | more, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    return float(done.stdout.split()[-1])


def sent(server):
    lines = httpx2.get(f"{server.url}/metrics").text.splitlines()
    return sum(int(float(line.split()[-1])) for line in lines if line.startswith("runstone_sent_bytes"))


@pytest.mark.skipif(CURL is None or NGINX is None, reason="needs curl and nginx")
def test_one_model_by_every_client(server, models, tmp_path):
    key = log_key_of(server.url)
    names = ("nginx", "runstone", "hub", "hub_xet", "mlflow")
    cold = {name: [] for name in names}
    changed = {name: [] for name in ("runstone", "hub", "hub_xet")}
    moved = dict.fromkeys(changed, 0)
    artifacts = tmp_path / "mlflow" / "art" / "m"
    artifacts.mkdir(parents=True)
    shutil.copy(models[0] / "model.safetensors", artifacts)
    with nginx(tmp_path, models[0]) as plain, theirs(tmp_path / "mlflow") as mlflow:
        for turn in range(ROUNDS):
            room = tmp_path / f"round{turn}"
            room.mkdir()
            command = [
                CURL,
                "--silent",
                "--fail",
                "--output",
                str(room / "curl"),
                f"{plain}/model.safetensors",
            ]
            began = time.perf_counter()
            subprocess.run(command, check=True)
            cold["nginx"].append(time.perf_counter() - began)
            (room / "curl").unlink()
            for version in ("v1", "v2"):
                times = cold if version == "v1" else changed
                for name in ("runstone", "hub", "hub_xet"):
                    before = sent(server)
                    if name == "runstone":
                        spent = itself(OURS, server.url, f"local/bench/model@{version}", room / name, key)
                    else:
                        off = {"HF_HUB_DISABLE_XET": "1"} if name == "hub" else {}
                        spent = client(server, room / name, HUB, version, **off)
                    times[name].append(spent)
                    if version == "v2":
                        moved[name] = sent(server) - before
            for name in ("runstone", "hub", "hub_xet"):
                shutil.rmtree(room / name)
            url, more = f"http://127.0.0.1:{mlflow.port}", {"MLFLOW_DISABLE_TELEMETRY": "true"}
            (room / "mlflow").mkdir()
            cold["mlflow"].append(itself(MLFLOW, url, room / "mlflow", **more))
            shutil.rmtree(room)
    base = statistics.median(cold["nginx"])
    record(
        "a cold model by every client",
        size=f"{MB} MiB, median of {ROUNDS}; times nginx's rate",
        nginx=f"{(MB << 20) / base / 1e9:.2f} GB/s (curl)",
        **{name: f"{base / statistics.median(cold[name]):.2f} x" for name in names[1:]},
    )
    record(
        "a model of which 1 % changed",
        size=f"{MB} MiB, median of {ROUNDS}",
        **{
            name: f"{statistics.median(times) * 1000:.0f} ms, {100 * moved[name] / (MB << 20):.1f} % moved"
            for name, times in changed.items()
        },
    )


@pytest.mark.skipif(CURL is None or NGINX is None, reason="needs curl and nginx")
def test_how_evenly_cold_fetches_take_their_time(server, models, tmp_path):
    """Beside plain copies from nginx, interleaved. Each begins when what was written before is on the disk, as one that comes alone does."""
    key = log_key_of(server.url)
    spent: dict[str, list[float]] = {"fetch": [], "curl": []}
    copied = tmp_path / "copied"
    with nginx(tmp_path, models[0]) as plain:
        command = [CURL, "--silent", "--fail", "--output", str(copied), f"{plain}/model.safetensors"]
        for turn in range(COLD):
            os.sync()
            began = time.perf_counter()
            with load(
                "local/bench/model@v1", url=server.url, cache=tmp_path / str(turn), log_key=key
            ) as found:
                spent["fetch"].append(time.perf_counter() - began)
                assert found.bytes_fetched > MB << 19
            shutil.rmtree(tmp_path / str(turn))
            os.sync()
            began = time.perf_counter()
            subprocess.run(command, check=True)
            spent["curl"].append(time.perf_counter() - began)
            copied.unlink()
    for times in spent.values():
        times.sort()
    record(
        "cold fetches to mapped tensors, beside copies by curl from nginx",
        size=f"{MB} MiB, {COLD} times",
        **{
            f"{name}_{what}": f"{found:.2f} s"
            for name, times in spent.items()
            for what, found in (
                ("median", statistics.median(times)),
                ("p99", times[min(len(times) - 1, int(len(times) * 0.99))]),
                ("longest", times[-1]),
            )
        },
    )
