"""Real faults for the reliability tests: failing system calls, power cuts, kills and flipped bits.

==============  ==============================================================================================
``failing``     every k-th write, sync, rename, … under a directory fails (``LD_PRELOAD``; needs a C compiler)
``powercut``    everything that was not fsynced is gone (ext4 on a loop device; needs root)
``killer``      SIGKILL of a process group at a random time or line; what had been acknowledged by then
``bitflip``     one bit of a file turned over, and back again
``lmdb_pages``  which bytes of a ``data.mdb`` a reader can depend on: tells a harmless flip from a missed one
==============  ==============================================================================================

Every tool counts what it did (``injected``, ``cuts``, ``hit``, …). A test asserts on that count, so that it
goes red when no fault ever reached the code under test.

How a reliability test is put together::

    with Failing(data) as failing, Victim(argv, failing.env) as server:
        server.wait_for("READY")
        failing.arm("sync", nth=7, error=errno.EIO)
        ...  # an upload: acknowledged and durable, or a clean error
        assert failing.injected

    with PowerCutDisk(tmp_path) as disk:
        with Victim([*argv, disk.path]) as server:
            server.wait_for("ACK", 100)
            disk.cut()  # while it is writing
            disk.recover(kill=[server])
            run = server.end()
        ...  # open again: every operation in run.acks is there, and the index equals the log

    run = killed_at_random(argv, seed=seed, min_ms=0, max_ms=300, ready="READY")
    hits += run.hit
    ...  # open again: every operation in run.acks is there

    used = used_byte_ranges(data_mdb)
    for place in random_places([data_mdb, *packs], 1000, seed):
        with flipped(place):
            ...  # found and named; or harmless: in data_mdb and not lies_in(used, place.offset)
"""
