from __future__ import annotations

import base64
import os
import subprocess
import sys
import threading
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from runstone.errors import Corrupt, Exists, Invalid, Malformed, Missing, RunstoneError
from runstone.storage.checkpoint import Checkpoint, Signer, encode, extensions, open_note, parse
from runstone.storage.note import key_id, open_text, parse_key

# The example of the documentation of Go's golang.org/x/mod/sumdb/note.
PETER_PRIVATE = "PRIVATE+KEY+PeterNeumann+c74f20a3+AYEKFALVFGyNhPJEMzD1QIDr+Y7hfZx09iUvxdXHKDFz"
PETER_KEY = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"
PETER_TEXT = (
    "If you think cryptography is the answer to your problem,\nthen you don't know what your problem is.\n"
)
PETER_SIGNATURE = (
    "x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM="
)
PETER_NOTE = f"{PETER_TEXT}\n— PeterNeumann {PETER_SIGNATURE}\n".encode()
ENOCH_KEY = "EnochRoot+af0cfe78+ATtqJ7zOtqQtYqOo0CpvDXNlMhV3HeJDpjrASKGLWdop"

ORIGIN = "runs.example/log"
SIGNER = Signer(ORIGIN, bytes(range(32)))
CHECKPOINT = Checkpoint(ORIGIN, 70_000, bytes(range(32)), extensions(1_700_000_000_000_000, b"s" * 32))
NOTE = SIGNER.sign(CHECKPOINT)


def test_the_example_of_the_note_package():
    signer = Signer.from_private(PETER_PRIVATE)
    assert signer.vkey == PETER_KEY
    assert signer.private == PETER_PRIVATE
    assert signer.sign_text(PETER_TEXT) == PETER_NOTE
    assert open_text(PETER_NOTE, [PETER_KEY]) == (PETER_TEXT, ["PeterNeumann"])
    assert parse_key(ENOCH_KEY).id.hex() == "af0cfe78"
    with pytest.raises(Malformed):
        open_note(PETER_NOTE, [PETER_KEY])  # a good note, and no checkpoint


def test_the_example_of_the_checkpoint_specification():
    text = "example.com/behind-the-sofa\n20852163\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n"
    found = parse(text)
    assert (found.origin, found.size, found.extensions) == ("example.com/behind-the-sofa", 20_852_163, ())
    assert found.root.hex() == "0ac5186a91863e8e1d90c808014aa89bf5da8e3ee1d9f07630f0378f68f1ab62"
    assert encode(found) == text


def test_a_checkpoint_as_text():
    assert NOTE.decode().startswith(
        "runs.example/log\n70000\nAAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=\n"
        "time 1700000000000000\nstate c3Nzc3Nzc3Nzc3Nzc3Nzc3Nzc3Nzc3Nzc3Nzc3Nzc3M=\n\n— runs.example/log "
    )
    found = open_note(NOTE, [SIGNER.vkey])
    assert found == CHECKPOINT
    assert (found.time, found.state) == (1_700_000_000_000_000, b"s" * 32)
    bare = Checkpoint(ORIGIN, 0, bytes(32))
    assert (bare.time, bare.state) == (None, None)
    assert parse(encode(bare)) == bare


LINE = st.text(st.characters(codec="utf-8", exclude_categories=["Cc"]), min_size=1)


@given(LINE, st.integers(0, 2**63 - 1), st.binary(min_size=32, max_size=32), st.lists(LINE))
def test_any_checkpoint_comes_back(origin: str, size: int, root: bytes, lines: list[str]):
    checkpoint = Checkpoint(origin, size, root, tuple(lines))
    assert parse(encode(checkpoint)) == checkpoint


def test_every_bit_of_a_note_counts():
    refused = tried = 0
    for place in range(len(NOTE)):
        for bit in range(8):
            tried += 1
            changed = bytearray(NOTE)
            changed[place] ^= 1 << bit
            try:
                open_note(bytes(changed), [SIGNER.vkey])
            except (Corrupt, Malformed):
                refused += 1
    assert tried == 8 * len(NOTE) > 2000
    assert refused == tried


def test_every_cut_and_every_doubled_byte_is_refused():
    changed = [NOTE[:place] for place in range(len(NOTE))]
    changed += [NOTE[:place] + NOTE[place : place + 1] + NOTE[place:] for place in range(len(NOTE))]
    for note in changed:
        with pytest.raises((Corrupt, Malformed)):
            open_note(note, [SIGNER.vkey])


