"""Checkpoints: the size and root of the change log's tree, signed with Ed25519.

A checkpoint is the text of a C2SP signed note: the log's origin, its size in decimal, its root hash in
base64, and extension lines; we write ``time <microseconds since 1970>`` and ``state <base64 of the 32-byte
state hash>``. A log signs under its origin as the key's name.

Errors: ``Malformed`` for text that is not a checkpoint, ``Invalid`` for a checkpoint that cannot be written
or is not this signer's; for notes and keys as in :mod:`runstone.storage.note`.

Source: https://c2sp.org/tlog-checkpoint.
"""

from __future__ import annotations

import os
import re
import secrets
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import msgspec

from runstone.errors import Corrupt, Exists, Invalid, Malformed, Missing
from runstone.storage.note import (
    ED25519,
    MARK,
    decode64,
    encode64,
    is_name,
    is_text,
    key_id,
    open_text,
    split_key,
)

MAX_SIZE = (1 << 63) - 1

_PRIVATE = "PRIVATE+KEY+"
_DECIMAL = re.compile(r"0|[1-9][0-9]{0,18}")


class Checkpoint(msgspec.Struct, frozen=True):
    """What a log says about itself at one size; ``root`` is 32 bytes, ``extensions`` are whole lines."""

    origin: str
    size: int
    root: bytes
    extensions: tuple[str, ...] = ()

    @property
    def time(self) -> int | None:
        """When it was made, in microseconds since 1970, as the log says."""
        value = self._extension("time")
        if value is not None and _DECIMAL.fullmatch(value) is None:
            raise Malformed(f"a checkpoint's time is microseconds since 1970, not {value[:40]!r}")
        return None if value is None else int(value)

    @property
    def state(self) -> bytes | None:
        """The hash of the index's state at this size, 32 bytes."""
        value = self._extension("state")
        return None if value is None else decode64(value, 32, "the state hash of a checkpoint")

    def _extension(self, name: str) -> str | None:
        found = [line.removeprefix(f"{name} ") for line in self.extensions if line.startswith(f"{name} ")]
        if len(found) > 1:
            raise Malformed(f"a checkpoint has {len(found)} lines {name!r}")
        return found[0] if found else None


def extensions(time: int, state: bytes) -> tuple[str, ...]:
    """The extension lines we write; ``time`` in microseconds since 1970, ``state`` the 32-byte state hash."""
    return f"time {time}", f"state {encode64(state)}"


def encode(checkpoint: Checkpoint) -> str:
    """The checkpoint as note text, which ends in a newline."""
    lines = (checkpoint.origin, str(checkpoint.size), encode64(checkpoint.root), *checkpoint.extensions)
    text = "".join(f"{line}\n" for line in lines)
    try:
        same = parse(text) == checkpoint
    except Malformed as error:
        raise Invalid(f"this checkpoint cannot be written: {error.message}") from error
    if not same:
        raise Invalid("this checkpoint cannot be written: a line of it holds a newline")
    return text


def parse(text: str) -> Checkpoint:
    """The checkpoint in a note's text; every checkpoint has one spelling, and no other is accepted."""
    lines = text.split("\n")
    if lines.pop() != "" or len(lines) < 3 or "" in lines or not is_text(text):
        raise Malformed("a checkpoint is non-empty lines of UTF-8: origin, size, root hash, extensions")
    if _DECIMAL.fullmatch(lines[1]) is None or int(lines[1]) > MAX_SIZE:
        raise Malformed(f"a checkpoint's size is a decimal number, not {lines[1][:40]!r}")
    root = decode64(lines[2], 32, "the root hash of a checkpoint")
    return Checkpoint(lines[0], int(lines[1]), root, tuple(lines[3:]))


