"""From a name to tensors: one request for the plan, then only those bytes that are asked for and that this host lacks."""

from __future__ import annotations

import bisect
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from runstone.client import names, near
from runstone.client.bringing import Bringing, Options, bring, pinned_key
from runstone.client.cache import Cache, limit_of
from runstone.client.eviction import Pin, make_room
from runstone.client.http import Http
from runstone.client.names import Name
from runstone.client.near import Piece
from runstone.client.plan import Content, PlannedFile
from runstone.client.plans import Goods
from runstone.client.servers import Servers
from runstone.client.tensors import safetensors, views
from runstone.client.tensors.files import OpenFile, Place
from runstone.client.tensors.safetensors import INDEX, SUFFIX, Tensor
from runstone.client.transfer import Progress, Runs
from runstone.client.verify import BATCH
from runstone.errors import Corrupt, Invalid, Missing
from runstone.types import VersionInfo

MAX_INDEX = 256 << 20
#: Of the server's own files, one part in so many is copied into memory at most.
MAX_COPIED = 4


class Loaded(Mapping[str, Any]):
    """Tensors of a version by name, as arrays over the mapped files.

    ``tensors`` says what each is, :meth:`place` where it lies. ``bytes_fetched`` came from the server, ``bytes_reused`` were on this host;
    ``near`` is set when the server's own files are mapped, and nothing was moved; ``stale`` when the server could not be asked.
    Arrays live as long as anything uses them, also after :meth:`close`; descriptors do not.
    """

    def __init__(
        self, version: VersionInfo, files: dict[str, OpenFile], tensors: dict[str, Tensor], framework: str
    ) -> None:
        self.version, self.tensors = version, tensors
        self._files, self._framework = files, framework
        self.bytes_fetched = self.bytes_reused = 0
        self.stale = self.near = False
        self._pin: Pin | None = None

    def __getitem__(self, name: str) -> Any:
        return self.torch(name) if self._framework == "torch" else self.numpy(name)

    def __iter__(self) -> Iterator[str]:
        return iter(self.tensors)

    def __len__(self) -> int:
        return len(self.tensors)

    def __repr__(self) -> str:
        return (
            f"<Loaded {self.version.name}: {len(self.tensors)} tensors, fetched {self.bytes_fetched} bytes>"
        )

    def numpy(self, name: str) -> Any:
        """A tensor as a read-only numpy array."""
        return views.as_numpy(self.tensors[name], self.bytes_of(name))

    def torch(self, name: str) -> Any:
        """A tensor as one of torch."""
        tensor = self.tensors[name]
        return views.as_torch(tensor, self._files[tensor.path].bytes_of(tensor, private=True))

    def bytes_of(self, name: str) -> memoryview:
        """The bytes of a tensor, read-only."""
        tensor = self.tensors[name]
        return self._files[tensor.path].bytes_of(tensor)

    def place(self, name: str) -> Place:
        """Where a tensor lies, for a loader that reads it itself; good until :meth:`close`."""
        tensor = self.tensors[name]
        return self._files[tensor.path].place_of(tensor)

    def lock(self) -> None:
        """Keeps the tensors in memory (``mlock``) while they are mapped."""
        for tensor in self.tensors.values():
            self._files[tensor.path].lock(tensor)

    def close(self) -> None:
        """Closes the files, and lets them be evicted from the cache."""
        for file in self._files.values():
            file.close()
        pin, self._pin = self._pin, None
        if pin is not None:
            pin.release()

    def __enter__(self) -> Loaded:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


