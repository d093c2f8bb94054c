"""What a purge erases from the log, and that everything else is proven, verified, restored and rebuilt as before."""

import json
import random
import subprocess
import sys
from pathlib import Path

import pytest

import runstone
from faults.killer import Victim
from reliability.programs import environment
from runstone.domain import audit, maintenance
from runstone.domain.context import Context
from runstone.domain.runs import alerts, inputs, points, series
from runstone.domain.runs.inputs import ModelUse, Used
from runstone.errors import Gone
from runstone.storage.tables import (
    DATASET_NAMES,
    DATASET_RUNS,
    DATASETS,
    ERASURES,
    LOG_PAYLOADS,
    RUN_DATASETS,
    RUNS,
    SERIES_BLOCKS,
)
from runstone.types import FileEntry

VERIFIER = Path(runstone.__file__).with_name("verifier.py")
SECRET = "fabulous"


def say(library, name):
    """A run that says a secret in every way, and what it logs has keys of its own and a shared one."""
    own = name.rpartition("/")[2]
    library.create_run(name, config={"c": SECRET}, notes=SECRET, tags=[SECRET])
    library.update_run(name, info={"host": SECRET}, summary={"s": SECRET}, display_name=SECRET)
    for step in range(4):
        library.log_rows(name, [(step, step, {own: step, "shared": step / 2, f"o-{own}": {"text": SECRET}})])
        library.log_lines(name, [(step, "stdout", "", SECRET)])
    library.save_run_files(name, files=[FileEntry(path=SECRET, size=1, url="s3://b/k", etag="e")])
    library.remove_run_file(name, SECRET)
    alerts.raise_alert(library.store, library.ctx, name, SECRET, SECRET)
    alerts.keep(library.store, library.ctx, name, SECRET, SECRET, severity="warn", time=7, told=True)
    datasets = [Used(f"{own}-{n}", "d", "s3", SECRET, SECRET, SECRET, {"for": SECRET}) for n in range(2)]
    inputs.note(library.store, library.ctx, name, datasets, [ModelUse(SECRET), ModelUse(SECRET, True, 3)])
    library.rewind_run(name, 2)


def purge(library, name):
    library.delete_run(name)
    library.purge_run(name)


def told(library):
    """How many log entries tell the secret, and the bytes that all payloads take."""
    with library.store.index.read() as view:
        bodies = [body for table in (LOG_PAYLOADS, ERASURES) for _, body in view.scan_bodies(table)]
    return sum(SECRET.encode() in body for body in bodies), sum(map(len, bodies))


def rebuilt(library):
    """The head, after a rebuild that must lead to the same one."""
    library.verify()
    head, path = library.store.log.head(), library.store.path
    library.close()
    assert maintenance.rebuild(path) == head
    with runstone.open(path) as again:
        again.verify()
    return head


def test_what_a_purged_run_said_is_erased_and_the_rest_stands(library, tmp_path):
    say(library, "p/one")
    say(library, "p/two")
    before, size = told(library)
    purge(library, "p/one")
    after, smaller = told(library)
    assert after == before / 2 > 5 and smaller < size
    assert library.series("p/two", "shared").values == [0.0, 0.5]
    head = library.store.log.head()
    bundle = audit.bundle(library.store, list(range(head.size)))
    (tmp_path / "proof.json").write_text(json.dumps(bundle))
    command = [sys.executable, "-I", "-S", VERIFIER, tmp_path / "proof.json", "--key", library.log_key()]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0 and "withheld or erased" in done.stdout, done.stderr
    rebuilt(library)


def note(library, name, *datasets):
    used = [Used(each, "d", "s3", f"source of {each}", labels={"for": SECRET}) for each in datasets]
    inputs.note(library.store, library.ctx, name, used)


def known(library, *words):
    """Which words the log, or what is left of it, and the rows of datasets have."""
    with library.store.index.read() as view:
        tables = (LOG_PAYLOADS, ERASURES, DATASETS)
        bodies = b"".join(body for table in tables for _, body in view.scan_bodies(table))
    return [word for word in words if word.encode() in bodies]


def test_a_dataset_goes_with_the_last_run_that_read_it(library):
    """What a purged run said of a dataset that another reads too is kept for that one, and goes when that one goes."""
    for name in ("p/one", "p/two", "p/three"):
        library.create_run(name)
    note(library, "p/one", "only", "shared", "later")
    note(library, "p/two", "shared", "own")
    note(library, "p/three", "later")
    words = [f"source of {each}" for each in ("only", "shared", "later", "own")]
    assert known(library, *words) == words
    purge(library, "p/one")
    assert known(library, *words) == words[1:]
    assert [row.name for row, _ in inputs.used_in(library.store, library.ctx, "p")] == [
        "later",
        "own",
        "shared",
    ]
    first = library.store.log.head().size
    purge(library, "p/three")
    assert known(library, *words) == [words[1], words[3]]
    note(library, "p/two", "later")  # anew, with an entry of its own
    assert known(library, *words) == words[1:]
    assert len(inputs.of(library.store, library.ctx, "p/two").datasets) == 3
    assert known(library, SECRET) == [SECRET], "the labels of the run that is still there"
    with library.store.index.read() as view:
        assert {erasure.by for _, erasure in view.scan(ERASURES)} > {first - 1}
    rebuilt(library)


