"""The kernel that packs keys equals the plain layout, and hands on all that it does not take."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runstone._native.keys import Packer
from runstone.errors import Invalid
from runstone.storage.keys import KeyLayout

KINDS = ("u8", "u16", "u32", "u64", "b16", "b32", "text")
NUMBERS = st.one_of(
    *(st.integers(2**bits - 2, 2**bits + 1) for bits in (0, 8, 16, 32, 63, 64, 200)), st.integers(-3, 300)
)
ANYTHING = st.one_of(
    NUMBERS,
    st.booleans(),
    st.none(),
    st.floats(),
    st.sampled_from([16, 32]).flatmap(lambda size: st.binary(min_size=size, max_size=size)),
    st.binary(max_size=33),
    st.text(max_size=30),
    st.sampled_from(["\ud800", "a\0", "x" * 509, "x" * 510, "x" * 511, "x" * 512, "é" * 256]),
)


def answer(call, parts):
    try:
        return call(*parts)
    except Invalid as error:
        return str(error)


@given(st.lists(st.sampled_from(KINDS), min_size=1, max_size=8), st.data())
def test_it_packs_what_the_plain_layout_packs_and_refuses_what_it_refuses(kinds, data):
    layout = KeyLayout(" ".join(f"part{place}:{kind}" for place, kind in enumerate(kinds)))
    fitting = {
        kind: st.integers(0, 2 ** int(8 * size) - 1) if size < 16 else st.binary(min_size=size, max_size=size)
        for kind, size in (("u8", 1), ("u16", 2), ("u32", 4), ("u64", 8), ("b16", 16), ("b32", 32))
    }
    fitting["text"] = st.text(max_size=90)
    parts = [data.draw(st.one_of(fitting[kind], fitting[kind], fitting[kind], ANYTHING)) for kind in kinds]
    assert answer(layout.pack, parts) == answer(layout.prefix, parts)


def test_the_common_keys_are_packed_here():
    def never(*parts):
        raise AssertionError(parts)

    assert Packer(b"\x08\x00", never)(7, "né") == bytes(7) + b"\x07n\xc3\xa9"
    assert Packer(b"\x02\x00\x08", never)(258, "a", 2**64 - 1) == b"\x01\x02a\0" + b"\xff" * 8
    assert Packer(b"\x10\x20", never)(b"i" * 16, b"h" * 32) == b"i" * 16 + b"h" * 32
    assert Packer(b"\x08\x00", never)(0, "x" * 503) == bytes(8) + b"x" * 503
    assert Packer(b"\x00", never)("") == b""


@pytest.mark.parametrize(
    "parts", [(1,), (1, "a", 2), (True, "a"), (-1, "a"), (2**64, "a"), (1, "x" * 504), (1, "a\0"), (1, b"a")]
)
def test_all_else_is_handed_on(parts):
    assert Packer(b"\x08\x00", lambda *given: given)(*parts) == parts


def test_wrong_layouts_are_refused():
    for sizes in (b"\x03", b"\x40", b"\x08\xff", b"\x08" * 9):
        with pytest.raises(ValueError):
            Packer(sizes, bytes)
    with pytest.raises(TypeError):
        Packer("u64", bytes)


@pytest.mark.parametrize("size", [1, 2, 4, 8])
def test_the_greatest_number_fits_and_the_next_does_not(size):
    packer = Packer(bytes([size]), lambda part: part)
    assert packer(256**size - 1) == b"\xff" * size
    assert packer(256**size) == 256**size
