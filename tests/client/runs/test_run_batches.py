"""Stretches and what they become: a function of the journal alone."""

import re
import threading

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st
from runkit import spec_of

from runstone._native.points import decode_rows, encode_rows
from runstone.client.runs.batches import Stretch, requests
from runstone.client.runs.console import MAX_LINE, Console
from runstone.client.runs.journal import Journal
from runstone.client.runs.records import CUT, FINISH, LINE, OPERATION, POINTS, UPDATE, Line, encode

ID = "00" * 16
_payloads = {
    POINTS: st.tuples(st.integers(0, 9), st.just(1), st.dictionaries(st.sampled_from("abc"), st.floats(), min_size=1)),
    UPDATE: st.tuples(
        st.integers(0, 9),
        st.one_of(
            st.fixed_dictionaries({"config": st.dictionaries(st.sampled_from("abc"), st.integers(-5, 5), min_size=1)}),
            st.fixed_dictionaries({"summary": st.dictionaries(st.sampled_from("abc"), st.integers(-5, 5), min_size=1)}),
            st.fixed_dictionaries({"removed": st.lists(st.sampled_from("abc"), min_size=1, max_size=2)}),
            st.fixed_dictionaries({"notes": st.text(max_size=3)}),
        ),
    ),
    LINE: st.tuples(st.sampled_from(["out", "err"]), st.integers(0, 3), st.just("info"), st.just(1), st.text(max_size=9)),
    OPERATION: st.tuples(st.just(1), st.just("use"), st.just({})),
    CUT: st.none(),
    FINISH: st.tuples(st.just(1), st.just("finished")),
}  # fmt: skip
_records = st.lists(
    st.sampled_from(list(_payloads)).flatmap(lambda kind: st.tuples(st.just(kind), _payloads[kind])), max_size=30
)  # fmt: skip


class Collecting:
    """Keeps what it is given, as plain values."""

    def __init__(self):
        self.points_, self.updates, self.shown, self.other, self.ids = [], [], {}, [], []

    def points(self, spec, batch, id):
        self.ids.append(id)
        self.points_ += decode_rows(batch)

    def update(self, spec, changes, id):
        self.ids.append(id)
        self.updates.append(msgspec.to_builtins(changes))

    def lines(self, spec, lines, id):
        self.ids.append(id)
        self.shown |= {(line.stream, line.number): line.text for line in lines}

    def operation(self, spec, operation, id):
        self.ids.append(id)
        self.other.append(operation.name)

    def finish(self, spec, state, time, id):
        self.ids.append(id)
        self.other.append(state)


def sent(journal, limit):
    """All stretches of a journal, each as a sink got it."""
    position, found = 0, []
    while True:
        stretch = Stretch(position)
        stretch.extend(journal.records(position), limit)
        if stretch.end == position:
            return found
        sink = Collecting()
        for request in requests(spec_of(), ID, stretch.records, encode_rows):
            request.send(sink)
        found.append((stretch, sink))
        position = stretch.end


@settings(max_examples=80, deadline=None)
@given(records=_records, limit=st.sampled_from([1, 100, 300, 1 << 20]))
def test_stretches_bring_everything_once_in_order(tmp_path_factory, records, limit):
    journal = Journal(tmp_path_factory.mktemp("j"), first_segment=2048)
    for kind, value in records:
        journal.append(kind, b"" if kind == CUT else encode(value))
    found = sent(journal, limit)
    rows = [row for _, sink in found for row in sink.points_]
    expected = [value for kind, value in records if kind == POINTS]
    assert sorted(map(plainly, rows)) == sorted(map(plainly, expected))
    # Updates, applied one after the other, give what the records give; and no config key's value is skipped.
    one, two = {}, {}
    history = []
    for _, changes in [value for kind, value in records if kind == UPDATE]:
        apply(one, changes)
        history += [(key, value) for key, value in changes.get("config", {}).items()]
    told = []
    for _, sink in found:
        for changes in sink.updates:
            assert not set(changes.get("config", {})) & set(changes.get("removed", ()))
            apply(two, changes)
            told += list(changes.get("config", {}).items())
    assert one == two
    for key in "abc":
        assert [value for k, value in told if k == key] == [value for k, value in history if k == key]
    shown = {}
    for _, sink in found:
        shown |= sink.shown
    assert shown == {value[:2]: value[4] for kind, value in records if kind == LINE}
    names = {OPERATION: "use", FINISH: "finished"}
    assert [each for _, sink in found for each in sink.other] == [
        names[kind] for kind, _ in records if kind in names
    ]
    ids = [id for _, sink in found for id in sink.ids]
    assert len(set(ids)) == len(ids) and all(len(id) == 16 for id in ids)
    again = sent(journal, limit)
    assert [sink.ids for _, sink in again] == [sink.ids for _, sink in found]
    assert all(sum(r.end - r.position for r in s.records[:-1]) < limit for s, _ in found)
    journal.close()


def plainly(row):
    return repr((row[0], row[1], sorted(row[2].items())))


def apply(state, changes):
    state.setdefault("config", {}).update(changes.get("config", {}))
    for key in changes.get("removed", ()):
        state["config"].pop(key, None)
    state.setdefault("summary", {}).update(changes.get("summary", {}))
    if "notes" in changes:
        state["notes"] = changes["notes"]


def model(text):
    """Lines as a terminal would end up with, when a carriage return begins the line anew."""
    *whole, last = text.split("\n")
    shown = [re.findall(r"[^\r]+", line)[-1:] for line in [*whole, last]]
    return ["".join(line) for line in (shown if shown[-1] else shown[:-1])]


@settings(max_examples=150, deadline=None)
@given(
    pieces=st.lists(st.text(alphabet="ab\r\n", max_size=8), max_size=12), ticks=st.sets(st.integers(0, 11))
)
def test_lines_do_not_depend_on_the_pieces_that_they_come_in(pieces, ticks):
    got = []
    console = Console(lambda kind, payload: got.append(msgspec.msgpack.decode(payload, type=Line)))
    for number, piece in enumerate(pieces):
        console.write(piece, "stdout", "info")
        if number in ticks:
            console.tick()
    console.tick()
    last = {line.number: line.text for line in got}
    assert [last[number] for number in sorted(last)] == model("".join(pieces))
    assert sorted(last) == list(range(len(last)))


def test_endless_lines_are_cut():
    got = []
    console = Console(lambda kind, payload: got.append(msgspec.msgpack.decode(payload, type=Line).text))
    console.write("x" * (MAX_LINE + 10), "stdout", "info")
    console.write("y" * (2 * MAX_LINE) + "\n\ud800\n", "stdout", "info")
    assert "".join(got[:-1]) == "x" * (MAX_LINE + 10) + "y" * (2 * MAX_LINE)
    assert max(map(len, got)) == MAX_LINE and got[-1] == "?"


def test_threads_print_whole_lines():
    got = []
    console = Console(lambda kind, payload: got.append(msgspec.msgpack.decode(payload, type=Line)))

    def work(mark):
        for number in range(300):
            console.write(f"{mark}{number}\n", "stdout", "info")

    threads = [threading.Thread(target=work, args=(mark,)) for mark in "abcd"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(line.text for line in got) == sorted(f"{mark}{n}" for mark in "abcd" for n in range(300))
    assert [line.number for line in got] == list(range(1200))
