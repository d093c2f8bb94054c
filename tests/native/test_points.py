"""The points batch: what was logged comes back, the bytes are those of the plain version, hostile bytes are refused."""

import array
import itertools
import json
import math
import struct
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from tests.native import reference_points as reference

from runstone._native import points

I64 = st.integers(-(2**63), 2**63 - 1)
NAMES = st.sampled_from(["a", "loss", "train/acc", "é", "x" * 400])
OBJECTS = st.one_of(
    st.none(),
    st.booleans(),
    st.text("aé€😀\0", max_size=5),
    st.integers(2**63, 2**80),
    st.lists(st.one_of(st.integers(-9, 9), st.text("aé", max_size=2)), max_size=3),
    st.builds(lambda v: {"_type": "histogram", "values": v}, st.lists(I64, max_size=3)),
)
VALUES = st.one_of(st.floats(), I64, OBJECTS)
STEPS = st.one_of(st.integers(-3, 20), I64)
ROWS = st.lists(st.tuples(STEPS, STEPS, st.dictionaries(NAMES, VALUES, max_size=4)), max_size=8)
FRAMES = st.integers(1, 8).flatmap(
    lambda rows: st.tuples(
        st.lists(STEPS, min_size=rows, max_size=rows),
        st.lists(STEPS, min_size=rows, max_size=rows),
        st.dictionaries(
            NAMES,
            st.one_of(
                st.lists(st.floats(), min_size=rows, max_size=rows),
                st.lists(I64, min_size=rows, max_size=rows),
                st.lists(OBJECTS.map(reference.as_logged), min_size=rows, max_size=rows),
            ),
            min_size=1,
            max_size=4,
        ),
    )
)


def shown(value: Any) -> str:
    """Equal for equal values, NaNs and signs of zero included."""
    return repr(value)


def batch_of(frame: tuple[list[int], list[int], dict[str, list[Any]]]) -> bytes:
    steps, times, columns = frame
    laid = [(name, reference.kind_of(values[0]), values) for name, values in columns.items()]
    return reference.batch([reference.frame(steps, times, laid)])


@given(ROWS)
@example([(0, 0, {}), (1, 2, {"a": {"b": 1, "c": {"d": 2.5}, "e": {}}})])
def test_rows_come_back(rows):
    batch = points.encode_rows(rows)
    flat = [(step, time, reference.flatten(row)) for step, time, row in rows]
    expected = [row for row in flat if row[2]]
    assert sorted(map(shown_row, points.decode_rows(batch))) == sorted(map(shown_row, expected))
    assert len(batch) % 8 == 0


def shown_row(row: tuple[int, int, dict[str, Any]]) -> str:
    return shown((row[0], row[1], sorted(row[2].items(), key=lambda item: item[0])))


@given(ROWS)
def test_rows_of_one_set_of_keys_share_a_frame(rows):
    signatures = {
        frozenset((name, reference.kind_of(value)) for name, value in row.items())
        for _, _, row in rows
        if row
    }
    assert len(points.check(points.encode_rows(rows))) == len(signatures)


@given(FRAMES)
def test_columns_are_the_bytes_of_the_plain_version(frame):
    steps, times, columns = frame
    given_columns: dict[str, Any] = {}
    for name, values in columns.items():
        code = {reference.FLOAT: "d", reference.INT: "q"}.get(reference.kind_of(values[0]))
        given_columns[name] = array.array(code, values) if code else values
    made = points.encode_columns(array.array("q", steps), array.array("q", times), given_columns)
    assert made == batch_of(frame)


@given(FRAMES)
def test_check_and_decode_find_what_the_plain_version_wrote(frame):
    steps, times, columns = frame
    batch = batch_of(frame)
    [(rows, _, _, found)] = points.check(batch)
    assert (rows, [name for name, _, _, _ in found]) == (len(steps), list(columns))
    [(decoded_steps, decoded_times, decoded)] = points.decode(batch)
    assert (decoded_steps.tolist(), decoded_times.tolist()) == (steps, times)
    for (name, kind, values), (_, _, offset, length) in zip(decoded, found, strict=True):
        assert kind == reference.kind_of(columns[name][0])
        assert batch[offset : offset + length] in batch
        if kind == reference.OBJECT:
            offsets, data = values
            packed = [bytes(data[a:b]) for a, b in itertools.pairwise(offsets)]
            assert packed == [reference.value_order(kind, value) for value in columns[name]]
        else:
            assert shown(values.tolist()) == shown(columns[name])
    assert points.count(batch) == (rows, rows * len(columns), min(steps), max(steps))


