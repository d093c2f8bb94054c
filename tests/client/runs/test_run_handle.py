"""The handle: what it takes, what it refuses at once, and what arrives of it."""

import itertools
import math
import signal
import threading
import time
from datetime import UTC, datetime

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runstone._native.points import decode_rows, encode_rows
from runstone.client.runs import values
from runstone.client.runs.records import encode
from runstone.errors import Invalid, TooLarge


def test_what_is_logged_arrives_as_it_was_given(server, start):
    with start() as run:
        run.log({"loss": 0.5, "epoch": 1})
        run.log({"loss": math.inf, "note": "späti", "ok": True, "none": None, "list": [1, "a", {"b": 2}]})
        run.log(
            {"loss": 0.25, "nested": {"a": {"b": 1.5}, "h": {"_type": "histogram", "bins": [1, 2]}}},
            step=10,
            time=77,
        )
        run.log({"loss": 0.125})
    rows = sorted(server.rows())
    assert [row[0] for row in rows] == [0, 1, 10, 11]
    assert rows[0][2] == {"loss": 0.5, "epoch": 1}
    assert rows[1][2] == {
        "loss": math.inf,
        "note": "späti",
        "ok": True,
        "none": None,
        "list": [1, "a", {"b": 2}],
    }
    assert rows[2][1:] == (
        77, {"loss": 0.25, "nested.a.b": 1.5, "nested.h": {"_type": "histogram", "bins": [1, 2]}}
    )  # fmt: skip
    assert abs(rows[0][1] - time.time() * 1e6) < 60e6


def test_numpy_and_torch_scalars_are_numbers(server, start):
    torch = pytest.importorskip("torch")
    given = {
        "f64": np.float64(1.5), "f32": np.float32(0.5), "i": np.int64(7), "b": np.bool_(True), "zero_d": np.array(3),
        "torch": torch.tensor(2.5), "one": torch.tensor([4]), "many": np.arange(3), "str": np.str_("x"), "huge": 2**70,
        "u64": 2**64 - 1, "inside": {"n": np.float32(2.0)},
    }  # fmt: skip
    with start() as run:
        run.log(given)
        run.log({"loss": 2**80}, step=np.int64(5))
        run.log({"loss": 2**80}, step=np.int64(6))
    first, second, third = sorted(server.rows())
    assert first[2] == {
        "f64": 1.5, "f32": 0.5, "i": 7, "b": True, "zero_d": 3, "torch": 2.5, "one": 4, "many": [0, 1, 2], "str": "x",
        "huge": str(2**70), "u64": 2**64 - 1, "inside.n": 2.0,
    }  # fmt: skip
    assert type(first[2]["i"]) is int
    assert (second[0], second[2]) == (5, {"loss": str(2**80)}) and third[0] == 6


@pytest.mark.parametrize(
    ("data", "named"),
    [
        ({1: 2}, "1"),
        ({"a": 1, "": 2}, "''"),
        ({"x" * 401: 1}, "xxx"),
        ({"ä" * 201: 1}, "ää"),
        ({"a\0b": 1}, "a\\x00b"),
        ({"a": {"b" * 399: 1}}, "a.bbb"),
        ({"fine": 1.0, "bad": object()}, "bad"),
        ({"bad": {1, 2}}, "bad"),
        ({"deep": {"in": [object()]}}, "deep.in"),
        ({"deep": {"in": {3: 1}}}, "deep.in"),
        ({"surrogate": "\ud800"}, "surrogate"),
        ({"key\ud800": 1}, "key"),
        ([1], "list"),
        (None, "NoneType"),
    ],
)
def test_what_can_never_be_logged_is_refused_at_once_and_named(server, start, data, named):
    with start() as run:
        run.log({"fine": 1.0})
        for _ in range(2):
            with pytest.raises(Invalid) as caught:
                run.log(data)
            assert named in caught.value.message
    assert [row[2] for row in server.rows()] == [{"fine": 1.0}]


_scalars = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=5), st.binary(max_size=3), st.just(object())
)  # fmt: skip
_keys = st.one_of(
    st.text(max_size=4), st.sampled_from(["_type", "a" * 200, "ä" * 150, "\ud800", "a\0"]), st.integers(0, 2)
)
_values = st.recursive(
    _scalars,
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(_keys, inner, max_size=3)),
    max_leaves=8,
)


