from __future__ import annotations

import ast
import base64
import copy
import functools
import json
import os
import random
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from operator import setitem
from pathlib import Path
from typing import Any

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given, settings
from hypothesis import strategies as st

from runstone import verifier
from runstone.errors import Corrupt
from runstone.storage import merkle
from runstone.storage.checkpoint import Checkpoint, Signer, encode, extensions
from runstone.storage.entry import HEADER, Header, payload_digest
from runstone.storage.proof import Consistency, Proven, bundle, tlog_proof

ORIGIN = "runs.example/log"
SIGNER = Signer(ORIGIN, b"k" * 32)
KEY_NAME = "+".join(SIGNER.vkey.split("+")[:2])
PAYLOAD = msgspec.msgpack.encode({"alias": "prod", "version": 7, "note": "caf\u00e9\u001b[2J"})

# RFC 8032 section 7.1: public key, message, signature.
RFC_8032 = [
    (
        "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
        "",
        "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46b"
        "d25bf5f0595bbe24655141438e7a100b",
    ),
    (
        "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
        "72",
        "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d8c"
        "387b2eaeb4302aeeb00d291612bb0c00",
    ),
    (
        "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025",
        "af82",
        "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac18ff9b538d16f290ae67f760984dc659"
        "4a7c15e9716ed28dc027beceea1ec40a",
    ),
]


class Log:
    """A small change log in memory, real but for its storage."""

    def __init__(self, signer: Signer = SIGNER, salt: bytes = b"s" * 16) -> None:
        self.signer, self.salt = signer, salt
        self.tiles: dict[tuple[int, int], bytes] = {}
        self.headers: list[bytes] = []
        self.payloads: list[bytes] = []

    def tile(self, level: int, index: int) -> bytes:
        return self.tiles.get((level, index), b"")

    def append(self, payload: bytes, **lie: int) -> None:
        place = len(self.headers)
        digest = payload_digest(self.salt, payload)
        header = Header(1, 0, 7, place, 1_700_000_000_000_000, b"c" * 16, len(payload), digest)
        self.headers.append(HEADER.pack(*header._replace(**lie)))
        self.payloads.append(payload)
        tiles, _ = merkle.append(self, place, [merkle.leaf_hash(self.headers[-1])])
        self.tiles.update(tiles)

    def note(self, size: int, origin: str = ORIGIN, root: bytes | None = None) -> bytes:
        root = merkle.root(self, size) if root is None else root
        return self.signer.sign_text(
            encode(Checkpoint(origin, size, root, extensions(42_000_000, bytes(32))))
        )

    def proven(self, index: int, size: int, note: bytes | None = None, withheld: bool = False) -> Proven:
        note = self.note(size) if note is None else note
        proof = tlog_proof(index, merkle.inclusion_proof(self, index, size), note)
        if withheld:
            return Proven(self.headers[index], None, None, proof)
        return Proven(self.headers[index], self.payloads[index], self.salt, proof)

    def link(self, old: int, new: int) -> Consistency:
        return Consistency(old, new, merkle.root(self, old), merkle.consistency_proof(self, old, new))


@pytest.fixture(scope="module")
def log() -> Log:
    made = Log()
    for place in range(11):
        made.append(PAYLOAD if place == 2 else msgspec.msgpack.encode({"alias": "prod", "version": place}))
    return made


@pytest.fixture(scope="module")
def history(log: Log) -> dict[str, Any]:
    """Two entries under two checkpoints that are linked, the older of them also to an earlier one."""
    entries = [log.proven(2, 6), log.proven(8, 11)]
    return bundle(entries, SIGNER.vkey, [log.link(6, 11), log.link(3, 6)])


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The verifier, copied to where nothing of ours is."""
    return Path(shutil.copy(str(verifier.__file__), tmp_path_factory.mktemp("alone") / "verifier.py"))


@pytest.fixture
def run(alone: Path, tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Runs the copy on a bundle (JSON values, bytes, or the path of a file) without site packages."""

    def start(proof: Any, *arguments: str, stdin: bytes = b"") -> subprocess.CompletedProcess[str]:
        path = tmp_path / "bundle.json"
        if isinstance(proof, (dict, bytes)):
            path.write_bytes(proof if isinstance(proof, bytes) else json.dumps(proof).encode())
            proof = str(path)
        found = subprocess.run(
            [sys.executable, "-I", "-S", str(alone), proof, *arguments],
            input=stdin,
            capture_output=True,
            check=False,
            cwd=tmp_path,
        )
        assert b"Traceback" not in found.stderr
        return subprocess.CompletedProcess(
            found.args, found.returncode, found.stdout.decode("ascii"), found.stderr.decode("ascii")
        )

    return start


