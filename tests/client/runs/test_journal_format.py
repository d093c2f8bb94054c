"""The journal's bytes are the documented ones, and stay what they are."""

import re
from pathlib import Path

import xxhash

from runstone._native.digests import blake3
from runstone.client.runs import batches, journal, records, segment, spool
from runstone.client.runs.spool import Place

DOC = (Path(__file__).parents[3] / "docs" / "format" / "journal.md").read_text()


def test_the_kinds_are_the_documented_ones():
    rows = re.findall(r"^\| (\d) \| ([a-z]+) \| (?:`\[(.*?)\]`)?", DOC, re.MULTILINE)
    assert {name.upper(): int(number) for number, name, _ in rows} == {
        name: getattr(records, name)
        for name in ("POINTS", "UPDATE", "LINE", "OPERATION", "FINISH", "CUT", "ROLL")
    }
    structs = (records.Points, records.Update, records.Line, records.Operation, records.Finish)
    for (_, _, layout), struct in zip(rows, structs, strict=False):
        fields = [part.strip() for part in re.sub(r"\{.*?\}", "map", layout).split(",")]
        assert len(fields) == len(struct.__struct_fields__)
        assert [f for f in fields if f != "map"] == [
            name for name, field in zip(struct.__struct_fields__, fields, strict=True) if field != "map"
        ]


def test_a_record_is_these_bytes():
    payload = b"\x93\x01\x02\x81\xa1a\x03"
    check = xxhash.xxh3_64_intdigest(payload, seed=4096 << 8 | 1)
    expected = check.to_bytes(8, "little") + b"\x07\0\0\0" + b"\x01\0\0\0" + payload
    assert records.framed(4096, records.POINTS, payload) == expected
    assert records.encode((1, 2, {"a": 3})) == payload


def test_a_journal_is_these_bytes(tmp_path):
    made = journal.Journal(tmp_path)
    made.append(records.POINTS, records.encode((1, 2, {"a": 3})))
    made.append(records.CUT, b"")
    content = (tmp_path / f"{0:016x}.segment").read_bytes()
    whole = records.framed(0, 1, b"\x93\x01\x02\x81\xa1a\x03") + records.framed(23, 6, b"")
    assert content == whole + bytes(journal.FIRST_SEGMENT - len(whole))
    made.close()


def test_an_id_is_this_digest():
    name = "00112233445566778899aabbccddeeff"
    start = b"runstone.journal\0" + bytes.fromhex(name)
    assert batches.create_id(name) == blake3(start)[:16]
    assert batches.command_id(name, 258) == blake3(start + b"\x02\x01\0\0\0\0\0\0")[:16]
    assert batches.command_id(name, 258).hex() == "35c06dc7f47c3d997e188f89a09c4f2d"


def test_the_numbers_of_the_docs():
    assert f"({batches.STRETCH:,})" in DOC and f"`format` ({spool.FORMAT})" in DOC
    assert (journal.FIRST_SEGMENT, journal.LARGEST_SEGMENT, journal.RESERVE) == (256 << 10, 4 << 20, 256)
    assert records.MAX_PAYLOAD == 1 << 20 and segment.SUFFIX == ".segment" and records.HEADER_SIZE == 16


def test_the_delivered_position_survives_a_torn_slot(tmp_path, start, spool):
    start()
    (path,) = spool.glob("v1/*")
    target = tmp_path / "copy"
    target.mkdir()
    (target / "head").write_bytes((path / "head").read_bytes())
    place = Place.claim(target)
    assert place is not None and place.delivered() == 0
    for position in (100, 250, 7000):
        place.set_delivered(position)
    whole = (target / "delivered").read_bytes()
    assert whole[:8] == (7000).to_bytes(8, "little") and len(whole) == 32
    assert whole[8:16] == xxhash.xxh3_64_digest(whole[:8])[::-1]
    for at in range(32):
        (target / "delivered").write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
        assert place.delivered() == (250 if at < 16 else 7000)
    place.release()
