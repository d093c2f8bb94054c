"""Processes that store, refer to, read and let go of the same few bytes while others collect, all of them pausing where it may hurt.

``RUNSTONE_TEST_CHURN`` is how many rounds each process goes. By the clock of those who collect every pin and every upload that nobody is
at work on has expired, so nothing is kept by the time: only by references, and by what processes hold.
"""

import contextlib
import multiprocessing
import os
import random
import signal
import time

from blobkit import (
    DAY,
    MIB,
    Clock,
    explain,
    let_go,
    noise,
    open_blobs,
    pack_paths,
    refer,
    require_sound,
    send,
    sha,
    stored_bytes,
)

from runstone.errors import Conflict, Gone, Missing, RunstoneError
from runstone.storage import batches, chunks, gc, packs, reading, sessions, space, uploads
from runstone.storage.backends.packs import LocalPacks
from runstone.storage.tables import BLOB_VERSIONS, BLOBS, CHUNKS, PACKS, UPLOAD_PARTS, UPLOADS

ROUNDS = int(os.environ.get("RUNSTONE_TEST_CHURN", "12"))
PROCESSES = 4
PIECES = [noise(size, 500 + n) for n, size in enumerate((300_000, 150_000, 90_000, 400_000, 70_000, 500))]
KEPT = noise(2 * MIB, 0)
#: They share most of their chunks, with each other and with what is kept.
CONTENTS = [
    b"".join(PIECES[place] for place in places)
    for places in ((0, 1), (0, 1, 2), (3,), (3, 4), (4, 3), (2, 1, 0), (5,), (5, 3, 0))
] + [KEPT[:MIB] + PIECES[0], KEPT[:MIB] + PIECES[4]]
#: A reference that any process makes and takes away, so that a blob may vanish under whoever reads it.
ANYBODYS = 1


def _pausing(dice):
    """Makes this process halt now and then wherever another may get in between."""

    def halts(owner, name, often, longest):
        real = getattr(owner, name)

        def slowly(*args, **given):
            if dice.random() < often:
                time.sleep(dice.random() * longest)
            return real(*args, **given)

        setattr(owner, name, slowly)

    for module in (batches, chunks, gc, packs, sessions, space, uploads):
        halts(module, "transact", 0.1, 0.03)
    # The longest where a reader has made sure of its bytes and is about to copy them.
    halts(reading, "_read_all", 0.7, 0.3)
    for owner, names in {
        reading: ("parts_covering",),
        reading.Held: ("hold", "let_go", "holds"),
        sessions: ("confirm",),
        batches: ("confirm",),
        sessions.Session: ("reset",),
        LocalPacks: ("append", "punch", "cut", "remove", "claim"),
        gc.Collector: ("_oldest_upload", "_condemn", "_delete_one"),
    }.items():
        for name in names:
            halts(owner, name, 0.1, 0.03)


