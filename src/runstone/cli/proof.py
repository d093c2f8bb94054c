"""``runstone proof``: what the log says, in a form that anybody can check without us."""

from __future__ import annotations

import json
from pathlib import Path

import click

from runstone.cli import names, output, text
from runstone.cli.command import Command, Group
from runstone.cli.session import Session
from runstone.errors import Corrupt, Invalid


@click.group("proof", cls=Group, default="make")
def proof_command() -> None:
    """Make and check proofs that need no server.

    'runstone proof NAME' is short for 'runstone proof make NAME'. A proof holds log entries, their places in the Merkle tree, and a
    signed checkpoint of it; whoever has the log's key can check it offline, also with the one file verifier.py and nothing of ours.
    """


@proof_command.command("make", cls=Command)
@click.argument("name")
@click.option(
    "-o", "--output", "target", type=click.Path(path_type=Path), metavar="FILE", help="Write it to a file."
)
@click.pass_obj
def proof_make(session: Session, name: str, target: Path | None) -> None:
    """Prove an alias's history, or every change of an object.

    NAME is collection@alias for an alias, or a version, collection or project.
    """
    collection, alias = names.alias_in(name)
    with session.open() as store:
        bundle = store.proof(collection, alias) if alias else store.proof(name)
    if target is None:
        output.document(bundle)
        return
    target.write_text(json.dumps(bundle, indent=1) + "\n", encoding="utf-8")
    entries = len(bundle["entries"])
    session.answer(
        {"output": str(target), "entries": entries},
        lambda: [
            text.printable(f"{target}: log entries proven: {entries}; check it with 'runstone proof check'")
        ],
    )


@proof_command.command("check", cls=Command)
@click.argument("file", type=click.Path(path_type=Path, allow_dash=True))
@click.option("--key", "keys", multiple=True, metavar="VKEY", help="The log's key, from somewhere you trust.")
@click.option(
    "--key-file",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    metavar="FILE",
    help="A file of keys, one a line.",
)
@click.option(
    "--trust-bundle-key",
    is_flag=True,
    help="Take the key from the proof: shows only that it agrees with itself.",
)
@click.pass_obj
def proof_check(
    session: Session, file: Path, keys: tuple[str, ...], key_file: Path | None, trust_bundle_key: bool
) -> None:
    """Check a proof offline, against a key that you trust."""
    from runstone import verifier

    trusted = list(keys) + (_keys_in(key_file) if key_file else [])
    if bool(trusted) == trust_bundle_key:
        raise click.UsageError(
            "Give the key you trust: --key, --key-file, or --trust-bundle-key and no other."
        )
    for vkey in trusted:
        try:
            verifier.parse_key(vkey)
        except ValueError as error:
            raise Invalid(f"the key cannot be used: {error}") from None
    try:
        bundle = verifier.read_bundle(str(file))
        if trust_bundle_key:
            own = verifier.fields(bundle, "the bundle", "format entries vkey", "consistency about")["vkey"]
            trusted = [own]
            for line in verifier.SELF_SIGNED.format(verifier.parse_key(own).name).splitlines():
                output.note(line)
        found = verifier.verify_bundle(bundle, trusted)
    except verifier.ProofError as error:
        raise Corrupt(f"not proven: {error}") from None
    session.answer(found, lambda: [verifier.report(found)])


def _keys_in(path: Path) -> list[str]:
    lines = [line.strip() for line in path.read_text(encoding="utf-8").split("\n")]
    return [line for line in lines if line and not line.startswith("#")]


@proof_command.command("key", cls=Command)
@click.pass_obj
def proof_key(session: Session) -> None:
    """Print the log's key, to be given to whom shall check proofs."""
    with session.open() as store:
        vkey = store.log_key()
    session.answer({"vkey": vkey}, lambda: [vkey])


@proof_command.command("checkpoint", cls=Command)
@click.pass_obj
def proof_checkpoint(session: Session) -> None:
    """Print a signed checkpoint of the log: keep one, and later proofs can be held against it."""
    with session.open() as store:
        note = store.checkpoint()
    session.answer({"checkpoint": note}, lambda: [note.rstrip("\n")])
