"""Which files a version has."""

from __future__ import annotations

from runstone.storage.tables.table import Record, local_table, state_table


class Entry(Record, frozen=True):
    """A file of a manifest: its bytes here (``sha256``) or elsewhere (``url`` with ``etag``)."""

    path: str
    size: int
    sha256: bytes = b""
    url: str = ""
    etag: str = ""
    media_type: str = ""


class Manifest(Record, frozen=True):
    """The head of a manifest: totals, and the first path of each page of entries."""

    files: int
    size: int
    pages: tuple[str, ...]


class Page(Record, frozen=True):
    """Up to 256 entries of a manifest, by path."""

    entries: tuple[Entry, ...]


class Archive(Record, frozen=True):
    """The tar archive of a manifest's files: its SHA-256 and size."""

    sha256: bytes
    size: int


MANIFESTS = state_table(38, "manifests", "digest:b32", Manifest)
MANIFEST_PAGES = state_table(39, "manifest_pages", "digest:b32 page:u32", Page)
MANIFEST_VERSIONS = state_table(40, "manifest_versions", "digest:b32 version:u64", int)
BLOB_VERSIONS = state_table(41, "blob_versions", "domain:u16 sha256:b32 version:u64", int)
ENTRY_EXTRAS = state_table(109, "entry_extras", "version:u64 page:u32", bytes)
ARCHIVES = local_table(152, "archives", "manifest:b32", Archive)
