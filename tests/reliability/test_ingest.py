"""Points that were acknowledged are there, each as it was logged, whatever ended the process that took them in."""

import random
import sys
import threading
import time

import pytest

import runstone
from faults import powercut
from faults.killer import Victim
from faults.powercut import PowerCutDisk
from runstone._native.points import encode_rows

from .ingest import batch, compare, run_of, set_up
from .over_http import Client, Lost
from .programs import count, environment

KILLS = count("RUNSTONE_INGEST_KILLS", 12)
CUTS = count("RUNSTONE_INGEST_CUTS", 6)
BATCH = "application/vnd.runstone.points"


class Owed:
    """What one writer was told is stored, and what it was about when it ended."""

    def __init__(self):
        self.stored, self.tried, self.next = [], None, 0

    def read(self, lines):
        for line in lines:
            kind, _, number = line.partition(" ")
            if kind == "TRY":
                self.tried = int(number)
            elif kind == "ACK":
                self.stored.append(int(number))
                self.tried = None

    def settle(self, library):
        """Compares, and goes on behind what is there."""
        compared = compare(library, self.stored, self.tried)
        self.next = max(self.stored, default=-1) + 1
        if self.tried is not None:
            if library.rows(run_of(self.tried), low=self.tried * 50, high=self.tried * 50 + 50).rows:
                self.stored.append(self.tried)
            self.next, self.tried = self.tried + 1, None
        return compared


def program(data, owed, seed):
    return [sys.executable, "-m", "reliability.ingest", str(data), str(owed.next), str(seed)]


def test_embedded_and_killed(tmp_path):
    data, owed, compared = tmp_path / "data", Owed(), 0
    with runstone.open(data) as library:
        set_up(library)
    for round_ in range(KILLS):
        chance = random.Random(round_)
        with Victim(program(data, owed, round_), environment()) as victim:
            victim.wait_for("READY")
            victim.wait_for("ACK", chance.randint(1, 12))
            time.sleep(chance.uniform(0, 0.02))
            victim.kill()
            owed.read(victim.end().lines)
        with runstone.open(data) as library:
            compared += owed.settle(library)
            if round_ == KILLS - 1:
                library.verify()
    assert len(owed.stored) >= KILLS and compared > 100 * KILLS


@pytest.mark.root
@pytest.mark.skipif(powercut.available() is not None, reason=f"no power cuts here: {powercut.available()}")
def test_embedded_and_cut_off(tmp_path):
    owed, compared = Owed(), 0
    with PowerCutDisk(tmp_path, 128) as disk:
        with runstone.open(disk.path / "data") as library:
            set_up(library)
        for round_ in range(CUTS):
            chance = random.Random(round_)
            with Victim(program(disk.path / "data", owed, round_), environment()) as victim:
                victim.wait_for("READY")
                victim.wait_for("ACK", chance.randint(1, 12))
                time.sleep(chance.uniform(0, 0.03))
                disk.cut()
                disk.recover(kill=[victim])
                owed.read(line for line in victim.end().lines if line[:3] in ("TRY", "ACK"))
            with runstone.open(disk.path / "data") as library:
                compared += owed.settle(library)
    assert len(owed.stored) >= CUTS and compared > 50 * CUTS


def log_until_lost(port, owed):
    """Sends batches one after the other until the server is gone."""
    client = Client("127.0.0.1", port)
    try:
        while True:
            number = owed.tried = owed.next
            path = f"/api/v1/runs/local/{run_of(number)}"
            if number % 3:
                client.request("POST", f"{path}/points", encode_rows(batch(number)), {"Content-Type": BATCH})
            else:
                rows = [{"step": step, "time": at, "values": values} for step, at, values in plain(number)]
                client.request("POST", f"{path}/rows", {"rows": rows})
            owed.stored.append(number)
            owed.tried, owed.next = None, number + owed.stride
    except Lost:
        client.close()


def plain(number):
    """A batch without what JSON cannot say."""
    return [row for row in batch(number) if abs(row[2]["loss"]) < 1e300]


def test_a_server_with_two_workers_killed_while_three_clients_log(tmp_path, monkeypatch):
    monkeypatch.setattr(
        "reliability.ingest.batch", lambda number: batch(number) if number % 3 else plain(number)
    )
    data, compared = tmp_path / "data", 0
    clients = [Owed() for _ in range(3)]
    for place, owed in enumerate(clients):
        owed.next, owed.stride = place, len(clients)
    with runstone.open(data) as library:
        set_up(library)
    command = [sys.executable, "-m", "runstone.server", "--data", str(data), "--port", "0", "--workers", "2"]
    for round_ in range(max(KILLS // 4, 2)):
        with Victim([*command, "--log-format", "off"], environment()) as server:
            port = int(server.wait_for("runstone listening").split("http://127.0.0.1:")[1].split()[0])
            threads = [threading.Thread(target=log_until_lost, args=(port, owed)) for owed in clients]
            for thread in threads:
                thread.start()
            until = time.monotonic() + 30
            wanted = 10 * (round_ + 1)
            while time.monotonic() < until and any(len(owed.stored) < wanted for owed in clients):
                time.sleep(0.01)
            server.kill()
            for thread in threads:
                thread.join()
            server.end()
        with runstone.open(data) as library:
            tried = {owed.tried for owed in clients if owed.tried is not None}
            there = [n for n in tried if library.rows(run_of(n), low=n * 50, high=n * 50 + 50).rows]
            for owed in clients:
                if owed.tried in there:
                    owed.stored.append(owed.tried)
                if owed.tried is not None:
                    owed.next, owed.tried = owed.tried + owed.stride, None
            compared += compare(library, [n for owed in clients for n in owed.stored], None)
    assert compared > 500
