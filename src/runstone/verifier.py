#!/usr/bin/env python3
"""Verifies runstone proof bundles offline: this one file and Python's standard library, nothing else.

    python verifier.py PROOF --key VKEY

PROOF is a bundle written by ``runstone proof``, VKEY the log's verifier key, which you must have from
somewhere you trust: a proof says only that whoever holds that key vouched for the entry. For every entry of
the bundle this program checks that the header carries the index it is proven for, that the payload (if it
is there) is the one the header names, that the entry is in the tree of a checkpoint, and that the key
signed that checkpoint; then that the checkpoints of one bundle do not contradict each other. It cannot see
entries that were left out of the bundle.

Exit status: 0 everything holds, 1 something does not (one line says what), 2 wrong usage.

Sources: RFC 8032 (Ed25519), RFC 9162 section 2.1 (Merkle tree), https://c2sp.org/signed-note,
https://c2sp.org/tlog-checkpoint, https://c2sp.org/tlog-proof, the MessagePack specification.
"""

from __future__ import annotations

import argparse
import base64
import json
import math
import os
import re
import struct
import sys
from datetime import datetime, timedelta, timezone
from hashlib import sha256, sha512
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

FORMAT = "runstone-proof/1"
HEADER = struct.Struct(">BBHQq16sI32s")
EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)  # noqa: UP017 - runs on older Pythons than the rest
MAX_FILE = 1 << 27
MAX_DEPTH = 64
MAX_SIGNATURES = 64
MAX_SIZE = (1 << 63) - 1
SELF_SIGNED = """WARNING: trusting the key that is in the proof itself, of {!a}.
WARNING: this shows that the file agrees with itself, not who made it; anyone can make such a file"""


class ProofError(ValueError):
    """Something in a bundle does not hold; the message says what."""


def hold(holds: bool, message: str) -> None:
    """Raises :class:`ProofError` unless ``holds``."""
    if not holds:
        raise ProofError(message)


# A point of the curve in extended coordinates (X, Y, Z, T): x = X/Z, y = Y/Z, x*y = T/Z.
Point = tuple[int, int, int, int]

