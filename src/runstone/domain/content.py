"""The bytes of versions: uploads on their way in, files on their way out."""

from __future__ import annotations

import hashlib
import mimetypes
import mmap
import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from runstone import folders
from runstone._native.digests import xet_hex
from runstone.domain import integrity, limits, lineage, manifests, names, versions
from runstone.domain.context import Context
from runstone.domain.store import Store
from runstone.errors import Corrupt, Denied, DigestMismatch, Invalid, Missing
from runstone.storage.reading import BlobReader
from runstone.storage.tables import Entry
from runstone.types import FileEntry, UploadedFile, UploadInfo

T = TypeVar("T")
PIECE = 4 << 20


def begin_upload(
    store: Store,
    ctx: Context,
    namespace: str,
    *,
    size: int | None = None,
    sha256: str = "",
    md5: bool = False,
) -> UploadInfo:
    """Begins an upload of one file into a namespace that the principal may write; ``size`` and ``sha256`` are held to.

    ``md5`` asks for the MD5 to be worked out on the way.
    """
    with store.index.read() as view:
        held = names.find_namespace(store, view, ctx, namespace, "write")
    upload = store.blobs.begin(
        held.domain,
        ctx.principal.name,
        size=None if size is None else limits.size(size, "upload size"),
        sha256=limits.digest(sha256) if sha256 else None,
        md5=md5,
    )
    return upload_state(store, ctx, upload.hex())


def upload_state(store: Store, ctx: Context, upload: str) -> UploadInfo:
    """Where an upload stands: the offset that the next byte belongs at."""
    state = store.blobs.upload(_own_upload(store, ctx, upload))
    return UploadInfo(id=upload, offset=state.offset, size=state.size, expires=state.expires)


def write_upload(store: Store, ctx: Context, upload: str, offset: int, data: Any) -> int:
    """Takes bytes in at ``offset``; the new offset. Blocking: not for an event loop."""
    return store.blobs.write(_own_upload(store, ctx, upload), offset, data)


def pause_upload(store: Store, ctx: Context, upload: str) -> int:
    """Makes what has arrived durable, so that the upload can go on after a crash; the offset to go on from."""
    return store.blobs.checkpoint(_own_upload(store, ctx, upload))


def finish_upload(
    store: Store, ctx: Context, upload: str, *, size: int | None = None, sha256: str = "", md5: str = ""
) -> UploadedFile:
    """Ends an upload; what it turned out to be. Raises :class:`DigestMismatch` when it is not what was announced.

    ``md5`` is 32 hexadecimal digits, for an upload that was begun with it.
    """
    found = store.blobs.finish(
        _own_upload(store, ctx, upload),
        sha256=limits.digest(sha256) if sha256 else None,
        size=None if size is None else limits.size(size, "upload size"),
    )
    if md5 and found.md5.hex() != md5:
        abort_upload(store, ctx, upload)
        raise DigestMismatch(
            f"upload {upload} has the MD5 {found.md5.hex()} and not {md5}; send it again", md5=found.md5.hex()
        )
    return UploadedFile(size=found.size, sha256=found.sha256.hex(), xet=xet_hex(found.xet))


def abort_upload(store: Store, ctx: Context, upload: str) -> None:
    """Drops an upload and what it has taken in."""
    store.blobs.abort(_own_upload(store, ctx, upload))


def put_bytes(store: Store, ctx: Context, namespace: str, data: bytes) -> UploadedFile:
    """Takes bytes in that are in memory (durable when it returns), into a namespace that the principal may write."""
    with store.index.read() as view:
        held = names.find_namespace(store, view, ctx, namespace, "write")
    found = store.blobs.put(held.domain, ctx.principal.name, data)
    return UploadedFile(size=found.size, sha256=found.sha256.hex(), xet=xet_hex(found.xet))


def held_size(store: Store, ctx: Context, namespace: str, sha256: str) -> int | None:
    """The size of bytes that are here already and that the principal may make a version of; None says nothing of other people's."""
    digest = limits.digest(sha256)
    with store.index.read() as view:
        held = names.find_namespace(store, view, ctx, namespace, "write")
        if not versions.may_use(store, view, ctx, held.domain, digest):
            return None
    try:
        return store.blobs.stat(held.domain, digest).size
    except Missing:
        return None