Run = Callable[..., subprocess.CompletedProcess[str]]


def is_refused(proof: Any, vkeys: list[str] | None = None) -> bool:
    """Whether the bundle is refused, and for a reason it gives; any other exception fails the test."""
    try:
        verifier.verify_bundle(proof, [SIGNER.vkey] if vkeys is None else vkeys)
    except verifier.ProofError as error:
        assert str(error)
        assert "\n" not in str(error)
        return True
    return False


def test_the_verifier_imports_the_standard_library_only():
    tree = ast.parse(Path(str(verifier.__file__)).read_text())
    names = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    names |= {str(node.module) for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert len(names) > 5
    assert names <= sys.stdlib_module_names


def test_a_history_is_proven(run: Run, history: dict[str, Any]):
    found = run(history, "--key", SIGNER.vkey)
    assert (found.returncode, found.stderr) == (0, "")
    for line in (
        "entry 2: proven",
        "entry 8: proven",
        "  time     2023-11-14T22:13:20.000000Z",
        "  kind     7",
        '  payload  {"alias": "prod", "version": 7, "note": "caf\\u00e9\\u001b[2J"}',
        f"checkpoint of 6 entries: signed by '{KEY_NAME}'",
        "  time     1970-01-01T00:00:42.000000Z",
        "entries proven: 2. Not shown: that these are all the entries that matter to you.",
    ):
        assert line in found.stdout.splitlines()
    assert "not shown to be of one history" not in found.stdout


def test_what_is_proven_as_json(run: Run, history: dict[str, Any], log: Log):
    found = run(history, "--key", SIGNER.vkey, "--json")
    assert found.returncode == 0
    entries = json.loads(found.stdout)
    assert entries == verifier.verify_bundle(history, [SIGNER.vkey])
    assert entries[1] == {
        "index": 8,
        "time": 1_700_000_000_000_000,
        "time_utc": "2023-11-14T22:13:20.000000Z",
        "kind": 7,
        "flags": 0,
        "command_id": "63" * 16,
        "payload_length": len(log.payloads[8]),
        "payload_known": True,
        "payload": {"alias": "prod", "version": 8},
        "checkpoint": {
            "origin": ORIGIN,
            "size": 11,
            "root": merkle.root(log, 11).hex(),
            "extensions": ["time 42000000", "state " + base64.b64encode(bytes(32)).decode()],
            "key": KEY_NAME,
            "linked": True,
        },
    }


def test_every_entry_of_every_tree_size_is_proven(log: Log):
    for size in range(1, 12):
        note = log.note(size)
        made = bundle([log.proven(index, size, note) for index in range(size)], SIGNER.vkey)
        assert [each["index"] for each in verifier.verify_bundle(made, [SIGNER.vkey])] == list(range(size))


def test_an_erased_payload_leaves_the_entry_provable(run: Run, log: Log):
    made = bundle([log.proven(4, 11, withheld=True)], SIGNER.vkey)
    found = run(made, "--key", SIGNER.vkey)
    assert found.returncode == 0
    assert f"  payload  withheld or erased; it had {len(log.payloads[4])} bytes" in found.stdout.splitlines()


def test_checkpoints_without_a_consistency_proof_are_pointed_out(run: Run, history: dict[str, Any], log: Log):
    unlinked = {key: value for key, value in history.items() if key != "consistency"}
    found = run(unlinked, "--key", SIGNER.vkey)
    assert found.returncode == 0
    assert found.stdout.count("not shown to be of one history with the largest checkpoint") == 1
    by_way = bundle([log.proven(0, 2), log.proven(1, 5), log.proven(2, 9)], SIGNER.vkey)
    by_way["consistency"] = bundle([], "", [log.link(2, 5), log.link(5, 9)])["consistency"]
    assert all(each["checkpoint"]["linked"] for each in verifier.verify_bundle(by_way, [SIGNER.vkey]))


def test_the_key_comes_from_the_user(run: Run, history: dict[str, Any], tmp_path: Path):
    other = Signer(ORIGIN, b"o" * 32).vkey
    keys = tmp_path / "keys"
    keys.write_text(f"# keys I trust\n\n{other}\n{SIGNER.vkey}\n")
    assert run(history, "--key-file", str(keys)).returncode == 0
    assert run(history, "--key", other, "--key", SIGNER.vkey).returncode == 0
    assert run("-", "--key", SIGNER.vkey, stdin=json.dumps(history).encode()).returncode == 0
    found = run(history, "--key", other)
    assert (found.returncode, found.stdout) == (1, "")
    assert found.stderr == "NOT PROVEN: the bundle names another verifier key than the one you trust\n"


def test_the_bundles_own_key_is_only_used_when_asked_for_and_loudly(run: Run, history: dict[str, Any]):
    found = run(history, "--trust-bundle-key")
    assert found.returncode == 0
    assert found.stderr.count("WARNING") == 2
    assert "not who made it" in found.stderr
    forged = Log(Signer(ORIGIN, b"f" * 32))
    forged.append(b"\x01")
    made = bundle([forged.proven(0, 1)], forged.signer.vkey)
    assert run(made, "--trust-bundle-key").returncode == 0
    assert run(made, "--key", SIGNER.vkey).returncode == 1
    assert run(made | {"vkey": SIGNER.vkey}, "--key", SIGNER.vkey).returncode == 1
    for vkey in (None, 5, "", "a+b", ["x"]):
        assert run(made | {"vkey": vkey}, "--trust-bundle-key").returncode == 1


def test_usage_errors(run: Run, history: dict[str, Any], tmp_path: Path):
    for arguments in (
        (),
        ("--key", "nonsense"),
        ("--key", SIGNER.vkey[:-1]),
        ("--key", SIGNER.vkey.replace("runs", "ru\u00efns")),
        ("--key-file", str(tmp_path / "absent")),
        ("--key-file", str(tmp_path)),
        ("--key", SIGNER.vkey, "--trust-bundle-key"),
        ("--key", SIGNER.vkey, "--unknown"),
    ):
        found = run(history, *arguments)
        assert (found.returncode, found.stdout) == (2, "")
        assert "error: " in found.stderr.splitlines()[-1]
    for path in (tmp_path / "absent", tmp_path):
        assert run(str(path), "--key", SIGNER.vkey).returncode == 2


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xff\xfe",
        b"null",
        b"[]",
        b'"runstone-proof/1"',
        b"{",
        b"{}",
        b"[" * 200_000,
        b'{"a":' * 200_000,
        b"[" * 900 + b"]" * 900,
        b'{"format": ' + b"9" * 10_000 + b"}",
        b'{"format": NaN}',
        b'{"format": "runstone-proof/1", "format": "runstone-proof/1"}',
        b'{"\\ud800": 1}',
        b'{"format": "\\ud800", "entries": [], "vkey": "\\ud800"}',
        b'{"format": "runstone-proof/2", "entries": [], "vkey": ""}',
        b"\x00" * 1000,
    ],
    ids=range(17),
)
def test_hostile_files_are_one_clear_line(run: Run, data: bytes):
    for arguments in (("--key", SIGNER.vkey), ("--trust-bundle-key",)):
        found = run(data, *arguments)
        assert (found.returncode, found.stdout) == (1, "")
        assert found.stderr.startswith("NOT PROVEN: ")
        assert len(found.stderr.splitlines()) == 1
        assert len(found.stderr) < 300


