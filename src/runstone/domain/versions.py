"""Versions: committed once, never overwritten; described, tagged, held, expired, deleted and quarantined after."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from runstone.domain import fields, labels, limits, manifests, names, policy, runs
from runstone.domain.context import Context
from runstone.domain.names import Place
from runstone.domain.store import Store
from runstone.domain.versioning import Committed as Committed
from runstone.domain.versioning import CommitVersion as CommitVersion
from runstone.domain.versioning import DeleteVersion as DeleteVersion
from runstone.domain.versioning import QuarantineVersion as QuarantineVersion
from runstone.domain.versioning import ReleaseVersion as ReleaseVersion
from runstone.domain.versioning import UpdateVersion as UpdateVersion
from runstone.domain.versioning import point as point
from runstone.domain.versioning import unpoint as unpoint
from runstone.errors import Invalid, Missing
from runstone.storage.index import View
from runstone.storage.tables import ALIASES, BLOB_VERSIONS, PINS, VERSION_ALIASES, VERSIONS, Version
from runstone.types import FileEntry, Resolved, VersionInfo


def commit(
    store: Store,
    ctx: Context,
    name: str,
    files: Iterable[FileEntry],
    *,
    metadata: Any = None,
    description: str = "",
    tags: tuple[str, ...] = (),
    aliases: tuple[str, ...] = (),
    expires: int = 0,
    label: Mapping[str, str] | None = None,
    properties: Mapping[str, str] | None = None,
    reuse: bool = True,
) -> VersionInfo:
    """Makes a version of files whose bytes are here already; every chunk is checked to be there in the same transaction.

    With ``reuse``, a live version of equal files and metadata is answered, and nothing new is made. ``label`` and ``properties`` are the
    first labels of a version that is made.
    """
    options: dict[str, Any] = {
        "metadata": metadata, "description": description, "tags": tags, "aliases": aliases, "expires": expires,
        "label": label, "properties": properties,
    }  # fmt: skip
    return commit_or_find(store, ctx, name, files, reuse=reuse, **options)[0]


def commit_or_find(
    store: Store,
    ctx: Context,
    name: str,
    files: Iterable[FileEntry],
    *,
    metadata: Any = None,
    description: str = "",
    tags: tuple[str, ...] = (),
    aliases: tuple[str, ...] = (),
    expires: int = 0,
    label: Mapping[str, str] | None = None,
    properties: Mapping[str, str] | None = None,
    reuse: bool = True,
    expected: Mapping[str, int] | None = None,
    newest: int | None = None,
) -> tuple[VersionInfo, bool]:
    """:func:`commit`, which also says whether the version was there before.

    ``expected`` and ``newest`` make it a compare-and-set: the version that each alias must point at now (0: none), and the highest
    number that the collection has given; raises :class:`AliasMoved`.
    """
    parsed = names.parse(ctx, name)
    if parsed.version:
        raise Invalid(
            f"{name!r} names a version; a new version is put to a collection and gets the next number"
        )
    entries = manifests.checked(files)
    needed = manifests.held(entries)
    with store.index.read() as view:
        place = names.find_collection(store, view, ctx, parsed, "write")
        require_usable_bytes(store, view, ctx, place.namespace.domain, needed)
        hidden = fields.hidden_from(store, view, ctx, place)
    command = CommitVersion(
        actor=ctx.principal.name,
        reason=ctx.reason,
        collection=place.collection.id,
        manifest=manifests.digest_of(entries),
        entries=entries,
        metadata=limits.metadata({} if metadata is None else metadata),
        description=limits.text(description, "description"),
        tags=limits.tags(tags),
        aliases=tuple(sorted({limits.alias(alias) for alias in aliases})),
        expires=limits.moment(expires, "expires"),
        # That a version has the same value in a field that the principal may not read would be told by its being answered.
        reuse=reuse and not fields.first_named(metadata, hidden),
        expected=tuple((expected or {}).items()),
        newest=newest,
        labels=labels.checked(label or {}),
        properties=labels.checked(properties or {}),
    )
    guard = store.blobs.guard(place.namespace.domain, needed, ctx.principal.name)
    committed: Committed = store.submit(ctx, command, guard).result
    return get(store, ctx, f"{place}@v{committed.number}"), committed.reused


def require_usable_bytes(
    store: Store, view: View, ctx: Context, domain: int, digests: Iterable[bytes]
) -> None:
    """Raises :class:`Missing` for bytes that the principal may not make a version or a run's file of."""
    for digest in digests:
        if not may_use(store, view, ctx, domain, digest):
            raise Missing(f"no file with sha256 {digest.hex()} was uploaded; upload it before it is named")