def _own_upload(store: Store, ctx: Context, upload: str) -> bytes:
    try:
        key = bytes.fromhex(upload)
    except ValueError:
        key = b""
    if len(key) != 16:
        raise Missing(f"there is no upload {upload!r}")
    state = store.blobs.upload(key)
    if state.owner != ctx.principal.name and not ctx.principal.admin:
        raise Missing(f"there is no upload {upload!r}")
    if ctx.principal.role == "reader":
        raise Denied("this key may only read")
    return key


@dataclass(slots=True)
class StoredFile:
    """One file of a version. Bytes are verified before they are answered; close it, or use it as a context manager.

    ``etag`` is quoted; ``last_modified`` is in seconds since 1970.
    """

    path: str
    size: int
    sha256: str
    etag: str
    media_type: str
    last_modified: float
    version: str
    version_id: int
    _blob: BlobReader
    _store: Store

    @property
    def name(self) -> str:
        """The last part of the path."""
        return self.path.rpartition("/")[2]

    def segments(self, start: int, stop: int) -> list[tuple[int, int, int]]:
        """Where the bytes ``start`` to ``stop`` lie: (file descriptor, offset, length); valid until :meth:`close`."""
        return self._watched(lambda: list(self._blob.segments(start, stop)))

    def read(self, start: int = 0, stop: int | None = None) -> bytes:
        """The bytes ``start`` to ``stop`` (default: all)."""
        end = self.size if stop is None else min(stop, self.size)
        return self._watched(lambda: self._blob.read(start, end))

    def map(self) -> memoryview:
        """The whole file, mapped read-only as it lies in its pack: nothing is copied.

        A file that shares chunks with others lies in several places; it is put together once, in an unnamed temporary file.
        """
        mapped = self._watched(self._blob.map)
        return mapped if mapped is not None else self._assembled()

    def _watched(self, answer: Callable[[], T]) -> T:
        try:
            return answer()
        except Corrupt:
            integrity.withdraw(self._store)
            raise

    def _assembled(self) -> memoryview:
        handle = os.memfd_create(f"runstone {self.name}", os.MFD_CLOEXEC)
        try:
            self._copy_into(handle)
            return memoryview(mmap.mmap(handle, self.size, mmap.MAP_SHARED, mmap.PROT_READ))
        finally:
            os.close(handle)

    def copy_to(self, target: Path) -> None:
        """Writes the file; a target that exists is replaced whole, never seen in part."""
        temporary = target.with_name(f".{target.name}.{os.getpid()}.part")
        handle = os.open(temporary, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o644)
        try:
            self._copy_into(handle)
            temporary.replace(target)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
        finally:
            os.close(handle)

    def _copy_into(self, handle: int) -> None:
        os.ftruncate(handle, self.size)
        at = 0
        for source, offset, length in self.segments(0, self.size):
            _copy_range(source, offset, handle, at, length)
            at += length

    def verify(self, start: int, stop: int) -> None:
        """Reads bytes again and checks them by BLAKE3; raises :class:`Corrupt` after recording what fails."""
        self._blob.verify(start, stop)

    def chunks(self) -> bytes:
        """The file's chunks, in order, as packed 44-byte records: BLAKE3, xxh3 (u64 LE), length (u32 LE)."""
        return self._blob.chunk_records()

    def close(self) -> None:
        """Lets the packs go; no segment may be in use."""
        self._blob.close()

    def __enter__(self) -> StoredFile:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


def _copy_range(source: int, offset: int, target: int, at: int, length: int) -> None:
    while length:
        try:
            moved = os.copy_file_range(source, target, length, offset, at)
        except OSError:  # across file systems, and for memory files on older kernels
            moved = os.pwrite(target, os.pread(source, min(length, PIECE), offset), at)
        if not moved:
            raise Corrupt("a pack ended before the file in it did")
        offset, at, length = offset + moved, at + moved, length - moved


