"""C2SP signed notes with Ed25519: a text, an empty line, and one line for each signature.

A verifier key is ``name+hash+base64`` of a type byte and the public key. ``cryptography`` is imported where
it is used: it takes as long to import as the rest of the library.

Errors: ``Malformed`` for what is not a note or a key, ``Corrupt`` for a note that no known key vouches for.

Sources: https://c2sp.org/signed-note; the key strings are those of Go's golang.org/x/mod/sumdb/note.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Sequence
from hashlib import sha256
from typing import NamedTuple

from runstone.errors import Corrupt, Malformed

ED25519 = 1  # the signature type of plain Ed25519 notes
MAX_NOTE = 1 << 20
MAX_SIGNATURES = 64
MARK = "\N{EM DASH} "

_CONTROL = re.compile(r"[\x00-\x09\x0b-\x1f]")


class Key(NamedTuple):
    """A verifier key; ``public`` is the 32-byte Ed25519 public key."""

    name: str
    id: bytes
    public: bytes


def parse_key(vkey: str) -> Key:
    """The key in a verifier key ``name+hash+base64``; the base64 is of a type byte 1 and the public key."""
    name, id, data = split_key(vkey, "verifier key")
    if key_id(name, data) != id:
        raise Malformed(f"verifier key of {name!r}: the hash in it is not its own; was it cut or mistyped?")
    return Key(name, id, data)


def key_id(name: str, public: bytes) -> bytes:
    """The 4 bytes that tell keys of one name apart in a note."""
    return sha256(name.encode() + b"\n" + bytes([ED25519]) + public).digest()[:4]


def open_text(note: bytes, vkeys: Sequence[str]) -> tuple[str, list[str]]:
    """The text of a signed note, and the names of the keys among ``vkeys`` whose signatures were verified."""
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    keys = {(key.name, key.id): key for key in map(parse_key, vkeys)}
    text, signatures = _split_note(note)
    signers = []
    for name, id, signature in signatures:
        key = keys.get((name, id))
        if key is None:
            continue
        try:
            Ed25519PublicKey.from_public_bytes(key.public).verify(signature, text.encode())
        except (InvalidSignature, ValueError) as error:
            raise Corrupt(f"the signature of {name!r} on this note does not verify") from error
        signers.append(name)
    if not signers:
        wanted = ", ".join(f"{name}+{id.hex()}" for name, id in keys) or "none was given"
        raise Corrupt(f"this note carries no signature of a known key ({wanted})")
    return text, signers


def _split_note(note: bytes) -> tuple[str, list[tuple[str, bytes, bytes]]]:
    """The text of a signed note and its signatures as (name, key id, signature)."""
    if len(note) > MAX_NOTE:
        raise Malformed(f"a signed note of {len(note)} bytes is over the limit of {MAX_NOTE}")
    try:
        whole = note.decode()
    except UnicodeDecodeError as error:
        raise Malformed("a signed note is UTF-8") from error
    head, blank, tail = whole.rpartition("\n\n")
    if not (head and blank and tail.endswith("\n")) or not is_text(whole):
        raise Malformed("a signed note is a text, an empty line, and signature lines")
    lines = tail[:-1].split("\n")
    if len(lines) > MAX_SIGNATURES:
        raise Malformed(f"a signed note with {len(lines)} signatures is over the limit of {MAX_SIGNATURES}")
    return head + "\n", [_parse_signature(line) for line in lines]


def _parse_signature(line: str) -> tuple[str, bytes, bytes]:
    name, space, data = line.removeprefix(MARK).partition(" ")
    if not (line.startswith(MARK) and space and is_name(name)):
        raise Malformed(f"not the signature line of a note: {line[:80]!r}")
    signature = decode64(data, None, "the signature in a note")
    if len(signature) < 5:
        raise Malformed(f"the signature of {name!r} in a note is too short")
    return name, signature[:4], signature[4:]


def split_key(text: str, what: str) -> tuple[str, bytes, bytes]:
    """The name, key id and 32 key bytes of ``name+hash+base64``; errors never quote the key bytes."""
    name, _, rest = text.partition("+")
    id, _, data = rest.partition("+")
    if not is_name(name) or re.fullmatch(r"[0-9a-f]{8}", id) is None:
        raise Malformed(f"a {what} has the form name+hash+base64")
    typed = decode64(data, None, f"the base64 of a {what}")
    if len(typed) != 33 or typed[0] != ED25519:
        raise Malformed(f"the {what} of {name!r} is not an Ed25519 key")
    return name, bytes.fromhex(id), typed[1:]


def is_name(name: str) -> bool:
    """The text can name a key."""
    return name != "" and "+" not in name and not any(map(str.isspace, name)) and is_text(name)


def is_text(text: str) -> bool:
    """The text can stand in a note: UTF-8 with no control character but the newline."""
    try:
        text.encode()
    except UnicodeEncodeError:  # lone surrogates
        return False
    return _CONTROL.search(text) is None


def encode64(data: bytes) -> str:
    """Base64 as notes write it."""
    return base64.b64encode(data).decode()


def decode64(text: str, size: int | None, what: str) -> bytes:
    """Base64 in its one canonical spelling."""
    try:
        data = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise Malformed(f"{what} is not base64") from None
    if encode64(data) != text or (size is not None and len(data) != size):
        wanted = "canonical base64" if size is None else f"the base64 of {size} bytes"
        raise Malformed(f"{what} is not {wanted}")
    return data