@settings(max_examples=300, deadline=None)
@given(data=st.dictionaries(_keys, _values, max_size=4))
def test_what_log_takes_fits_into_a_batch(data):
    try:
        checked = values.checked(data)
        payload = encode((1, 2, checked))
    except Invalid:
        return
    except UnicodeEncodeError as error:
        assert isinstance(values.not_encodable(checked, error), Invalid)
        assert "ud800" in repr(data)
        return
    batch = encode_rows([tuple(msgspec.msgpack.decode(payload))])
    assert len(decode_rows(batch)) <= 1


def test_nesting_and_size_have_limits(server, start):
    deep: object = 1
    for _ in range(40):
        deep = {"d": deep}
    with start() as run:
        with pytest.raises(Invalid, match="nested"):
            run.log({"deep": deep})
        with pytest.raises(TooLarge, match="'big'"):
            run.log({"small": 1, "big": "x" * (1 << 20)})
        run.log({"large": "x" * 900_000})
        run.log({"loss": 1})
    assert sorted(len(str(row[2])) for row in server.rows()) == [11, 900_013]


@pytest.mark.parametrize("step", [1.5, "1", True, 2**63, None.__class__])
def test_a_step_is_a_whole_number(start, step):
    with start() as run, pytest.raises(Invalid, match="step"):
        run.log({"a": 1}, step=step)


def test_times(server, start):
    with start() as run:
        run.log({"a": 1}, time=datetime(2020, 1, 2, 3, 4, 5, 678901, tzinfo=UTC))
        for wrong in (time.time(), datetime(2020, 1, 1), "now"):
            with pytest.raises(Invalid, match="time"):
                run.log({"a": 1}, time=wrong)
    assert [row[1] for row in server.rows()] == [1577934245678901]


def test_config_summary_tags_and_notes(server, start):
    with start(fields={"config": {"lr": 0.1, "seed": 1}, "tags": ("a",)}) as run:
        run.config["lr"] = np.float32(0.5)
        run.config.update(opt={"name": "adam", "betas": (0.9, 0.99)})
        del run.config["seed"]
        run.config["lr"] = 0.25
        run.summary["best"] = 3
        run.tags = [*run.tags, "b"]
        run.notes = "läuft"
        with pytest.raises(Invalid, match="config"):
            run.config.update({"config_key": object()})
        with pytest.raises(Invalid):
            run.tags = "word"
        assert dict(run.config) == {"lr": 0.25, "opt": {"name": "adam", "betas": [0.9, 0.99]}}
        assert (run.tags, run.notes, dict(run.summary)) == (("a", "b"), "läuft", {"best": 3})
    (spec,) = server.of("create")
    assert spec["config"] == {"lr": 0.1, "seed": 1} and spec["name"] == "r1" and spec["tags"] == {"a": ""}
    updates = server.of("update")
    assert [update["config"] for update in updates if "config" in update] == [
        {"lr": 0.5, "opt": {"name": "adam", "betas": [0.9, 0.99]}},
        {"lr": 0.25},
    ]
    assert updates[0]["remove"] == ["config.seed"]
    merged = {name: value for update in updates for name, value in update.items()}
    assert (merged["summary"], merged["tags"], merged["notes"]) == ({"best": 3}, {"a": "", "b": ""}, "läuft")


def test_console_lines_come_whole_and_progress_is_one_line(server, start):
    with start() as run:
        run.console("hel")
        run.console("lo\nwor")
        run.console("bad\n", stream="stderr", level="error")
        run.console("ld\r\n")
        for percent in range(0, 101, 20):
            run.console(f"\r{percent} %")
            time.sleep(0.04)
        run.console("\ndone")
    lines = [
        line | {"number": number}
        for sent in server.of("lines")
        for number, line in enumerate(sent["lines"], sent["first"])
    ]
    last = {(line["stream"], line["number"]): (line["level"], line["text"]) for line in lines}
    assert last == {
        ("stdout", 0): ("info", "hello"),
        ("stdout", 1): ("info", "world"),
        ("stdout", 2): ("info", "100 %"),
        ("stdout", 3): ("info", "done"),
        ("stderr", 0): ("error", "bad"),
    }
    rewritten = [line["text"] for line in lines if (line["stream"], line["number"]) == ("stdout", 2)]
    assert len(rewritten) > 1, "a progress line is told of while it moves"


