from __future__ import annotations

import random
from collections.abc import Callable
from hashlib import sha256

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runstone.errors import Corrupt, Invalid
from runstone.storage import merkle

# The leaves and roots that the reference implementation of RFC 6962 is tested with.
CT_LEAVES = [
    bytes.fromhex(text)
    for text in (
        "",
        "00",
        "10",
        "2021",
        "3031",
        "40414243",
        "5051525354555657",
        "606162636465666768696a6b6c6d6e6f",
    )
]
CT_ROOTS = [
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
]
CT_CONSISTENCY_6_8 = [
    "0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a",
    "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
]


class Store(dict[tuple[int, int], bytes]):
    """Tiles in memory."""

    def tile(self, level: int, index: int) -> bytes:
        return self.get((level, index), b"")

    def grow(self, size: int, leaves: list[bytes]) -> bytes:
        tiles, root = merkle.append(self, size, leaves)
        self.update(tiles)
        return root


class Uniform:
    """A tree of any size whose leaves are all alike, so that it need not be kept."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.by_height = [LEAF]
        for _ in range(64):
            self.by_height.append(merkle.node_hash(self.by_height[-1], self.by_height[-1]))

    def tile(self, level: int, index: int) -> bytes:
        return self.by_height[level * 8] * merkle.tile_width(level, index, self.size)

    def mth(self, low: int, high: int) -> bytes:
        count = high - low
        if count & (count - 1) == 0:
            return self.by_height[count.bit_length() - 1]
        k = 1 << (count - 1).bit_length() - 1
        return merkle.node_hash(self.mth(low, low + k), self.mth(low + k, high))


LEAF = merkle.leaf_hash(b"alike")


def mth(leaves: list[bytes]) -> bytes:
    """With ``path`` and ``subproof``: the definitions of RFC 6962 section 2.1, over leaf hashes."""
    if not leaves:
        return sha256(b"").digest()
    if len(leaves) == 1:
        return leaves[0]
    k = split(len(leaves))
    return sha256(b"\x01" + mth(leaves[:k]) + mth(leaves[k:])).digest()


def split(n: int) -> int:
    k = 1
    while k * 2 < n:
        k *= 2
    return k


def path(m: int, leaves: list[bytes]) -> list[bytes]:
    if len(leaves) == 1:
        return []
    k = split(len(leaves))
    if m < k:
        return [*path(m, leaves[:k]), mth(leaves[k:])]
    return [*path(m - k, leaves[k:]), mth(leaves[:k])]


def subproof(m: int, leaves: list[bytes], whole: bool) -> list[bytes]:
    if m == len(leaves):
        return [] if whole else [mth(leaves)]
    k = split(len(leaves))
    if m <= k:
        return [*subproof(m, leaves[:k], whole), mth(leaves[k:])]
    return [*subproof(m - k, leaves[k:], False), mth(leaves[:k])]


def hashes(count: int) -> list[bytes]:
    return [merkle.leaf_hash(b"leaf %d" % place) for place in range(count)]


@pytest.fixture(scope="module")
def big() -> tuple[Store, list[bytes]]:
    """Enough leaves for a second tile at level 1."""
    store, leaves = Store(), hashes(65_536 + 2 * 256 + 3)
    store.grow(0, leaves)
    return store, leaves


def refused(check: Callable[[], object]) -> bool:
    try:
        check()
    except Corrupt:
        return True
    return False


def test_certificate_transparency_vectors():
    store, leaves = Store(), [merkle.leaf_hash(data) for data in CT_LEAVES]
    assert merkle.root(store, 0).hex() == CT_ROOTS[0]
    for size, leaf in enumerate(leaves):
        assert store.grow(size, [leaf]).hex() == CT_ROOTS[size + 1]
    for size in range(9):
        assert merkle.root(store, size).hex() == CT_ROOTS[size]
    assert [each.hex() for each in merkle.consistency_proof(store, 6, 8)] == CT_CONSISTENCY_6_8
    proof = [bytes.fromhex(each) for each in CT_CONSISTENCY_6_8]
    merkle.verify_consistency(6, 8, proof, bytes.fromhex(CT_ROOTS[6]), bytes.fromhex(CT_ROOTS[8]))


def test_every_proof_of_small_trees_is_the_reference_proof():
    leaves, store = hashes(70), Store()
    store.grow(0, leaves)
    for size in range(1, len(leaves) + 1):
        root = mth(leaves[:size])
        assert merkle.root(store, size) == root
        for index in range(size):
            proof = merkle.inclusion_proof(store, index, size)
            assert proof == path(index, leaves[:size])
            merkle.verify_inclusion(leaves[index], index, size, proof, root)
        for old in range(1, size + 1):
            proof = merkle.consistency_proof(store, old, size)
            assert proof == subproof(old, leaves[:size], True)
            merkle.verify_consistency(old, size, proof, mth(leaves[:old]), root)
        merkle.verify_consistency(0, size, merkle.consistency_proof(store, 0, size), merkle.EMPTY_ROOT, root)
    merkle.verify_consistency(0, 0, [], merkle.EMPTY_ROOT, merkle.EMPTY_ROOT)


@given(batches=st.lists(st.integers(0, 600), max_size=6), data=st.data())
@settings(max_examples=60, deadline=None)
def test_batches_of_any_size_make_the_same_tree(batches: list[int], data: st.DataObject):
    leaves, store, size = hashes(sum(batches)), Store(), 0
    edge = merkle.Frontier(0, ())
    for count in batches:
        batch = leaves[size : size + count]
        tiles, edge = merkle.extend(store, edge, batch)
        assert merkle.append(store, size, batch) == (tiles, edge.root())
        assert batch == leaves[size : size + count], "append changed the caller's list"
        store.update(tiles)
        size += count
        assert edge == merkle.frontier(store, size)
    assert merkle.root(store, size) == edge.root() == mth(leaves)
    for (level, index), tile in store.items():
        assert len(tile) == 32 * merkle.tile_width(level, index, size) > 0
        for place in range(len(tile) // 32):
            first = (index * 256 + place) << 8 * level
            assert tile[32 * place : 32 * place + 32] == mth(leaves[first : first + (1 << 8 * level)])
    assert sum(merkle.tile_width(0, index, size) for level, index in store if level == 0) == size
    if size:
        index, old = data.draw(st.integers(0, size - 1)), data.draw(st.integers(1, size))
        assert merkle.inclusion_proof(store, index, size) == path(index, leaves)
        assert merkle.consistency_proof(store, old, size) == subproof(old, leaves, True)


def test_trees_around_the_ends_of_tiles(big: tuple[Store, list[bytes]]):
    store, leaves = big
    ends = [256, 512, 65_280, 65_536, 65_536 + 256, 65_536 + 512]
    sizes = sorted({end + by for end in ends for by in (-1, 0, 1, 2)} | {1, len(leaves)})
    roots = {size: mth(leaves[:size]) for size in sizes}
    for size in sizes:
        assert merkle.root(store, size) == roots[size]
        for index in {0, size // 2, size - 1, *(at for at in (255, 256, 65_535, 65_536) if at < size)}:
            proof = merkle.inclusion_proof(store, index, size)
            merkle.verify_inclusion(leaves[index], index, size, proof, roots[size])
        for old in (old for old in sizes if old <= size):
            proof = merkle.consistency_proof(store, old, size)
            merkle.verify_consistency(old, size, proof, roots[old], roots[size])
    for index, size in ((0, 65_536), (65_535, 65_537), (65_700, len(leaves)), (255, 257)):
        assert merkle.inclusion_proof(store, index, size) == path(index, leaves[:size])
        assert merkle.consistency_proof(store, index + 1, size) == subproof(index + 1, leaves[:size], True)


@given(size=st.integers(1, (1 << 62) + 12_345), data=st.data())
@settings(max_examples=50, deadline=None)
def test_trees_of_any_size(size: int, data: st.DataObject):
    tree = Uniform(size)
    index, old = data.draw(st.integers(0, size - 1)), data.draw(st.integers(1, size))
    root = tree.mth(0, size)
    assert merkle.root(tree, size) == root
    proof = merkle.inclusion_proof(tree, index, size)
    merkle.verify_inclusion(LEAF, index, size, proof, root)
    proof = merkle.consistency_proof(tree, old, size)
    merkle.verify_consistency(old, size, proof, tree.mth(0, old), root)
    tiles, new_root = merkle.append(tree, size, [LEAF] * 3)
    assert new_root == tree.mth(0, size + 3)
    grown = Uniform(size + 3)
    assert all(tiles[key] == grown.tile(*key) for key in tiles)


@given(size=st.integers(1, 40), data=st.data())
@settings(max_examples=60, deadline=None)
def test_no_changed_inclusion_proof_is_accepted(size: int, data: st.DataObject):
    leaves, store = hashes(size), Store()
    root = store.grow(0, leaves)
    index = data.draw(st.integers(0, size - 1))
    proof = merkle.inclusion_proof(store, index, size)
    changed = changes(proof, data.draw(st.integers(0, 255)))
    cases = [(leaves[index], index, each, root) for each in changed]
    cases += [(leaves[index], other, proof, root) for other in range(-1, size + 2) if other != index]
    cases += [(flip(leaves[index], 9), index, proof, root), (leaves[index], index, proof, flip(root, 9))]
    cases += [(leaves[index] + b"x", index, proof, root), (leaves[index], index, proof, root[:31])]
    if proof and index % 2 == 0 and index + 1 < size:  # the same bytes are hashed, cut apart elsewhere
        cases += [(leaves[index] + proof[0][:1], index, [proof[0][1:], *proof[1:]], root)]
    verdicts = [
        refused(lambda case=case: merkle.verify_inclusion(case[0], case[1], size, case[2], case[3]))
        for case in cases
    ]
    assert len(verdicts) >= size + 5 + len(changed)
    assert all(verdicts)


@given(new=st.integers(2, 40), data=st.data())
@settings(max_examples=60, deadline=None)
def test_no_changed_consistency_proof_is_accepted(new: int, data: st.DataObject):
    leaves, store = hashes(new), Store()
    new_root = store.grow(0, leaves)
    old = data.draw(st.integers(1, new))
    old_root, proof = merkle.root(store, old), merkle.consistency_proof(store, old, new)
    changed = changes(proof, data.draw(st.integers(0, 255)))
    cases = [(old, each, old_root, new_root) for each in changed]
    cases += [(other, proof, old_root, new_root) for other in range(-1, new + 2) if other != old]
    cases += [(old, proof, flip(old_root, 3), new_root), (old, proof, old_root, flip(new_root, 3))]
    cases += [(old, proof, old_root[1:], new_root), (old, proof, old_root, b"")]
    verdicts = [
        refused(lambda case=case: merkle.verify_consistency(case[0], new, *case[1:])) for case in cases
    ]
    assert len(verdicts) >= new + 6 + len(changed)
    assert all(verdicts)


def changes(proof: list[bytes], bit: int) -> list[list[bytes]]:
    """The proof with each hash changed, cut, taken away or doubled, two exchanged, and one at each end."""
    made = [[*proof, bytes(32)], [bytes(32), *proof]]
    for place, each in enumerate(proof):
        for other in ([flip(each, bit)], [each[:31]], [each + b"\0"], [], [each, each]):
            made.append([*proof[:place], *other, *proof[place + 1 :]])
        if place and proof[place - 1] != each:
            made.append([*proof[: place - 1], each, proof[place - 1], *proof[place + 1 :]])
    return made


def flip(data: bytes, bit: int) -> bytes:
    return (int.from_bytes(data, "big") ^ 1 << bit).to_bytes(len(data), "big")


def test_a_hash_of_another_length_is_named():
    store = Store()
    root = store.grow(0, hashes(6))
    with pytest.raises(Corrupt, match="proof of leaf 0 in a tree of 6: a hash is not 32 bytes long"):
        merkle.verify_inclusion(hashes(1)[0], 0, 6, [b"short"], root)
    with pytest.raises(Corrupt, match="consistency proof from 3 to 6 leaves: a hash is not 32 bytes long"):
        merkle.verify_consistency(3, 6, [b"short"], merkle.root(store, 3), root)


def test_an_empty_old_tree_needs_no_proof_and_takes_none():
    root = Store().grow(0, hashes(3))
    assert refused(lambda: merkle.verify_consistency(0, 3, [], root, root))
    assert refused(lambda: merkle.verify_consistency(0, 3, [root], merkle.EMPTY_ROOT, root))
    assert refused(lambda: merkle.verify_consistency(0, 0, [], merkle.EMPTY_ROOT, root))
    assert refused(lambda: merkle.verify_consistency(3, 3, [root], root, root))


def test_a_damaged_tile_is_named(big: tuple[Store, list[bytes]]):
    store = Store(big[0])
    store[0, 7] = store[0, 7][:-1]
    with pytest.raises(Corrupt, match="tile 7 of level 0 has 8191 bytes") as caught:
        merkle.inclusion_proof(store, 7 * 256 + 254, 2048)
    assert caught.value.details == {"level": 0, "index": 7}
    del store[1, 0]
    with pytest.raises(Corrupt, match="tile 0 of level 1 has 0 bytes"):
        merkle.root(store, 512)


def test_append_refuses_a_size_that_is_not_the_trees():
    store, leaves = Store(), hashes(10)
    store.grow(0, leaves)
    for size in (9, 11):
        with pytest.raises(Corrupt, match="tile 0 of level 0"):
            merkle.append(store, size, leaves[:1])
    with pytest.raises(Corrupt, match="2 peaks, not 1"):
        merkle.extend(store, merkle.Frontier(10, (leaves[0],)), leaves[:1])
    assert merkle.append(store, 10, []) == ({}, merkle.root(store, 10))


@pytest.mark.parametrize(
    "ask",
    [
        lambda store: merkle.root(store, -1),
        lambda store: merkle.inclusion_proof(store, 3, 3),
        lambda store: merkle.inclusion_proof(store, -1, 3),
        lambda store: merkle.inclusion_proof(store, 0, 0),
        lambda store: merkle.consistency_proof(store, 3, 2),
        lambda store: merkle.consistency_proof(store, -1, 2),
        lambda store: merkle.tile_width(-1, 0, 0),
    ],
)
def test_a_question_that_has_no_answer_is_invalid(ask: Callable[[Store], object]):
    store = Store()
    store.grow(0, hashes(3))
    with pytest.raises(Invalid):
        ask(store)


def test_tile_widths_are_those_of_the_specification():
    """A tree of 70,000 entries, the example in tlog-tiles."""
    size = 70_000
    assert sum(merkle.tile_width(0, index, size) == 256 for index in range(300)) == 273
    assert [merkle.tile_width(0, index, size) for index in (272, 273, 274)] == [256, 112, 0]
    assert [merkle.tile_width(1, index, size) for index in (0, 1, 2)] == [256, 17, 0]
    assert [merkle.tile_width(2, index, size) for index in (0, 1)] == [1, 0]
    assert [merkle.tile_width(level, 0, 256) for level in (0, 1, 2)] == [256, 1, 0]


def test_leaves_and_nodes_are_kept_apart():
    left, right = random.Random(0).randbytes(32), random.Random(1).randbytes(32)
    assert merkle.leaf_hash(left + right) != merkle.node_hash(left, right)
    assert merkle.node_hash(left, right) != merkle.node_hash(right, left)
