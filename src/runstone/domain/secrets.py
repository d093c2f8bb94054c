"""Secrets of a namespace that its webhooks name: kept as files of the data directory (``keys/secrets/<namespace>/<name>``, mode 0600).

They are in neither the index nor the log, so no proof, bundle or replica carries them.
"""

from __future__ import annotations

from pathlib import Path

from runstone.domain import limits, names
from runstone.domain.context import Context
from runstone.domain.store import Store
from runstone.errors import Invalid, Missing
from runstone.storage import filesystem

MAX_SECRET = 4096


def put(store: Store, ctx: Context, namespace: str, name: str, value: str) -> None:
    """Keeps a secret, in place of one of its name. The namespace's owners may."""
    path = _path(store, ctx, namespace, name)
    limits.required_text(value, "secret", MAX_SECRET)
    filesystem.make_directory(path.parent.parent)
    filesystem.make_directory(path.parent)
    filesystem.write_durably(path, value.encode())


def delete(store: Store, ctx: Context, namespace: str, name: str) -> None:
    """Takes a secret away."""
    path = _path(store, ctx, namespace, name)
    if not path.exists():
        raise Missing(f"{namespace} has no secret {name}")
    path.unlink()


def listed(store: Store, ctx: Context, namespace: str) -> list[str]:
    """The names of a namespace's secrets."""
    folder = _path(store, ctx, namespace, "any").parent
    return sorted(path.name for path in folder.iterdir()) if folder.exists() else []


def get(store: Store, ctx: Context, namespace: str, name: str) -> str:
    """A secret in the clear, for those who may administer the namespace to put it into a webhook."""
    path = _path(store, ctx, namespace, name)
    try:
        return path.read_text()
    except FileNotFoundError:
        raise Invalid(
            f"{namespace} has no secret {name!r}; an owner keeps it with PUT /api/v1/namespaces/{namespace}/secrets/{name}"
        ) from None


def _path(store: Store, ctx: Context, namespace: str, name: str) -> Path:
    with store.index.read() as view:
        held = names.find_namespace(store, view, ctx, namespace, "admin")
    return store.path / "keys" / "secrets" / held.name / limits.name(name, "secret")
