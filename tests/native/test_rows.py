"""The kernels over index rows equal the plain ones."""

import pytest
from blake3 import blake3
from hypothesis import given
from hypothesis import strategies as st

from runstone._native.digests import fold, fold_rows, seal, seal_rows, unseal

ROWS = st.lists(st.tuples(st.binary(max_size=64), st.binary(max_size=3000)), max_size=8)


@given(st.integers(0, 2**64 - 1), ROWS)
def test_sealing_rows_is_sealing_each(seed, rows):
    sealed = list(seal_rows(seed, rows))
    assert sealed == [(key, seal(seed, key, body)) for key, body in rows]
    assert [unseal(seed, key, stored) for key, stored in sealed] == [body for _, body in rows]


def member(table, row):
    key, body = row
    return table.to_bytes(2, "big") + len(key).to_bytes(2, "big") + key + body


@given(st.integers(0, 65535), ROWS, ROWS)
def test_folding_rows_is_a_sum_of_their_hashes(table, add, remove):
    total = sum(int.from_bytes(blake3(member(table, row)).digest(), "little") for row in add)
    total -= sum(int.from_bytes(blake3(member(table, row)).digest(), "little") for row in remove)
    state = fold_rows(bytes(32), table, add, remove)
    assert state == (total % 2**256).to_bytes(32, "little")
    members = [member(table, row) for row in add], [member(table, row) for row in remove]
    assert state == fold(bytes(32), *members)


def test_wrong_arguments_are_refused():
    for call in (
        lambda: fold_rows(b"short", 1, [], []),
        lambda: fold_rows(bytes(32), 1, [(b"k",)], []),
    ):
        with pytest.raises(ValueError):
            call()
    for call in (
        lambda: list(seal_rows(1, [("k", b"v")])),
        lambda: fold_rows(bytes(32), 1, [("k", b"v")], []),
        lambda: seal_rows(1, None),
    ):
        with pytest.raises(TypeError):
            call()
    with pytest.raises(OverflowError):
        fold_rows(bytes(32), 65536, [], [])