@given(
    st.lists(
        st.tuples(STEPS, STEPS, st.dictionaries(NAMES, VALUES.map(reference.as_logged), max_size=3)),
        max_size=8,
    )
)
def test_summaries_are_those_of_the_plain_version(rows):
    batch = points.encode_rows(rows)
    found = {(name, kind): rest for name, kind, *rest in points.summaries(batch)}
    # The sum is taken in the batch's order.
    expected = reference.summaries(points.decode_rows(batch))
    assert {key: shown(list(value)) for key, value in expected.items()} == {
        key: shown(value) for key, value in found.items()
    }


@settings(max_examples=300)
@given(FRAMES, st.data())
def test_damaged_batches_are_refused_or_whole(frame, data):
    batch = bytearray(batch_of(frame))
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(batch) - 1))
        batch[at] = data.draw(st.integers(0, 255))
    damaged = bytes(batch)[: data.draw(st.one_of(st.just(len(batch)), st.integers(0, len(batch))))]
    try:
        frames = points.check(damaged)
    except ValueError:
        for read in (points.count, points.summaries, points.decode, points.decode_rows):
            with pytest.raises(ValueError, match="points batch"):
                read(damaged)
        return
    rows = points.decode_rows(damaged)
    assert len(rows) == sum(count for count, _, _, _ in frames) == points.count(damaged)[0]
    assert len(points.summaries(damaged)) <= sum(len(columns) for _, _, _, columns in frames)


@settings(max_examples=300)
@given(st.binary(max_size=200), st.booleans())
def test_any_bytes_are_refused_or_whole(noise, with_header):
    batch = b"RSPB" + struct.pack("<HHII", 1, 0, 1, 16 + len(noise)) + noise if with_header else noise
    try:
        points.check(batch)
    except ValueError as error:
        assert "points batch" in str(error)
    else:
        assert batch == reference.batch([]) or points.decode_rows(batch)


def patched(offset: int, replaced: bytes, frame: bytes | None = None) -> bytes:
    whole = bytearray(reference.batch([frame or reference.frame([1, 2], [3, 9], [("a", 0, [1.0, 2.0])])]))
    whole[offset : offset + len(replaced)] = replaced
    return bytes(whole)


@pytest.mark.parametrize(
    ("batch", "message"),
    [
        (b"", "cut off"),
        (patched(0, b"X"), "not a points batch"),
        (patched(4, b"\2"), "not a points batch"),
        (patched(8, b"\xff\xff\xff\xff"), "cut off"),
        (patched(12, b"\0"), "length"),
        (patched(16, b"\xf8\xff\xff\xff"), "cut off"),
        (patched(20, bytes(4)), "rows"),
        (patched(20, b"\xff\xff\xff\xff"), "rows"),
        (patched(24, bytes(4)), "keys"),
        (patched(24, b"\xff\xff\0\0"), "cut off"),
        (patched(28, b"\3"), "form of a step"),
        (patched(30, b"\1"), "reserved"),
        (patched(32, b"\xff\xff\xff\xff\xff\xff\xff\x7f"), "beyond 64 bits"),
        (patched(64, b"\x91\1"), "1 to 400 bytes"),
        (patched(64, b"\0"), "1 to 400 bytes"),
        (patched(66, b"\3"), "kind"),
        (patched(68, b"\x08"), "not as long"),
        (patched(72, b"\0"), "UTF-8 without NUL"),
        (patched(72, b"\xff"), "UTF-8 without NUL"),
        (patched(73, b"\1"), "padding"),
        (patched(8, b"\0"), "after the end"),
    ],
)
def test_each_wrong_field_is_named(batch, message):
    with pytest.raises(ValueError, match=message):
        points.check(batch)


