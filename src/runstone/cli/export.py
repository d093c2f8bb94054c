"""``runstone export``: a version as one file that needs nothing of ours to be read, or all metadata as lines of JSON."""

from __future__ import annotations

import hashlib
import io
import os
import sys
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import click
import msgspec

from runstone.cli import bundles, names, text
from runstone.cli.command import Command
from runstone.cli.progress import Progress
from runstone.cli.session import Session
from runstone.errors import Invalid
from runstone.types import FileEntry, NamespaceInfo, ProjectInfo, Value, VersionInfo

if TYPE_CHECKING:
    from runstone.cli.session import Store

FORMAT = "runstone-export/1"


@click.command("export", cls=Command)
@click.argument("name", required=False)
@click.argument(
    "file", required=False, default="-", type=click.Path(path_type=Path, dir_okay=False, allow_dash=True)
)
@click.option(
    "--no-proof", is_flag=True, help="Without the proof, the same version always gives the same tar."
)
@click.option(
    "--bundle",
    type=click.Path(path_type=Path, file_okay=False),
    metavar="DIR",
    help="Write the project NAME, whole, into an empty directory.",
)
@click.pass_obj
def export_command(
    session: Session, name: str | None, file: Path, no_proof: bool, bundle: Path | None
) -> None:
    """Write a version, a project, or all metadata.

    With NAME: manifest.json, metadata.json, proof.json and the files below files/, in a fixed order with fixed times, to FILE or to
    standard output (-). Without: every namespace, user, project, collection, version, file and alias as JSON Lines on standard output.
    """
    if bundle is not None:
        if name is None or str(file) != "-" or no_proof:
            raise click.UsageError("--bundle takes the name of a project, and neither FILE nor --no-proof.")
        bundles.export_bundle(session, name, bundle)
        return
    if name is None:
        with session.open() as store:
            for kind, value in everything(store):
                sys.stdout.write(_line(kind, value))
        return
    if str(file) == "-" and sys.stdout.isatty():
        raise click.UsageError("A tar is not for a terminal: give FILE, or lead standard output elsewhere.")
    with session.open() as store, Progress("exporting") as progress, _target(file) as stream:
        _require_version(store, name)
        counted = _Counted(stream)
        version = write_tar(store, name, counted, progress, proof=not no_proof)
    if str(file) != "-":
        answer = {
            "version": version.name,
            "output": str(file),
            "size": counted.size,
            "sha256": counted.digest.hexdigest(),
        }
        line = f"{version.name} in {file}: {text.size(counted.size)}, sha256 {answer['sha256']}"
        session.answer(answer, lambda: [text.printable(line)])


def _require_version(store: Store, name: str) -> None:
    """Raises :class:`Invalid` for a project, which is written in another way."""
    path, version = names.split(name)
    if version or path.count("/") > 1:
        return
    found = names.find(store, name)
    if isinstance(found, NamespaceInfo | ProjectInfo):
        what = "project" if isinstance(found, ProjectInfo) else "namespace"
        raise Invalid(
            f"{name} is a {what}: a project is written whole by 'runstone export {name} --bundle DIR'"
        )


@contextmanager
def _target(file: Path) -> Iterator[BinaryIO]:
    """Where the export goes: standard output, or a file that appears whole or not at all."""
    if str(file) == "-":
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
        return
    temporary = file.with_name(f".{file.name}.{os.getpid()}.part")
    try:
        with temporary.open("xb") as stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        temporary.replace(file)
    finally:
        temporary.unlink(missing_ok=True)


class _Counted(io.RawIOBase):
    """A stream that counts and hashes what goes through it."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self.size = 0
        self.digest = hashlib.sha256()

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        self._stream.write(data)
        self.digest.update(data)
        self.size += len(data)
        return len(data)


class _Stored(io.RawIOBase):
    """A stored file as a stream to read once; every read is verified below."""

    def __init__(self, stored: Any, size: int, advanced: Any) -> None:
        self._stored, self._size, self._advanced = stored, size, advanced
        self._at = 0

    def readable(self) -> bool:
        return True

    def readinto(self, into: Any) -> int:
        piece = self._stored.read(self._at, min(self._at + len(into), self._size))
        into[: len(piece)] = piece
        self._at += len(piece)
        self._advanced(len(piece))
        return len(piece)


def write_tar(store: Store, name: str, stream: Any, progress: Progress, *, proof: bool) -> VersionInfo:
    """Writes a version as a tar whose bytes depend on nothing but the version, and on the log if there is a ``proof``."""
    resolved = store.resolve(name)
    exact = f"{resolved.collection}@v{resolved.version}"
    version, files = store.version(exact), store.files(exact)
    total, done = sum(file.size for file in files if not file.url), 0

    def advanced(count: int) -> None:
        nonlocal done
        done += count
        progress(done, total)

    with tarfile.open(fileobj=stream, mode="w|", format=tarfile.PAX_FORMAT, bufsize=1 << 20) as tar:
        _add(tar, "manifest.json", _json(manifest_of(version, files)), version)
        _add(tar, "metadata.json", _json(version.metadata), version)
        if proof:
            _add(tar, "proof.json", _json(store.proof(exact)), version)
        for file in files:
            if not file.url:
                with store.open_file(exact, file.path) as stored:
                    reader = io.BufferedReader(_Stored(stored, file.size, advanced), 4 << 20)
                    tar.addfile(_member(f"files/{file.path}", file.size, version), reader)
    return version


def manifest_of(version: VersionInfo, files: list[FileEntry]) -> dict[str, Any]:
    """What of a version never changes, and its files."""
    return {
        "format": FORMAT,
        "collection": version.collection,
        "version": version.number,
        "type": version.type,
        "digest": version.digest,
        "created": version.created,
        "by": version.by,
        "files": files,
    }


def _json(value: Any) -> bytes:
    return msgspec.json.format(msgspec.json.encode(value), indent=1) + b"\n"


def _add(tar: tarfile.TarFile, path: str, data: bytes, version: VersionInfo) -> None:
    tar.addfile(_member(path, len(data), version), io.BytesIO(data))


def _member(path: str, size: int, version: VersionInfo) -> tarfile.TarInfo:
    member = tarfile.TarInfo(path)
    member.size, member.mode = size, 0o644
    # Whole seconds: a fraction would go into a header of its own.
    member.mtime = version.created // 1_000_000
    return member


def everything(store: Store) -> Iterator[tuple[str, Value | dict[str, Any]]]:
    """All metadata that one may read, each kind before what lies in it: (kind, value)."""
    for user in names.users(store):
        yield "user", user
    for namespace in names.namespaces(store):
        yield "namespace", namespace
        for member in store.members(namespace.name):
            yield "member", _within(member, namespace=namespace.name)
        for project in names.projects(store, namespace.name):
            yield "project", project
            for collection in names.collections(store, project.path):
                yield "collection", collection
                yield from _collection(store, collection.path)


def _collection(store: Store, path: str) -> Iterator[tuple[str, Value | dict[str, Any]]]:
    for version in names.versions(store, path):
        yield "version", version
        if version.state == "live":
            for file in store.files(f"{path}@v{version.number}"):
                yield "file", _within(file, version=version.name)
    for alias in names.aliases(store, path):
        yield "alias", alias
        for step in names.alias_steps(store, path, alias.alias):
            yield "alias_step", _within(step, collection=path, alias=alias.alias)


def _within(value: Value, **place: str) -> dict[str, Any]:
    return {**place, **msgspec.to_builtins(value)}


def _line(kind: str, value: Any) -> str:
    return msgspec.json.encode({"kind": kind, "value": value}).decode() + "\n"