class Signer:
    """A log's signing key: :attr:`private` is the secret, :attr:`vkey` is for everyone."""

    def __init__(self, name: str, seed: bytes) -> None:
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

        if not is_name(name):
            raise Invalid(f"{name!r} cannot name a key: use characters other than spaces and '+'")
        if len(seed) != 32:
            raise Invalid(f"an Ed25519 seed is 32 bytes long, not {len(seed)}")
        self.name = name
        self._seed = seed
        self._key = Ed25519PrivateKey.from_private_bytes(seed)
        self._public = self._key.public_key().public_bytes_raw()
        self._id = key_id(name, self._public)

    def __repr__(self) -> str:
        return f"Signer({self.vkey})"

    @classmethod
    def generate(cls, name: str) -> Signer:
        """A new key from the system's random numbers."""
        return cls(name, secrets.token_bytes(32))

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Signer:
        """The key that :meth:`save` wrote: the secret string form as one line."""
        try:
            text = Path(path).read_text(encoding="utf-8")
        except FileNotFoundError as error:
            raise Missing(f"there is no signing key at {path}") from error
        except UnicodeDecodeError as error:
            raise Corrupt(f"{path} is not a signing key") from error
        try:
            return cls.from_private(text.removesuffix("\n"))
        except Malformed as error:
            raise Corrupt(f"{path} is not a signing key: {error.message}") from None

    @classmethod
    def from_private(cls, text: str) -> Signer:
        """The key in its secret string form."""
        if not text.startswith(_PRIVATE):
            raise Malformed(f"a signing key starts with {_PRIVATE}")
        name, id, seed = split_key(text.removeprefix(_PRIVATE), "signing key")
        signer = cls(name, seed)
        if signer._id != id:
            raise Malformed(f"signing key of {name!r}: the hash in it is not its own")
        return signer

    @property
    def private(self) -> str:
        """The secret string form: ``PRIVATE+KEY+name+hash+base64`` of a type byte 1 and the seed."""
        return f"{_PRIVATE}{self.name}+{self._id.hex()}+{encode64(bytes([ED25519]) + self._seed)}"

    @property
    def vkey(self) -> str:
        """The verifier key."""
        return f"{self.name}+{self._id.hex()}+{encode64(bytes([ED25519]) + self._public)}"

    def save(self, path: str | os.PathLike[str]) -> None:
        """Writes the key with mode 0600: durable and whole, or not at all; ``Exists`` when the file does.

        A key is never replaced: with it would go the log's identity. So of two processes that start a log
        at once one loses here, and loads the key of the other.
        """
        path = Path(path)
        staged = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
        try:
            descriptor = os.open(staged, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                os.fchmod(descriptor, 0o600)  # the mode above passes through the umask
                file.write(self.private + "\n")
                file.flush()
                os.fsync(descriptor)
            os.link(staged, path)  # unlike a rename, this refuses a name that is taken
        except FileExistsError as error:
            raise Exists(f"there is a signing key at {path} already") from error
        finally:
            with suppress(FileNotFoundError):
                staged.unlink()
        directory = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)

    def sign(self, checkpoint: Checkpoint) -> bytes:
        """The checkpoint as a signed note; ``Invalid`` when it is another log's."""
        if checkpoint.origin != self.name:
            raise Invalid(f"the key of {self.name!r} does not sign for {checkpoint.origin!r}")
        return self.sign_text(encode(checkpoint))

    def sign_text(self, text: str) -> bytes:
        """Any note text, which ends in a newline, as a signed note."""
        if not text.endswith("\n") or not is_text(text):
            raise Invalid("the text of a note ends in a newline and holds no other control character")
        signature = self._id + self._key.sign(text.encode())
        return f"{text}\n{MARK}{self.name} {encode64(signature)}\n".encode()


def open_note(note: bytes, vkeys: Sequence[str]) -> Checkpoint:
    """The checkpoint in a signed note that one of ``vkeys`` signed under the checkpoint's own origin.

    Signatures of other keys (a witness's, a next key's) are not looked at; one of a known key that fails
    refuses the note.
    """
    text, signers = open_text(note, vkeys)
    checkpoint = parse(text)
    if checkpoint.origin not in signers:
        raise Corrupt(f"a checkpoint of {checkpoint.origin!r} is signed by {', '.join(signers)} only")
    return checkpoint
