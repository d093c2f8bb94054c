"""SIGKILL at random points: nothing acknowledged is lost, nothing is corrupt, nothing is done twice, and the index equals the log."""

import random
import sys
import threading
from pathlib import Path

import pytest

import runstone
from faults.killer import PATIENCE, Victim

from .over_http import Client, Lost, OverHttp
from .programs import count, environment, events, writer
from .workload import Lane, a_day_later, attempts, check, check_all, replay, set_up

KILLS = count("RUNSTONE_KILLS", 200)
LANES = 3
#: Kills between two verifications of everything.
CHECK_EVERY = 15


def new_store(tmp_path: Path) -> tuple[Path, list[Lane]]:
    data = tmp_path / "data"
    with runstone.open(data) as library:
        return data, set_up(library, LANES)


def wait_and_kill(victim: Victim, chance: random.Random) -> None:
    """Kills a writer shortly after some of its work was acknowledged; one time in eight while the store is still being opened."""
    if chance.random() < 0.125:
        victim.kill_after(chance.uniform(0.1, 0.5)).join()
        return
    victim.wait_for("READY")
    if some := chance.randint(0, 20):
        victim.wait_for("ACK", some)
    victim.kill_after(chance.uniform(0.0, 0.05)).join()


def test_writers_in_a_process_are_killed(tmp_path):
    kills = KILLS * 3 // 4
    data, lanes = new_store(tmp_path)
    hits = acknowledged = compared = tried = 0
    for round_ in range(kills):
        chance = random.Random(round_)
        with Victim(writer(data, tmp_path / "ledger", tmp_path, lanes, round_), environment()) as victim:
            wait_and_kill(victim, chance)
            run = victim.end()
        assert run.hit, "\n".join([*run.lines[-1:], run.stderr]).replace("\\n", "\n")
        hits += run.hit
        acknowledged += replay(lanes, events(run.lines))
        tried += sum(lane.pending is not None for lane in lanes)
        with runstone.open(data) as library:
            compared += check(library, lanes, read=round_ % CHECK_EVERY == 0)
            a_day_later(library)
            if round_ % CHECK_EVERY == 0:
                library.verify()
    with runstone.open(data) as library:
        compared += check_all(library, lanes)
        entries = library.verify()["entries"]
    collected = sum(lane.collected for lane in lanes)
    print(
        f"{hits} kills, {acknowledged} acknowledged, {tried} cut off, {compared} files, {collected} collected, {entries} entries"
    )
    assert hits == kills > 0
    assert acknowledged > kills and tried > kills / 2 and compared > 50 and collected > 0


def serve(data: Path, workers: int) -> list[str]:
    argv = ["-m", "runstone.server", "--data", str(data), "--port", "0", "--log-format", "off"]
    return [sys.executable, *argv, "--workers", str(workers)]


def port_of(victim: Victim) -> int:
    url = victim.wait_for("runstone listening on ").split()[3]
    return int(url.rstrip("/").rpartition(":")[2])


class Clients:
    """One thread a lane, each doing one operation after the other until the server is gone."""

    def __init__(self, port: int, lanes: list[Lane], seed: int) -> None:
        self.failures: list[BaseException] = []
        self.acknowledged = 0
        self._done = threading.Condition()
        self._threads = [threading.Thread(target=self._work, args=(port, lane, seed)) for lane in lanes]
        for thread in self._threads:
            thread.start()

    def _work(self, port: int, lane: Lane, seed: int) -> None:
        client = Client("127.0.0.1", port)
        execute, chance = OverHttp(client), random.Random(f"{seed} {lane.number}")
        try:
            while True:
                op = lane.next_op(chance)
                lane.tried(op)
                lane.done(op, attempts(execute, op))
                with self._done:
                    self.acknowledged += 1
                    self._done.notify_all()
        except Lost:
            return
        except BaseException as error:
            with self._done:
                self.failures.append(error)
                self._done.notify_all()
        finally:
            client.close()

    def wait_for(self, count: int) -> None:
        """Waits until so many operations were acknowledged, or some client has failed."""
        with self._done:
            assert self._done.wait_for(lambda: self.acknowledged >= count or self.failures, PATIENCE)

    def join(self) -> None:
        for thread in self._threads:
            thread.join()
        if self.failures:
            raise self.failures[0]