def test_json_that_readers_take_differently_is_refused(run: Run, history: dict[str, Any]):
    text = json.dumps(history)
    twice = text.replace("{", f'{{"vkey": "{ORIGIN}", ', 1)
    assert json.loads(twice) == history, "others would take the last"
    assert run(twice.encode(), "--key", SIGNER.vkey).stderr == "NOT PROVEN: a field is given twice\n"
    for name in ("NaN", "Infinity", "-Infinity"):
        found = run(text.replace("null", name).replace("11", name).encode(), "--key", SIGNER.vkey)
        assert found.stderr == f"NOT PROVEN: {name} is not JSON\n"


def test_a_file_over_the_limit_is_refused(run: Run, tmp_path: Path):
    path = tmp_path / "huge"
    with path.open("wb") as file:
        os.truncate(file.fileno(), verifier.MAX_FILE + 1)
    assert (
        run(str(path), "--key", SIGNER.vkey).stderr == "NOT PROVEN: the file is larger than 134217728 bytes\n"
    )


def test_a_reader_that_leaves_is_no_traceback(alone: Path, history: dict[str, Any], tmp_path: Path):
    path = tmp_path / "bundle.json"
    path.write_text(json.dumps(history))
    reading, writing = os.pipe()
    os.close(reading)
    command = [sys.executable, "-I", "-S", str(alone), str(path), "--key", SIGNER.vkey]
    found = subprocess.run(command, stdout=writing, stderr=subprocess.PIPE, check=False)
    os.close(writing)
    assert (found.returncode, found.stderr) == (1, b"")


