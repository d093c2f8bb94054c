"""The journal: what was appended is read back, a torn tail is recognised, and a full disk is survived."""

import os
import resource
import shutil
import subprocess
import threading
from contextlib import contextmanager

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from journalkit import read_back

from runstone.client.runs import journal as journal_module
from runstone.client.runs import segment as segment_module
from runstone.client.runs.journal import RESERVE, Full, Journal
from runstone.client.runs.records import CUT, FINISH, HEADER_SIZE, LINE, POINTS, ROLL, UPDATE, framed, scan
from runstone.client.runs.segment import Segment, found_in, is_mappable

DATA_KINDS = [POINTS, UPDATE, LINE, CUT, FINISH]


@pytest.fixture(params=["mapped", "written"])
def made(request, tmp_path, monkeypatch):
    """Makes journals, on a file system that can be mapped and on one that cannot."""
    if request.param == "written":
        monkeypatch.setattr(journal_module, "is_mappable", lambda directory: False)
    count = 0

    def making(**options):
        nonlocal count
        count += 1
        directory = tmp_path / str(count)
        directory.mkdir()
        journal = Journal(directory, **({"first_segment": 4096} | options))
        assert journal.mapped == (request.param == "mapped")
        return journal

    return making


def test_this_machine_maps_its_journals(tmp_path):
    kind = subprocess.run(["stat", "-f", "-c", "%T", tmp_path], capture_output=True, text=True, check=True)
    assert is_mappable(tmp_path) == (
        kind.stdout.strip() in {"ext2/ext3", "xfs", "tmpfs", "overlayfs", "f2fs"}
    )


@settings(max_examples=60, deadline=None)
@given(
    records=st.lists(st.tuples(st.sampled_from(DATA_KINDS), st.binary(max_size=3000)), max_size=40),
    first=st.integers(1024, 8192),
    mapped=st.booleans(),
)
def test_what_was_appended_is_read_back(tmp_path_factory, records, first, mapped):
    directory = tmp_path_factory.mktemp("journal")
    journal = Journal(directory, first_segment=first)
    journal.mapped = mapped
    ends = [journal.append(kind, payload) for kind, payload in records]
    own = list(journal.records(0))
    assert [(record.kind, record.payload) for record in own] == records == read_back(directory)
    assert [record.end for record in own] == ends and journal.end == (ends[-1] if ends else 0)
    for record in own:
        assert next(iter(journal.records(record.position))) == record
    journal.close()
    shutil.rmtree(directory)


def filled(journal, count=60):
    return [(POINTS, bytes([number]) * (number * 3 + 1)) for number in range(count)], [
        journal.append(POINTS, bytes([number]) * (number * 3 + 1)) for number in range(count)
    ]


@pytest.mark.parametrize("damage", ["zeros", "short", "flipped"])
def test_a_tail_torn_at_any_byte_costs_only_what_it_touches(made, damage):
    journal = made(first_segment=8192)
    records, ends = filled(journal, 16)
    (path,) = found_in(journal.directory)
    whole = path.read_bytes()
    journal.close()
    for at in range(ends[-1] + 1):
        kept = sum(end <= at for end in ends)
        if damage == "zeros":
            path.write_bytes(whole[:at] + bytes(len(whole) - at))
        elif damage == "short":
            path.write_bytes(whole[:at])
        else:
            path.write_bytes(whole[:at] + bytes([whole[at] ^ 0x40]) + whole[at + 1 :])
        found = read_back(journal.directory)
        if damage == "flipped":
            # A flip of the very byte where the records end is one of nothing.
            assert found == records[: kept if at < ends[-1] else len(records)], at
        else:
            # Zeros in place of what was zero change nothing.
            assert found[:kept] == records[:kept] and len(found) <= kept + (damage == "zeros"), at
            assert found == records[: len(found)]


def test_nothing_behind_a_damaged_record_is_taken_for_its_successor(made):
    journal = made(first_segment=1024)
    records, _ = filled(journal)
    paths = found_in(journal.directory)
    assert len(paths) > 2
    content = bytearray(paths[1].read_bytes())
    content[HEADER_SIZE] ^= 1
    paths[1].write_bytes(content)
    kept = len(read_back(journal.directory))
    assert read_back(journal.directory) == records[:kept] and 0 < kept < len(records)
    paths[1].unlink()
    assert read_back(journal.directory) == records[:kept], "a segment that is gone ends the journal too"


def test_a_record_is_one_only_where_it_was_written(tmp_path):
    segment = Segment.create(tmp_path / f"{4096:016x}.segment", 4096, 4096, mapped=True)
    segment.write(0, framed(4096, POINTS, b"here"))
    segment.write(20, framed(0, POINTS, b"from elsewhere"))
    assert [record.payload for record in scan([segment], 4096)] == [b"here"]
    segment.close()


def test_segments_that_are_not_needed_are_freed(made):
    journal = made(first_segment=1024)
    _, ends = filled(journal)
    before = found_in(journal.directory)
    journal.release(ends[40])
    after = found_in(journal.directory)
    assert after == before[-len(after) :] and len(after) < len(before)
    assert [record.end for record in journal.records(ends[40])] == ends[41:]