@pytest.mark.parametrize(
    "packed",
    [
        b"",
        b"\x01\x02",
        b"\xc1",
        b"\xd4\x00\x00",
        b"\xa2\xc3\x28",
        b"\xa3\xed\xa0\x80",
        b"\xdd\xff\xff\xff\xff",
        b"\xc6\xff\xff\xff\xff",
        b"\x81\x01\x01",
        b"\x91" * 65 + b"\x01",
        b"\xcb\0",
    ],
)
def test_an_object_that_is_not_one_value_is_refused(packed):
    data = struct.pack("<2I", 0, len(packed)) + packed
    body = struct.pack("<HBBI", 1, 2, 0, len(data)) + reference.padded(b"a") + reference.padded(data)
    frame = struct.pack("<IIIBBH", 32 + len(body), 1, 1, 0, 0, 0) + struct.pack("<qq", 1, 2) + body
    with pytest.raises(ValueError, match="MessagePack"):
        points.check(reference.batch([frame]))


def test_numbers_of_other_libraries_are_numbers():
    class Tensor:
        def item(self) -> float:
            return 2.5

    class Index:
        def __index__(self) -> int:
            return 7

    class Real:
        def __float__(self) -> float:
            return 0.5

    row = {
        "f4": np.float32(0.5),
        "f8": np.float64(1.5),
        "i": np.int64(3),
        "b": np.bool_(True),
        "n": np.arange(3),
    }
    row |= {
        "zero": np.array(4.5),
        "tensor": Tensor(),
        "index": Index(),
        "real": Real(),
        "nested": [np.int8(1)],
    }
    [(_, _, found)] = points.decode_rows(points.encode_rows([(0, 0, row)]))
    expected = {"f4": 0.5, "f8": 1.5, "i": 3, "b": True, "n": [0, 1, 2], "zero": 4.5}
    assert shown(found) == shown(expected | {"tensor": 2.5, "index": 7, "real": 0.5, "nested": [1]})


@pytest.mark.parametrize("code", "bBhHiIlLqQfd")
def test_columns_of_every_width_come_back(code):
    values = array.array(code, [0, 1, 100])
    [(_, _, [(_, kind, found)])] = points.decode(
        points.encode_columns(range(3), range(9, 0, -3), {"a": values})
    )
    assert (kind, found.tolist()) == (points.FLOAT if code in "fd" else points.INT, [0, 1, 100])
    strided = np.array(values)[::-1]
    assert points.decode(points.encode_columns(range(3), range(3), {"a": strided}))[0][2][0][2].tolist() == [
        100,
        1,
        0,
    ]


@pytest.mark.parametrize(
    "rows",
    [
        [(0, 0, {"a": object()})],
        [(0, 0, {"a\0b": 1})],
        [(0, 0, {"": 1})],
        [(0, 0, {"x" * 401: 1})],
        [(0, 0, {"\ud800": 1})],
        [(0, 0, {1: 1})],
        [(0, 0, {"a": {1: 1}})],
        [(0, 0, {"a": 1j})],
        [(2**63, 0, {"a": 1})],
        [(0.5, 0, {"a": 1})],
        [(0, 0)],
        [(0, 0, None)],
        [(0, 0, {"a": [2**64]})],
    ],
)
def test_what_cannot_be_logged_is_refused(rows):
    with pytest.raises(ValueError, match=r"."):
        points.encode_rows(rows)


def test_a_dictionary_within_itself_is_refused():
    endless: dict[str, Any] = {}
    endless["a"] = endless
    with pytest.raises(ValueError, match="nested"):
        points.encode_rows([(0, 0, endless)])


@pytest.mark.parametrize(
    "columns",
    [
        {"a": array.array("d", [1.0])},
        {"a": [1]},
        {"a": b"xx"},
        {"a": array.array("Q", [2**63, 0])},
        {"": [1, 2]},
    ],
)
def test_columns_that_do_not_fit_are_refused(columns):
    if columns == {"a": b"xx"}:
        columns = {"a": memoryview(b"xxxx").cast("B", (2, 2))}
    with pytest.raises(ValueError, match=r"."):
        points.encode_columns(range(2), range(2), columns)


