"""The commit of a draft: its files put together from its manifests, found among the bytes that are here, and made a version at once."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from runstone.domain import digested, drafts, manifests
from runstone.domain.context import Context
from runstone.domain.digested import DigestedFile, Finder
from runstone.domain.drafts import CommitDraft
from runstone.domain.names import Place
from runstone.domain.store import Store
from runstone.domain.versioning import Committed
from runstone.errors import Conflict, DigestMismatch, Missing, TooLarge
from runstone.storage.tables import Draft, DraftManifest

#: A manifest of a quarter of a million files takes some 75 MB.
MAX_MANIFEST = 256 << 20
#: Turns a manifest's bytes into its files.
Reader = Callable[[bytes], Iterable[DigestedFile]]


def commit(store: Store, ctx: Context, number: int, read: Reader) -> int:
    """Makes a version of a draft; its id. A second call answers the same.

    Raises :class:`Conflict` when bytes or the manifest never arrived, and :class:`DigestMismatch` for a manifest of another digest.
    """
    with store.index.read() as view:
        draft, place = drafts.find(store, view, ctx, number)
    if draft.version:
        return draft.version
    files = _merged(store, ctx, draft, place, read)
    digest = digested.digest_of(files)
    if all(each.kind == "full" for each in draft.manifests) and digest != draft.digest:
        raise DigestMismatch(
            f"the manifest has the digest {digest.hex()}, and the artifact was announced with {draft.digest.hex()}; log it again"
        )
    with store.index.read() as view:
        found, extras = Finder(store, view, ctx, place.namespace.domain).entries(files)
    entries = manifests.checked(found)
    command = CommitDraft(
        actor=ctx.principal.name,
        reason=ctx.reason,
        draft=draft.id,
        collection=draft.collection,
        manifest=manifests.digest_of(entries),
        entries=entries,
        digest=digest,
        extras=drafts.packed_extras(extras),
    )
    guard = store.blobs.guard(place.namespace.domain, manifests.held(entries), ctx.principal.name)
    try:
        made: Committed = store.submit(ctx, command, guard).result
    except Missing:
        # Two commits at once: the second finds what the first has made.
        with store.index.read() as view:
            held, _ = drafts.find(store, view, ctx, number)
        if held.version:
            return held.version
        raise
    return made.id


def _merged(store: Store, ctx: Context, draft: Draft, place: Place, read: Reader) -> list[DigestedFile]:
    if not draft.manifests:
        raise Conflict("the manifest of the artifact never arrived; log the artifact again")
    contents: dict[str, DigestedFile] = {}
    for each in draft.manifests:
        if each.kind == "incremental" and each.base:
            contents |= {file.path: file for file in _base(store, ctx, each)}
    for each in draft.manifests:
        contents |= {file.path: file for file in _read(store, place.namespace.domain, each, read)}
    return list(contents.values())


def _read(store: Store, domain: int, part: DraftManifest, read: Reader) -> Iterable[DigestedFile]:
    size = store.blobs.stat(domain, part.sha256).size
    if size > MAX_MANIFEST:
        raise TooLarge(f"a manifest of {size} bytes is over the limit of {MAX_MANIFEST}")
    return read(store.blobs.read(domain, part.sha256))


def _base(store: Store, ctx: Context, part: DraftManifest) -> list[DigestedFile]:
    """The files of the version that an incremental manifest is on."""
    with store.index.read() as view:
        found = digested.version_of(store, view, ctx, part.base)
    if found is None:
        raise Missing("the version that the artifact adds to does not exist any more; log it again")
    place, version = found
    return digested.of_version(store, place.namespace.domain, version)