PRIME = 2**255 - 19
ORDER = 2**252 + 27742317777372353535851937790883648493
CURVE_D = -121665 * pow(121666, -1, PRIME) % PRIME
ROOT_OF_MINUS_ONE = pow(2, (PRIME - 1) // 4, PRIME)
NEUTRAL: Point = (0, 1, 1, 0)
BASE_X = 15112221349535400772501151409588531511454012693041857206046113283949847762202
BASE_Y = 4 * pow(5, -1, PRIME) % PRIME
BASE: Point = (BASE_X, BASE_Y, 1, BASE_X * BASE_Y % PRIME)


def point_add(p: Point, q: Point) -> Point:
    """The sum of two points; the formula is complete, so it doubles as well (RFC 8032 section 5.1.4)."""
    a = (p[1] - p[0]) * (q[1] - q[0]) % PRIME
    b = (p[1] + p[0]) * (q[1] + q[0]) % PRIME
    c = 2 * CURVE_D * p[3] * q[3] % PRIME
    d = 2 * p[2] * q[2] % PRIME
    e, f, g, h = b - a, d - c, d + c, b + a
    return e * f % PRIME, g * h % PRIME, f * g % PRIME, e * h % PRIME


def point_decode(data: bytes) -> Point | None:
    """The point in 32 bytes, y with the sign of x on top; None when there is none (section 5.1.3)."""
    y = int.from_bytes(data, "little")
    sign, y = y >> 255, y & (1 << 255) - 1
    if y >= PRIME:
        return None
    u, v = (y * y - 1) % PRIME, (CURVE_D * y * y + 1) % PRIME
    x = u * pow(v, 3, PRIME) * pow(u * pow(v, 7, PRIME), (PRIME - 5) // 8, PRIME) % PRIME
    if v * x * x % PRIME == -u % PRIME:
        x = x * ROOT_OF_MINUS_ONE % PRIME
    if v * x * x % PRIME != u or (x == 0 and sign):
        return None
    if x & 1 != sign:
        x = PRIME - x
    return x, y, 1, x * y % PRIME


def point_encode(p: Point) -> bytes:
    """The 32 bytes of a point."""
    inverse = pow(p[2], -1, PRIME)
    x, y = p[0] * inverse % PRIME, p[1] * inverse % PRIME
    return (y | (x & 1) << 255).to_bytes(32, "little")


def ed25519_verify(public: bytes, message: bytes, signature: bytes) -> bool:
    """Whether this is the key's signature of the message: [S]B = R + [k]A, and S reduced (section 5.1.7)."""
    key = point_decode(public) if len(public) == 32 else None
    if key is None or len(signature) != 64:
        return False
    r, s = signature[:32], int.from_bytes(signature[32:], "little")
    if s >= ORDER:  # another S for the same signature
        return False
    k = int.from_bytes(sha512(r + public + message).digest(), "little") % ORDER
    minus = (PRIME - key[0], key[1], key[2], PRIME - key[3])
    sums = (NEUTRAL, BASE, minus, point_add(BASE, minus))
    found = NEUTRAL
    for bit in range(ORDER.bit_length() - 1, -1, -1):
        found = point_add(point_add(found, found), sums[(s >> bit & 1) + 2 * (k >> bit & 1)])
    return point_encode(found) == r


def node(left: bytes, right: bytes) -> bytes:
    """The hash of an inner node of the tree."""
    return sha256(b"\x01" + left + right).digest()


def verify_inclusion(leaf: bytes, index: int, size: int, hashes: list[bytes], root: bytes) -> None:
    """Raises unless the hashes lead from a leaf hash to the root (RFC 9162 section 2.1.3.2)."""
    hold(0 <= index < size, f"a tree of {size} entries has no entry {index}")
    place, last, found = index, size - 1, leaf
    for sibling in hashes:
        hold(last > 0, "the inclusion proof has too many hashes")
        if place & 1 or place == last:
            found = node(sibling, found)
            while place & 1 == 0:
                place, last = place >> 1, last >> 1
        else:
            found = node(found, sibling)
        place, last = place >> 1, last >> 1
    hold(last == 0, "the inclusion proof has too few hashes")
    hold(found == root, "the inclusion proof does not lead to the checkpoint's root")


def verify_consistency(old: int, new: int, hashes: list[bytes], old_root: bytes, new_root: bytes) -> None:
    """Raises unless the tree of ``new`` leaves begins with that of ``old`` (RFC 9162 section 2.1.4.2)."""
    hold(0 < old < new, "a consistency proof leads from no smaller tree")
    path = [old_root, *hashes] if old & (old - 1) == 0 else hashes
    hold(bool(path), "the consistency proof has too few hashes")
    place, last = old - 1, new - 1
    while place & 1:
        place, last = place >> 1, last >> 1
    found_old = found_new = path[0]
    for sibling in path[1:]:
        hold(last > 0, "the consistency proof has too many hashes")
        if place & 1 or place == last:
            found_old, found_new = node(sibling, found_old), node(sibling, found_new)
            while place & 1 == 0 and place > 0:
                place, last = place >> 1, last >> 1
        else:
            found_new = node(found_new, sibling)
        place, last = place >> 1, last >> 1
    hold(last == 0, "the consistency proof has too few hashes")
    hold(
        found_old == old_root and found_new == new_root,
        "the consistency proof does not lead to the two roots",
    )


def decode64(text: Any, what: str, size: int | None = None) -> bytes:
    """Base64 in its one canonical spelling."""
    hold(isinstance(text, str), f"{what} is not a string")
    try:
        data = base64.b64decode(text, validate=True)
    except ValueError:
        raise ProofError(f"{what} is not base64") from None
    hold(base64.b64encode(data).decode() == text, f"{what} is not canonical base64")
    hold(size is None or len(data) == size, f"{what} is {len(data)} bytes long, not {size}")
    return data


def decimal(text: str, what: str) -> int:
    """A number from 0 to 2**63 - 1 as checkpoints and proofs write it."""
    hold(re.fullmatch(r"0|[1-9][0-9]{0,18}", text) is not None, f"{what} is not a decimal number")
    hold(int(text) <= MAX_SIZE, f"{what} is too large")
    return int(text)


class Key(NamedTuple):
    """A verifier key."""

    name: str
    id: bytes
    public: bytes


class Checkpoint(NamedTuple):
    """A checkpoint whose signature was verified; ``key`` is the name and id of the key."""

    origin: str
    size: int
    root: bytes
    extensions: tuple[str, ...]
    key: str


def parse_key(vkey: Any) -> Key:
    """The key in ``name+hash+base64``."""
    hold(isinstance(vkey, str) and is_text(vkey), "a verifier key is not a string")
    name, _, rest = vkey.partition("+")
    id, _, data = rest.partition("+")
    hold(name != "" and not any(map(str.isspace, vkey)), "a verifier key has the form name+hash+base64")
    typed = decode64(data, "the base64 of a verifier key", 33)
    hold(typed[0] == 1, f"the verifier key of {name!a} is not an Ed25519 key")
    own = sha256(name.encode() + b"\n" + typed).hexdigest()[:8]
    hold(id == own, f"the verifier key of {name!a} is damaged: its hash is {own}, not {id!a}")
    return Key(name, bytes.fromhex(own), typed[1:])


def is_text(text: str) -> bool:
    """Whether the text is UTF-8 with no control character but the newline."""
    return re.search(r"[\x00-\x09\x0b-\x1f\ud800-\udfff]", text) is None


def open_checkpoint(note: str, keys: list[Key]) -> Checkpoint:
    """The checkpoint in a signed note; raises unless one of the keys signed it, under its own origin."""
    hold(is_text(note), "the checkpoint is not text")
    head, blank, tail = note.rpartition("\n\n")
    hold(blank != "" and tail.endswith("\n"), "the checkpoint is not a signed note")
    text, known = head + "\n", {(key.name, key.id): key for key in keys}
    lines = head.split("\n")
    signed = None
    signatures = tail[:-1].split("\n")
    hold(len(signatures) <= MAX_SIGNATURES, f"the checkpoint has more than {MAX_SIGNATURES} signatures")
    for line in signatures:
        dash, _, rest = line.partition(" ")
        name, _, data = rest.partition(" ")
        hold(dash == "\N{EM DASH}" and name != "", "a line behind the checkpoint is not a signature")
        blob = decode64(data, "a signature of the checkpoint")
        key = known.get((name, blob[:4]))
        if key is None:
            continue  # a witness, or a key of another time
        hold(
            ed25519_verify(key.public, text.encode(), blob[4:]), f"the signature of {name!a} does not verify"
        )
        if name == lines[0]:
            signed = key
    if signed is None:
        raise ProofError(f"the checkpoint of {lines[0]!a} is not signed by the key you trust")
    hold(len(lines) >= 3 and "" not in lines, "the checkpoint is not origin, size and root hash")
    size = decimal(lines[1], "the checkpoint's size")
    root = decode64(lines[2], "the checkpoint's root hash", 32)
    return Checkpoint(lines[0], size, root, tuple(lines[3:]), f"{signed.name}+{signed.id.hex()}")


def parse_tlog_proof(text: Any) -> tuple[int, list[bytes], str]:
    """The index, inclusion hashes and signed checkpoint of a tlog-proof."""
    hold(isinstance(text, str), "the proof is not a string")
    head, _, note = text.partition("\n\n")
    lines = head.split("\n")
    hold(lines[0] == "c2sp.org/tlog-proof@v1", "the proof is not a c2sp.org/tlog-proof@v1")
    hold(len(lines) > 1 and lines[1].startswith("index "), "the proof does not start with an index")
    index = decimal(lines[1].removeprefix("index "), "the proof's index")
    return index, [decode64(line, "a hash of the inclusion proof", 32) for line in lines[2:]], note


# MessagePack: what a tag is, with the bytes of its count or the form of its number.
SIZED = {0xC4: ("bin", 1), 0xC5: ("bin", 2), 0xC6: ("bin", 4), 0xC7: ("ext", 1), 0xC8: ("ext", 2),
         0xC9: ("ext", 4), 0xD9: ("str", 1), 0xDA: ("str", 2), 0xDB: ("str", 4), 0xDC: ("array", 2),
         0xDD: ("array", 4), 0xDE: ("map", 2), 0xDF: ("map", 4)}  # fmt: skip
NUMBERS = {0xCA: ">f", 0xCB: ">d", 0xCC: ">B", 0xCD: ">H", 0xCE: ">I", 0xCF: ">Q",
           0xD0: ">b", 0xD1: ">h", 0xD2: ">i", 0xD3: ">q"}  # fmt: skip


class Unpacker:
    """A reader of MessagePack that makes JSON values; what JSON lacks becomes an object ``{"$…": …}``."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.at = 0

    def take(self, count: int) -> bytes:
        """The next ``count`` bytes."""
        taken = self.data[self.at : self.at + count]
        hold(len(taken) == count, "MessagePack ends too early")
        self.at += count
        return taken

    def value(self, depth: int = 0) -> Any:
        """The next value."""
        hold(depth < MAX_DEPTH, "MessagePack is nested too deeply")
        tag = self.take(1)[0]
        if tag < 0x80 or tag >= 0xE0:
            return tag if tag < 0x80 else tag - 0x100
        if tag < 0xC0:
            kind = "map" if tag < 0x90 else "array" if tag < 0xA0 else "str"
            return self.sized(kind, tag & (31 if kind == "str" else 15), depth)
        if tag in SIZED:
            kind, width = SIZED[tag]
            return self.sized(kind, int.from_bytes(self.take(width), "big"), depth)
        if tag in NUMBERS:
            form = NUMBERS[tag]
            number = struct.unpack(form, self.take(struct.calcsize(form)))[0]
            return number if math.isfinite(number) else {"$float": str(number)}
        if 0xD4 <= tag <= 0xD8:
            return self.sized("ext", 1 << tag - 0xD4, depth)
        hold(tag != 0xC1, "MessagePack has no type 0xc1")
        return {0xC0: None, 0xC2: False, 0xC3: True}[tag]

    def sized(self, kind: str, count: int, depth: int) -> Any:
        """A value of ``count`` bytes, items or pairs."""
        if kind == "str":
            return self.take(count).decode()
        if kind == "bin":
            return {"$bytes": self.take(count).hex()}
        if kind == "ext":
            return {"$ext": int.from_bytes(self.take(1), "big", signed=True), "data": self.take(count).hex()}
        if kind == "array":
            return [self.value(depth + 1) for _ in range(count)]
        pairs = [(self.value(depth + 1), self.value(depth + 1)) for _ in range(count)]
        plain = all(isinstance(key, str) and not key.startswith("$") for key, _ in pairs)
        if plain and len({key for key, _ in pairs}) == count:
            return dict(pairs)
        return {"$map": [list(pair) for pair in pairs]}


def decode_payload(payload: bytes) -> Any:
    """A payload for display: the values in it, or its bytes when it is not one MessagePack value."""
    reader = Unpacker(payload)
    try:
        value = reader.value()
        hold(reader.at == len(payload), "MessagePack goes on behind its value")
    except ValueError:  # UnicodeDecodeError among them: what was proven are the bytes
        return {"$bytes": payload.hex()}
    return value


def fields(value: Any, what: str, required: str, optional: str = "") -> dict[str, Any]:
    """The value, a JSON object with these fields and no other."""
    hold(isinstance(value, dict), f"{what} is not an object")
    missing = set(required.split()) - set(value)
    hold(not missing, f"{what} has no {', '.join(sorted(missing))}")
    unknown = [ascii(name)[:80] for name in value if name not in f"{required} {optional}".split()]
    hold(not unknown, f"{what} has the unknown field {', '.join(unknown[:1])}")
    found: dict[str, Any] = value
    return found


def items(value: Any, what: str) -> list[Any]:
    """The value, a JSON array."""
    hold(isinstance(value, list), f"{what} is not an array")
    found: list[Any] = value
    return found


def verify_bundle(bundle: dict[str, Any], vkeys: list[str]) -> list[dict[str, Any]]:
    """What a bundle proves under the verifier keys you trust: one JSON object for each entry, in log order.

    Raises :class:`ProofError` when anything in it does not hold; a bundle proves all of its entries or
    nothing.
    """
    keys = [parse_key(vkey) for vkey in vkeys]
    fields(bundle, "the bundle", "format entries vkey", "consistency")
    hold(bundle["format"] == FORMAT, f"the bundle's format is not {FORMAT}")
    hold(parse_key(bundle["vkey"]) in keys, "the bundle names another verifier key than the one you trust")
    entries = items(bundle["entries"], "the bundle's list of entries")
    hold(bool(entries), "the bundle has no entries")
    opened: dict[str, Checkpoint] = {}
    found: list[dict[str, Any]] = []
    for place, entry in enumerate(entries):
        try:
            found.append(verify_entry(entry, keys, opened))
        except ProofError as error:
            raise ProofError(f"entry {place + 1} of the bundle: {error}") from None
    order = [entry["index"] for entry in found]
    hold(order == sorted(set(order)), "the bundle's entries are not in the order of the log")
    links = verify_checkpoints(list(opened.values()), items(bundle.get("consistency", []), "consistency"))
    for entry in found:
        entry["checkpoint"]["linked"] = entry["checkpoint"]["size"] in links
    return found


def verify_entry(entry: Any, keys: list[Key], opened: dict[str, Checkpoint]) -> dict[str, Any]:
    """What one entry proves; ``opened`` remembers the notes whose signatures were verified."""
    fields(entry, "it", "header payload salt proof")
    header = decode64(entry["header"], "the header", HEADER.size)
    version, flags, kind, seq, time, command, length, digest = HEADER.unpack(header)
    hold(version == 1, f"the header has version {version}; this program reads version 1")
    index, hashes, note = parse_tlog_proof(entry["proof"])
    hold(seq == index, f"the header is of entry {seq}, the proof of entry {index}")
    known = entry["payload"] is not None
    hold(known == (entry["salt"] is not None), "payload and salt come together or not at all")
    payload = decode64(entry["payload"], "the payload") if known else b""
    if known:
        salt = decode64(entry["salt"], "the salt", 16)
        hold(len(payload) == length, f"the payload has {len(payload)} bytes, the header says {length}")
        hold(sha256(salt + payload).digest() == digest, "the payload does not have the digest in the header")
    checkpoint = opened.get(note)
    if checkpoint is None:
        checkpoint = opened[note] = open_checkpoint(note, keys)
    verify_inclusion(sha256(b"\x00" + header).digest(), index, checkpoint.size, hashes, checkpoint.root)
    return {
        "index": index,
        "time": time,
        "time_utc": utc(time),
        "kind": kind,
        "flags": flags,
        "command_id": command.hex(),
        "payload_length": length,
        "payload_known": known,
        "payload": decode_payload(payload) if known else None,
        "checkpoint": {
            "origin": checkpoint.origin,
            "size": checkpoint.size,
            "root": checkpoint.root.hex(),
            "extensions": list(checkpoint.extensions),
            "key": checkpoint.key,
        },
    }


def verify_checkpoints(checkpoints: list[Checkpoint], proofs: list[Any]) -> set[int]:
    """Raises when the checkpoints contradict each other; returns the sizes linked to the largest of them."""
    roots: dict[int, bytes] = {}
    for checkpoint in checkpoints:
        hold(checkpoint.origin == checkpoints[0].origin, "the bundle's checkpoints are of different logs")
        root = roots.setdefault(checkpoint.size, checkpoint.root)
        hold(root == checkpoint.root, f"the log signed two different trees of {checkpoint.size} entries")
    newer: dict[int, list[int]] = {}
    for proof in proofs:
        fields(proof, "a consistency proof", "old_size new_size old_root hashes")
        old, new = proof["old_size"], proof["new_size"]
        hold(type(old) is int and type(new) is int, "a consistency proof's sizes are not whole numbers")
        hold(new in roots, "a consistency proof leads to a size of which there is no checkpoint")
        old_root = decode64(proof["old_root"], "the old root of a consistency proof", 32)
        hold(
            roots.get(old, old_root) == old_root,
            "the old root of a consistency proof is not the checkpoint's",
        )
        listed = items(proof["hashes"], "the list of hashes of a consistency proof")
        hashes = [decode64(each, "a hash of a consistency proof", 32) for each in listed]
        verify_consistency(old, new, hashes, old_root, roots[new])
        newer.setdefault(new, []).append(old)
    linked, queue = set(), [max(roots)]
    while queue:
        size = queue.pop()
        if size not in linked:
            linked.add(size)
            queue += newer.get(size, [])
    return linked


def utc(time: int) -> str | None:
    """Microseconds since 1970 as ISO 8601; None outside the years 1 to 9999."""
    try:
        moment = EPOCH + timedelta(microseconds=time)
    except OverflowError:
        return None
    return moment.isoformat(timespec="microseconds").replace("+00:00", "Z")


def read_bundle(path: str) -> Any:
    """The JSON in a file, ``-`` for standard input; repeated fields, NaN and too deep nesting are refused."""
    with sys.stdin.buffer if path == "-" else Path(path).open("rb") as file:
        data = file.read(MAX_FILE + 1)
    hold(len(data) <= MAX_FILE, f"the file is larger than {MAX_FILE} bytes")

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        hold(len(dict(pairs)) == len(pairs), "a field is given twice")
        return dict(pairs)

    def refuse(name: str) -> NoReturn:
        raise ProofError(f"{name} is not JSON")

    try:
        return json.loads(data.decode(), object_pairs_hook=unique, parse_constant=refuse)
    except ProofError:
        raise
    except RecursionError:
        raise ProofError("the file is nested too deeply") from None
    except ValueError as error:
        raise ProofError(f"the file is not JSON: {error}") from None


def report(found: list[dict[str, Any]]) -> str:
    """What was proven, for people; ASCII only, so that no text in a log can play tricks on a terminal."""
    lines = []
    for entry in found:
        lines += [
            f"entry {entry['index']}: proven",
            f"  time     {entry['time_utc'] or entry['time']}",
            f"  kind     {entry['kind']}",
            f"  command  {entry['command_id']}",
        ]
        if entry["payload_known"]:
            lines.append(f"  payload  {json.dumps(entry['payload'])}")
        else:
            lines.append(f"  payload  withheld or erased; it had {entry['payload_length']} bytes")
    checkpoints = {entry["checkpoint"]["size"]: entry["checkpoint"] for entry in found}
    for size, checkpoint in sorted(checkpoints.items()):
        lines.append(f"checkpoint of {size} entries: signed by {checkpoint['key']!a}")
        lines += [f"  root     {checkpoint['root']}", *readable(checkpoint["extensions"])]
        if not checkpoint["linked"]:
            lines.append("  not shown to be of one history with the largest checkpoint")
    lines.append(
        f"entries proven: {len(found)}. Not shown: that these are all the entries that matter to you."
    )
    return "\n".join(lines)


def readable(extensions: list[str]) -> list[str]:
    """The extension lines of a checkpoint for :func:`report`, its time readable."""
    shown = []
    for line in extensions:
        name, _, value = line.partition(" ")
        told = utc(int(value)) if name == "time" and re.fullmatch(r"[0-9]{1,19}", value) else None
        shown.append(f"  time     {told}" if told else f"  {line!a}")
    return shown


def read_keys(arguments: argparse.Namespace, parser: argparse.ArgumentParser) -> list[str]:
    """The verifier keys from the command line; leaves with status 2 when one is damaged."""
    vkeys = list(arguments.key)
    try:
        for path in arguments.key_file:
            with Path(path).open(encoding="utf-8") as file:
                lines = [line.strip() for line in file.read(MAX_FILE).split("\n")]
            vkeys += [line for line in lines if line and not line.startswith("#")]
        for vkey in vkeys:
            parse_key(vkey)
    except (OSError, ValueError) as error:
        parser.error(ascii(f"the verifier key cannot be used: {error}")[1:-1])
    if bool(vkeys) == arguments.trust_bundle_key:
        parser.error("give the verifier key you trust: --key, --key-file, or --trust-bundle-key and no other")
    return vkeys


def main(argv: list[str] | None = None) -> int:
    """The command line; returns the exit status."""
    parser = argparse.ArgumentParser(description="Verifies a runstone proof bundle offline.")
    parser.add_argument("proof", help="the bundle; - reads standard input")
    parser.add_argument("--key", action="append", default=[], metavar="VKEY", help="a verifier key")
    parser.add_argument("--key-file", action="append", default=[], metavar="FILE", help="keys, one a line")
    parser.add_argument("--trust-bundle-key", action="store_true", help="take the key from the bundle itself")
    parser.add_argument("--json", action="store_true", help="print what was proven as JSON")
    arguments = parser.parse_args(argv)
    vkeys = read_keys(arguments, parser)
    try:
        bundle = read_bundle(arguments.proof)
        if arguments.trust_bundle_key:
            vkeys = [fields(bundle, "the bundle", "format entries vkey", "consistency")["vkey"]]
            print(SELF_SIGNED.format(parse_key(vkeys[0]).name), file=sys.stderr)
        found = verify_bundle(bundle, vkeys)
        print(json.dumps(found, indent=2) if arguments.json else report(found), flush=True)
    except ProofError as error:
        print(f"NOT PROVEN: {error}", file=sys.stderr)
    except MemoryError:
        print("NOT PROVEN: there is not enough memory to read the bundle", file=sys.stderr)
    except BrokenPipeError:  # the reader of our output left; keep Python from complaining at exit
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    except OSError as error:
        parser.error(ascii(f"the bundle cannot be read: {error}")[1:-1])
    else:
        return 0
    return 1


if __name__ == "__main__":
    sys.exit(main())
