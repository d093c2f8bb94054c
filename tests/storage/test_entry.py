from __future__ import annotations

from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runstone.errors import Corrupt, Invalid
from runstone.storage.entry import HEADER, Header, header_of, pack_header, payload_digest, unpack_header

HEADERS = st.builds(
    Header,
    st.just(1),
    st.integers(0, 255),
    st.integers(0, 65_535),
    st.integers(0, 2**64 - 1),
    st.integers(-(2**63), 2**63 - 1),
    st.binary(min_size=16, max_size=16),
    st.integers(0, 2**32 - 1),
    st.binary(min_size=32, max_size=32),
)


def test_the_bytes_of_a_header():
    packed = pack_header(Header(1, 2, 0x0304, 5, -2, bytes(range(16)), 0x01020304, b"d" * 32))
    assert packed.hex() == (
        "01" "02" "0304" "0000000000000005" "fffffffffffffffe"
        "000102030405060708090a0b0c0d0e0f" "01020304" + "64" * 32
    )  # fmt: skip
    assert len(packed) == HEADER.size == 72


@given(HEADERS)
def test_a_header_comes_back(header: Header):
    assert unpack_header(pack_header(header)) == header


def test_the_header_of_a_new_entry():
    header = Header(1, 0, 7, 5, 6, b"c" * 16, 7, payload_digest(b"s" * 16, b"payload"))
    assert header_of(7, 5, 6, b"c" * 16, b"s" * 16, b"payload") == pack_header(header)


@pytest.mark.parametrize(
    "change",
    [
        {"version": 2},
        {"flags": 256},
        {"kind": -1},
        {"seq": 2**64},
        {"time": 2**63},
        {"command_id": b"short"},
        {"length": 2**32},
        {"digest": b"d" * 31},
        {"digest": b"d" * 33},
    ],
)
def test_a_field_that_does_not_fit_is_invalid(change: dict[str, object]):
    header = Header(1, 0, 0, 0, 0, bytes(16), 0, bytes(32))
    assert len(pack_header(header)) == 72
    with pytest.raises(Invalid, match="log entry"):
        pack_header(header._replace(**change))


@pytest.mark.parametrize(
    "data", [b"", bytes(72), b"\x02" + bytes(71), b"\x01" + bytes(70), b"\x01" + bytes(72)]
)
def test_other_bytes_are_corrupt(data: bytes):
    with pytest.raises(Corrupt):
        unpack_header(data)


def test_the_payload_digest_is_salted():
    assert payload_digest(b"s" * 16, b"payload") == sha256(b"s" * 16 + b"payload").digest()
    with pytest.raises(Invalid, match="16 bytes"):
        payload_digest(b"s" * 17, b"ayload")