def _store(blobs, dice, data):
    """Stores some bytes in one of the ways there are, or begins to and leaves it at that; whether they were stored."""
    way = dice.choice(("put", "pieces", "batch", "given up", "left"))
    if way == "put":
        blobs.put(0, "me", data)
    elif way == "batch":
        blobs.put_bytes(0, "me", [data, dice.choice(CONTENTS), data[: len(data) // 2]])
    else:
        upload, at = blobs.begin(0, "me"), 0
        stop = len(data) if way == "pieces" else dice.randrange(len(data))
        while at < stop:
            at = send(blobs, upload, data, at, min(stop, at + dice.randrange(1, 300_000)))
            if dice.random() < 0.4:
                blobs.checkpoint(upload)
        if way == "pieces":
            blobs.finish(upload, sha(data))
        elif way == "given up":
            blobs.abort(upload)
        else:
            blobs.checkpoint(upload)  # nobody holds it from here on, and for the collector it has expired
    return way in ("put", "batch", "pieces")


def _read(blobs, dice, data):
    with blobs.open(0, sha(data)) as reader:
        way = dice.choice(("read", "segments", "map"))
        if way == "map" and (mapped := reader.map()) is not None:
            found = bytes(mapped)
        elif way == "segments":
            segments = reader.segments()
            time.sleep(dice.random() * 0.3)
            found = b"".join(os.pread(each.handle, each.length, each.offset) for each in segments)
        else:
            found = reader.read()
        # Asked while it is still open: nothing of it can have gone since.
        assert found == data, explain(blobs, data, found, [KEPT, *CONTENTS])


def _churn(directory, number, seed, rounds, done):
    dice = random.Random(seed)
    clock = Clock()
    with open_blobs(directory, clock=clock, checkpoint=MIB // 2) as blobs:
        _pausing(dice)
        for _ in range(rounds):
            data = dice.choice(CONTENTS)
            version = dice.choice((ANYBODYS, 100 + number))
            if dice.random() < 0.15:
                with contextlib.suppress(Conflict):
                    blobs.collect(grace_seconds=0, now=clock.now + 2 * DAY)
            # It may have been taken by the collector before it was referred to, or have expired before it was whole.
            with contextlib.suppress(Conflict, Missing, Gone):
                if not _store(blobs, dice, data):
                    continue
                refer(blobs, data, version)
                if version == ANYBODYS:
                    with contextlib.suppress(Missing):
                        _read(blobs, dice, data)
                        done.value += 1
                else:
                    try:
                        _read(blobs, dice, data)
                    except RunstoneError as error:
                        raise AssertionError(explain(blobs, data, b"", [KEPT, *CONTENTS])) from error
                    done.value += 1
                let_go(blobs, data, version)


def test_processes_that_upload_and_read_while_others_collect_lose_nothing(tmp_path):
    spawn, clock, dice = multiprocessing.get_context("spawn"), Clock(), random.Random(ROUNDS)
    killed = 0
    with open_blobs(tmp_path, clock=clock) as blobs:
        blobs.put(0, "me", KEPT)
        refer(blobs, KEPT)
        done = [spawn.Value("q", 0) for _ in range(PROCESSES)]

        def start(number, seed):
            args = tmp_path, number, seed, ROUNDS, done[number]
            worker = spawn.Process(target=_churn, args=args)
            worker.start()
            return worker

        workers = [start(number, number) for number in range(PROCESSES)]
        runs = deleted = 0
        while any(worker.is_alive() for worker in workers):
            with contextlib.suppress(Conflict):
                report = blobs.collect(grace_seconds=0, now=clock.now + 2 * DAY)
                runs, deleted = runs + 1, deleted + report.deleted
            victim = dice.randrange(PROCESSES)
            # One that has come to work, so that all of them are not killed before anything happens.
            if (
                killed < ROUNDS // 4
                and done[victim].value
                and dice.random() < 0.02
                and workers[victim].is_alive()
            ):
                os.kill(workers[victim].pid, signal.SIGKILL)
                workers[victim].join()
                killed += 1
                workers[victim] = start(victim, 1000 + killed)
        for worker in workers:
            worker.join()
            assert worker.exitcode in (0, -signal.SIGKILL)
        assert runs > 1 and deleted > 0 and all(each.value for each in done)
        assert blobs.read(0, sha(KEPT)) == KEPT
        require_sound(blobs)
        with blobs.index.write() as txn:  # what those who were killed had referred to
            for key in [key for key, _ in txn.scan(BLOB_VERSIONS) if key[1] != sha(KEPT)]:
                txn.delete(BLOB_VERSIONS, *key)
        for _ in range(2):
            assert not blobs.collect(grace_seconds=0, now=clock.now + 2 * DAY).failures
        assert blobs.read(0, sha(KEPT)) == KEPT
        require_sound(blobs)
        with blobs.index.read() as view:
            assert [view.count(table) for table in (BLOBS, UPLOADS, UPLOAD_PARTS)] == [1, 0, 0]
            assert view.count(CHUNKS) <= len(KEPT) // 8192
            assert view.count(PACKS) == len(pack_paths(tmp_path)) == 1
        assert stored_bytes(tmp_path) <= len(KEPT) + MIB // 4
