"""A store's signed word for a plan: what a name stood for, which bytes that is, and until when it may be relied on."""

from __future__ import annotations

import binascii
import time
from typing import NamedTuple

from runstone._native.digests import blake3
from runstone.client.plan import Plan
from runstone.errors import Corrupt, Invalid

HEADER = "x-runstone-signed"
MAX_NOTE = 16 << 10


class Word(NamedTuple):
    """What a note says. ``issued`` and ``until`` are seconds since 1970."""

    log: str
    name: str
    version: str
    files: str
    issued: int
    until: int


def listing(plan: Plan, roots: tuple[str, ...]) -> str:
    """What a note says of a plan's files: BLAKE3 over a line of path, size, and root or address for each, by path."""
    pairs = sorted(zip(plan.files, roots, strict=True), key=lambda pair: pair[0].path)
    lines = [f"{file.path}\0{file.size}\0{root or file.url}\n" for file, root in pairs]
    return blake3("".join(lines).encode()).hex()


def read(text: str) -> Word | None:
    """The word in a header field, unverified; None when there is none that can be read."""
    note = _note(text)
    lines = note.partition("\n\n")[0].split("\n")
    if len(lines) != 7 or lines[0] != "runstone plan":
        return None
    issued, until = lines[5].removeprefix("issued "), lines[6].removeprefix("until ")
    if not (issued.isascii() and until.isascii() and issued.isdigit() and until.isdigit()):
        return None
    if len(issued) > 15 or len(until) > 15:
        return None
    return Word(lines[1], lines[2], lines[3], lines[4], int(issued), int(until))


def verify(text: str, key: str, name: str, plan: Plan, roots: tuple[str, ...]) -> Word:
    """The word for a plan, signed by ``key``; raises :class:`Corrupt` for any other, and :class:`Invalid` for what is no key.

    Loads the Ed25519 verifier, which who pins no key need not wait for.
    """
    from runstone import verifier

    try:
        pinned = verifier.parse_key(key)
    except verifier.ProofError as error:
        raise Invalid(f"{key!r:.100} is not the key of a log: {error}") from None
    word, note = read(text), _note(text)
    if word is None:
        raise Corrupt(f"the plan of {name} is not signed, and {pinned.name} is to sign it")
    if not _is_signed(note, pinned):
        raise Corrupt(f"the plan of {name} is not signed by {pinned.name}; nothing of it was used")
    if (word.log, word.name, word.version) != (pinned.name, name, plan.version.name):
        raise Corrupt(
            f"{pinned.name} signed that {word.name} is {word.version}, not that {name} is {plan.version.name}"
        )
    if word.files != listing(plan, roots):
        raise Corrupt(f"the files of {plan.version.name} are not those that {pinned.name} signed")
    return word


def is_over(word: Word) -> bool:
    """Whether the grace has passed in which a plan may be relied on unasked."""
    return time.time() > word.until


def _is_signed(note: str, pinned: object) -> bool:
    from runstone import verifier

    assert isinstance(pinned, verifier.Key)
    head, _, tail = note.rpartition("\n\n")
    for line in tail.splitlines():
        dash, _, rest = line.partition(" ")
        name, _, data = rest.partition(" ")
        try:
            blob = binascii.a2b_base64(data, strict_mode=True)
        except (binascii.Error, ValueError):
            continue
        if dash == "\N{EM DASH}" and name == pinned.name and blob[:4] == pinned.id:
            return verifier.ed25519_verify(pinned.public, f"{head}\n".encode(), blob[4:])
    return False


def _note(text: str) -> str:
    if len(text) > MAX_NOTE:
        return ""
    try:
        return binascii.a2b_base64(text, strict_mode=True).decode()
    except (binascii.Error, ValueError):
        return ""
