"""``runstone verify``: one version's bytes, or the whole index against the log."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import click
import msgspec

from runstone.cli import text
from runstone.cli.command import Command
from runstone.cli.progress import Progress
from runstone.cli.session import Session
from runstone.errors import Corrupt

if TYPE_CHECKING:
    from runstone.cli.session import Store

_PIECE = 8 << 20


class Verified(msgspec.Struct, frozen=True):
    """What of a version was read and found to be what its manifest says."""

    version: str
    digest: str
    files: int
    size: int
    references: int


@click.command("verify", cls=Command)
@click.argument("name", required=False)
@click.pass_obj
def verify_command(session: Session, name: str | None) -> None:
    """Check a version, or the index against the log.

    With NAME, every byte of a version is read and its SHA-256 compared with the manifest. Without, every row of the index, every log
    entry and the Merkle tree are checked against each other; the stored bytes are what 'runstone scrub' reads.
    """
    with session.open() as store:
        if name is not None:
            with Progress("verifying") as progress:
                found = verify_version(store, name, progress)
            session.answer(
                found,
                lambda: [
                    text.printable(
                        f"{found.version}: {text.count(found.files, 'file')}, {text.size(found.size)} as the manifest says"
                    )
                ],
            )
            return
        with Progress("verifying", "entries") as progress:
            head = store.verify(progress=progress)
        session.answer(
            head,
            lambda: text.pairs(
                [
                    ("log entries", str(head["entries"])),
                    ("root", head["root"]),
                    ("state", head["state"]),
                ]
            ),
        )


def verify_version(store: Store, name: str, progress: Progress) -> Verified:
    """Reads a version and compares it with its manifest; raises :class:`Corrupt` naming the first file that differs."""
    resolved = store.resolve(name)
    exact = f"{resolved.collection}@v{resolved.version}"
    files = store.files(exact)
    held = [file for file in files if not file.url]
    total, done = sum(file.size for file in held), 0
    for file in held:
        digest = hashlib.sha256()
        with store.open_file(exact, file.path) as stored:
            for start in range(0, file.size, _PIECE):
                piece = stored.read(start, min(start + _PIECE, file.size))
                digest.update(piece)
                done += len(piece)
                progress(done, total)
        if digest.hexdigest() != file.sha256:
            raise Corrupt(
                f"{file.path} of {resolved.collection}:v{resolved.version} is not what the manifest says",
                path=file.path,
            )
    return Verified(
        f"{resolved.collection}:v{resolved.version}",
        resolved.digest,
        len(held),
        total,
        len(files) - len(held),
    )
