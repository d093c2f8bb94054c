"""One bit turned over in each of many random places of packs and index: it is found, and never served."""

import json
import random
import subprocess
import sys
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import pytest

import runstone
from faults.bitflip import bookkeeping_byte_ranges, lies_in, random_places, used_byte_ranges
from faults.lmdb_pages import pointer_byte_ranges

from .programs import count, environment

FLIPS = count("RUNSTONE_FLIPS", 1000)
NAME = "local/demo/model"
#: Programs that turn bits over side by side.
PROGRAMS = 2


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """A store of many small versions, so that its tables have inner pages, and of some files of several chunks."""
    home = tmp_path_factory.mktemp("store")
    chance = random.Random(3)
    with runstone.open(home / "data") as library:
        for number in range(1, 121):
            folder = home / "folder"
            folder.mkdir(exist_ok=True)
            large = 150_000 if number % 12 == 0 else 0
            (folder / "a.bin").write_bytes(chance.randbytes(large or chance.randrange(200, 9000)))
            (folder / "b.txt").write_bytes(b"b" * (number % 5))
            metadata = {"n": number, "notes": chance.randbytes(120).hex()}
            library.put("demo/model", folder, metadata=metadata, aliases=["prod"] if number % 9 == 0 else [])
            if number % 10 == 0:
                library.set_alias(f"demo/model@v{number // 2}", "next", reason="as planned")
        library.verify()
    return home / "data"


def index_places(data, n, seed):
    """Mostly bytes that a reader depends on; some anywhere."""
    file, chance = data / "index" / "data.mdb", random.Random(seed)
    used = used_byte_ranges(file)
    weights = [length for _, length in used]
    places = [
        ("index/data.mdb", chance.randrange(at, at + length), chance.randrange(8))
        for at, length in chance.choices(used, weights, k=n * 4 // 5)
    ]
    anywhere = random_places([file], n - len(places), seed)
    return places + [("index/data.mdb", place.offset, place.bit) for place in anywhere], used


def pack_places(data, n, seed):
    found = random_places(sorted(data.rglob("*.pack")), n, seed)
    return [(str(place.path.relative_to(data)), place.offset, place.bit) for place in found]


def flip_all(data, work, places):
    """What became of each place, from several programs at once."""

    def run(n):
        argv = [sys.executable, "-m", "reliability.flipper", str(data), str(work / f"copy-{n}"), NAME]
        some = json.dumps(places[n::PROGRAMS])
        ended = subprocess.run(
            argv, env=environment(), input=some, capture_output=True, text=True, check=False
        )
        assert ended.returncode == 0, ended.stderr
        return [json.loads(line) for line in ended.stdout.splitlines()]

    with ThreadPoolExecutor(PROGRAMS) as programs:
        found = [each for some in programs.map(run, range(PROGRAMS)) for each in some]
    assert len(found) == len(places)
    return found


def tally(found):
    """How often each end was met, without the particulars."""
    kinds = Counter()
    for each in found:
        reads, ended = each["reads"], each["check"]
        went = (
            "wrong"
            if "wrong(" in reads
            else "refused"
            if "refused" in reads
            else "same"
            if "same" in reads
            else reads
        )
        kinds[f"reads: {went}"] += 1
        kinds["check: " + ended.partition(":")[0].partition(" named")[0]] += 1
    return dict(kinds)


def require_found(found):
    """Verification names every damage but what leaves every row as it was, and never crashes."""
    for each in found:
        assert each["check"].startswith("found: ") or (each["check"] == "clean" and each["rows"] == "same"), (
            each
        )


def require_not_served(found, pointers):
    """What is read is right, or an error of ours.

    But where the damage leads to a whole page of another time or table: LMDB does not look at which page it was led to. A listing may
    then lack rows, or a reader be ended by LMDB, until verification has named the page. Bytes of files are right even then.
    """
    for each in found:
        reads = each["reads"]
        assert "raised" not in reads and not ("wrong(v" in reads and "-files)" in reads), each
        if not lies_in(pointers, each["place"][1]):
            assert "wrong(" not in reads, each


def test_a_bit_of_the_index(store, tmp_path):
    places, used = index_places(store, FLIPS * 3 // 5, seed=1)
    found = flip_all(store, tmp_path, places)
    in_use = [each for each in found if lies_in(used, each["place"][1])]
    print(f"{len(found)} flips, {len(in_use)} of bytes in use: {tally(found)}")
    assert len(in_use) > FLIPS // 4
    require_found(found)
    require_not_served(found, pointer_byte_ranges(store / "index" / "data.mdb"))
    missed = [each for each in in_use if each["check"] == "clean"]
    assert len(missed) < len(in_use) / 50, missed


def test_a_bit_of_what_holds_the_index_together(store, tmp_path):
    """Meta pages, the free list, headers, and the inner pages of trees, where no row has its checksum."""
    file, chance = store / "index" / "data.mdb", random.Random(7)
    pointers, books = pointer_byte_ranges(file), bookkeeping_byte_ranges(file)
    metas = [(0, 152), (4096, 152)]
    n = max(30, FLIPS // 4)
    places = [
        ("index/data.mdb", chance.randrange(at, at + length), chance.randrange(8))
        for ranges in (pointers, books, metas)
        for at, length in chance.choices(ranges, [length for _, length in ranges], k=n // 3)
    ]
    # Of each page number, the bits that lead to another page and not out of the file.
    places += [
        ("index/data.mdb", at, bit) for at, _ in chance.choices(pointers, k=n // 3) for bit in (0, 1, 2)
    ]
    found = flip_all(store, tmp_path, places)
    print(f"{len(found)} flips: {tally(found)}")
    require_found(found)
    require_not_served(found, pointers)
    assert sum(each["check"].startswith("found") for each in found) > len(found) / 2


def test_a_bit_of_the_number_of_a_commit(store, tmp_path):
    """It makes an old state the latest, whose every row verifies: opening the store finds it."""
    places = [
        ("index/data.mdb", 4096 * page + 16 + 128 + bit // 8, bit % 8) for page in (0, 1) for bit in range(64)
    ]
    found = flip_all(store, tmp_path, places)
    print(f"{len(found)} flips: {tally(found)}")
    for each in found:
        assert each["check"].startswith("found: ") and each["reads"].startswith("refused: Corrupt"), each


def test_a_bit_of_a_pack(store, tmp_path):
    found = flip_all(store, tmp_path, pack_places(store, FLIPS - FLIPS * 3 // 5, seed=2))
    live = [each for each in found if each["live"]]
    print(f"{len(found)} flips, {len(live)} of bytes in use: {tally(found)}")
    assert len(live) > FLIPS // 4
    for each in found:
        assert "=" in each["reads"] and "wrong(" not in each["reads"] and "ended" not in each["reads"], each
        if each["live"]:
            assert "refused" in each["reads"], each
            assert each["check"] == "found named=1 affected=True", each
        else:
            assert each["reads"].startswith("same") and each["check"] == "clean", each
