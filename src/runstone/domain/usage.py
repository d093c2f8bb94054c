"""How much a namespace holds."""

from __future__ import annotations

from runstone.domain import names
from runstone.domain.context import Context
from runstone.domain.store import Store
from runstone.storage.tables import (
    COLLECTION_NAMES,
    PROJECT_NAMES,
    RUN_FILES,
    RUN_NAMES,
    VERSIONS,
)


def logical_bytes(store: Store, ctx: Context, namespace: str) -> int:
    """The bytes of the files of all versions and runs of a namespace; what several of them share is counted for each."""
    with store.index.read() as view:
        held = names.find_namespace(store, view, ctx, namespace)
        projects = [project for _, project in view.scan(PROJECT_NAMES, held.id)]
    total = 0
    for project in projects:
        ctx.check_deadline()
        with store.index.read() as view:
            for _, collection in view.scan(COLLECTION_NAMES, project):
                found = view.scan(VERSIONS, collection)
                total += sum(version.size for _, version in found if version.state != "deleted")
            for _, run in view.scan(RUN_NAMES, project):
                total += sum(entry.size for _, entry in view.scan(RUN_FILES, run))
    return total
