"""What happens when stored bytes turn out damaged: who is told, what is withdrawn, and what comes back after a repair."""

from __future__ import annotations

from collections.abc import Iterator

from runstone.domain import lineage, manifests, names
from runstone.domain.context import LOCAL, Context
from runstone.domain.names import Place
from runstone.domain.store import Store
from runstone.domain.versioning import QuarantineVersion, ReleaseVersion
from runstone.errors import Missing
from runstone.storage.commands import Command
from runstone.storage.index import View
from runstone.storage.tables import BLOB_VERSIONS, DAMAGES, QUARANTINES, Damage, Version
from runstone.types import DamageInfo

#: In the log, what the store did by itself.
SELF = "runstone"


def withdraw(store: Store) -> list[str]:
    """Quarantines every live version that holds a damaged blob, and releases those whose blobs verify again.

    Aliases retreat by their own policy (``fallback``). The names of the versions whose state changed.
    """
    if store.readonly:
        return []
    with store.index.read() as view:
        bad = _damaged_versions(view)
        held = [version_id for (version_id,), cause in view.scan(QUARANTINES) if cause == "damage"]
        healed = [
            found
            for version_id in held
            if version_id not in bad and (found := names.version_by_id(view, version_id))
        ]
    changed = []
    for place, version, why in bad.values():
        if version.state == "live":
            changed += _submit(store, place, version, _quarantine(version, why))
    for place, version in healed:
        changed += _submit(store, place, version, _release(version))
    return changed


def _quarantine(version: Version, why: str) -> Command:
    return QuarantineVersion(
        actor=SELF, reason=why, collection=version.collection, number=version.number, why=why
    )


def _release(version: Version) -> Command:
    reason = "its bytes verify again"
    return ReleaseVersion(actor=SELF, reason=reason, collection=version.collection, number=version.number)


def _submit(store: Store, place: Place, version: Version, command: Command) -> list[str]:
    try:
        store.submit(Context(principal=LOCAL), command)
    except Missing:  # deleted since: there is nothing left to withdraw
        return []
    return [f"{place}:v{version.number}"]


def _damaged_versions(view: View) -> dict[int, tuple[Place, Version, str]]:
    found = {}
    for (domain, blob, offset), damage in view.scan(DAMAGES):
        for place, version in _holders(view, domain, blob):
            found[version.id] = (
                place,
                version,
                f"{_path_of(view, version, blob)} is damaged at byte {offset} ({damage.how})",
            )
    return found


def _holders(view: View, domain: int, blob: bytes) -> Iterator[tuple[Place, Version]]:
    for (_, _, version_id), _ in view.scan(BLOB_VERSIONS, domain, blob):
        found = names.version_by_id(view, version_id)
        if found is not None:
            yield found


def _path_of(view: View, version: Version, blob: bytes) -> str:
    for entry in manifests.entries(view, version.manifest):
        if entry.sha256 == blob and not entry.url:
            return entry.path
    return blob.hex()


def damages(store: Store, ctx: Context) -> list[DamageInfo]:
    """Every damaged stretch that is known, with the versions that hold it and who used them, as far as the principal may read."""
    found = []
    with store.index.read() as view:
        for (domain, blob, offset), damage in view.scan(DAMAGES):
            holders = [
                (place, version)
                for place, version in _holders(view, domain, blob)
                if store.policy.allows(view, ctx, "read", place.namespace, place.project)
            ]
            if holders or ctx.principal.admin:
                found.append(_shown(view, blob, offset, damage, holders))
    return found


def _shown(
    view: View, blob: bytes, offset: int, damage: Damage, holders: list[tuple[Place, Version]]
) -> DamageInfo:
    affected = {name for _, version in holders for name in lineage.consumers(view, version.id)}
    return DamageInfo(
        sha256=blob.hex(),
        offset=offset,
        length=damage.length,
        pack=f"{damage.pack:016x}",
        pack_offset=damage.pack_offset,
        found=damage.found,
        versions=tuple(f"{place}:v{version.number}" for place, version in holders),
        consumers=tuple(sorted(affected)),
    )