def may_use(store: Store, view: View, ctx: Context, domain: int, digest: bytes) -> bool:
    """Whether the principal may make a version of these bytes: it brought them, or may read a version or run that has them.

    Knowing a digest is not enough, or a commit would tell (and give) one tenant what another holds.
    """
    if ctx.principal.admin:
        return True
    if any(pin.owner == ctx.principal.name for _, pin in view.scan(PINS, domain, digest)):
        return True
    for (_, _, holder), _ in view.scan(BLOB_VERSIONS, domain, digest):
        version = names.version_by_id(view, holder)
        found = version[0] if version else runs.finding.by_id(view, holder)
        if found is None or not store.policy.allows(view, ctx, "read", found.namespace, found.project):
            continue
        # A run has no gate.
        if version is None or policy.admits(
            store.policy, view, ctx, found.namespace, found.project, version[0].collection.id
        ):
            return True
    return False


def update(
    store: Store,
    ctx: Context,
    name: str,
    *,
    description: str | None = None,
    tags: tuple[str, ...] | None = None,
    expires: int | None = None,
    hold: str | None = None,
) -> VersionInfo:
    """Changes a version's description, tags, time of expiry or legal hold. A hold takes the right to administer."""
    action: Any = "admin" if hold is not None else "write"
    place, version = _find(store, ctx, name, action)
    command = UpdateVersion(
        actor=ctx.principal.name,
        reason=ctx.reason,
        collection=version.collection,
        number=version.number,
        description=None if description is None else limits.text(description, "description"),
        tags=None if tags is None else limits.tags(tags),
        expires=None if expires is None else limits.moment(expires, "expires"),
        hold=None if hold is None else limits.text(hold, "hold", limits.MAX_REASON),
    )
    store.submit(ctx, command)
    return get(store, ctx, f"{place}@v{version.number}")


def delete(store: Store, ctx: Context, name: str, *, with_aliases: bool = False) -> None:
    """Deletes a version; refused under legal hold, and while an alias points at it unless ``with_aliases``.

    Its number is never given again, and its bytes are freed by garbage collection when nothing else holds them.
    """
    _, version = _find(store, ctx, name, "write")
    command = DeleteVersion(
        actor=ctx.principal.name,
        reason=limits.text(ctx.reason, "reason", limits.MAX_REASON),
        collection=version.collection,
        number=version.number,
        with_aliases=with_aliases,
    )
    store.submit(ctx, command)


def _find(store: Store, ctx: Context, name: str, action: Any) -> tuple[Place, Version]:
    with store.index.read() as view:
        return names.find_version(store, view, ctx, names.parse(ctx, name), action, any_state=True)


def get(store: Store, ctx: Context, name: str) -> VersionInfo:
    """A version by alias or number, in whatever state it is."""
    with store.index.read() as view:
        place, version = names.find_version(store, view, ctx, names.parse(ctx, name), any_state=True)
        return info(store, view, ctx, place, version)


def resolve(store: Store, ctx: Context, name: str) -> Resolved:
    """What a name stands for now; raises :class:`Gone` or :class:`Quarantined` when it may not be served."""
    with store.index.read() as view:
        parsed = names.parse(ctx, name)
        place, version = names.find_version(store, view, ctx, parsed)
        written = parsed.version or names.LATEST
        alias = view.get(ALIASES, place.collection.id, written)
    return Resolved(
        collection=str(place),
        version=version.number,
        digest=version.manifest.hex(),
        size=version.size,
        files=version.files,
        alias=written if alias else "",
        seq=alias.seq if alias else version.id - 1,
    )


def list_versions(
    store: Store, ctx: Context, name: str, *, before: int = 0, limit: int = 100
) -> list[VersionInfo]:
    """A collection's versions, newest first, from just below number ``before``."""
    found: list[VersionInfo] = []
    with store.index.read() as view:
        place = names.find_collection(store, view, ctx, names.parse(ctx, name))
        start = (place.collection.id, before) if before else None
        for _, version in view.scan(VERSIONS, place.collection.id, after=start, reverse=True):
            if len(found) == limit:
                break
            found.append(info(store, view, ctx, place, version))
    return found


def files(
    store: Store, ctx: Context, name: str, *, prefix: str = "", after: str = "", limit: int = limits.MAX_FILES
) -> list[FileEntry]:
    """A version's files by path: those under ``prefix``, from just past ``after``."""
    found: list[FileEntry] = []
    with store.index.read() as view:
        _, version = names.find_version(store, view, ctx, names.parse(ctx, name))
        for entry in manifests.entries(view, version.manifest, prefix=prefix, after=after):
            if len(found) == limit:
                break
            found.append(manifests.shown(entry))
    return found


def info(store: Store, view: View, ctx: Context, place: Place, version: Version) -> VersionInfo:
    """A version as the principal may see it."""
    pointing = [alias for (_, _, alias), _ in view.scan(VERSION_ALIASES, version.collection, version.number)]
    metadata = msgspec.msgpack.decode(version.metadata)
    return VersionInfo(
        id=version.id,
        collection=str(place),
        type=place.collection.type,
        number=version.number,
        digest=version.manifest.hex(),
        files=version.files,
        size=version.size,
        metadata=fields.mask(store, view, ctx, place, metadata),
        description=version.description,
        tags=version.tags,
        aliases=tuple(pointing),
        state=version.state,
        state_reason=version.reason,
        expires=version.expires,
        hold=version.hold,
        created=version.created,
        by=version.by,
    )