@pytest.fixture
def cached_signatures(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each signature is still verified, but once: most changes leave most signatures as they are."""
    monkeypatch.setattr(verifier, "ed25519_verify", functools.cache(verifier.ed25519_verify))


@pytest.mark.usefixtures("cached_signatures")
def test_every_byte_of_a_bundle_counts(history: dict[str, Any], tmp_path: Path):
    """Compact JSON, so that no byte is mere spacing; of every byte two bits are flipped, and it is exchanged."""
    data, chance = json.dumps(history, separators=(",", ":")).encode(), random.Random(1)
    path = tmp_path / "bundle.json"
    tried = refused = 0
    for place, byte in enumerate(data):
        others = {byte ^ 1 << bit for bit in chance.sample(range(8), 2)} | {
            chance.choice(b"AZaz09+/=\n \"'[]{},:\\")
        }
        for other in others - {byte}:
            tried += 1
            path.write_bytes(data[:place] + bytes([other]) + data[place + 1 :])
            try:
                verifier.verify_bundle(verifier.read_bundle(str(path)), [SIGNER.vkey])
            except verifier.ProofError:
                refused += 1
    assert tried > 2 * len(data) > 3900
    assert refused == tried


DEEP = functools.reduce(lambda inner, _: [inner], range(500), [])
VALUES: list[Any] = [
    None, True, 0, -1, 1, 7, 1.5, 2**63, 2**64, -(10**400), "", "A", "AAAA", "AAA=", "x" * 10_000,
    "\u2014", "\ud800", "0", [], {}, [[]], [{}], ["AAAA"], {"a": 1}, DEEP,
]  # fmt: skip


def places(value: Any, where: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The path of every field and item in JSON values."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, each in inner:
        yield (*where, key)
        yield from places(each, (*where, key))


@pytest.mark.usefixtures("cached_signatures")
def test_every_field_of_a_bundle_counts(history: dict[str, Any]):
    """Each field gets a value of every kind, is taken away, and gets a neighbour that nobody knows."""

    def changed(where: tuple[Any, ...], change: Callable[[Any, Any], None]) -> bool:
        made = copy.deepcopy(history)
        change(functools.reduce(lambda held, key: held[key], where[:-1], made), where[-1])
        assert made != history
        return is_refused(made)

    verdicts = []
    for where in places(history):
        optional = where == ("consistency",)
        for value in VALUES:
            if not (optional and value == []):
                verdicts.append(changed(where, lambda inside, key, value=value: setitem(inside, key, value)))
        if isinstance(where[-1], str):
            verdicts.append(changed(where, lambda inside, key: inside.update({f"{key}2": 1})))
            if not optional:
                verdicts.append(changed(where, lambda inside, key: inside.pop(key)))
    assert len(verdicts) > 600
    assert all(verdicts)
    assert all(is_refused(value) for value in VALUES)


def test_every_base64_character_and_every_bit_of_the_decoded_fields_counts(log: Log):
    made = bundle([log.proven(4, 11)], SIGNER.vkey)
    tried = refused = 0
    for field in ("header", "payload", "salt"):
        data = base64.b64decode(made["entries"][0][field])
        for bit in range(8 * len(data)):
            changed = copy.deepcopy(made)
            other = bytearray(data)
            other[bit // 8] ^= 1 << bit % 8
            changed["entries"][0][field] = base64.b64encode(other).decode()
            tried += 1
            refused += is_refused(changed)
    assert tried > 8 * (72 + 16)
    assert refused == tried


def swapped_proofs(log: Log) -> dict[str, Any]:
    first, second = log.proven(2, 11), log.proven(8, 11)
    return bundle([first._replace(proof=second.proof), second], SIGNER.vkey)


def payload_of_another(log: Log) -> dict[str, Any]:
    return bundle([log.proven(3, 11)._replace(payload=log.payloads[4])], SIGNER.vkey)


def salt_moved_into_payload(log: Log) -> dict[str, Any]:
    entry = log.proven(3, 11)
    assert entry.payload is not None
    return bundle([entry._replace(salt=log.salt[:15], payload=log.salt[15:] + entry.payload)], SIGNER.vkey)


def payload_without_salt(log: Log) -> dict[str, Any]:
    return bundle([log.proven(3, 11)._replace(salt=None)], SIGNER.vkey)


def salt_without_payload(log: Log) -> dict[str, Any]:
    return bundle([log.proven(3, 11)._replace(payload=None)], SIGNER.vkey)


def entries_out_of_order(log: Log) -> dict[str, Any]:
    return bundle([log.proven(8, 11), log.proven(2, 11)], SIGNER.vkey)


def entry_given_twice(log: Log) -> dict[str, Any]:
    return bundle([log.proven(8, 11), log.proven(8, 11)], SIGNER.vkey)


def no_entries(log: Log) -> dict[str, Any]:
    return bundle([], SIGNER.vkey)


def checkpoint_of_another_tree(log: Log) -> dict[str, Any]:
    return bundle([log.proven(3, 11, log.note(10))], SIGNER.vkey)


def two_trees_of_one_size(log: Log) -> dict[str, Any]:
    fork = Log(salt=b"t" * 16)
    for payload in log.payloads:
        fork.append(payload)
    return bundle([log.proven(3, 11), fork.proven(4, 11)], SIGNER.vkey)


def forked_history(log: Log) -> dict[str, Any]:
    fork = Log(salt=b"t" * 16)
    for payload in [*log.payloads, b"\x01"]:
        fork.append(payload)
    made = bundle([log.proven(3, 11), fork.proven(11, 12)], SIGNER.vkey)
    assert not is_refused(made), "each for itself they hold: the log signed both"
    link = fork.link(11, 12)._replace(old_root=merkle.root(log, 11))
    return made | {"consistency": bundle([], "", [link])["consistency"]}


def forked_history_with_a_link_of_its_own(log: Log) -> dict[str, Any]:
    fork = Log(salt=b"t" * 16)
    for payload in [*log.payloads, b"\x01"]:
        fork.append(payload)
    return bundle([log.proven(3, 11), fork.proven(11, 12)], SIGNER.vkey, [fork.link(11, 12)])


def link_to_a_checkpoint_that_is_not_there(log: Log) -> dict[str, Any]:
    return bundle([log.proven(3, 11)], SIGNER.vkey, [log.link(3, 7)])


def header_with_another_index(log: Log) -> dict[str, Any]:
    lying = Log()
    lying.append(b"\x01", seq=5)
    return bundle([lying.proven(0, 1)], SIGNER.vkey)


def header_of_another_version(log: Log) -> dict[str, Any]:
    newer = Log()
    newer.append(b"\x01", version=2)
    return bundle([newer.proven(0, 1)], SIGNER.vkey)


def header_with_another_length(log: Log) -> dict[str, Any]:
    lying = Log()
    lying.append(b"\x01", length=2)
    return bundle([lying.proven(0, 1)], SIGNER.vkey)


def checkpoint_of_another_log(log: Log) -> dict[str, Any]:
    return bundle([log.proven(3, 11, log.note(11, origin="other.example"))], SIGNER.vkey)


def checkpoint_with_a_control_character(log: Log) -> dict[str, Any]:
    text = log.note(11).rpartition(b"\n\n")[0] + b"\n\x1b[2J\n"
    private = Ed25519PrivateKey.from_private_bytes(b"k" * 32)
    signature = base64.b64encode(bytes.fromhex(KEY_NAME[-8:]) + private.sign(text))
    return bundle([log.proven(3, 11, text + f"\n\u2014 {ORIGIN} ".encode() + signature + b"\n")], SIGNER.vkey)


def checkpoint_that_is_not_unicode(log: Log) -> dict[str, Any]:
    entry = log.proven(3, 11)
    return bundle([entry._replace(proof=entry.proof.replace("time", "\ud800"))], SIGNER.vkey)


def unsigned_checkpoint(log: Log) -> dict[str, Any]:
    note = log.note(11).rpartition(b"\n\n")[0] + b"\n\n"
    return bundle([log.proven(3, 11, note)], SIGNER.vkey)


def signature_of_another_text(log: Log) -> dict[str, Any]:
    signature = log.note(10).rpartition(b"\n\n")[2]
    return bundle([log.proven(3, 11, log.note(11).rpartition(b"\n\n")[0] + b"\n\n" + signature)], SIGNER.vkey)


def too_many_signatures(log: Log) -> dict[str, Any]:
    head, _, signature = log.note(11).rpartition(b"\n\n")
    return bundle([log.proven(3, 11, head + b"\n\n" + signature * 65)], SIGNER.vkey)


def proof_with_extra_data(log: Log) -> dict[str, Any]:
    entry = log.proven(3, 11)
    return bundle([entry._replace(proof=entry.proof.replace("index", "extra AAAA\nindex"))], SIGNER.vkey)


def index_with_leading_zero(log: Log) -> dict[str, Any]:
    entry = log.proven(3, 11)
    return bundle([entry._replace(proof=entry.proof.replace("index ", "index 0"))], SIGNER.vkey)


def proof_of_ten_thousand_hashes(log: Log) -> dict[str, Any]:
    proof = tlog_proof(3, [bytes(32)] * 10_000, log.note(11))
    return bundle([log.proven(3, 11)._replace(proof=proof)], SIGNER.vkey)


@pytest.mark.parametrize(
    ("forge", "reason"),
    [
        (swapped_proofs, "the header is of entry 2, the proof of entry 8"),
        (payload_of_another, "the payload does not have the digest in the header"),
        (salt_moved_into_payload, "the salt is 15 bytes long, not 16"),
        (payload_without_salt, "payload and salt come together or not at all"),
        (salt_without_payload, "payload and salt come together or not at all"),
        (entries_out_of_order, "not in the order of the log"),
        (entry_given_twice, "not in the order of the log"),
        (no_entries, "no entries"),
        (checkpoint_of_another_tree, "entry 1 of the bundle: the inclusion proof"),
        (two_trees_of_one_size, "the log signed two different trees of 11 entries"),
        (forked_history, "does not lead to the two roots"),
        (
            forked_history_with_a_link_of_its_own,
            "the old root of a consistency proof is not the checkpoint's",
        ),
        (link_to_a_checkpoint_that_is_not_there, "of which there is no checkpoint"),
        (header_with_another_index, "the header is of entry 5, the proof of entry 0"),
        (header_of_another_version, "the header has version 2"),
        (header_with_another_length, "the payload has 1 bytes, the header says 2"),
        (checkpoint_of_another_log, "'other.example' is not signed by the key you trust"),
        (checkpoint_with_a_control_character, "the checkpoint is not text"),
        (checkpoint_that_is_not_unicode, "the checkpoint is not text"),
        (unsigned_checkpoint, "the checkpoint is not a signed note"),
        (signature_of_another_text, "does not verify"),
        (too_many_signatures, "more than 64 signatures"),
        (proof_with_extra_data, "does not start with an index"),
        (index_with_leading_zero, "not a decimal number"),
        (proof_of_ten_thousand_hashes, "too many hashes"),
    ],
)
def test_forgeries_are_refused_for_their_reason(
    run: Run, log: Log, forge: Callable[[Log], dict[str, Any]], reason: str
):
    found = run(forge(log), "--key", SIGNER.vkey)
    assert (found.returncode, found.stdout) == (1, "")
    assert found.stderr.startswith("NOT PROVEN: ")
    assert reason in found.stderr
    assert len(found.stderr.splitlines()) == 1


def test_one_bundle_is_of_one_log(log: Log):
    other = Log(Signer("other.example", b"o" * 32))
    for payload in log.payloads:
        other.append(payload)
    made = bundle([log.proven(3, 11), other.proven(4, 10, other.note(10, "other.example"))], SIGNER.vkey)
    with pytest.raises(verifier.ProofError, match="of different logs"):
        verifier.verify_bundle(made, [SIGNER.vkey, other.signer.vkey])


def test_witness_signatures_are_passed_over(log: Log):
    witness = f"\u2014 witness.example {base64.b64encode(b'wxyz' + bytes(72)).decode()}\n".encode()
    made = bundle([log.proven(3, 11, log.note(11) + witness)], SIGNER.vkey)
    assert len(verifier.verify_bundle(made, [SIGNER.vkey])) == 1


def test_a_time_outside_the_calendar_is_shown_as_a_number(run: Run):
    far = Log()
    far.append(b"\xc0", time=2**63 - 1)
    found = run(bundle([far.proven(0, 1)], SIGNER.vkey), "--key", SIGNER.vkey)
    assert found.returncode == 0
    assert "  time     9223372036854775807" in found.stdout.splitlines()


@pytest.mark.parametrize(("public", "message", "signature"), RFC_8032)
def test_ed25519_vectors_of_rfc_8032(public: str, message: str, signature: str):
    key, text, signed = bytes.fromhex(public), bytes.fromhex(message), bytes.fromhex(signature)
    assert verifier.ed25519_verify(key, text, signed)
    assert not verifier.ed25519_verify(key, text + b"x", signed)


@given(st.binary(min_size=32, max_size=32), st.binary(max_size=100), st.integers(0, 767))
@settings(max_examples=40, deadline=None)
def test_ed25519_agrees_with_cryptography(seed: bytes, message: bytes, bit: int):
    private = Ed25519PrivateKey.from_private_bytes(seed)
    public, signature = private.public_key().public_bytes_raw(), private.sign(message)
    assert verifier.ed25519_verify(public, message, signature)
    changed = bytearray(public + signature)
    changed[bit // 8] ^= 1 << bit % 8
    assert not verifier.ed25519_verify(bytes(changed[:32]), message, bytes(changed[32:]))


def test_ed25519_refuses_second_spellings():
    public, message, signature = (bytes.fromhex(text) for text in RFC_8032[1])
    s = int.from_bytes(signature[32:], "little")
    assert not verifier.ed25519_verify(
        public, message, signature[:32] + (s + verifier.ORDER).to_bytes(32, "little")
    )
    assert not verifier.ed25519_verify(public, message, signature[:-1])
    assert not verifier.ed25519_verify(public, message, signature + b"\0")
    assert not verifier.ed25519_verify(public[:-1], message, signature)
    for y in (verifier.PRIME, verifier.PRIME + 1, 2**255 - 1):  # not reduced
        assert verifier.point_decode(y.to_bytes(32, "little")) is None
    assert verifier.point_decode((1 | 1 << 255).to_bytes(32, "little")) is None  # minus zero
    assert verifier.point_decode((1).to_bytes(32, "little")) == verifier.NEUTRAL
    assert verifier.point_encode(verifier.BASE) == b"\x58" + b"\x66" * 31


@given(st.integers(1, 300), st.data())
@settings(max_examples=60, deadline=None)
def test_the_tree_is_verified_as_the_engine_does(size: int, data: st.DataObject):
    """The two implementations accept and refuse the same proofs, good and damaged."""
    log = Log()
    leaves = [merkle.leaf_hash(b"%d" % place) for place in range(size)]
    log.tiles, root = merkle.append(log, 0, leaves)
    index, old = data.draw(st.integers(0, size - 1)), data.draw(st.integers(1, size))
    damage = data.draw(st.sampled_from(["none", "drop", "add", "change", "elsewhere"]))
    path = damaged(merkle.inclusion_proof(log, index, size), damage)
    if damage == "elsewhere":
        index = data.draw(st.integers(0, size + 1))
    engine = accepts(lambda: merkle.verify_inclusion(leaves[min(index, size - 1)], index, size, path, root))
    alone = accepts(lambda: verifier.verify_inclusion(leaves[min(index, size - 1)], index, size, path, root))
    assert engine == alone
    old_root = merkle.root(log, old)
    path = damaged(merkle.consistency_proof(log, old, size), damage)
    if damage == "elsewhere":
        old = data.draw(st.integers(1, size + 1))
    engine = accepts(lambda: merkle.verify_consistency(old, size, path, old_root, root))
    alone = accepts(lambda: verifier.verify_consistency(old, size, path, old_root, root))
    assert engine == alone or old == size  # which the verifier has no use for


def test_a_path_of_another_length_than_the_trees_height_is_refused():
    leaf, sibling = merkle.leaf_hash(b"0"), merkle.leaf_hash(b"1")
    root = merkle.node_hash(leaf, sibling)
    verifier.verify_inclusion(leaf, 0, 2, [sibling], root)
    for size in (3, 4, 5, 1 << 62):
        with pytest.raises(verifier.ProofError, match="too few hashes"):
            verifier.verify_inclusion(leaf, 0, size, [sibling], root)
    with pytest.raises(verifier.ProofError, match="too many hashes"):
        verifier.verify_inclusion(leaf, 0, 1, [sibling], root)


def damaged(hashes: list[bytes], damage: str) -> list[bytes]:
    if damage == "add":
        return [*hashes, bytes(32)]
    if damage in ("drop", "change") and hashes:
        return hashes[:-1] + ([bytes(32)] if damage == "change" else [])
    return hashes


def accepts(check: Callable[[], None]) -> bool:
    try:
        check()
    except (Corrupt, verifier.ProofError):
        return False
    return True


TEXT = st.text(st.characters(codec="utf-8", exclude_characters="$"), max_size=300)
FLOATS = st.floats(allow_nan=False, allow_infinity=False)
PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | FLOATS | TEXT,
    lambda inner: st.lists(inner, max_size=40) | st.dictionaries(TEXT, inner, max_size=40),
    max_leaves=50,
)


@given(PLAIN)
@settings(max_examples=200, deadline=None)
def test_payloads_are_decoded_as_they_were_written(value: Any):
    assert verifier.decode_payload(msgspec.msgpack.encode(value)) == value


def test_payloads_of_every_width_are_decoded():
    for count in (0, 15, 16, 31, 32, 255, 256, 65_535, 65_536):
        for value in ("x" * count, [None] * count, {f"{place}": place for place in range(count)}):
            assert verifier.decode_payload(msgspec.msgpack.encode(value)) == value
        assert verifier.decode_payload(msgspec.msgpack.encode(b"x" * count)) == {"$bytes": "78" * count}
    for count in (1, 2, 3, 4, 8, 16, 255, 65_535, 65_536):
        made = msgspec.msgpack.encode(msgspec.msgpack.Ext(-5, b"x" * count))
        assert verifier.decode_payload(made) == {"$ext": -5, "data": "78" * count}
    assert verifier.decode_payload(b"\xca\x3f\x80\x00\x00") == 1.0


@pytest.mark.parametrize(
    ("payload", "shown"),
    [
        (msgspec.msgpack.encode({1: 2, "a": b"\x01"}), {"$map": [[1, 2], ["a", {"$bytes": "01"}]]}),
        (b"\x82\xa1a\x01\xa1a\x02", {"$map": [["a", 1], ["a", 2]]}),
        (b"\x81\xa6$bytes\xa201", {"$map": [["$bytes", "01"]]}),
        (b"\x81\x90\x01", {"$map": [[[], 1]]}),
        (b"\xcb\x7f\xf0" + bytes(6), {"$float": "inf"}),
        (b"\xcb\x7f\xf8" + bytes(6), {"$float": "nan"}),
        (b"", {"$bytes": ""}),
        (b"\x01\x02", {"$bytes": "0102"}),
        (b"\xc1", {"$bytes": "c1"}),
        (b"\xa1\xff", {"$bytes": "a1ff"}),
        (b"\xdd\xff\xff\xff\xff", {"$bytes": "ddffffffff"}),
        (b"\xc6\xff\xff\xff\xff", {"$bytes": "c6ffffffff"}),
        (b"\x91" * 100_000 + b"\x01", {"$bytes": "91" * 100_000 + "01"}),
    ],
    ids=range(13),
)
def test_payloads_that_json_cannot_hold(payload: bytes, shown: Any):
    assert verifier.decode_payload(payload) == shown


@given(st.binary(max_size=60))
def test_arbitrary_payloads_can_be_shown(payload: bytes):
    json.dumps(verifier.decode_payload(payload), allow_nan=False)
