"""The change log's Merkle tree: RFC 6962 over SHA-256, stored in the C2SP tlog-tiles layout.

A *tile* is up to 256 consecutive hashes of one height: level 0 holds leaf hashes, and a hash at level L + 1
is the root of a full tile at level L. Heights between are hashed again when they are needed: never more
than 255 hashes. Functions are pure over a :class:`TileReader`; nothing here knows where tiles are kept. A
*node* is named by its height (0 is a leaf) and its index among the nodes of that height. A hash is 32
bytes, a size counts leaves.

Errors: ``Corrupt`` for a tile that is missing or short and for a proof that does not hold, ``Invalid`` for
a question no tree of that size can answer.

Sources: RFC 6962 section 2.1 and RFC 9162 section 2.1 (tree and proofs), https://c2sp.org/tlog-tiles
(tiles).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple, Protocol

from runstone._native.digests import sha256
from runstone.errors import Corrupt, Invalid

HASH_SIZE = 32
TILE_HEIGHT = 8
TILE_WIDTH = 1 << TILE_HEIGHT
EMPTY_ROOT = sha256(b"")

Tiles = dict[tuple[int, int], bytes]


class TileReader(Protocol):
    """Where tiles are read from."""

    def tile(self, level: int, index: int) -> bytes:
        """The hashes present in that tile, 32 bytes each, 1 to 256 of them; ``b""`` when there is none."""
        ...


def leaf_hash(data: bytes) -> bytes:
    """The hash of a leaf; the prefix keeps it from ever being the hash of a node."""
    return sha256(b"\x00" + data)


def node_hash(left: bytes, right: bytes) -> bytes:
    """The hash of an inner node."""
    return sha256(b"\x01" + left + right)


class Frontier(NamedTuple):
    """The right edge of a tree: its size, and the roots of its largest perfect subtrees, left to right.

    It is all that the next append needs beside the last tile of each level. Kept beside the tree it saves
    the hashes (127 a level on average) that finding it from the tiles costs; :func:`frontier` finds it.
    """

    size: int
    peaks: tuple[bytes, ...]

    def root(self) -> bytes:
        """The root of the tree."""
        return _fold(self.peaks) if self.peaks else EMPTY_ROOT


def frontier(reader: TileReader, size: int) -> Frontier:
    """The right edge of the tree of ``size`` leaves, from its tiles."""
    _require(size >= 0, f"a tree cannot have {size} leaves")
    return Frontier(size, tuple(_Nodes(reader).hash(height, index) for height, index in _cover(0, size)))


def extend(reader: TileReader, edge: Frontier, leaves: Sequence[bytes]) -> tuple[Tiles, Frontier]:
    """Adds leaf hashes behind ``edge``; returns the new content of every changed tile, and the new edge.

    Works height by height over the whole batch: one node hash a leaf, and about log2(size) for a single leaf.
    """
    size = edge.size
    if len(edge.peaks) != size.bit_count():
        raise Corrupt(f"a tree of {size} leaves has {size.bit_count()} peaks, not {len(edge.peaks)}")
    # A perfect subtree for each bit of the size, the largest first.
    heights = (height for height in reversed(range(size.bit_length())) if size >> height & 1)
    peaks = dict(zip(heights, edge.peaks, strict=True))
    tiles: Tiles = {}
    nodes, start, height = list(leaves), size, 0
    while nodes:
        level, between = divmod(height, TILE_HEIGHT)
        if between == 0:
            tiles |= _written(reader, level, start, nodes)
        if start & 1:  # the first new node is a right child: its left sibling was a peak until now
            nodes.insert(0, peaks.pop(height))
        if len(nodes) & 1:
            peaks[height] = nodes.pop()
        pairs = iter(nodes)
        nodes = [sha256(b"\x01" + left + right) for left, right in zip(pairs, pairs, strict=True)]
        start, height = start >> 1, height + 1
    return tiles, Frontier(size + len(leaves), tuple(peaks[height] for height in sorted(peaks, reverse=True)))


def append(reader: TileReader, size: int, leaves: Sequence[bytes]) -> tuple[Tiles, bytes]:
    """Adds leaf hashes to a tree of ``size``; returns the new content of the changed tiles, and the new root.

    The tiles' keys are (level, index). A writer that keeps the :class:`Frontier` calls :func:`extend`
    instead.
    """
    tiles, edge = extend(reader, frontier(reader, size), leaves)
    return tiles, edge.root()


def root(reader: TileReader, size: int) -> bytes:
    """The root of the first ``size`` leaves; SHA-256 of nothing for an empty tree."""
    return frontier(reader, size).root()


def inclusion_proof(reader: TileReader, index: int, size: int) -> list[bytes]:
    """The siblings on the way from leaf ``index`` up to the root of ``size`` leaves.

    RFC 6962 section 2.1.1; the leaf's own sibling comes first.
    """
    _require(0 <= index < size, f"leaf {index} is not in a tree of {size} leaves")
    nodes = _Nodes(reader)
    low, high, path = 0, size, []
    while high - low > 1:
        middle = low + _split(high - low)
        if index < middle:
            path.append(nodes.range(middle, high))
            high = middle
        else:
            path.append(nodes.range(low, middle))
            low = middle
    return path[::-1]


def consistency_proof(reader: TileReader, old: int, new: int) -> list[bytes]:
    """The nodes from which both the root of ``old`` leaves and that of ``new`` leaves can be computed.

    RFC 6962 section 2.1.2. Empty when the sizes are equal, and for an empty old tree, which every tree
    continues.
    """
    _require(0 <= old <= new, f"a tree of {new} leaves does not continue one of {old}")
    if old == 0:
        return []
    nodes = _Nodes(reader)
    low, high, path = 0, new, []
    while high != old:
        middle = low + _split(high - low)
        if old <= middle:
            path.append(nodes.range(middle, high))
            high = middle
        else:
            path.append(nodes.range(low, middle))
            low = middle
    if low > 0:  # otherwise the old tree is itself a node of the new one, and its root is known
        path.append(nodes.range(low, high))
    return path[::-1]


def verify_inclusion(leaf: bytes, index: int, size: int, proof: Sequence[bytes], root: bytes) -> None:
    """Raises ``Corrupt`` unless ``proof`` leads from the leaf hash at ``index`` to the root of this size.

    RFC 9162 section 2.1.3.2.
    """
    name = f"inclusion proof of leaf {index} in a tree of {size}"
    _hold(0 <= index < size, f"{name}: there is no such leaf")
    _hold_hashes(name, leaf, root, *proof)
    place, last, found = index, size - 1, leaf
    for sibling in proof:
        _hold(last > 0, f"{name}: too many hashes")
        if place & 1 or place == last:
            found = node_hash(sibling, found)
            while place & 1 == 0:  # the right edge skips the heights at which it has no sibling
                place, last = place >> 1, last >> 1
        else:
            found = node_hash(found, sibling)
        place, last = place >> 1, last >> 1
    _hold(last == 0, f"{name}: too few hashes")
    _hold(found == root, f"{name}: it leads to another root")


def verify_consistency(old: int, new: int, proof: Sequence[bytes], old_root: bytes, new_root: bytes) -> None:
    """Raises ``Corrupt`` unless ``proof`` shows that the tree of ``new`` leaves begins with that of ``old``.

    RFC 9162 section 2.1.4.2.
    """
    name = f"consistency proof from {old} to {new} leaves"
    _hold(0 <= old <= new, f"{name}: a log never shrinks")
    _hold_hashes(name, old_root, new_root, *proof)
    if old in (0, new):
        _hold(not proof, f"{name}: too many hashes")
        _hold(old_root == (new_root if old else EMPTY_ROOT), f"{name}: it leads to another old root")
        _hold(new > 0 or new_root == EMPTY_ROOT, f"{name}: it leads to another new root")
        return
    path = [old_root, *proof] if old & (old - 1) == 0 else list(proof)
    _hold(len(path) > 0, f"{name}: too few hashes")
    place, last = old - 1, new - 1
    while place & 1:
        place, last = place >> 1, last >> 1
    found_old = found_new = path[0]
    for sibling in path[1:]:
        _hold(last > 0, f"{name}: too many hashes")
        if place & 1 or place == last:
            found_old, found_new = node_hash(sibling, found_old), node_hash(sibling, found_new)
            while place & 1 == 0 and place > 0:
                place, last = place >> 1, last >> 1
        else:
            found_new = node_hash(found_new, sibling)
        place, last = place >> 1, last >> 1
    _hold(last == 0, f"{name}: too few hashes")
    _hold(found_old == old_root, f"{name}: it leads to another old root")
    _hold(found_new == new_root, f"{name}: it leads to another new root")


def tile_width(level: int, index: int, size: int) -> int:
    """How many hashes that tile holds in a tree of ``size``: 0 to 256."""
    _require(level >= 0 and index >= 0 and size >= 0, "level, index and size of a tile are not negative")
    return max(0, min(TILE_WIDTH, (size >> TILE_HEIGHT * level) - index * TILE_WIDTH))


class _Nodes:
    """Hashes of nodes, with every tile read once."""

    def __init__(self, reader: TileReader) -> None:
        self._reader = reader
        self._tiles: Tiles = {}

    def hash(self, height: int, index: int) -> bytes:
        """The hash of the perfect subtree of 2**height leaves that is ``index``-th of its height."""
        level, between = divmod(height, TILE_HEIGHT)
        at, first = divmod(index << between, TILE_WIDTH)
        key = (level, at)
        tile = self._tiles.get(key)
        if tile is None:
            tile = self._tiles[key] = self._reader.tile(level, at)
        end = (first + (1 << between)) * HASH_SIZE
        if len(tile) < end:
            raise _damaged(level, at, len(tile), end)
        hashes = [tile[place : place + HASH_SIZE] for place in range(first * HASH_SIZE, end, HASH_SIZE)]
        while len(hashes) > 1:
            pairs = iter(hashes)
            hashes = [node_hash(left, right) for left, right in zip(pairs, pairs, strict=True)]
        return hashes[0]

    def range(self, low: int, high: int) -> bytes:
        """The Merkle tree hash of leaves [low, high), which are one subtree of the tree."""
        return _fold([self.hash(height, index) for height, index in _cover(low, high)])


def _written(reader: TileReader, level: int, start: int, hashes: Sequence[bytes]) -> Tiles:
    """The tiles of a level once ``hashes`` stand at ``start`` and behind it."""
    index, width = divmod(start, TILE_WIDTH)
    head = reader.tile(level, index) if width else b""
    if len(head) != width * HASH_SIZE:
        raise _damaged(level, index, len(head), width * HASH_SIZE)
    tiles = {(level, index): head + b"".join(hashes[: TILE_WIDTH - width])}
    for at in range(TILE_WIDTH - width, len(hashes), TILE_WIDTH):
        index += 1
        tiles[level, index] = b"".join(hashes[at : at + TILE_WIDTH])
    return tiles


def _cover(low: int, high: int) -> Iterator[tuple[int, int]]:
    """The (height, index) of the largest perfect subtrees that make up [low, high), left to right."""
    while low < high:
        height = (high - low).bit_length() - 1
        yield height, low >> height
        low += 1 << height


def _fold(peaks: Sequence[bytes]) -> bytes:
    """The root over perfect subtrees, which RFC 6962 joins from the right."""
    found = peaks[-1]
    for left in reversed(peaks[:-1]):
        found = node_hash(left, found)
    return found


def _split(count: int) -> int:
    """The largest power of two below ``count`` (2 or more): the leaves left of a subtree's root."""
    return 1 << (count - 1).bit_length() - 1


def _damaged(level: int, index: int, found: int, wanted: int) -> Corrupt:
    message = f"tile {index} of level {level} has {found} bytes where the tree's size asks for {wanted}"
    return Corrupt(message, level=level, index=index)


def _hold_hashes(name: str, *hashes: bytes) -> None:
    _hold(all(len(each) == HASH_SIZE for each in hashes), f"{name}: a hash is not {HASH_SIZE} bytes long")


def _require(holds: bool, message: str) -> None:
    if not holds:
        raise Invalid(message)


def _hold(holds: bool, message: str) -> None:
    if not holds:
        raise Corrupt(message)
