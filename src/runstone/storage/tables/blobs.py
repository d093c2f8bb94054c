"""Where the bytes are: blobs in packs, their chunks, uploads, pins, damage."""

from __future__ import annotations

from runstone.storage.tables.table import Record, local_table


class Blob(Record, frozen=True):
    """A file's bytes as this machine holds them.

    ``garbage`` is the time it was found unreferenced, or 0, and ``epoch`` the collection that found it. ``indexed`` is false
    while chunks of a live blob may lack their row in ``chunks``; ``dying`` is true while its rows are being deleted.
    """

    size: int
    xet: bytes
    created: int
    md5: bytes = b""
    garbage: int = 0
    parts: int = 0
    epoch: int = 0
    indexed: bool = True
    dying: bool = False


class Part(Record, frozen=True):
    """A stretch of a blob: packed 44-byte chunk records, and packed 24-byte extents (pack, offset, length)."""

    size: int
    chunks: bytes
    extents: bytes


class Pack(Record, frozen=True):
    """An append-only file of raw bytes. ``size`` is what is accounted for; bytes past it are nobody's.

    ``sealed`` forbids any further append: a sync of the file failed, and what is on the disk past ``size`` is unknown.
    """

    size: int
    domain: int
    created: int
    sealed: bool = False


class Upload(Record, frozen=True):
    """A resumable upload: what has been taken in so far, and what it must become.

    ``ranges`` are the (pack, start, stop) it wrote itself, ``carry`` the bytes after the last whole chunk. ``serial`` counts
    the checkpoints, so that a process sees that another has gone on with the upload. ``epoch`` and ``generation`` are the
    collector's counters as of its start. ``done`` is the SHA-256 of the blob that it became.
    """

    domain: int
    owner: str
    created: int
    expires: int
    offset: int = 0
    size: int | None = None
    sha256: bytes = b""
    md5: bool = False
    serial: int = 0
    epoch: int = 0
    generation: int = 0
    carry: bytes = b""
    ranges: tuple[tuple[int, int, int], ...] = ()
    done: bytes = b""


class Pin(Record, frozen=True):
    """Keeps a blob from the garbage collector until ``expires`` (microseconds)."""

    expires: int
    owner: str


class Damage(Record, frozen=True):
    """A chunk of a blob that failed its check, and where its bytes were expected."""

    length: int
    pack: int
    pack_offset: int
    found: int
    how: str


class Xorb(Record, frozen=True):
    """Chunks that a client may name together: their packed 44-byte records, and the latest blobs that are made of some of them."""

    records: bytes
    blobs: tuple[bytes, ...]


BLOBS = local_table(80, "blobs", "domain:u16 sha256:b32", Blob)
BLOB_PARTS = local_table(81, "blob_parts", "domain:u16 sha256:b32 offset:u64", Part)
CHUNKS = local_table(82, "chunks", "domain:u16 hash:b32", bytes)
PACKS = local_table(83, "packs", "pack:u64", Pack)
UPLOADS = local_table(84, "uploads", "id:b16", Upload)
UPLOAD_PARTS = local_table(85, "upload_parts", "id:b16 offset:u64", Part)
PINS = local_table(86, "pins", "domain:u16 sha256:b32 id:b16", Pin)
DAMAGES = local_table(87, "damages", "domain:u16 sha256:b32 offset:u64", Damage)
SETTINGS = local_table(88, "settings", "name:text", bytes)
MD5S = local_table(104, "md5s", "domain:u16 md5:b16 sha256:b32", int)
XORBS = local_table(150, "xorbs", "domain:u16 hash:b32", Xorb)
#: By the Xet hash of a blob (-1), and by that of some of its chunks (where the chunk begins).
XET_NAMES = local_table(151, "xet_names", "domain:u16 hash:b32 sha256:b32", int)