def test_steps_that_wrap_around_are_not_regular():
    steps = [2**63 - 2, 2**63 - 1, -(2**63)]
    batch = points.encode_columns(array.array("q", steps), range(3), {"a": [1, 2, 3]})
    assert [step for step, _, _ in points.decode_rows(batch)] == steps


def test_last_is_the_greatest_step_time_and_value():
    rows = [(5, 1, {"a": 2.0}), (5, 2, {"a": -1.0}), (5, 2, {"a": -3.0}), (4, 9, {"a": math.nan})]
    [summary] = points.summaries(points.encode_rows(rows))
    assert summary == ("a", points.FLOAT, 4, 1, -3.0, 2.0, -2.0, summary[7], (5, 2, -1.0), 4, 5)
    assert summary[7][:2] == (4, 9)


@given(st.lists(FRAMES, max_size=4), st.sets(NAMES))
def test_gathered_points_are_those_of_the_batches(frames, wanted):
    expected: dict[str, list[Any]] = {}
    for steps, times, columns in frames:
        for name, values in columns.items():
            if name in wanted:
                expected.setdefault(name, []).extend(zip(steps, times, values, strict=True))
    asked: list[str] = []

    def resolve(name: str) -> str | None:
        asked.append(name)
        return name if name in wanted else None

    found = points.gather([batch_of(frame) for frame in frames], resolve)
    assert sorted(asked) == sorted({name for _, _, columns in frames for name in columns})
    read = {}
    for name, (steps, times, kinds, bits, objects) in found.items():
        floats, ints = np.frombuffer(bits, np.float64).tolist(), np.frombuffer(bits, np.int64).tolist()
        values = [
            floats[n]
            if kind == points.FLOAT
            else ints[n]
            if kind == points.INT
            else msgspec.msgpack.decode(objects[ints[n]])
            for n, kind in enumerate(kinds)
        ]
        whole = [np.frombuffer(column, np.int64).tolist() for column in (steps, times)]
        read[name] = list(zip(*whole, values, strict=True))
    assert {name: shown(value) for name, value in read.items()} == {n: shown(v) for n, v in expected.items()}


def test_a_batch_that_is_not_one_ends_a_gathering():
    with pytest.raises(ValueError, match="points batch"):
        points.gather([reference.batch([]), b"noise"], lambda name: 1)


NAMED = ("key", "value", "timestamp", "step", "model")
PLAIN = st.fixed_dictionaries(
    {"key": NAMES, "value": st.one_of(st.floats(), I64), "timestamp": st.integers(0, 1000)},
    optional={"step": I64, "model": st.sampled_from(["", None]), "more": st.none()},
)
#: A field that makes an entry one that is not plain.
STRANGE = st.sampled_from(
    [
        {"key": ""}, {"key": b"a"}, {"key": None}, {"value": "1"}, {"value": True}, {"value": None},
        {"value": 10**400}, {"timestamp": -1}, {"timestamp": 1001}, {"timestamp": 1.0}, {"timestamp": 2**80},
        {"timestamp": True}, {"step": 2**63}, {"step": -(2**63) - 1}, {"step": "1"}, {"step": None}, {"model": "m"},
    ]
)  # fmt: skip


@given(st.lists(PLAIN, max_size=12))
def test_entries_are_the_rows_that_they_stand_for(entries: list[dict[str, Any]]):
    found = points.encode_entries(entries, NAMED, 1000, 7)
    assert found is not None
    rows = [
        (each.get("step", 0), each["timestamp"] * 7, {each["key"]: float(each["value"])}) for each in entries
    ]
    assert sorted(map(shown_row, points.decode_rows(found[0]))) == sorted(map(shown_row, rows))
    assert found[1] == list(dict.fromkeys(each["key"] for each in entries))


