"""Versions that stay in the cache whatever else comes, until they are let go."""

from __future__ import annotations

import os
from typing import Any

from runstone.client import names
from runstone.client.cache import Cache
from runstone.client.fetch import Fetched, fetch
from runstone.client.kept import Keep, Keeping, Kept


def kept_of(fetched: Fetched) -> Kept:
    """A fetched version, to be kept."""
    return Kept(
        version=fetched.version.name,
        number=fetched.version.number,
        path=str(fetched.path),
        size=fetched.bytes_fetched + fetched.bytes_reused,
        roots=b"".join(fetched.roots),
    )


def pin(name: str, *, cache: str | os.PathLike[str] | None = None, **options: Any) -> Keep:
    """Fetches a version and keeps it in the cache, whatever else comes, until :func:`unpin`. Again, it keeps what the name stands for now."""
    fetched = fetch(name, cache=cache, **options)
    try:
        return keep(name, fetched, cache=cache)
    finally:
        fetched.release()


def keep(name: str, fetched: Fetched, *, cache: str | os.PathLike[str] | None = None) -> Keep:
    """Keeps what was fetched under a name, which it is listed and let go by."""
    version = names.parse(name).version or "latest"
    record = Keep(name=f"{fetched.version.collection}@{version}", versions=(kept_of(fetched),))
    Keeping(Cache(cache)).save(record)
    return record


def unpin(name: str, *, cache: str | os.PathLike[str] | None = None) -> bool:
    """Lets what was pinned by a name be evicted; whether anything was."""
    wanted, keeping = names.parse(name), Keeping(Cache(cache))
    wanted = wanted._replace(version=wanted.version or "latest")
    found = [
        record.name
        for record in keeping.all()
        if not record.target
        and names.parse(record.name)[1:] == wanted[1:]
        and wanted.namespace in ("", names.parse(record.name).namespace)
    ]
    dropped = [keeping.drop(each) for each in found]
    return any(dropped)


def pins(*, cache: str | os.PathLike[str] | None = None) -> list[Keep]:
    """All that the cache keeps: pinned versions, and (with a ``target``) followed aliases."""
    return Keeping(Cache(cache)).all()
