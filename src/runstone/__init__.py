"""runstone: a machine-learning registry and artifact engine.

:func:`open` gives a data directory in this process, with no server; :func:`connect` gives a server the same methods;
:func:`fetch` brings a version to this host, :func:`load` its tensors. Importing this package loads no web stack and no numpy.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from runstone import errors
from runstone.errors import RunstoneError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from runstone.client.fetch import Fetched
    from runstone.client.following import Following
    from runstone.client.kept import Keep
    from runstone.client.remote import Remote
    from runstone.client.tensors.load import Loaded
    from runstone.library import Library

__version__ = "0.1.0"
__all__ = [
    "RunstoneError",
    "__version__",
    "connect",
    "errors",
    "fetch",
    "follow",
    "load",
    "open",
    "pin",
    "pins",
    "unpin",
]


def open(
    path: str | os.PathLike[str], *, create: bool = True, readonly: bool = False, map_size: int | None = None
) -> Library:
    """Opens a data directory in this process, or makes one in an empty or missing directory.

    Raises :class:`errors.Invalid` for a foreign directory, a newer format or a network file system, and :class:`errors.Corrupt` for a
    damaged one. ``map_size`` is the address space to begin with, in bytes; it grows by itself.
    """
    from runstone.library import open_library

    return open_library(path, create=create, readonly=readonly, map_size=map_size)


def connect(url: str | Sequence[str], *, key: str | None = None) -> Remote:
    """A server's store, with the methods of :func:`open`'s. ``key`` defaults to ``RUNSTONE_API_KEY``.

    Of several addresses of one store (in a list, or with commas between) the first that can be connected to is asked.
    """
    from runstone.client.remote import Remote

    return Remote(url, key=key)


def fetch(name: str, target: str | Path | None = None, **options: Any) -> Fetched:
    """Brings a version's files to this host through the shared cache; see :func:`runstone.client.fetch.fetch`."""
    from runstone.client.fetch import fetch as fetch_version

    return fetch_version(name, target, **options)


def load(name: str, **options: Any) -> Loaded:
    """The tensors of a version's safetensors files, mapped and not copied; see :func:`runstone.client.tensors.load.load`."""
    from runstone.client.tensors.load import load as load_tensors

    return load_tensors(name, **options)


def follow(name: str, target: str | Path | None = None, **options: Any) -> Following:
    """Follows a name: each version that it comes to stand for is brought and switched to; see :class:`runstone.client.following.Following`."""
    from runstone.client.following import Following

    return Following(name, target, **options)


def pin(name: str, **options: Any) -> Keep:
    """Fetches a version and keeps it in the cache until :func:`unpin`; takes the options of :func:`fetch`."""
    from runstone.client.keeping import pin as pin_version

    return pin_version(name, **options)


def unpin(name: str, **options: Any) -> bool:
    """Lets what was pinned by a name be evicted; whether anything was. ``cache`` names the cache."""
    from runstone.client.keeping import unpin as unpin_version

    return unpin_version(name, **options)


def pins(**options: Any) -> list[Keep]:
    """All that the cache keeps. ``cache`` names the cache."""
    from runstone.client.keeping import pins as all_pins

    return all_pins(**options)