def test_servers_are_killed(tmp_path):
    kills = KILLS - KILLS * 3 // 4
    data, lanes = new_store(tmp_path)
    hits = acknowledged = compared = tried = 0
    for round_ in range(kills):
        chance = random.Random(1000 + round_)
        with Victim(serve(data, 2 if round_ % 5 == 4 else 1), environment()) as victim:
            clients = Clients(port_of(victim), lanes, round_)
            clients.wait_for(chance.randint(0, 12))
            victim.kill_after(chance.uniform(0.0, 0.05)).join()
            clients.join()
            run = victim.end()
        assert run.hit, "\n".join([*run.lines[-1:], run.stderr]).replace("\\n", "\n")
        hits += run.hit
        acknowledged += clients.acknowledged
        tried += sum(lane.pending is not None for lane in lanes)
        with runstone.open(data) as library:
            compared += check(library, lanes, read=round_ % CHECK_EVERY == 0)
            a_day_later(library)
            if round_ % CHECK_EVERY == 0:
                library.verify()
    with runstone.open(data) as library:
        compared += check_all(library, lanes)
    collected = sum(lane.collected for lane in lanes)
    print(
        f"{hits} kills, {acknowledged} acknowledged, {tried} cut off, {compared} files, {collected} collected"
    )
    assert hits == kills > 0
    # How much a machine gets done between two kills is its own business; that each kind of work was cut is not.
    assert acknowledged > kills / 2 and tried > kills / 4 and compared > 20 and collected > 0


def test_a_store_killed_while_it_is_made_can_be_opened(tmp_path):
    hits = made = 0
    for round_ in range(max(1, KILLS // 20)):
        data = tmp_path / f"data-{round_}"
        code = f"import runstone; print('READY'); runstone.open({str(data)!r}); print('MADE')"
        with Victim([sys.executable, "-c", code], environment()) as victim:
            victim.wait_for("READY")
            victim.kill_after(random.Random(round_).uniform(0.0, 0.15)).join()
            run = victim.end()
        hits += run.hit
        made += "MADE" in run.lines
        with runstone.open(data) as library:
            lanes = set_up(library, 1)
            check_all(library, lanes)
    assert hits > 0 and hits > made


def lost(lane: Lane) -> None:
    lane.versions[99] = {**next(iter(lane.versions.values())), "id": "lost"}


def unknown(lane: Lane) -> None:
    del lane.versions[next(number for number in lane.versions if number not in lane.aliases.values())]


def other_bytes(lane: Lane) -> None:
    number, op = lane.versions.popitem()
    lane.versions[number] = {**op, "files": {path: seed + 1 for path, seed in op["files"].items()}}


def back_again(lane: Lane) -> None:
    lane.deleted.add(lane.versions.popitem()[0])


def elsewhere(lane: Lane) -> None:
    lane.aliases["prod"] = lane.aliases.get("prod", 0) + 1


@pytest.mark.parametrize("wrong", [lost, unknown, other_bytes, back_again, elsewhere])
def test_the_check_notices_a_store_that_is_not_what_was_acknowledged(tmp_path, wrong):
    data, lanes = new_store(tmp_path)
    with Victim(writer(data, tmp_path / "ledger", tmp_path, lanes, 1), environment()) as victim:
        victim.wait_for("ACK", 40)
        run = victim.end()
    replay(lanes, events(run.lines))
    with runstone.open(data) as library:
        check_all(library, lanes)
        wrong(max(lanes, key=lambda lane: len(lane.versions)))
        with pytest.raises(AssertionError):
            check(library, lanes)
