"""The change log as people see it: history of an object, checkpoints, and proofs that stand without us."""

from __future__ import annotations

import contextlib
from typing import Any, NamedTuple

import msgspec

from runstone.domain import fields, names, policy, runs, vocabulary
from runstone.domain.context import Context
from runstone.domain.store import Store
from runstone.errors import Invalid, Missing
from runstone.storage import checkpoint as notes
from runstone.storage import entry as entries
from runstone.storage import proof
from runstone.storage.commands import kind_numbered
from runstone.storage.entry import Header
from runstone.storage.index import View
from runstone.storage.tables import ALIAS_HISTORY, HEAD, HISTORY, Head, Stored
from runstone.types import LogRecord

MAX_BUNDLE = 10_000
#: Fields of commands that hold documents, in which single fields may be hidden from a reader.
_DOCUMENTS = frozenset(
    {"metadata", "config", "once", "summary", "info", "tags", "notes", "past", "batch", "goals"}
)
#: Fields of commands that are maps packed on their own.
_PACKED = frozenset({"config", "once", "summary", "info"})
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
    """Every change of a version, collection, project or run (``run:namespace/project/run``), from just past log entry ``after``.

    What commands hold of documents in which the principal may not read every field is left out.
    """
    subject = _subject(store, ctx, name)
    with store.index.read() as view:
        start = (subject.id, after) if after >= 0 else None
        seqs: list[int] = []
        for (_, seq), _ in view.scan(HISTORY, subject.id, after=start):
            if len(seqs) == limit:
                break
            seqs.append(seq)
    without = _DOCUMENTS if subject.masked else frozenset()
    return [record(*store.log.entry(seq), without) for seq in seqs]


class _Subject(NamedTuple):
    """What a name stands for in the log, and whether some field of its project is hidden from the principal."""

    id: int
    masked: bool


def _subject(store: Store, ctx: Context, name: str) -> _Subject:
    with store.index.read() as view:
        found, place = _find(store, view, ctx, name)
        return _Subject(found, bool(fields.hidden_from(store, view, ctx, place)))


def _find(store: Store, view: View, ctx: Context, name: str) -> tuple[int, fields.InProject]:
    if name.startswith("run:"):
        run = runs.finding.find(store, view, ctx, name.removeprefix("run:"), deleted=True)
        return run.run.id, run
    if name.count("/") == 1 and "@" not in name and ":" not in name:
        with contextlib.suppress(Missing):
            project = runs.finding.project(store, view, ctx, name)
            return project.project.id, project
    parsed = names.parse(ctx, name)
    if parsed.version:
        place, version = names.find_version(store, view, ctx, parsed, any_state=True)
        return version.id, place
    place = names.find_collection(store, view, ctx, parsed)
    return place.collection.id, place


def log(store: Store, ctx: Context, *, start: int = 0, limit: int = 100) -> list[LogRecord]:
    """The whole log from an entry on. Only an administrator may read it."""
    policy.require_admin(ctx, "read the whole log")
    head = store.log.head()
    return [record(*found) for found in store.log.entries(start, min(start + limit, head.size))]


def record(header: Header, stored: Stored, without: frozenset[str] = frozenset()) -> LogRecord:
    """A log entry as it is shown; ``without`` are fields of its command that are left out."""
    kind = kind_numbered(header.kind)
    command: dict[str, Any] | None = None
    if stored.payload is not None:
        payload = msgspec.msgpack.decode(stored.payload)
        command = {field: value for field, value in payload.items() if field not in without}
    return LogRecord(
        seq=header.seq,
        time=header.time,
        kind=kind.name,
        id=header.command_id.hex(),
        actor=command.get("actor", "") if command else "",
        command=readable(command),
    )


def readable(value: Any) -> Any:
    """A decoded payload with packed maps unpacked, and other bytes as hexadecimal text, for JSON."""
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, dict):
        return {key: readable(_unpacked(item) if key in _PACKED else item) for key, item in value.items()}
    if isinstance(value, list):
        return [readable(item) for item in value]
    return value


def _unpacked(value: Any) -> Any:
    if isinstance(value, bytes):
        with contextlib.suppress(msgspec.DecodeError):
            return msgspec.msgpack.decode(value)
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
    """A bundle that proves every change of a version, collection, project or run to be in the signed log.

    The payload of a change whose documents have fields that the principal may not read is withheld; its header is proven all the same.
    """
    subject = _subject(store, ctx, name)
    with store.index.read() as view:
        seqs = [seq for (_, seq), _ in view.scan(HISTORY, subject.id)]
    return bundle(store, seqs, masked=subject.masked)


def bundle(store: Store, seqs: list[int], *, masked: bool = False) -> dict[str, Any]:
    """A proof bundle (``docs/format/log.md``): entries, a Merkle path for each, one signed checkpoint over all.

    With ``masked``, payloads that hold documents are withheld.
    """
    if len(seqs) > MAX_BUNDLE:
        raise Invalid(f"a proof of {len(seqs)} entries is over the limit of {MAX_BUNDLE}; ask for a part")
    head = store.log.head()
    note = sign(store, head)
    return proof.bundle((_proven(store, seq, head.size, note, masked) for seq in seqs), signer(store).vkey)


def _proven(store: Store, seq: int, size: int, note: bytes, masked: bool) -> proof.Proven:
    header, stored = store.log.entry(seq)
    text = proof.tlog_proof(seq, store.log.inclusion_proof(seq, size), note)
    payload, salt = stored.payload, stored.salt
    if payload is None or (masked and _DOCUMENTS & set(msgspec.msgpack.decode(payload))):
        return proof.Proven(entries.pack_header(header), None, None, text)
    return proof.Proven(entries.pack_header(header), payload, salt, text)


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
