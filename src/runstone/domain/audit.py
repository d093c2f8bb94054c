"""The change log as people see it: history of an object, checkpoints, and proofs that stand without us."""

from __future__ import annotations

from typing import Any

import msgspec

from runstone.domain import names, policy, vocabulary
from runstone.domain.context import Context
from runstone.domain.store import Store
from runstone.errors import Invalid, Missing
from runstone.storage import checkpoint as notes
from runstone.storage import entry as entries
from runstone.storage import proof
from runstone.storage.commands import kind_numbered
from runstone.storage.entry import Header
from runstone.storage.tables import ALIAS_HISTORY, HEAD, HISTORY, Head, Stored
from runstone.types import LogRecord

MAX_BUNDLE = 10_000
#: What an entry that is shown here may hold.
VOCABULARY = vocabulary.MODULES


def signer(store: Store) -> notes.Signer:
    """The key that signs this store's checkpoints; made on first use."""
    private = store.secret("log", lambda: notes.Signer.generate(store.origin).private.encode() + b"\n")
    return notes.Signer.from_private(private.decode().strip())


def checkpoint(store: Store, ctx: Context) -> bytes:
    """A signed checkpoint of the log as it stands: a signed note over size, root, time and state hash."""
    policy.require_principal(ctx)
    with store.index.read() as view:
        head = view.get(HEAD, 0) or Head()
    return sign(store, head)


def sign(store: Store, head: Head) -> bytes:
    """The signed note over a head."""
    lines = notes.extensions(head.time, head.state)
    return signer(store).sign(notes.Checkpoint(store.origin, head.size, head.root, lines))


def verifier_key(store: Store, ctx: Context) -> str:
    """The key that verifies this store's checkpoints; give it to whom shall check proofs, by a way they trust."""
    policy.require_principal(ctx)
    return signer(store).vkey


def history(store: Store, ctx: Context, name: str, *, after: int = -1, limit: int = 100) -> list[LogRecord]:
    """Every change of a version, collection or project, from the first, from just past log entry ``after``."""
    subject = _subject(store, ctx, name)
    with store.index.read() as view:
        start = (subject, after) if after >= 0 else None
        seqs: list[int] = []
        for (_, seq), _ in view.scan(HISTORY, subject, after=start):
            if len(seqs) == limit:
                break
            seqs.append(seq)
    return [record(*store.log.entry(seq)) for seq in seqs]


def _subject(store: Store, ctx: Context, name: str) -> int:
    with store.index.read() as view:
        if name.count("/") == 1 and "@" not in name and ":" not in name:
            try:
                return names.find_project(store, view, ctx, names.parse_project(ctx, name))[1].id
            except Missing:
                pass
        parsed = names.parse(ctx, name)
        if parsed.version:
            return names.find_version(store, view, ctx, parsed, any_state=True)[1].id
        return names.find_collection(store, view, ctx, parsed).collection.id


def log(store: Store, ctx: Context, *, start: int = 0, limit: int = 100) -> list[LogRecord]:
    """The whole log from an entry on. Only an administrator may read it."""
    policy.require_admin(ctx, "read the whole log")
    head = store.log.head()
    return [record(*found) for found in store.log.entries(start, min(start + limit, head.size))]


def record(header: Header, stored: Stored) -> LogRecord:
    """A log entry as it is shown."""
    kind = kind_numbered(header.kind)
    command = None if stored.payload is None else msgspec.msgpack.decode(stored.payload)
    return LogRecord(
        seq=header.seq,
        time=header.time,
        kind=kind.name,
        id=header.command_id.hex(),
        actor=command.get("actor", "") if command else "",
        command=readable(command),
    )


def readable(value: Any) -> Any:
    """A decoded payload with bytes as hexadecimal text, for JSON."""
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, dict):
        return {key: readable(item) for key, item in value.items()}
    if isinstance(value, list):
        return [readable(item) for item in value]
    return value


def prove_alias(store: Store, ctx: Context, name: str, alias: str) -> dict[str, Any]:
    """A bundle that proves every step of an alias's history to be in the signed log."""
    with store.index.read() as view:
        place = names.find_collection(store, view, ctx, names.parse(ctx, name))
        seqs = [seq for (_, _, seq), _ in view.scan(ALIAS_HISTORY, place.collection.id, alias)]
    if not seqs:
        raise Missing(f"{place} never had an alias {alias!r}")
    return bundle(store, seqs)


def prove_object(store: Store, ctx: Context, name: str) -> dict[str, Any]:
    """A bundle that proves every change of a version, collection or project to be in the signed log."""
    subject = _subject(store, ctx, name)
    with store.index.read() as view:
        seqs = [seq for (_, seq), _ in view.scan(HISTORY, subject)]
    return bundle(store, seqs)


def prove_entries(store: Store, ctx: Context, seqs: list[int]) -> dict[str, Any]:
    """A bundle for any entries. Only an administrator may ask, since entries of all projects are in one log."""
    policy.require_admin(ctx, "take proofs of any log entry")
    return bundle(store, seqs)


def bundle(store: Store, seqs: list[int]) -> dict[str, Any]:
    """A proof bundle (``docs/format/log.md``): entries, a Merkle path for each, one signed checkpoint over all."""
    if len(seqs) > MAX_BUNDLE:
        raise Invalid(f"a proof of {len(seqs)} entries is over the limit of {MAX_BUNDLE}; ask for a part")
    head = store.log.head()
    note = sign(store, head)
    return proof.bundle((_proven(store, seq, head.size, note) for seq in seqs), signer(store).vkey)


def _proven(store: Store, seq: int, size: int, note: bytes) -> proof.Proven:
    header, stored = store.log.entry(seq)
    text = proof.tlog_proof(seq, store.log.inclusion_proof(seq, size), note)
    salt = None if stored.payload is None else stored.salt
    return proof.Proven(entries.pack_header(header), stored.payload, salt, text)


def consistency(store: Store, ctx: Context, old: int, new: int) -> list[bytes]:
    """The proof that the log of ``new`` entries extends the log of ``old``."""
    policy.require_principal(ctx)
    return store.log.consistency_proof(old, new)


def tile(store: Store, ctx: Context, level: int, place: int, width: int) -> bytes:
    """A tile of the Merkle tree (C2SP tlog-tiles): its first ``width`` hashes."""
    policy.require_principal(ctx)
    hashes = store.log.tile(level, place)
    if not 0 < width <= len(hashes) // 32:
        raise Missing(f"the log has no tile {level}/{place} with {width} hashes")
    return hashes[: 32 * width]