def test_signatures_of_unknown_keys_are_not_looked_at():
    witness = f"— witness.example {base64.b64encode(b'1234' + bytes(72)).decode()}\n".encode()
    namesake = Signer(ORIGIN, b"n" * 32).sign(CHECKPOINT).rsplit(b"\n\n", 1)[1]
    first, signature = NOTE.rsplit(b"\n\n", 1)
    note = b"\n\n".join([first, witness + namesake + signature + witness])
    assert open_note(note, [ENOCH_KEY, SIGNER.vkey]) == CHECKPOINT
    with pytest.raises(Corrupt, match=r"no signature of a known key \(EnochRoot\+af0cfe78\)"):
        open_note(note, [ENOCH_KEY])
    with pytest.raises(Corrupt, match="none was given"):
        open_note(note, [])


def test_one_bad_signature_of_a_known_key_refuses_the_note():
    other = Signer("second.example", b"2" * 32)
    bad = base64.b64encode(parse_key(other.vkey).id + bytes(64)).decode()
    note = NOTE + f"— second.example {bad}\n".encode()
    assert open_note(note, [SIGNER.vkey]) == CHECKPOINT
    with pytest.raises(Corrupt, match=r"second\.example"):
        open_note(note, [SIGNER.vkey, other.vkey])


def test_a_key_vouches_for_its_own_log_only():
    other = Signer("other.example", b"o" * 32)
    with pytest.raises(Invalid, match=r"other\.example"):
        other.sign(CHECKPOINT)
    with pytest.raises(Corrupt, match=r"signed by other\.example only"):
        open_note(other.sign_text(encode(CHECKPOINT)), [other.vkey])


@pytest.mark.parametrize(
    "text",
    [
        "",
        "\n\n\n",
        "log\n1\n",
        "log\n1\nAAAA\n",
        encode(CHECKPOINT)[:-1],
        encode(CHECKPOINT) + "\n",
        encode(CHECKPOINT).replace("70000", "070000"),
        encode(CHECKPOINT).replace("70000", "-1"),
        encode(CHECKPOINT).replace("70000", "٧"),
        encode(CHECKPOINT).replace("70000", "7٠"),
        encode(CHECKPOINT).replace("70000", "7_0"),
        encode(CHECKPOINT).replace("70000", str(2**63)),
        encode(CHECKPOINT).replace("70000", "9" * 5000),
        encode(CHECKPOINT).replace("Hh8=", "Hh9="),
        encode(CHECKPOINT).replace("Hh8=", "Hh8"),
        encode(CHECKPOINT).replace("time ", "time\t"),
        "l\ud800g\n" + encode(CHECKPOINT).partition("\n")[2],
    ],
)
def test_what_is_not_a_checkpoint_is_malformed(text: str):
    with pytest.raises(Malformed):
        parse(text)


@pytest.mark.parametrize(
    "change",
    [
        {"origin": ""},
        {"origin": "a\nb"},
        {"origin": "a\rb"},
        {"size": -1},
        {"size": 2**63},
        {"root": bytes(31)},
        {"extensions": ("",)},
        {"extensions": ("a\nb",)},
        {"extensions": ("\ud800",)},
    ],
)
def test_what_has_no_text_cannot_be_signed(change: dict[str, object]):
    with pytest.raises(Invalid):
        encode(msgspec.structs.replace(CHECKPOINT, **change))


@pytest.mark.parametrize("lines", [("time x",), ("time 1", "time 2"), ("time -1",), ("time " + "9" * 5000,)])
def test_a_damaged_time_is_malformed(lines: tuple[str, ...]):
    with pytest.raises(Malformed, match="time"):
        _ = msgspec.structs.replace(CHECKPOINT, extensions=lines).time


@pytest.mark.parametrize("line", ["state ", "state AAAA", "state ?"])
def test_a_damaged_state_hash_is_malformed(line: str):
    with pytest.raises(Malformed, match="state"):
        _ = msgspec.structs.replace(CHECKPOINT, extensions=(line,)).state