@given(st.lists(PLAIN, min_size=1, max_size=4), STRANGE, st.data())
def test_entries_that_are_not_plain_are_none(
    entries: list[dict[str, Any]], strange: dict[str, Any], data: Any
):
    at = data.draw(st.integers(0, len(entries) - 1))
    entries[at] = entries[at] | strange
    assert points.encode_entries(entries, NAMED, 1000, 7) is None
    for absent in ("key", "value", "timestamp"):
        assert (
            points.encode_entries([{k: v for k, v in entries[0].items() if k != absent}], NAMED, 9, 1) is None
        )
    assert points.encode_entries([[]], NAMED, 1000, 7) is None


def test_entries_under_keys_that_cannot_be():
    for key in ("x" * 401, "a\0", "\ud800"):
        with pytest.raises(ValueError):
            points.encode_entries([{"key": key, "value": 1, "timestamp": 1}], NAMED, 1000, 1)
    with pytest.raises(ValueError):
        points.encode_entries([], NAMED, 2**62, 3)
    with pytest.raises(ValueError):
        points.encode_entries([], NAMED[:4], 1, 1)


FIELDS = ("_step", "_time")
#: Numbers as any writer of JSON may write them.
NUMBERS = st.one_of(
    st.floats().map(json.dumps),
    st.floats(allow_nan=False, allow_infinity=False).map("{:.17e}".format),
    st.decimals(-(10**20), 10**20, allow_nan=False, places=9).map(str),
    st.builds("{}.{}e{}".format, I64, st.integers(0, 10**9), st.integers(-40, 40)),
    I64.map(str),
)
KEYS = st.sampled_from(["a", "b", "loss", "é", "x" * 400, "_step", "_time", "_type", ""])
#: What makes a line one that is not plain, or no JSON.
ODD = st.sampled_from(
    ["true", "null", '"text"', "[1]", "{}", "01", "1.", ".5", "-", "+1", "1e", "0x1", "nan", "Inf", "1 2", "", "1,", "9223372036854775808"]
)  # fmt: skip


def object_of(values: Any) -> Any:
    members = st.lists(
        st.tuples(KEYS.map(lambda key: json.dumps(key, ensure_ascii=False)), values), max_size=5
    )
    space = st.sampled_from(["", " ", "\t\n\r"])
    return st.builds(
        lambda found, gap: "{" + gap + f",{gap}".join(f"{key}{gap}:{gap}{value}{gap}" for key, value in found) + "}",
        members,
        space,
    )  # fmt: skip


LINES = object_of(st.one_of(NUMBERS, object_of(NUMBERS), object_of(object_of(NUMBERS))))
ODD_LINES = object_of(st.one_of(NUMBERS, ODD, object_of(st.one_of(NUMBERS, ODD))))


@settings(max_examples=300)
@given(st.lists(st.one_of(LINES, ODD_LINES, st.text(max_size=5)), max_size=8))
def test_lines_are_the_rows_that_they_say(lines: list[str]):
    rows = [reference.line_row(line, 7 + at, 99, FIELDS) for at, line in enumerate(lines)]
    others: dict[int, str] = {}
    batch, refused = points.encode_lines(
        lines, 7, 99, FIELDS, lambda line, at: f"not {others.setdefault(at, line)}"
    )
    assert refused == [(at, f"not {line}") for at, line in others.items()]
    assert others == {at: lines[at] for at in others}
    # A number of which the nearest double is not certain at once makes a line one of the others too; no line is taken that is not plain.
    assert {at for at, row in enumerate(rows) if row is None} <= others.keys()
    taken = [row for at, row in enumerate(rows) if at not in others and row is not None and row[2]]
    assert sorted(map(shown_row, points.decode_rows(batch))) == sorted(map(shown_row, taken))


@given(st.lists(st.floats(1e-30, 1e30) | st.floats(-1e30, -1e-30), min_size=100, max_size=100))
def test_nearly_all_floats_are_read_at_once(values: list[float]):
    lines = [json.dumps({"a": value}) for value in values]
    late: list[int] = []
    batch, _ = points.encode_lines(lines, 0, 0, FIELDS, lambda line, at: late.append(at) or "late")
    assert [row[2]["a"] for row in points.decode_rows(batch)] == [
        value for at, value in enumerate(values) if at not in late
    ]


