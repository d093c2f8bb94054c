import pytest
from hypothesis import given
from hypothesis import strategies as st

from runstone.errors import Invalid
from runstone.storage.keys import KeyLayout
from runstone.storage.tables import TABLES

NAMES = st.text(st.characters(blacklist_characters="\0", blacklist_categories=("Cs",)), max_size=20)
U64 = st.integers(0, 2**64 - 1)


@given(st.lists(st.tuples(U64, NAMES, U64), min_size=2, max_size=20))
def test_byte_order_is_the_order_of_the_parts(keys):
    layout = KeyLayout("a:u64 b:text c:u64")
    assert sorted(keys, key=lambda key: (key[0], key[1].encode(), key[2])) == [
        layout.unpack(packed) for packed in sorted(layout.pack(*key) for key in keys)
    ]


@given(U64, NAMES)
def test_a_key_unpacks_to_its_parts(number, name):
    layout = KeyLayout("a:u64 b:text")
    assert layout.unpack(layout.pack(number, name)) == (number, name)
    assert layout.pack(number, name) == layout.prefix(number, name)
    assert layout.pack(number, name).startswith(layout.prefix(number))


@given(st.tuples(U64, NAMES, NAMES, st.integers(0, 2**16 - 1), st.binary(min_size=16, max_size=16), NAMES))
def test_parts_of_every_kind_in_any_place(parts):
    layout = KeyLayout("a:u64 b:text c:text d:u16 e:b16 f:text")
    packed = layout.pack(*parts)
    assert layout.unpack(packed) == parts
    for count in range(len(parts) + 1):
        assert packed.startswith(layout.prefix(*parts[:count]))
    # A text at the end of a prefix is a whole part, and one at the end of a key may go on.
    assert layout.prefix(*parts[:2]).endswith(b"\0") and layout.prefix(*parts) == packed


def test_a_prefix_of_a_text_part_is_a_whole_part():
    layout = KeyLayout("a:text b:u8")
    assert not layout.pack("ab", 1).startswith(layout.prefix("a"))


@pytest.mark.parametrize(
    "parts", [(-1, "x"), (2**64, "x"), (1, "a\0b"), (1, "x" * 600), (1, 5), ("1", "x"), (1, "\ud800")]
)
def test_parts_that_do_not_fit_are_refused(parts):
    with pytest.raises(Invalid):
        KeyLayout("a:u64 b:text").pack(*parts)


def test_raw_bytes_of_another_length_are_refused():
    with pytest.raises(Invalid):
        KeyLayout("a:b32 b:u8").pack(b"short", 1)


def test_table_numbers_and_names_never_change():
    """A stored checksum is seeded with the table's number: renumbering a table would orphan its rows."""
    assert {table.name: table.number for table in TABLES.values()}["versions"] == 36
    assert len({table.number for table in TABLES.values()}) == len(TABLES)
