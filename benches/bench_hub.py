"""The Hub's and OCI's clients against a server: downloads beside the client's own limit, uploads by xet and LFS, what the server takes in.

RUNSTONE_BENCH_MB is the size of the model (512 for the figures), RUNSTONE_BENCH_ROUNDS the number of runs of each case, which are
interleaved; medians are taken. Every client is a process of its own that times itself without its imports. The client's own limit is
its ``http_get`` of the same bytes from nginx: what ``snapshot_download`` does for each file, without a hub.
"""

import os
import shutil
import statistics
import subprocess
import sys
import time
from pathlib import Path

import httpx2
import numpy
import pytest

from benches.bench_streaming import nginx
from benches.record import record
from runstone._native.digests import xet_hex, xet_xorb_hash
from runstone._native.frames import unframe
from runstone._native.ingest import chunk_lengths
from runstone.testing.served import Served, served

MB = int(os.environ.get("RUNSTONE_BENCH_MB", "8"))
ROUNDS = int(os.environ.get("RUNSTONE_BENCH_ROUNDS", "1"))
SKOPEO = shutil.which("skopeo")
TIMED = """
import sys, time
import huggingface_hub, hf_xet
from huggingface_hub import HfApi, file_download
start = time.perf_counter()
{}
print(time.perf_counter() - start)
"""