def test_lines_that_lie_between_two_doubles_are_left_to_the_other_reader():
    # 2^53 + 1 lies between two doubles; so does the next, in its last digits.
    lines = ['{"a": 9007199254740993.0}', '{"a": 0.500000000000000166533453693773481063544750213623046875}']
    given: list[str] = []
    batch, refused = points.encode_lines(
        lines, 0, 5, FIELDS, lambda line, at: given.append(line) or (at, 5, json.loads(line))
    )
    assert (given, refused) == (lines, [])
    assert sorted(points.decode_rows(batch)) == [
        (0, 5, {"a": 9007199254740992.0}),
        (1, 5, {"a": 0.5000000000000002}),
    ]


def test_lines_of_all_kinds_make_one_batch():
    lines = [
        '{"a":1,"b":2.5}',
        '{"b":3.5,"a":2}',
        '{"a":"text"}',
        "no json",
        '{"a":1.5}',
        "{}",
        '{"_step":9}',
    ]
    asked: list[tuple[str, int]] = []

    def other(line: str, at: int) -> Any:
        asked.append((line, at))
        return (at, 1, {"a": "text", "c": {"d": 1}}) if at == 2 else "this is no JSON"

    batch, refused = points.encode_lines(lines, 0, 1, FIELDS, other)
    assert asked == [('{"a":"text"}', 2), ("no json", 3)]
    assert refused == [(3, "this is no JSON")]
    assert sorted(map(shown_row, points.decode_rows(batch))) == sorted(
        map(
            shown_row,
            [
                (0, 1, {"a": 1, "b": 2.5}),
                (1, 1, {"a": 2, "b": 3.5}),
                (2, 1, {"a": "text", "c.d": 1}),
                (4, 1, {"a": 1.5}),
            ],
        )
    )
    # Rows with the same keys and kinds share a frame, in whatever order the keys come.
    assert sorted(frame[0] for frame in points.check(batch)) == [1, 1, 2]


def test_lines_without_fields_all_go_to_the_other_reader():
    batch, refused = points.encode_lines(["x", "y"], 0, 1, None, lambda line, at: (at, 2, {line: at}))
    assert (sorted(points.decode_rows(batch)), refused) == ([(0, 2, {"x": 0}), (1, 2, {"y": 1})], [])


@pytest.mark.parametrize(
    "row",
    [(2**63, 0, {"a": 1}), (0, "1", {"a": 1}), (0, 0, None), (0, 0, {1: 1}), (0, 0, {"a": object()}), (0, 0), None, 7, (0, 0, {"": 1})],
)  # fmt: skip
def test_a_row_that_cannot_be_is_refused_alone(row: Any):
    lines = ['{"a":1}', "other", '{"a":2}']
    batch, refused = points.encode_lines(lines, 0, 0, FIELDS, lambda line, at: row)
    assert [at for at, why in refused if why] == [1]
    assert points.decode_rows(batch) == [(0, 0, {"a": 1}), (2, 0, {"a": 2})]


def test_lines_that_are_no_text():
    for lines in ([b"{}"], [None], [1]):
        with pytest.raises(ValueError):
            points.encode_lines(lines, 0, 0, FIELDS, lambda line, at: "")  # type: ignore[arg-type]
    # Half of a pair of surrogates is no Unicode, and can be no key.
    batch, refused = points.encode_lines(
        ['{"\ud800":1}'], 0, 0, FIELDS, lambda line, at: (0, 0, json.loads(line))
    )
    assert ([at for at, _ in refused], points.decode_rows(batch)) == ([0], [])
    for fields in (("a",), ("", "b"), ("a\0", "b")):
        with pytest.raises(ValueError):
            points.encode_lines([], 0, 0, fields, lambda line, at: "")  # type: ignore[arg-type]
    deep = "{" + '"a":{' * 60 + '"b":1' + "}" * 61
    assert points.encode_lines([deep], 0, 0, FIELDS, lambda line, at: "deep")[1] == [(0, "deep")]
