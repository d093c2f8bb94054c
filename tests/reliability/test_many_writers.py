"""Many runs that log at once, and many processes that write to one run, on a server with several workers: every point is there once."""

import subprocess
import sys
import threading

import pytest

import runstone
from faults.killer import Victim
from runstone._native.points import encode_rows

from .over_http import Client
from .programs import count, environment

RUNS = count("RUNSTONE_MANY_RUNS", 60)
WRITERS = count("RUNSTONE_MANY_WRITERS", 3)
THREADS = 12
BATCHES = 4
BATCH = {"Content-Type": "application/vnd.runstone.points"}

#: A process of a distributed training: its own steps of the shared run, and a key of its own.
WRITER = """
import sys
import runstone
url, rank = sys.argv[1], int(sys.argv[2])
with runstone.connect(url) as store, store.run("many", "shared", rank=rank, system=0, spool=sys.argv[3]) as run:
    for step in range(100):
        run.log({f"rank{rank}": float(step), "loss": rank + step / 100}, step=step)
    run.console(f"rank {rank}\\n")
"""


@pytest.fixture
def served(tmp_path):
    data = tmp_path / "data"
    runstone.open(data).close()
    command = [sys.executable, "-m", "runstone.server", "--data", str(data), "--port", "0", "--workers", "2"]
    with Victim([*command, "--log-format", "off"], environment()) as server:
        port = int(server.wait_for("runstone listening").split("http://127.0.0.1:")[1].split()[0])
        yield data, port
        server.end()


def test_many_runs_log_at_once(served):
    data, port = served

    def log(first):
        client = Client("127.0.0.1", port)
        for number in range(first, RUNS, THREADS):
            client.request("POST", "/api/v1/runs/local/many", {"name": f"r{number}"})
        for turn in range(BATCHES):
            for number in range(first, RUNS, THREADS):
                rows = [
                    (step, step, {"a": number + step / 1000}) for step in range(10 * turn, 10 * turn + 10)
                ]
                client.request("POST", f"/api/v1/runs/local/many/r{number}/points", encode_rows(rows), BATCH)
        client.close()

    threads = [threading.Thread(target=log, args=(first,)) for first in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    client = Client("127.0.0.1", port)
    figures = {"by": ["summary.a:count"], "figures": ["count()"]}
    for _ in range(3):  # whichever worker answers
        _, groups = client.request("POST", "/api/v1/run-queries/local/many/group", figures)
        assert [(each["key"], each["figures"]) for each in groups["items"]] == [([10 * BATCHES], [RUNS])]
    client.close()
    with runstone.open(data) as library:
        for number in range(RUNS):
            page = library.series(f"many/r{number}", "a")
            assert page.steps == list(range(10 * BATCHES))
            assert page.values == [number + step / 1000 for step in page.steps]


def test_many_processes_write_to_one_run(served, tmp_path):
    data, port = served
    command = [sys.executable, "-c", WRITER, f"http://127.0.0.1:{port}"]
    writers = [
        subprocess.Popen([*command, str(rank), str(tmp_path / f"spool-{rank}")], env=environment())
        for rank in range(WRITERS)
    ]
    assert [writer.wait(120) for writer in writers] == [0] * WRITERS
    with runstone.open(data) as library:
        assert library.get_run("many/shared").points == 200 * WRITERS
        for rank in range(WRITERS):
            assert library.series("many/shared", f"rank{rank}").values == [float(step) for step in range(100)]
        shared = library.series("many/shared", "loss", limit=100_000)
        expected = sorted((step, rank + step / 100) for rank in range(WRITERS) for step in range(100))
        assert sorted(zip(shared.steps, shared.values, strict=True)) == expected
        assert {line.text for line in library.lines("many/shared")} == {f"rank {r}" for r in range(WRITERS)}
