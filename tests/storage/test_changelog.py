import multiprocessing
import threading
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runstone.errors import AliasMoved, Corrupt, Gone, Invalid, Missing
from runstone.storage import merkle, recovery
from runstone.storage.changelog import ChangeLog, Submission
from runstone.storage.commands import Command, Stamp, applies
from runstone.storage.entry import pack_header, payload_digest
from runstone.storage.index import Index
from runstone.storage.state import State
from runstone.storage.tables import LOG_HEADERS, LOG_PAYLOADS, NAMESPACE_NAMES, Stored


class SetNumber(Command, frozen=True, kw_only=True):
    name: str
    value: int
    expected: int | None = None


@applies(60000, "test_set_number", SetNumber, int)
def _set_number(state: State, at: Stamp, command: SetNumber) -> int:
    before = state.get(NAMESPACE_NAMES, command.name) or 0
    state.put(NAMESPACE_NAMES, command.name, command.value)
    if command.expected is not None and command.expected != before:
        raise AliasMoved("not what was expected")
    state.touch(at.id, at.seq, 60000)
    return before


class CountNames(Command, frozen=True, kw_only=True):
    prefix: str = ""


@applies(60001, "test_count_names", CountNames, int)
def _count_names(state: State, at: Stamp, command: CountNames) -> int:
    return sum(1 for (name,), _ in state.scan(NAMESPACE_NAMES) if name.startswith(command.prefix))


def number(name, value, expected=None):
    return SetNumber(actor="tester", name=name, value=value, expected=expected)


@pytest.fixture
def log(tmp_path):
    return ChangeLog(Index(tmp_path / "i"))


def value(log, name):
    with log.index.read() as view:
        return view.get(NAMESPACE_NAMES, name)


def test_a_command_is_appended_and_applied(log):
    receipt = log.submit(number("a", 1))
    assert (receipt.seq, receipt.result, receipt.repeated) == (0, 0, False)
    assert value(log, "a") == 1
    header, stored = log.entry(0)
    assert log.command(header, stored) == number("a", 1)
    assert log.head().root == merkle.leaf_hash(pack_header(header))


def test_a_refused_command_changes_nothing(log):
    log.submit(number("a", 1))
    before = log.head()
    with pytest.raises(AliasMoved):
        log.submit(number("a", 2, expected=7))
    assert log.head() == before
    assert value(log, "a") == 1


def test_a_refused_command_leaves_the_rest_of_its_batch_alone(log):
    batch = [
        Submission(number("a", 1)),
        Submission(number("a", 2, expected=9)),
        Submission(number("a", 3, expected=1)),
        Submission(CountNames(actor="tester")),
    ]
    log.submit_many(batch)
    assert isinstance(batch[1].error, AliasMoved)
    assert [s.receipt.seq for s in batch if s.receipt] == [0, 1, 2]
    assert batch[3].receipt.result == 1
    assert value(log, "a") == 3
    recovery.verify(log)


def test_a_second_arrival_answers_the_first_result(log):
    first = log.submit(number("a", 5), id=b"i" * 16)
    log.submit(number("a", 6))
    again = log.submit(number("a", 5), id=b"i" * 16)
    assert again.repeated and (again.seq, again.result) == (first.seq, first.result)
    assert value(log, "a") == 6
    assert log.head().size == 2


def test_a_second_arrival_in_the_same_batch_answers_the_first_result(log):
    batch = [Submission(number("a", 5), b"i" * 16), Submission(number("a", 5), b"i" * 16)]
    log.submit_many(batch)
    assert [s.receipt.repeated for s in batch] == [False, True]
    assert log.head().size == 1


def test_an_id_names_one_change_for_ever(log):
    log.submit(number("a", 5), id=b"i" * 16)
    with pytest.raises(Invalid, match="already used"):
        log.submit(number("a", 6), id=b"i" * 16)
    with pytest.raises(Invalid, match="16 bytes"):
        log.submit(number("a", 6), id=b"short")


def test_a_guard_refuses_before_anything_is_changed(log):
    def refuse(state):
        raise Missing("no such blob")

    with pytest.raises(Missing):
        log.submit(number("a", 1), guard=refuse)
    assert log.head().size == 0


def test_an_error_in_apply_spoils_nothing(log):
    def broken(state):
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        log.submit(number("a", 1), guard=broken)
    batch = [Submission(number("a", 1)), Submission(number("a", 2), guard=broken), Submission(number("b", 3))]
    log.submit_many(batch)
    assert isinstance(batch[1].error, ZeroDivisionError)
    assert [s.receipt.seq for s in batch if s.receipt] == [0, 1]
    assert value(log, "a") == 1
    recovery.verify(log)