def weights(size: int, seed: int) -> bytes:
    """Bytes like those of a model: floats, of which little but the exponents compresses."""
    noise = numpy.random.default_rng(seed).standard_normal(size // 4, dtype=numpy.float32)
    return (noise * numpy.float32(0.02)).tobytes()


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    folder = tmp_path_factory.mktemp("model")
    (folder / "model.safetensors").write_bytes(weights(MB << 20, 1))
    (folder / "config.json").write_text("{}")
    return folder


@pytest.fixture(scope="module")
def changed(tmp_path_factory, model):
    folder = tmp_path_factory.mktemp("changed")
    shutil.copytree(model, folder, dirs_exist_ok=True)
    with (folder / "model.safetensors").open("r+b") as file:
        file.seek(MB << 19)
        file.write(weights(max(1 << 16, (MB << 20) // 100), 2))
    return folder


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with served(tmp_path_factory.mktemp("server") / "data") as running:
        yield running


def client(
    server: Served, home: Path, code: str, *args: object, said: list[str] | None = None, **more: str
) -> float:
    """Seconds that a client takes for what ``code`` does; ``said`` is given what it printed itself."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("HF_", "PYTHON"))}
    given = {**kept, "HF_ENDPOINT": server.url, "HF_TOKEN": "hf_any", "HF_HOME": str(home), **more}
    given |= {"HF_HUB_DISABLE_PROGRESS_BARS": "1", "HF_HUB_DISABLE_TELEMETRY": "1"}
    command = [sys.executable, "-c", TIMED.format(code), *map(str, args)]
    done = subprocess.run(command, env=given, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    if said is not None:
        said += done.stdout.split()
    return float(done.stdout.split()[-1])


def rate(seconds: list[float]) -> float:
    return (MB << 20) / statistics.median(seconds) / 1e6


def received(server: Served) -> int:
    lines = httpx2.get(f"{server.url}/metrics").text.splitlines()
    return sum(int(float(line.split()[-1])) for line in lines if line.startswith("runstone_received_bytes"))


UPLOAD = "api = HfApi(); api.create_repo(sys.argv[1], exist_ok=True); api.upload_folder(repo_id=sys.argv[1], folder_path=sys.argv[2])"


def test_upload_folder(server, model, changed, tmp_path):
    spent: dict[str, list[float]] = {"xet": [], "lfs": [], "xet_changed": [], "lfs_changed": []}
    moved: dict[str, int] = {}
    for turn in range(ROUNDS):
        for way, more in (("xet", {}), ("lfs", {"HF_HUB_DISABLE_XET": "1"})):
            with served(tmp_path / f"{way}{turn}") as fresh:
                for name, folder in ((way, model), (f"{way}_changed", changed)):
                    before = received(fresh)
                    home = tmp_path / f"home-{way}{turn}"
                    spent[name].append(client(fresh, home, UPLOAD, "local/m", folder, **more))
                    moved[name] = received(fresh) - before
    record(
        "upload_folder",
        size=f"{MB} MiB of weights, median of {ROUNDS}, to a fresh server; then with 1 % replaced",
        **{
            name: f"{statistics.median(times):.2f} s, {moved[name] / 1e6:.1f} MB sent"
            for name, times in spent.items()
        },
    )


DOWNLOAD = "HfApi().snapshot_download('local/m', local_dir=sys.argv[1])"
PLAIN = "file_download.http_get(sys.argv[1], open(sys.argv[2], 'wb'))"


def test_snapshot_download_beside_the_clients_own_limit(server, model, tmp_path, monkeypatch):
    client(server, tmp_path / "home", UPLOAD, "local/m", model)
    monkeypatch.setenv("RUNSTONE_XET_READS", "1")
    times: dict[str, list[float]] = {"nginx": [], "runstone": [], "by_xet": []}
    data = tmp_path / "xet-data"
    with served(data) as announcing, nginx(model) as plain:
        client(announcing, tmp_path / "home-xet", UPLOAD, "local/m", model)
        for turn in range(ROUNDS):
            url = f"http://127.0.0.1:{plain.port}/model.safetensors"
            times["nginx"].append(client(server, tmp_path / "a", PLAIN, url, tmp_path / "plain.bin"))
            times["runstone"].append(client(server, tmp_path / f"b{turn}", DOWNLOAD, tmp_path / f"got{turn}"))
            times["by_xet"].append(
                client(announcing, tmp_path / f"c{turn}", DOWNLOAD, tmp_path / f"xet{turn}")
            )
            for got in (f"got{turn}", f"xet{turn}"):
                assert (tmp_path / got / "model.safetensors").stat().st_size == MB << 20
                shutil.rmtree(tmp_path / got)
    record(
        "snapshot_download, cold",
        size=f"{MB} MiB, median of {ROUNDS}",
        nginx=f"{rate(times['nginx']):.0f} MB/s (http_get of the file alone)",
        runstone=f"{rate(times['runstone']) / rate(times['nginx']):.2f} x that",
        by_xet=f"{rate(times['by_xet']) / rate(times['nginx']):.2f} x that",
    )


#: Downloads while another thread looks, every two milliseconds, at what the others do. Prints the processor's seconds, and the share of
#: looks at which no thread of the download did anything but wait for the network.
WATCHED = """
import threading
WAITING = {('read', 'sync.py'), ('wait', 'threading.py'), ('_worker', 'thread.py')}
looks, idle, ended = 0, 0, threading.Event()
def look():
    global looks, idle
    while not ended.wait(0.002):
        others = [frame.f_code for thread, frame in sys._current_frames().items() if thread != threading.get_ident()]
        looks += 1
        idle += all((code.co_name, code.co_filename.rpartition('/')[2]) in WAITING for code in others)
threading.Thread(target=look, daemon=True).start()
used = time.process_time()
HfApi().snapshot_download('local/parts', local_dir=sys.argv[1])
used = time.process_time() - used
ended.set()
print(used, idle / looks)
"""
SHARDS = 8
COPY_ALL = """
from concurrent.futures import ThreadPoolExecutor
def get(name):
    with open(sys.argv[2] + '/' + name, 'wb') as file:
        file_download.http_get(sys.argv[1] + name, file)
with ThreadPoolExecutor(8) as pool:
    list(pool.map(get, sys.argv[3:]))
"""


def processor(pid: int) -> float:
    """Seconds of the processor that a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def test_snapshot_download_of_many_files(server, tmp_path):
    """A model in shards, beside copies of the same files from nginx by curl and by the client's own ``http_get``, eight at a time like it does."""
    parts = tmp_path / "parts"
    parts.mkdir()
    names = [f"model-{n + 1:05}-of-{SHARDS:05}.safetensors" for n in range(SHARDS)]
    for seed, name in enumerate(names):
        (parts / name).write_bytes(weights((MB << 20) // SHARDS, seed))
    small = {"config.json": "{}", "tokenizer.json": '{"model": {}}' * 5000, "README.md": "# parts\n"}
    for name, text in small.items():
        (parts / name).write_text(text)
    names += small
    client(server, tmp_path / "home", UPLOAD, "local/parts", parts)
    times: dict[str, list[float]] = {"curl": [], "http_get": [], "snapshot": []}
    busy, waited, served_by = [], [], []
    target = tmp_path / "got"
    with nginx(parts) as plain:
        url = f"http://127.0.0.1:{plain.port}/"
        for turn in range(ROUNDS):
            target.mkdir()
            command = ["curl", "--silent", "--fail", "--parallel", "--parallel-max", "8", "--create-dirs"]
            command += [word for name in names for word in ("--output", str(target / name), url + name)]
            start = time.perf_counter()
            subprocess.run(command, check=True, capture_output=True)
            times["curl"].append(time.perf_counter() - start)
            shutil.rmtree(target)
            target.mkdir()
            times["http_get"].append(client(server, tmp_path / "a", COPY_ALL, url, target, *names))
            shutil.rmtree(target)
            used = processor(server.pid)
            (took, spent, idle) = watched(server, tmp_path / f"b{turn}", target)
            served_by.append((processor(server.pid) - used) / took)
            times["snapshot"].append(took)
            busy.append(spent / took)
            waited.append(idle)
            assert sum(path.stat().st_size for path in target.glob("model-*")) == (MB << 20)
            shutil.rmtree(target)
    record(
        f"snapshot_download of {SHARDS} shards, cold",
        size=f"{MB} MiB, median of {ROUNDS}",
        snapshot=f"{rate(times['snapshot']):.0f} MB/s",
        curl_from_nginx=f"{rate(times['curl']):.0f} MB/s",
        http_get_from_nginx=f"{rate(times['http_get']):.0f} MB/s",
        client_processor=f"{statistics.median(busy):.2f} of the time",
        server_processor=f"{statistics.median(served_by):.2f} of the time",
        all_threads_waiting=f"{statistics.median(waited):.3f} of the time",
    )


def watched(server: Served, home: Path, target: Path) -> tuple[float, float, float]:
    """Seconds that a download took, the processor's seconds of the client, and the share of the time that it waited for the server."""
    said: list[str] = []
    took = client(server, home, WATCHED, target, said=said)
    return took, float(said[0]), float(said[1])


def test_what_the_server_takes_in_by_xet(server, model):
    data = (model / "model.safetensors").read_bytes()
    xorbs, at, frames, size = [], 0, bytearray(), 0
    lengths = chunk_lengths(data)
    for number, length in enumerate(lengths, 1):
        chunk = data[at : at + length]
        three = length.to_bytes(3, "little")
        frames += b"\0" + three + b"\0" + three + chunk
        at, size = at + length, size + length
        if size + (128 << 10) > 60 << 20 or number == len(lengths):
            xorbs.append((xet_hex(xet_xorb_hash(unframe(frames, 1 << 30)[1])), bytes(frames)))
            frames, size = bytearray(), 0
    repo = {"name": "intake", "type": "model"}
    httpx2.post(f"{server.url}/api/repos/create", json=repo).raise_for_status()
    told = httpx2.get(f"{server.url}/api/models/local/intake/xet-write-token/main").json()
    spent = []
    with httpx2.Client(headers={"Authorization": f"Bearer {told['accessToken']}"}, timeout=60) as asking:
        for name, body in xorbs:
            start = time.perf_counter()
            asking.post(f"{told['casUrl']}/v1/xorbs/default/{name}", content=body).raise_for_status()
            spent.append(time.perf_counter() - start)
    record(
        "xorbs taken in, verified and durable",
        size=f"{MB} MiB in {len(xorbs)} xorbs, one after the other, the client on the same cores",
        rate=f"{len(data) / sum(spent) / 1e6:.0f} MB/s",
    )


@pytest.mark.skipif(SKOPEO is None, reason="needs skopeo")
def test_skopeo_copy(server, model, tmp_path):
    client(server, tmp_path / "home", UPLOAD, "local/oci", model)
    times: dict[str, list[float]] = {"artifact": [], "image": []}
    for form, suffix in (("artifact", ""), ("image", "/image")):
        source = f"docker://{server.url.removeprefix('http://')}/local/models/oci{suffix}:latest"
        # The first pull of an image reads all of it once, for the digest of its layer.
        subprocess.run(
            [SKOPEO, "inspect", "--raw", "--tls-verify=false", source], check=True, capture_output=True
        )
        for _ in range(ROUNDS):
            start = time.perf_counter()
            target = tmp_path / form
            command = [SKOPEO, "copy", "--src-tls-verify=false", source, f"dir:{target}"]
            subprocess.run(command, check=True, capture_output=True)
            times[form].append(time.perf_counter() - start)
            shutil.rmtree(target)
    record(
        "skopeo copy to a directory",
        size=f"{MB} MiB, median of {ROUNDS}; skopeo hashes what it gets",
        artifact=f"{rate(times['artifact']):.0f} MB/s",
        image=f"{rate(times['image']):.0f} MB/s",
    )
