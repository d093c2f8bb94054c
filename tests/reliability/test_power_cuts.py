"""Power cuts: everything that was not made durable is gone, and nothing acknowledged is lost, corrupt or done twice."""

import random
import sys
import time

import pytest

import runstone
from faults import powercut
from faults.killer import Victim
from faults.powercut import PowerCutDisk

from .programs import count, environment, events, writer
from .workload import a_day_later, check, check_all, replay, set_up

CUTS = count("RUNSTONE_POWER_CUTS", 50)
LANES = 3
CHECK_EVERY = 10

pytestmark = [
    pytest.mark.root,
    pytest.mark.skipif(
        powercut.available() is not None, reason=f"no power cuts here: {powercut.available()}"
    ),
]


def test_the_power_is_cut_while_writers_write(tmp_path):
    ledger, scratch = tmp_path / "ledger", tmp_path / "scratch"
    scratch.mkdir()
    acknowledged = tried = compared = 0
    with PowerCutDisk(tmp_path, 256) as disk:
        with runstone.open(disk.path / "data") as library:
            lanes = set_up(library, LANES)
        for round_ in range(CUTS):
            chance = random.Random(round_)
            with Victim(writer(disk.path / "data", ledger, scratch, lanes, round_), environment()) as victim:
                if round_ % 8:
                    victim.wait_for("READY")
                    victim.wait_for("ACK", chance.randint(1, 12))
                    time.sleep(chance.uniform(0, 0.03))
                else:
                    victim.kill_after(chance.uniform(0.1, 0.3)).join()
                disk.cut()
                # What it prints from here on was acknowledged by a machine without power: a commit that could
                # not reach the disk must not be. So it may go on for a moment, and what it says counts.
                disk.recover(kill=[victim], check=round_ % CHECK_EVERY == 0)
                run = victim.end()
            lines = [line for line in run.lines if not line.startswith("FAILED")]
            acknowledged += replay(lanes, events(lines))
            tried += sum(lane.pending is not None for lane in lanes)
            with runstone.open(disk.path / "data") as library:
                compared += check(library, lanes, read=round_ % CHECK_EVERY == 0)
                a_day_later(library)
                if round_ % CHECK_EVERY == 0:
                    library.verify()
        with runstone.open(disk.path / "data") as library:
            compared += check_all(library, lanes)
    collected = sum(lane.collected for lane in lanes)
    print(
        f"{disk.cuts} cuts, {acknowledged} acknowledged, {tried} cut off, {compared} files, {collected} collected"
    )
    assert disk.cuts == CUTS > 0
    assert acknowledged > CUTS and tried > CUTS / 2 and compared > 20 and collected > CUTS / 25


def test_the_power_is_cut_while_a_store_is_made(tmp_path):
    code = "import sys, runstone; print('READY'); runstone.open(sys.argv[1]); print('ACK 1')"
    made = 0
    with PowerCutDisk(tmp_path, 64) as disk:
        for round_ in range(max(1, CUTS // 5)):
            data, argv = disk.path / f"data-{round_}", [sys.executable, "-c", code]
            with Victim([*argv, str(data)], environment()) as victim:
                victim.wait_for("READY")
                victim.kill_after(random.Random(round_).uniform(0.0, 0.08)).join()
                disk.cut()
                disk.recover(kill=[victim])
                made += bool(victim.end().acks)
            with runstone.open(data) as library:
                lanes = set_up(library, 1)
                check_all(library, lanes)
        assert disk.cuts > 0