def test_the_next_segment_is_made_before_its_time(made):
    journal = made(first_segment=4096)
    journal.append(POINTS, bytes(2000))
    journal.prepare()
    assert len(found_in(journal.directory)) == 2
    journal.append(POINTS, b"a" * 2000)
    assert len(found_in(journal.directory)) == 2
    assert [len(payload) for _, payload in read_back(journal.directory)] == [2000, 2000]
    journal.prepare()
    journal.append(POINTS, b"b" * 500_000)
    assert [len(payload) for _, payload in read_back(journal.directory)] == [2000, 2000, 500_000]


def test_a_journal_has_a_limit_and_goes_on_when_there_is_room(made):
    journal = made(first_segment=4096, limit=60_000)
    with pytest.raises(Full, match="limit"):
        for _ in range(100):
            journal.append(POINTS, b"x" * 1000)
    held = len(list(journal.records(0)))
    assert 20 < held < 60 and journal.end <= 60_000
    journal.release(journal.end)
    journal.append(POINTS, b"again")
    assert next(iter(journal.records(journal.delivered))).payload == b"again"


def test_a_full_journal_can_still_be_cut_and_finished(made):
    journal = made(first_segment=4096, limit=1)
    count = 0
    with pytest.raises(Full):
        while True:
            journal.append(POINTS, b"x" * (1 + count % 7))
            count += 1
    for kind, payload in ((CUT, b""), (FINISH, b"f" * 60), (CUT, b"")):
        journal.append(kind, payload)
    assert len(read_back(journal.directory)) == count + 3
    # The reserve ends too; a roll must fit behind whatever is in it.
    with pytest.raises(Full):
        for _ in range(RESERVE):
            journal.append(CUT, b"")
    journal.limit = 1 << 20
    journal.append(POINTS, b"after")
    assert read_back(journal.directory)[-1] == (POINTS, b"after")
    assert all(kind != ROLL for kind, _ in read_back(journal.directory))


def test_a_closed_journal_takes_nothing(made):
    journal = made()
    journal.append(POINTS, b"a")
    journal.close()
    with pytest.raises(Full, match="closed"):
        journal.append(POINTS, b"b")
    assert read_back(journal.directory) == [(POINTS, b"a")]


def test_threads_append_whole_records(made):
    journal = made(first_segment=4096)

    def work(mark):
        for number in range(500):
            journal.append(POINTS, mark * (number % 50))

    threads = [threading.Thread(target=work, args=(bytes([65 + n]),)) for n in range(8)]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        journal.prepare()
    found = [payload for _, payload in read_back(journal.directory)]
    assert sorted(found) == sorted(bytes([65 + n]) * (k % 50) for n in range(8) for k in range(500))


@contextmanager
def file_size_limit(size):
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_without_room_for_files_records_wait_in_memory_and_then_are_refused(made, monkeypatch):
    monkeypatch.setattr(journal_module, "MEMORY_LIMIT", 200_000)
    monkeypatch.setattr(journal_module, "_RETRY_SECONDS", 0.0)
    journal = made(first_segment=4096)
    count = 0
    with file_size_limit(4096):
        with pytest.raises(Full, match="File too large"):
            while True:
                journal.append(POINTS, b"%d" % count)
                count += 1
        assert "too large" in journal.volatile.lower()
        assert len(found_in(journal.directory)) == 1
    kept = [record.payload for record in journal.records(0)]
    assert kept == [b"%d" % number for number in range(count)]
    journal.append(POINTS, b"on disk again")
    assert journal.volatile == "" and len(found_in(journal.directory)) == 2
    journal.release(journal.end)
    assert journal._memory == 0


@pytest.mark.root
def test_a_full_disk_ends_in_no_bus_error(tmp_path, monkeypatch):
    if os.getuid():
        pytest.skip("needs root, to mount a small file system")
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", disk], check=False)
    if mounted.returncode:
        pytest.skip("may not mount")
    try:
        monkeypatch.setattr(journal_module, "MEMORY_LIMIT", 1 << 20)
        monkeypatch.setattr(journal_module, "_RETRY_SECONDS", 0.0)
        journal = Journal(disk)
        assert journal.mapped
        count = 0
        with pytest.raises(Full, match="No space left"):
            while True:
                journal.append(POINTS, b"%06d" % count * 100)
                count += 1
        assert [record.payload[:6] for record in journal.records(0)] == [b"%06d" % n for n in range(count)]
        assert count * 600 > 1_500_000, "the disk, and then memory, were used"
        journal.close()
    finally:
        subprocess.run(["umount", disk], check=True)


def test_a_record_of_a_handler_in_the_middle_of_an_append_comes_after_it(made, monkeypatch):
    journal = made()
    real = journal._append

    def interrupted(kind, payload):
        if payload == b"outer":
            journal.append(POINTS, b"inner")
        return real(kind, payload)

    monkeypatch.setattr(journal, "_append", interrupted)
    journal.append(POINTS, b"outer")
    assert [payload for _, payload in read_back(journal.directory)] == [b"outer", b"inner"]
    assert journal.take_lost() == 0


def test_file_systems_are_told_apart(tmp_path, monkeypatch):
    monkeypatch.setattr(segment_module, "MAPPABLE", frozenset({"zfs"}))
    assert not is_mappable(tmp_path)