def test_threads_share_transactions(log):
    commits = []
    plain = log._apply_batch
    log._apply_batch = lambda *args: (commits.append(1), plain(*args))[1]
    threads = [
        threading.Thread(target=lambda n=n: [log.submit(number(f"t{n}", i)) for i in range(20)])
        for n in range(16)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert log.head().size == 320
    assert len(commits) < 320
    assert {value(log, f"t{n}") for n in range(16)} == {19}
    recovery.verify(log)


def _increment(path, who, count):
    log = ChangeLog(Index(path))
    for n in range(count):
        log.submit(number(f"{who}-{n}", n))


def test_processes_share_one_log(tmp_path):
    log = ChangeLog(Index(tmp_path / "i"))
    spawn = multiprocessing.get_context("spawn")
    writers = [spawn.Process(target=_increment, args=(tmp_path / "i", who, 25)) for who in "abc"]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
        assert writer.exitcode == 0
    assert log.head().size == 75
    recovery.verify(log)


COMMANDS = st.builds(
    number, st.sampled_from("abcd"), st.integers(0, 9), st.none() | st.integers(0, 9)
) | st.builds(CountNames, actor=st.just("x"), prefix=st.sampled_from(["", "a"]))


@settings(max_examples=25, deadline=None)
@given(st.lists(st.lists(COMMANDS, min_size=1, max_size=12), max_size=6))
def test_the_same_log_gives_the_same_state(tmp_path_factory, batches):
    path = tmp_path_factory.mktemp("fold")
    log = ChangeLog(Index(path / "i"))
    for batch in batches:
        log.submit_many([Submission(command) for command in batch])
    head = recovery.verify(log)
    made = recovery.rebuild(log, path / "rebuilt")
    assert (made.size, made.root, made.state) == (head.size, head.root, head.state)
    rebuilt = ChangeLog(Index(path / "rebuilt"))
    assert recovery.verify(rebuilt).state == head.state
    rebuilt.index.close()
    log.index.close()


def test_a_point_in_time_is_the_state_after_that_entry(log, tmp_path):
    heads = []
    for n in range(30):
        log.submit(number("a", n))
        heads.append(log.head())
    made = recovery.rebuild(log, tmp_path / "then", upto=11)
    assert (made.size, made.root, made.state) == (11, heads[10].root, heads[10].state)
    then = ChangeLog(Index(tmp_path / "then"))
    assert value(then, "a") == 10


def test_proofs_verify_at_every_size(log):
    for n in range(20):
        log.submit(number("a", n))
    for size in range(1, 21):
        root = log.root_at(size)
        for seq in range(size):
            leaf = merkle.leaf_hash(pack_header(log.entry(seq)[0]))
            merkle.verify_inclusion(leaf, seq, size, log.inclusion_proof(seq, size), root)
        merkle.verify_consistency(size, 20, log.consistency_proof(size, 20), root, log.root_at(20))
    with pytest.raises(Missing):
        log.inclusion_proof(20, 20)
    with pytest.raises(Missing):
        log.entry(20)


@pytest.mark.parametrize("what", ["state", "payload", "header", "extra", "lost"])
def test_verify_finds_what_was_changed_behind_the_log(log, what):
    for n in range(5):
        log.submit(number(f"a{n}", n))
    recovery.verify(log)
    header, stored = log.entry(2)
    with log.index.write() as txn:
        if what == "state":
            txn.put(NAMESPACE_NAMES, "a2", 99)
        elif what == "extra":
            txn.put(NAMESPACE_NAMES, "b", 1)
        elif what == "lost":
            txn.delete(NAMESPACE_NAMES, "a3")
        elif what == "payload":
            txn.put(
                LOG_PAYLOADS, 2, Stored(stored.salt, msgspec.msgpack.encode({"forged": 1}), stored.result)
            )
        else:
            txn.put(LOG_HEADERS, 2, pack_header(header._replace(time=header.time + 1)))
    with pytest.raises(Corrupt):
        recovery.verify(log)


def test_an_erased_payload_leaves_every_proof_standing(log, tmp_path):
    for n in range(5):
        log.submit(number("a", n))
    with log.index.write() as txn:
        assert log.backend.compact(txn, 3) == 3
    recovery.verify(log)
    header, stored = log.entry(1)
    assert stored.payload is None and log.command(header, stored) is None
    leaf = merkle.leaf_hash(pack_header(header))
    merkle.verify_inclusion(leaf, 1, 5, log.inclusion_proof(1, 5), log.root_at(5))
    with pytest.raises(Gone, match="entry 0"):
        recovery.rebuild(log, tmp_path / "rebuilt")


def test_time_never_runs_backwards(log, monkeypatch):
    log.submit(number("a", 1))
    first = log.head().time
    monkeypatch.setattr("time.time_ns", lambda: 1_000)
    log.submit(number("a", 2))
    assert log.head().time == first


def test_a_salt_keeps_equal_payloads_apart(log):
    log.submit(number("a", 1))
    log.submit(number("a", 1))
    (one, kept), (two, _) = log.entry(0), log.entry(1)
    assert one.digest != two.digest
    assert one.digest == payload_digest(kept.salt, kept.payload)


def test_entries_are_read_in_order(log):
    log.submit_many([Submission(number("a", n)) for n in range(2500)])
    assert [header.seq for header, _ in log.entries(10)] == list(range(10, 2500))
    assert [seq for seq, _ in log.backend.read(2490, 100)] == list(range(2490, 2500))
    assert isinstance(log.index.path, Path)
