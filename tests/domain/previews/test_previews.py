"""Previews: every part of a file comes once, in order; what is damaged is named; large files are read in part."""

import csv
import io
import json
import math

import numpy
import pyarrow
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pyarrow import parquet
from tests.conftest import make_folder

from runstone.domain import content, previews
from runstone.domain.previews import lines, text
from runstone.errors import Invalid, TooLarge


@pytest.fixture
def show(library, tmp_path):
    """Puts files as a version, and shows a part of one."""
    count = 0

    def put(name, data, **asked):
        nonlocal count
        count += 1
        library.put("p/files", make_folder(tmp_path / str(count), {name: data}), aliases=["now"])
        with content.open_file(library.store, library.ctx, "p/files@now", name) as file:
            return previews.preview(file, **asked)

    put.library = library
    return put


def all_rows(show, name, data, limit):
    rows, after = [], ""
    while True:
        part = show(name, data, after=after, limit=limit)
        assert len(part.rows) <= limit
        rows += part.rows
        if not part.next:
            return part, rows
        after = part.next


def parquet_of(columns, **options):
    sink = io.BytesIO()
    parquet.write_table(pyarrow.table(columns), sink, **options)
    return sink.getvalue()


def test_parquet_is_paged_over_its_row_groups(show):
    data = parquet_of({"n": list(range(25)), "s": [f"t{n}" for n in range(25)]}, row_group_size=10)
    part, rows = all_rows(show, "a.parquet", data, 7)
    assert rows == [(n, f"t{n}") for n in range(25)]
    assert (part.kind, part.total, part.width) == ("table", 25, 2)
    assert part.columns == (("n", "int64"), ("s", "string"))


def test_values_are_json(show):
    when = numpy.datetime64("2026-01-02T03:04:05", "us")
    data = parquet_of(
        {
            "when": pyarrow.array([when]),
            "odd": pyarrow.array([math.nan]),
            "bytes": pyarrow.array([b"\x00\xff"]),
            "nested": pyarrow.array([{"a": [1, 2]}]),
            "large": pyarrow.array([1 << 60]),
            "long": pyarrow.array(["x" * 5000]),
            "none": pyarrow.array([None], pyarrow.int32()),
        }
    )
    (row,) = show("a.parquet", data).rows
    assert row[:5] == ("2026-01-02T03:04:05", "nan", "00ff", {"a": [1, 2]}, str(1 << 60))
    assert len(row[5]) == 2001 and row[6] is None
    json.dumps(row, allow_nan=False)


def test_wide_tables_are_shown_in_part(show):
    data = parquet_of({f"c{n}": [n] for n in range(250)})
    first, last = show("a.parquet", data), show("a.parquet", data, column=200)
    assert (len(first.columns), len(last.columns), last.width) == (100, 50, 250)
    assert last.columns[0][0] == "c200" and last.rows == (tuple(range(200, 250)),)


@settings(max_examples=30, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    st.lists(
        st.lists(
            st.text(st.characters(exclude_categories=["Cs", "Cc"]) | st.just("\n"), max_size=9),
            min_size=2,
            max_size=2,
        ),
        max_size=12,
    ),
    st.integers(1, 5),
    st.sampled_from([3, 1 << 20]),
)
def test_csv_comes_back_row_by_row(show, rows, limit, piece):
    out = io.StringIO()
    csv.writer(out, lineterminator="\n").writerows([["a", "b"], *rows])
    held, lines.PIECE = lines.PIECE, piece
    try:
        part, found = all_rows(show, "a.csv", out.getvalue().encode(), limit)
    finally:
        lines.PIECE = held
    assert found == [tuple(row) for row in rows]
    assert part.columns == (("a", "text"), ("b", "text"))


def test_json_lines_are_a_table(show):
    data = b'{"a": 1}\n\n{"b": [2], "a": null}\n7'
    part, rows = all_rows(show, "a.jsonl", data, 10)
    assert [name for name, _ in part.columns] == ["a", "b", "value"]
    assert rows == [(1, None, None), (None, [2], None), (None, None, 7)]


def test_a_table_of_the_wandb_sdk(show):
    data = b'{"columns": ["x", 1], "data": [[1, NaN], [2, {"_type": "image-file"}]]}'
    part = show("t.table.json", data, limit=1)
    assert (part.rows, part.next, part.total) == (((1, "nan"),), "1", 2)
    assert show("t.table.json", data, after="1").rows == ((2, {"_type": "image-file"}),)


def test_tensors_of_a_safetensors_file(show):
    header = {
        "b": {"dtype": "F32", "shape": [2, 2], "data_offsets": [0, 16]},
        "a": {"dtype": "BF16", "shape": [], "data_offsets": [16, 18]},
        "__metadata__": {"format": "pt"},
    }
    packed = json.dumps(header).encode()
    part = show("m.safetensors", len(packed).to_bytes(8, "little") + packed + bytes(18), limit=1)
    (tensor,) = part.tensors
    assert (tensor.name, tensor.dtype, tensor.shape, tensor.size) == ("b", "F32", (2, 2), 16)
    assert tensor.offset == 8 + len(packed)
    assert (part.total, part.next, part.metadata) == (2, "1", {"format": "pt"})


@settings(max_examples=20, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=40), st.integers(4, 9)
)
def test_text_is_cut_between_characters(show, written, page):
    held, text.PAGE = text.PAGE, page
    try:
        found, after = "", ""
        while True:
            part = show("a.txt", written.encode(), after=after)
            found += part.text
            if not part.next:
                break
            after = part.next
    finally:
        text.PAGE = held
    assert found == written


def test_bytes_are_not_text(show):
    assert show("a.bin", b"\x7fELF\0\1").kind == "binary"


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("a.parquet", b"PAR1 and nothing more PAR1"),
        ("a.parquet", b""),
        ("a.safetensors", b"\xff" * 16),
        ("a.safetensors", b"\x02\0\0\0\0\0\0\0[]"),
        ("a.safetensors", (60).to_bytes(8, "little") + b'{"t":{"dtype":"F32","shape":[1],"data_offsets":[0,9999999]}}'),
        ("a.jsonl", b"{"),
        ("t.table.json", b'{"columns": 1}'),
        ("t.table.json", b"[" * 100_000),
        ("a.csv", b'a\n"' + b"x" * 200_000),
    ],
)  # fmt: skip
def test_what_a_file_is_not_is_said(show, name, data):
    with pytest.raises(Invalid) as caught:
        show(name, data)
    assert name in caught.value.message


def test_long_lines_and_large_tables_are_refused(show, monkeypatch):
    from runstone.domain.previews import logged

    monkeypatch.setattr(lines, "MAX_LINE", 100)
    monkeypatch.setattr(lines, "PIECE", 50)
    monkeypatch.setattr(logged, "MAX_FILE", 10)
    with pytest.raises(TooLarge):
        show("a.jsonl", b'"' + b"x" * 500 + b'"')
    with pytest.raises(TooLarge):
        show("t.table.json", b'{"columns": [], "data": []}')


@pytest.mark.parametrize("after", ["-1", "x", "9" * 30, "1.0", "²"])
def test_a_cursor_that_is_none_is_refused(show, after):
    with pytest.raises(Invalid, match="cursor"):
        show("a.txt", b"text", after=after)