def open_file(store: Store, ctx: Context, name: str, path: str) -> StoredFile:
    """A file of a version by its path. Raises :class:`Invalid` naming the address for a reference to bytes elsewhere."""
    with store.index.read() as view:
        place, version = names.find_version(store, view, ctx, names.parse(ctx, name))
        entry = manifests.find(view, version.manifest, path)
    if entry.url:
        raise Invalid(
            f"{path} of {place}:v{version.number} is a reference to {entry.url}; its bytes are not held here",
            url=entry.url,
            etag=entry.etag,
        )
    owner = f"{place}:v{version.number}"
    return open_entry(store, place.namespace.domain, entry, owner, version.id, version.created)


def open_entry(
    store: Store, domain: int, entry: Entry, owner: str, owner_id: int, changed: int
) -> StoredFile:
    """The bytes of an entry of a version or run; no policy is asked."""
    return StoredFile(
        path=entry.path,
        size=entry.size,
        sha256=entry.sha256.hex(),
        etag=f'"{entry.sha256.hex()}"',
        media_type=media_type(entry),
        last_modified=changed / 1e6,
        version=owner,
        version_id=owner_id,
        _blob=store.blobs.open(domain, entry.sha256),
        _store=store,
    )


@dataclass(frozen=True, slots=True)
class VerifiedVersion:
    """A version whose bytes are those of its manifest: files and bytes read here, and references to bytes elsewhere."""

    version: str
    digest: str
    files: int
    bytes: int
    references: int


def verify_version(
    store: Store, ctx: Context, name: str, progress: Callable[[int, int], None] | None = None
) -> VerifiedVersion:
    """Reads every byte of a version and hashes it (SHA-256); raises :class:`Corrupt` naming the first file that differs."""
    resolved = versions.resolve(store, ctx, name)
    exact = f"{resolved.collection}@v{resolved.version}"
    files = versions.files(store, ctx, exact)
    held = [file for file in files if not file.url]
    total, done = sum(file.size for file in held), 0
    for file in held:
        hasher = hashlib.sha256()
        with open_file(store, ctx, exact, file.path) as stored:
            for start in range(0, file.size, PIECE):
                ctx.check_deadline()
                hasher.update(stored.read(start, start + PIECE))
                done = min(done + PIECE, total)
                if progress:
                    progress(done, total)
        if hasher.hexdigest() != file.sha256:
            raise Corrupt(
                f"{file.path} of {exact} is not what the manifest says; restore it from a backup",
                path=file.path,
            )
    return VerifiedVersion(exact.replace("@", ":"), resolved.digest, len(held), total, len(files) - len(held))


def media_type(entry: Entry | FileEntry) -> str:
    """A file's media type: as given, or by its name."""
    return entry.media_type or mimetypes.guess_type(entry.path)[0] or "application/octet-stream"


def found_in_folder(source: Path) -> list[tuple[str, Path]]:
    """The files of a folder with their manifest paths, sorted; or the one file that ``source`` is. See :func:`folders.find`."""
    return folders.find(source, limits.path)


def put_files(
    store: Store,
    ctx: Context,
    namespace: str,
    files: Iterable[tuple[str, Path]],
    progress: Callable[[int, int], None] | None = None,
) -> list[FileEntry]:
    """Takes files in (their bytes durable when it returns); their entries, ready to be committed as a version."""
    with store.index.read() as view:
        held = names.find_namespace(store, view, ctx, namespace, "write")
    pairs = list(files)
    total, done = sum(path.stat().st_size for _, path in pairs), 0

    def advance(count: int) -> None:
        nonlocal done
        done += count
        if progress:
            progress(done, total)

    blobs = store.blobs.put_many(held.domain, ctx.principal.name, [path for _, path in pairs], advance)
    return [
        FileEntry(path=name, size=blob.size, sha256=blob.sha256.hex())
        for (name, _), blob in zip(pairs, blobs, strict=True)
    ]


def note_fetch(store: Store, ctx: Context, version_id: int) -> None:
    """Records in the lineage that the context's consumer fetched a version."""
    with store.index.read() as view:
        found = names.version_by_id(view, version_id)
    if found is not None:
        lineage.record_fetch(store, ctx, version_id, found[0].namespace.id)