class Selection:
    """Which tensors are wanted: those that are named, or all; and of each, the rows of one member of a group."""

    def __init__(self, tensors: Iterable[str] | None, rank: int, of: int) -> None:
        if not 0 <= rank < of:
            raise Invalid(f"rank {rank} is none of a group of {of}")
        self.names = None if tensors is None else frozenset(tensors)
        self.rank, self.of = rank, of

    @property
    def is_all(self) -> bool:
        """Whether every byte is wanted."""
        return self.names is None and self.of == 1

    def of_table(self, table: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The wanted part of each wanted tensor; raises :class:`Missing` for one that is not there."""
        if self.is_all:
            return dict(table)
        lacking = sorted((self.names or frozenset()) - table.keys())
        if lacking:
            raise Missing(f"the version has no tensor {lacking[0]!r:.200}")
        return {
            name: tensor.shard(self.rank, self.of)
            for name, tensor in table.items()
            if self.names is None or name in self.names
        }


def load(
    name: str,
    *,
    tensors: Iterable[str] | None = None,
    rank: int = 0,
    of: int = 1,
    framework: Literal["numpy", "torch"] = "numpy",
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
) -> Loaded:
    """The tensors of a version's safetensors files (those below ``prefix``), mapped and not copied.

    ``tensors`` names the ones that are wanted. With ``rank`` and ``of`` it is one shard: rows ``d * rank // of`` up to
    ``d * (rank + 1) // of`` of each tensor's first dimension d. Then only those ranges are moved, rounded to the chunks (64 KiB on average)
    that they are verified by. From a server on this machine, run by the same user, nothing is moved: its files are mapped as they lie.

    The other options are those of :func:`runstone.client.fetch.fetch`.
    """
    selection = Selection(tensors, rank, of)
    limit = limit_of(cache_size)
    pinned = pinned_key(log_key)
    servers = Servers(url, key, timeout=timeout, retries=retries, consumer=consumer)
    try:
        if not pinned:  # what a plan says of places is not signed
            found = _load_near(servers.https[0], names.parse(name), prefix, selection, framework)
            if found is not None:
                return found
        options = Options(
            prefix=prefix,
            suffixes=(SUFFIX, INDEX),
            connections=connections,
            progress=progress,
            stale=stale,
            log_key=pinned,
        )

        def deliver(bringing: Bringing, goods: Goods, parsed: Name) -> Loaded:
            return _Loading(bringing, goods, parsed, selection).go(framework)

        return bring(servers.https, servers.first, Cache(cache, limit), options, name, deliver)
    finally:
        servers.close()


def _load_near(http: Http, name: Name, prefix: str, selection: Selection, framework: str) -> Loaded | None:
    """The server's own files, if it is on this machine and we may read them; None: by way of the cache."""
    plan = near.ask(http, name) if name.namespace else None
    if plan is None:
        return None
    files: dict[str, OpenFile] = {}
    for file in plan.files:
        if file.url or not file.path.startswith(prefix) or not file.path.endswith((SUFFIX, INDEX)):
            continue
        held = near.hold(file)
        if held is None:
            _close(files)
            return None
        files[file.path] = OpenFile(file.path, file.size, held)
    try:
        table = _table({path: _of_file(file) for path, file in _weights(files).items()}, files)
        wanted = selection.of_table(table)
    except BaseException:
        _close(files)
        raise
    if _is_scattered(wanted.values(), files):
        _close(files)
        return None
    found = Loaded(plan.version, files, wanted, framework)
    found.near = True
    return found


def _is_scattered(wanted: Iterable[Tensor], files: Mapping[str, OpenFile]) -> bool:
    """Whether so much would have to be copied into the memory of this process that the cache, which all share, is the better place."""
    if all(file.is_whole for file in files.values()):
        return False
    total = copied = 0
    for tensor in wanted:
        total += tensor.length
        if files[tensor.path].is_scattered(tensor.offset, tensor.length):
            copied += tensor.length
    return copied * MAX_COPIED > total


def _weights(files: Mapping[str, Any]) -> dict[str, Any]:
    return {path: file for path, file in files.items() if path.endswith(SUFFIX)}


def _of_file(file: OpenFile) -> dict[str, Tensor]:
    length = file.view(0, min(file.size, safetensors.LENGTH.size))
    end = safetensors.header_length(bytes(length), file.size, file.path)
    return safetensors.tensors(file.view(0, end), file.size, file.path)


def _close(files: dict[str, OpenFile]) -> None:
    for file in files.values():
        file.close()


def _table(by_file: dict[str, dict[str, Tensor]], files: dict[str, OpenFile]) -> dict[str, Tensor]:
    """All tensors by name. Where an index says which file each lies in, files that it does not name are other renderings of the model."""
    mapped: dict[str, str] = {}
    for path, file in files.items():
        if path.endswith(INDEX):
            if file.size > MAX_INDEX:
                raise Corrupt(f"{path} of {file.size} bytes is over the limit of {MAX_INDEX}")
            mapped |= safetensors.weight_map(bytes(file.view(0, file.size)), path)
    if mapped:
        return {name: _listed(by_file, name, path) for name, path in mapped.items()}
    table: dict[str, Tensor] = {}
    for path, found in by_file.items():
        for name in found.keys() & table.keys():
            raise Invalid(f"tensor {name!r:.200} is in {table[name].path} and in {path}; choose by prefix=")
        table |= found
    return table


def _listed(by_file: dict[str, dict[str, Tensor]], name: str, path: str) -> Tensor:
    tensor = by_file.get(path, {}).get(name)
    if tensor is None:
        raise Corrupt(f"the index says that tensor {name!r:.200} is in {path!r:.200}, and it is not")
    return tensor


class _Loading:
    """Brings what a selection wants of a plan's files, and opens them."""

    def __init__(self, bringing: Bringing, goods: Goods, name: Name, selection: Selection) -> None:
        self._bringing, self._goods, self._name, self._selection = bringing, goods, name, selection
        wants = bringing.options.wants
        self._planned = {file.path: file for file in goods.plan.files if wants(file.path) and not file.url}
        held = goods.contents()
        self._contents = {path: held[path] for path in self._planned}

    def go(self, framework: str) -> Loaded:
        if not _weights(self._contents):
            raise Missing(f"{self._goods.plan.version.name} has no safetensors file there")
        pin = Pin(self._bringing.cache, self._contents.values())
        files: dict[str, OpenFile] = {}
        try:
            if not self._selection.is_all:
                files = self._open(self._indexes())
            table = self._table(files)
            self._bring(self._runs_of(table))
            wanted = self._selection.of_table(table) if table is not None else {}
            paths = (
                {tensor.path for tensor in wanted.values()} if table is not None else self._contents.keys()
            )
            files |= self._open({path: self._contents[path] for path in paths if path not in files})
            if table is None:
                by_file = {path: _of_file(file) for path, file in _weights(files).items()}
                wanted = self._selection.of_table(_table(by_file, files))
            found = Loaded(self._goods.plan.version, files, wanted, framework)
        except BaseException:
            _close(files)
            pin.release()
            raise
        found.bytes_fetched, found.bytes_reused = self._bringing.moved
        found.stale, found._pin = self._bringing.stale, pin
        if found.bytes_fetched:
            make_room(self._bringing.cache)
        return found

    def _indexes(self) -> dict[str, Content]:
        """The index files, which are brought first, since they say which tensors there are."""
        found = {path: content for path, content in self._contents.items() if path.endswith(INDEX)}
        self._bring(dict.fromkeys(found))
        return found

    def _table(self, indexes: dict[str, OpenFile]) -> dict[str, Tensor] | None:
        """All tensors, from the heads that the plan brought; None when all files are wanted whole, and are read when they are here."""
        if self._selection.is_all:
            return None
        heads = {path: self._head(file) for path, file in _weights(self._planned).items()}
        by_file = {
            path: safetensors.tensors(head, self._planned[path].size, path) for path, head in heads.items()
        }
        return _table(by_file, indexes)

    def _head(self, file: PlannedFile) -> bytes:
        if not file.head:
            raise Invalid(
                f"the server's plan has no header of {file.path}; load all of it, without tensors= and of="
            )
        return file.head

    def _runs_of(self, table: dict[str, Tensor] | None) -> dict[str, Runs]:
        """For each file that is wanted, the runs of chunks that hold what is wanted of it; None is all of it."""
        if table is None:
            return dict.fromkeys(self._contents)
        ranges: dict[str, list[tuple[int, int]]] = {}
        for tensor in self._selection.of_table(table).values():
            ranges.setdefault(tensor.path, []).append((tensor.offset, tensor.offset + tensor.length))
        return {path: _runs(self._contents[path], sorted(found)) for path, found in ranges.items()}

    def _bring(self, wanted: Mapping[str, Runs]) -> None:
        """Brings files, or runs of their chunks, that are not in the cache."""
        cache = self._bringing.cache
        missing: dict[str, tuple[str, Content, Runs]] = {}
        for path, runs in sorted(wanted.items()):
            content = self._contents[path]
            if cache.find(content) is not None:
                cache.touch(cache.path_of(content))
                fetched, reused = self._bringing.moved
                self._bringing.moved = fetched, reused + _size_of(content, runs)
            else:
                # Equal files are one content: what is wanted of it in two ways is brought whole.
                whole = content.root in missing and missing[content.root][2] != runs
                missing[content.root] = (path, content, None if whole else runs)
        if missing:
            self._bringing.transfer(self._goods, self._name, list(missing.values()))

    def _open(self, contents: Mapping[str, Content]) -> dict[str, OpenFile]:
        opened: dict[str, OpenFile] = {}
        for path, content in contents.items():
            opened[path] = OpenFile(path, content.size, [Piece(0, self._handle(content), 0, content.size)])
        return opened

    def _handle(self, content: Content) -> int:
        cache = self._bringing.cache
        # A file that is here in part may be completed, and so renamed, between the two looks; not back.
        places: tuple[Path, ...] = (cache.path_of(content), cache.partial_of(content), cache.path_of(content))
        for place in places:
            try:
                return os.open(place, os.O_RDONLY | os.O_CLOEXEC)
            except FileNotFoundError:
                continue
        raise Missing(f"{content.root} is gone from the cache; was it removed by hand?")


def _runs(content: Content, ranges: list[tuple[int, int]]) -> Runs:
    """The chunks that cover ranges of bytes; None for all of a file that comes in one piece anyway."""
    if content.size <= BATCH:
        return None
    offsets = content.offsets()
    found: list[tuple[int, int]] = []
    for start, stop in ranges:
        if start == stop:
            continue
        first = bisect.bisect_right(offsets, start) - 1
        last = bisect.bisect_left(offsets, stop)
        if found and first <= found[-1][1]:
            found[-1] = found[-1][0], max(last, found[-1][1])
        else:
            found.append((first, last))
    return tuple(found)


def _size_of(content: Content, runs: Runs) -> int:
    if runs is None:
        return content.size
    offsets = content.offsets()
    return sum(offsets[stop] - offsets[start] for start, stop in runs)