def test_operations_come_in_order(server, start):
    with start() as run:
        run.use("lab/demo/data@prod")
        run.produce("lab/demo/model:v3")
    assert server.of("edge") == [
        {"source": "lab/demo/data@prod", "relation": "used_by", "target": "run:lab/demo/r1"},
        {"source": "run:lab/demo/r1", "relation": "produced", "target": "lab/demo/model:v3"},
    ]


def test_a_run_ends_as_its_block_does(server, start):
    with pytest.raises(ZeroDivisionError), start("bad"):
        _ = 1 / 0
    with start("good"):
        pass
    run = start("killed")
    assert run.finish("killed") and run.finish("killed")
    assert [each["state"] for each in server.of("finish")] == ["failed", "finished", "killed"]
    for use in (lambda: run.log({"a": 1}), lambda: run.console("x"), lambda: run.config.update(a=1)):
        with pytest.raises(Invalid, match=r"finished|killed"):
            use()


def test_a_finished_run_leaves_nothing_behind(server, start, left, spool):
    run = start()
    run.log({"a": 1})
    assert left()
    run.finish()
    assert run.status.state == "done" and list(spool.glob("v1/*")) == []


def test_durable_log_returns_when_the_store_has_it(server, start):
    run = start(durable=True)
    for number in range(5):
        run.log({"a": number})
        assert server.values("a")[-1] == number
    run.finish()


def test_flush_returns_when_the_store_has_it(server, start):
    run = start()
    run.log({"a": 1})
    assert run.flush(10)
    assert server.values("a") == [1]
    server.fault = 500
    run.log({"a": 2})
    assert not run.flush(0.3)
    server.fault = 0
    assert run.flush(10)
    assert server.values("a") == [1, 2]
    run.finish()


def test_eight_threads_log_into_one_run(server, start):
    with start() as run:

        def work(thread):
            for number in range(2000):
                run.log({"thread": thread, "number": number})

        threads = [threading.Thread(target=work, args=(thread,)) for thread in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    rows = server.rows()
    assert sorted((row[2]["thread"], row[2]["number"]) for row in rows) == [
        (thread, number) for thread in range(8) for number in range(2000)
    ]
    assert sorted(row[0] for row in rows) == list(range(16_000)), "each step was given once"


def test_a_signal_handler_may_log_at_any_moment(server, start):
    run = start()
    fired = itertools.count()

    def handler(number, frame):  # which may itself be interrupted
        run.log({"signal": next(fired)})

    before = signal.signal(signal.SIGALRM, handler)
    signal.setitimer(signal.ITIMER_REAL, 0.0005, 0.0005)
    try:
        deadline, logged = time.monotonic() + 0.4, 0
        while time.monotonic() < deadline:
            run.log({"main": logged})
            logged += 1
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    run.finish()
    count = next(fired)
    assert count > 10
    assert sorted(server.values("signal")) == list(range(count))
    assert sorted(server.values("main")) == list(range(logged))


def test_system_metrics_are_sampled_beside_the_run_s_own_steps(server, start):
    run = start(system=0.05)
    run.log({"a": 1})
    deadline = time.monotonic() + 10
    while len(server.values("system/cpu")) < 3 and time.monotonic() < deadline:
        time.sleep(0.02)
    run.log({"a": 2})
    run.finish()
    sampled = [row for row in server.rows() if "system/cpu" in row[2]]
    assert [row[0] for row in sampled[:3]] == [0, 1, 2]
    assert sampled[0][2]["system/memory_mib"] > 10 and sampled[0][2]["system/threads"] >= 2
    assert sorted(row[0] for row in server.rows() if "a" in row[2]) == [0, 1]


def test_the_environment_is_recorded_beside_the_run(server, start):
    run = start(environment=True)
    run.finish()
    (found,) = [update["info"] for update in server.of("update") if "info" in update]
    assert found["packages"]["pytest"] == pytest.__version__
    assert found["python"]["version"].startswith("3.") and found["host"]["cpus"] > 0 and found["command"]
