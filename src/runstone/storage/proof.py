"""Proof bundles: log entries with all that is needed to check them offline, as JSON.

A bundle is what :mod:`runstone.verifier` reads; an alias's history is a bundle of several entries. The
format is documented in docs/format/log.md. The proof inside an entry is a C2SP tlog-proof,
https://c2sp.org/tlog-proof.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from runstone.storage.note import encode64

FORMAT = "runstone-proof/1"


class Proven(NamedTuple):
    """A log entry and its proof; ``payload`` and ``salt`` are None together, when withheld or erased."""

    header: bytes
    payload: bytes | None
    salt: bytes | None
    proof: str


class Consistency(NamedTuple):
    """The proof that the tree of ``new_size`` leaves, a checkpoint's, begins with the one of ``old_size``."""

    old_size: int
    new_size: int
    old_root: bytes
    hashes: Sequence[bytes]


def tlog_proof(index: int, hashes: Iterable[bytes], note: bytes) -> str:
    """The tlog-proof text for entry ``index``: its inclusion proof and the signed checkpoint it leads to."""
    lines = ("c2sp.org/tlog-proof@v1", f"index {index}", *map(encode64, hashes), "")
    return "".join(f"{line}\n" for line in lines) + note.decode()


def bundle(entries: Iterable[Proven], vkey: str, consistency: Iterable[Consistency] = ()) -> dict[str, Any]:
    """The bundle as JSON values; entries in log order, ``vkey`` the verifier key of the checkpoints."""
    made: dict[str, Any] = {
        "format": FORMAT,
        "entries": [
            {
                "header": encode64(entry.header),
                "payload": None if entry.payload is None else encode64(entry.payload),
                "salt": None if entry.salt is None else encode64(entry.salt),
                "proof": entry.proof,
            }
            for entry in entries
        ],
        "vkey": vkey,
    }
    links = [
        {
            "old_size": link.old_size,
            "new_size": link.new_size,
            "old_root": encode64(link.old_root),
            "hashes": [encode64(each) for each in link.hashes],
        }
        for link in consistency
    ]
    return made | {"consistency": links} if links else made