@pytest.mark.parametrize(
    "note",
    [
        b"",
        b"\n\n",
        b"text\n",
        b"text\n\n",
        b"text\n\nno signature\n",
        "text\n\n— name\n".encode(),
        "text\n\n—  AAAAAAAA\n".encode(),
        "text\n\n— a+b AAAAAAAA\n".encode(),
        "text\n\n— name AAAA\n".encode(),
        "text\n\n— name AAAAAAAA".encode(),
        "te\x07xt\n\n— name AAAAAAAA\n".encode(),
        b"\xff\n\n" + "— name AAAAAAAA\n".encode(),
        b"text\n\n" + "— name AAAAAAAA\n".encode() * 65,
        b"x" * (1 << 20) + NOTE,
    ],
)
def test_what_is_not_a_note_is_malformed(note: bytes):
    with pytest.raises(Malformed):
        open_text(note, [SIGNER.vkey])


def test_every_change_of_a_verifier_key_is_malformed():
    tried = 0
    for place, character in enumerate(PETER_KEY):
        for other in (chr(ord(character) ^ 1), "", " ", "+"):
            if other != character:
                tried += 1
                with pytest.raises(Malformed):
                    parse_key(PETER_KEY[:place] + other + PETER_KEY[place + 1 :])
    assert tried > 200
    public = parse_key(PETER_KEY).public
    for type_, key in ((4, public), (1, public[:-1])):
        data = base64.b64encode(bytes([type_]) + key).decode()
        with pytest.raises(Malformed, match="not an Ed25519 key"):
            parse_key(f"PeterNeumann+{key_id('PeterNeumann', key).hex()}+{data}")


def test_a_key_is_kept_in_a_private_file(tmp_path: Path):
    signer, path = Signer.generate(ORIGIN), tmp_path / "signing.key"
    umask = os.umask(0o777)  # neither a strict nor a lax umask changes the mode
    try:
        signer.save(path)
    finally:
        os.umask(umask)
    assert path.stat().st_mode & 0o7777 == 0o600
    assert list(tmp_path.iterdir()) == [path]
    loaded = Signer.load(path)
    assert (loaded.name, loaded.vkey, loaded.private) == (ORIGIN, signer.vkey, signer.private)
    assert open_note(loaded.sign(CHECKPOINT), [signer.vkey]) == CHECKPOINT
    assert Signer.generate(ORIGIN).vkey != signer.vkey
    assert signer.private.rpartition("+")[2] not in repr(signer)


def test_a_key_is_never_replaced(tmp_path: Path):
    path = tmp_path / "signing.key"
    outcomes: list[str] = []

    def start() -> None:
        try:
            Signer.generate(ORIGIN).save(path)
            outcomes.append("saved")
        except Exists:
            outcomes.append("taken")

    threads = [threading.Thread(target=start) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(outcomes) == ["saved"] + ["taken"] * 7
    kept = path.read_bytes()
    with pytest.raises(Exists, match="already"):
        SIGNER.save(path)
    assert path.read_bytes() == kept
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\xff",
        PETER_KEY.encode(),
        PETER_PRIVATE[:-4].encode(),
        PETER_PRIVATE.replace("c74f20a3", "c74f20a4").encode(),
        PETER_PRIVATE.replace("AYEK", "AYEL").encode(),
        PETER_PRIVATE.encode() + b"\n\n",
    ],
)
def test_a_damaged_key_file_is_corrupt_and_its_secret_is_not_told(tmp_path: Path, content: bytes):
    path = tmp_path / "signing.key"
    path.write_bytes(content)
    with pytest.raises(Corrupt, match=r"signing\.key") as caught:
        Signer.load(path)
    assert "FALVFGyNhPJEMzD1QIDr" not in str(caught.value)
    with pytest.raises(Missing):
        Signer.load(tmp_path / "other.key")


@pytest.mark.parametrize(("name", "seed"), [("", 32), ("a b", 32), ("a+b", 32), ("a\u2003b", 32), ("ab", 31)])
def test_a_key_needs_a_name_and_a_seed(name: str, seed: int):
    with pytest.raises(Invalid):
        Signer(name, bytes(seed))


@pytest.mark.parametrize("text", ["no newline", "a\tb\n", "\ud800\n"])
def test_what_is_not_text_is_not_signed(text: str):
    with pytest.raises(Invalid):
        SIGNER.sign_text(text)


def test_cryptography_is_imported_on_first_use_only():
    code = "import sys, runstone.storage.checkpoint; sys.exit('cryptography' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@given(st.binary(max_size=200))
def test_arbitrary_bytes_are_a_clear_error(data: bytes):
    with pytest.raises(RunstoneError):
        open_note(data, [SIGNER.vkey])
