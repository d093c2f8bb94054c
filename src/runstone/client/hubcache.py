"""A version in the cache that Hugging Face's libraries read, so that they find it offline: transformers, vLLM, llama.cpp and others.

Source of the layout: https://huggingface.co/docs/huggingface_hub/guides/manage-cache. ``models--namespace--name`` has the bytes in
``blobs/<SHA-256>``, a version in ``snapshots/<commit>`` as links to them, and in ``refs/<revision>`` which commit a name stands for.
"""

from __future__ import annotations

import mmap
import os
from collections.abc import Sequence
from pathlib import Path

from runstone._native.digests import sha256
from runstone.client import names
from runstone.client.bringing import Bringing, Options, bring, pinned_key
from runstone.client.cache import Cache, limit_of, write_whole
from runstone.client.fetch import Fetched, into_view, point
from runstone.client.local import wrapping
from runstone.client.names import Name
from runstone.client.placing import Target
from runstone.client.plan import Content, PlannedFile
from runstone.client.plans import Goods
from runstone.client.servers import Servers
from runstone.client.transfer import Progress
from runstone.errors import Corrupt, Invalid
from runstone.types import VersionInfo

MAIN = "main"


def fetch_for_hub(
    name: str,
    repo: str = "",
    *,
    hub_cache: str | os.PathLike[str] | None = None,
    revisions: Sequence[str] | None = None,
    prefix: str = "",
    url: str | Sequence[str] | None = None,
    key: str | None = None,
    log_key: str | None = None,
    cache: str | os.PathLike[str] | None = None,
    cache_size: int | str | None = None,
    connections: int = 8,
    timeout: float = 30.0,
    retries: int = 4,
    consumer: str = "",
    progress: Progress | None = None,
    stale: bool = True,
) -> Fetched:
    """Fetches a version into the cache of Hugging Face's libraries; ``path`` is the snapshot's directory.

    ``repo`` is the name by which they ask for it (``namespace/collection`` by default), ``revisions`` the revisions that it is
    found by (``main`` and the alias). ``hub_cache`` defaults to ``HF_HUB_CACHE``, else to ``hub`` in ``HF_HOME``. The other options are those of
    :func:`runstone.client.fetch.fetch`. Bytes are shared with the cache where the file system allows it.
    """
    limit = limit_of(cache_size)
    servers = Servers(url, key, timeout=timeout, retries=retries, consumer=consumer)
    options = Options(
        prefix=prefix,
        connections=connections,
        progress=progress,
        stale=stale,
        log_key=pinned_key(log_key),
    )
    base = Path(hub_cache) if hub_cache is not None else default_hub_cache()

    def deliver(bringing: Bringing, goods: Goods, parsed: Name) -> Fetched:
        fetched = into_view(bringing, goods, parsed)
        try:
            repository = _Repository(
                base.absolute(), repo or f"{parsed.namespace}/{parsed.collection}", goods
            )
            wanted = {path: held for path, held in goods.contents().items() if options.wants(path)}
            fetched.path = repository.write(bringing.cache, wanted)
            named = [MAIN, parsed.version] if parsed.version else [MAIN]
            for revision in named if revisions is None else revisions:
                repository.refer(revision)
        finally:
            fetched.release()
        return fetched

    try:
        return bring(servers.https, servers.first, Cache(cache, limit), options, name, deliver)
    finally:
        servers.close()


def default_hub_cache() -> Path:
    """Where Hugging Face's libraries look."""
    named = os.environ.get("HF_HUB_CACHE") or os.environ.get("HUGGINGFACE_HUB_CACHE")
    if named:
        return Path(named).expanduser()
    home = os.environ.get("HF_HOME")
    base = os.environ.get("XDG_CACHE_HOME")
    return (
        Path(home).expanduser() if home else (Path(base) if base else Path.home() / ".cache") / "huggingface"
    ) / "hub"


def snapshot_of(version: VersionInfo) -> str:
    """The commit id of a version in this cache: 40 hexadecimal digits, of its manifest's digest and its number."""
    return f"{version.digest[:32]:0>32}{version.number:08x}"


class _Repository:
    def __init__(self, base: Path, repo: str, goods: Goods) -> None:
        parts = repo.split("/")
        if len(parts) > 2 or not all(parts) or any(part in (".", "..") or "--" in part for part in parts):
            raise Invalid(f"{repo!r:.200} is not the name of a repository: use name, or namespace/name")
        names.parse(f"p/{parts[-1]}")
        kind = "datasets" if goods.plan.version.type == "dataset" else "models"
        self._directory = base / "--".join((kind, *parts))
        self._planned = {file.path: file for file in goods.plan.files}
        self._commit = snapshot_of(goods.plan.version)

    def write(self, cache: Cache, contents: dict[str, Content]) -> Path:
        """Puts files in; the directory of the snapshot."""
        snapshot = self._directory / "snapshots" / self._commit
        with wrapping(f"writing to {snapshot}"):
            snapshot.mkdir(parents=True, exist_ok=True)
        blobs = Target(self._directory / "blobs", "auto")
        try:
            for path, content in contents.items():
                blob = self._planned[path].sha256 or content.root
                if not (self._directory / "blobs" / blob).exists():
                    _require_digest(self._planned[path], cache.path_of(content))
                    blobs.put(blob, cache.path_of(content))
                link = snapshot / path
                with wrapping(f"linking {link}"):
                    link.parent.mkdir(parents=True, exist_ok=True)
                    point(link, os.path.relpath(self._directory / "blobs" / blob, link.parent))
        finally:
            blobs.close()
        return snapshot

    def refer(self, revision: str) -> None:
        """Makes a revision stand for the snapshot."""
        path = self._directory / "refs" / revision
        if not path.resolve().is_relative_to((self._directory / "refs").resolve()):
            raise Invalid(f"{revision!r:.200} is not the name of a revision")
        with wrapping(f"writing {path}"):
            path.parent.mkdir(parents=True, exist_ok=True)
            write_whole(path, self._commit.encode())


def _require_digest(file: PlannedFile, path: Path) -> None:
    """The name of a blob is a digest that others trust, and that the server merely said."""
    if not file.sha256:
        return
    if file.size:
        with path.open("rb") as opened:
            mapped = mmap.mmap(opened.fileno(), file.size, mmap.MAP_SHARED, mmap.PROT_READ)
        found = sha256(mapped).hex()
    else:
        found = sha256(b"").hex()
    if found != file.sha256:
        raise Corrupt(f"{file.path} has another SHA-256 than the server says; nothing was written")