def test_no_dataset_of_purged_runs_is_left(library):
    for name in ("p/one", "p/two"):
        library.create_run(name)
        note(library, name, "a", "b", SECRET)
    for name in ("p/one", "p/two"):
        purge(library, name)
    with library.store.index.read() as view:
        tables = (DATASETS, DATASET_NAMES, RUN_DATASETS, DATASET_RUNS)
        assert [view.count(table) for table in tables] == [0, 0, 0, 0]
    assert told(library)[0] == 0 and known(library, "source of") == []
    rebuilt(library)


def test_a_dataset_that_was_described_for_itself_outlives_the_runs(library):
    library.create_run("p/one")
    inputs.describe(library.store, library.ctx, "p", Used("mine", "d", "s3", "source of mine"))
    note(library, "p/one", "mine", "its")
    purge(library, "p/one")
    assert known(library, "source of mine", "source of its") == ["source of mine"]
    rebuilt(library)


def test_an_entry_that_two_purges_erased_is_erased_by_the_second(library):
    """So that no point in time between the two is offered: what was left for it is not there any more."""
    for name in ("p/one", "p/two"):
        library.create_run(name)
    noted = library.store.log.head().size
    note(library, "p/one", "shared")
    note(library, "p/two", "shared")
    by = []
    for name in ("p/one", "p/two"):
        purge(library, name)
        with library.store.index.read() as view:
            by.append((view.get(ERASURES, noted).by, library.store.log.head().size - 1))
    assert [found == last for found, last in by] == [True, True] and by[0] < by[1]
    rebuilt(library)


def test_a_repeated_command_of_an_erased_entry_is_answered_as_before(library):
    library.create_run("p/one")
    ctx = Context(command_id=b"i" * 16)
    rows = [(7, 7, {"a": 1.0})]
    first = points.log_rows(library.store, ctx, "p/one", rows)
    command = library.store.log.command(*library.store.log.entry(library.store.log.head().size - 1))
    purge(library, "p/one")
    again = library.store.submit(ctx, command)
    assert again.repeated and again.result == first


def test_a_fork_keeps_the_points_that_it_borrows_until_it_is_purged_too(library):
    library.create_run("p/parent", config={"c": SECRET})
    library.log_rows("p/parent", [(step, step, {"a": step / 2, "o": {"x": SECRET}}) for step in range(6)])
    library.create_run("p/fork", fork="p/parent", step=4)
    purge(library, "p/parent")
    assert told(library)[0] >= 1
    series.compact(library.store, everything=True)
    assert library.series("p/fork", "a").values == [0.0, 0.5, 1.0, 1.5]
    purge(library, "p/fork")
    assert told(library)[0] == 0
    with library.store.index.read() as view:
        assert view.count(SERIES_BLOCKS) == 0
    rebuilt(library)


def test_a_point_in_time_before_the_purge_is_refused_and_one_after_it_is_not(library, tmp_path):
    say(library, "p/one")
    library.create_run("p/other")
    early = library.store.log.head().size
    purge(library, "p/one")
    late = library.store.log.head().size
    library.create_run("p/later")
    library.backup(tmp_path / "backup")
    with pytest.raises(Gone, match=f"go to entry {late} or later"):
        maintenance.restore(tmp_path / "backup", tmp_path / "then", to=early)
    assert not (tmp_path / "then").exists()
    maintenance.restore(tmp_path / "backup", tmp_path / "then", to=late)
    with runstone.open(tmp_path / "then") as then:
        then.verify()
        assert [run.name for run in then.runs("p").items] == ["other"]


PURGING = """
import sys, runstone
with runstone.open(sys.argv[1]) as library:
    runs = library.runs("p", limit=1000).items
    for run in runs:
        library.delete_run(run.path)
        library.purge_run(run.path)
        print("PURGED", flush=True)
"""


def test_a_purge_that_is_killed_was_done_whole_or_not_at_all(tmp_path):
    data, runs = tmp_path / "data", 60
    with runstone.open(data) as library:
        for number in range(runs):
            name = f"p/run-{number}"
            library.create_run(name, config={"c": SECRET})
            library.log_rows(name, [(step, step, {"a": step, "o": {"x": SECRET}}) for step in range(50)])
    left = runs
    chance = random.Random(1)
    for _ in range(8):
        with Victim([sys.executable, "-c", PURGING, str(data)], environment()) as victim:
            victim.wait_for("PURGED")
            victim.kill_after(chance.uniform(0.0, 0.02)).join()
            victim.end()
        with runstone.open(data) as library:
            with library.store.index.read() as view:
                left = sum(1 for _ in view.scan_bodies(RUNS))
            assert told(library)[0] == 2 * left
            library.verify()
        if not left:
            break
    assert left < runs
    with runstone.open(data) as library:
        rebuilt(library)
