"""The header of a change-log entry: the 72 bytes that are its leaf in the Merkle tree.

The leaf holds the payload's salted digest and not the payload, so that a payload can be compacted, expire
or be erased while every proof still verifies. The salt is kept beside the payload and goes with it: without
the salt, nobody can find out by guessing what an erased payload was.
"""

from __future__ import annotations

import struct
from typing import NamedTuple

from runstone._native.digests import sha256
from runstone.errors import Corrupt, Invalid

HEADER = struct.Struct(">BBHQq16sI32s")
VERSION = 1
SALT_SIZE = 16


class Header(NamedTuple):
    """One entry's header, in the order of its bytes.

    ``seq`` is the entry's index in the tree, ``time`` microseconds since 1970 in UTC, ``command_id`` 16
    bytes, ``length`` that of the payload and ``digest`` its :func:`payload_digest`.
    """

    version: int
    flags: int
    kind: int
    seq: int
    time: int
    command_id: bytes
    length: int
    digest: bytes


def pack_header(header: Header) -> bytes:
    """The header as the 72 bytes of a leaf; ``Invalid`` when a field does not fit."""
    if header.version != VERSION:
        raise Invalid(f"log entry {header.seq}: cannot write a header of version {header.version}")
    if len(header.command_id) != 16 or len(header.digest) != 32:  # struct would pad or cut them silently
        raise Invalid(f"log entry {header.seq}: a command id is 16 bytes and a payload digest 32")
    try:
        return HEADER.pack(*header)
    except struct.error as error:
        raise Invalid(f"log entry {header.seq}: a header field does not fit: {error}") from error


def header_of(kind: int, seq: int, time: int, command_id: bytes, salt: bytes, payload: bytes) -> bytes:
    """The 72 bytes for a new entry: 16 bytes of command id and of salt, ``time`` in microseconds since 1970."""
    return HEADER.pack(VERSION, 0, kind, seq, time, command_id, len(payload), sha256(salt + payload))


def unpack_header(data: bytes) -> Header:
    """The header in the 72 bytes of a leaf; ``Corrupt`` when they are not one."""
    if len(data) != HEADER.size:
        raise Corrupt(f"a log entry's header is {HEADER.size} bytes long, not {len(data)}")
    header = Header._make(HEADER.unpack(data))
    if header.version != VERSION:
        raise Corrupt(f"log entry header of version {header.version}; this program reads version {VERSION}")
    return header


def payload_digest(salt: bytes, payload: bytes) -> bytes:
    """SHA-256 over the 16 random bytes of salt and the payload."""
    if len(salt) != SALT_SIZE:  # of any other length, salt and payload could be cut apart elsewhere
        raise Invalid(f"a payload's salt is {SALT_SIZE} bytes long, not {len(salt)}")
    return sha256(salt + payload)
