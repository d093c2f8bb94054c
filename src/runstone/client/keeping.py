"""Versions that stay in the cache whatever else comes, until they are let go."""

from __future__ import annotations

import os
from typing import Any

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
        keep = Keep(name=name, versions=(kept_of(fetched),))
        Keeping(Cache(cache)).save(keep)
    finally:
        fetched.release()
    return keep


def unpin(name: str, *, cache: str | os.PathLike[str] | None = None) -> bool:
    """Lets what was pinned by a name be evicted; whether anything was."""
    return Keeping(Cache(cache)).drop(name)


def pins(*, cache: str | os.PathLike[str] | None = None) -> list[Keep]:
    """All that the cache keeps: pinned versions, and (with a ``target``) followed aliases."""
    return Keeping(Cache(cache)).all()
