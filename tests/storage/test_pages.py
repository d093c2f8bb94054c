import random
import shutil

import pytest

from faults.bitflip import flip, lies_in
from faults.lmdb_pages import bookkeeping_byte_ranges, page_use, pointer_byte_ranges, root_of
from runstone.errors import Corrupt
from runstone.storage import pages
from runstone.storage.index import Index, MapGrown
from runstone.storage.tables import HISTORY, SETTINGS, TABLES


def churn(index, seed, rounds):
    """Many commits of rows that come, change, grow, shrink and go, in two tables."""
    chance = random.Random(seed)
    for _ in range(rounds):
        try:
            with index.write() as txn:
                for _ in range(chance.randrange(1, 80)):
                    txn.put(
                        SETTINGS,
                        f"n{chance.randrange(300)}",
                        chance.randbytes(chance.choice([3, 60, 600, 5000, 40_000])),
                    )
                    txn.put(HISTORY, chance.randrange(50), chance.randrange(100), 1)
                for _ in range(chance.randrange(60)):
                    txn.delete(SETTINGS, f"n{chance.randrange(300)}")
                    txn.delete(HISTORY, chance.randrange(50), chance.randrange(100))
        except MapGrown:
            continue


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The directory of an index of some commits, closed."""
    path = tmp_path_factory.mktemp("pages") / "index"
    index = Index(path)
    churn(index, 1, 40)
    index.close()
    return path


@pytest.fixture
def copy(whole, tmp_path):
    return shutil.copytree(whole, tmp_path / "index")


@pytest.mark.parametrize("seed", range(4))
def test_every_state_of_an_index_that_is_written_to_is_sound(tmp_path, seed):
    index, data = Index(tmp_path / "i"), tmp_path / "i" / "data.mdb"
    for round_ in range(25):
        churn(index, 100 * seed + round_, 1)
        with index.read() as view:
            report = pages.check(data, view.commit)
            assert report == pages.check(data)
            assert report.tables == {name: view.count(table) for name, table in TABLES.items()}
        used, free_list, free, total = page_use(data)
        assert (report.pages, report.used, report.free) == (total, len(used | free_list), len(free))
        pages.check_roots(data, index.noted_commit())
        assert index.noted_commit() == report.commit == index.last_commit()
    assert report.free > 0
    index.close()
    index.close()


def test_a_fresh_index_and_a_copy_are_sound(tmp_path):
    index = Index(tmp_path / "i")
    assert pages.check(tmp_path / "i" / "data.mdb").tables.keys() == TABLES.keys()
    churn(index, 3, 12)
    index.copy(tmp_path / "copy")
    index.close()
    assert pages.check(tmp_path / "copy" / "data.mdb").free == 0
    again = Index(tmp_path / "copy")
    churn(again, 4, 3)
    assert pages.check(tmp_path / "copy" / "data.mdb").free > 0
    again.close()


def test_a_state_that_is_gone_is_answered_with_none(tmp_path):
    index = Index(tmp_path / "i")
    commit = index.last_commit()
    churn(index, 5, 3)
    assert index.last_commit() > commit + 1
    assert pages.check(tmp_path / "i" / "data.mdb", commit) is None
    index.close()


def test_a_state_held_by_a_reader_is_checked_while_others_write(tmp_path):
    index = Index(tmp_path / "i")
    churn(index, 6, 10)
    with index.read() as view:
        churn(index, 7, 1)
        assert index.last_commit() == view.commit + 1
        assert pages.check(tmp_path / "i" / "data.mdb", view.commit).commit == view.commit
    index.close()


def flips(data, seed, each):
    chance = random.Random(seed)
    for ranges in (pointer_byte_ranges(data), bookkeeping_byte_ranges(data), [(10, 2), (4096, 152)]):
        for at, length in chance.choices(ranges, [length for _, length in ranges], k=each):
            yield chance.randrange(at, at + length), chance.randrange(8)


def ignored(data):
    """Bytes that may differ without harm: of each page header what is not used, of meta pages the address and the map's size."""
    size = data.stat().st_size
    metas = [place for start in (0, 4096) for place in ((start + 12, 4), (start + 24, 16))]
    return metas, [(page * 4096 + 8, 2) for page in range(size // 4096)]


def test_damage_to_what_holds_rows_together_is_found(copy):
    data = copy / "data.mdb"
    found, harmless = 0, []
    places = list(flips(data, 9, 150))
    with pages.PageFile(data) as file:
        noted = file.metas()[1].commit
    for offset, bit in places:
        flip(data, offset, bit)
        try:
            pages.check_roots(
                data, noted
            )  # a meta page alone cannot tell that its commit number is another one's
            pages.check(data)
            harmless.append(offset)
        except Corrupt as error:
            assert str(data) in error.message
            found += 1
        flip(data, offset, bit)
    assert found > 300
    metas, unused = ignored(data)
    with pages.PageFile(data) as file:
        older = file.metas()[0].page
    assert harmless
    for offset in harmless:
        first_keys = any(at <= offset < at + length for at, length in first_branch_keys(data))
        older_meta = offset // 4096 == older
        assert first_keys or older_meta or lies_in(unused, offset) or lies_in(metas, offset), offset
    assert pages.check(data).used


def first_branch_keys(data):
    """The key of a branch's first entry is never compared, and its length is known by where the next node begins."""
    with pages.PageFile(data) as file:
        _, newest = file.metas()
        pending = [newest.main.root, newest.free.root]
        while pending:
            page = file.page(pending.pop())
            if page.branch:
                yield page.number * 4096 + page.offsets[0] + 6, 2 + page.nodes[0][3]
                pending.extend(page.children())
            elif page.nodes[0][2] == pages.SUBDATA:
                for place in range(len(page.keys)):
                    root = int.from_bytes(page.data[page.value_at(place) + 40 :][:8], "little")
                    if root != pages.NO_PAGE:
                        pending.append(root)


@pytest.mark.parametrize("page", [0, 1])
def test_opening_finds_a_commit_whose_number_is_damaged(copy, page):
    data, found = copy / "data.mdb", 0
    for bit in range(64):
        place = 4096 * page + 16 + 128 + bit // 8, bit % 8
        flip(data, *place)
        with pytest.raises(Corrupt):
            Index(copy)
        flip(data, *place)
        found += 1
    assert found == 64
    Index(copy).close()


def test_an_older_copy_in_the_place_of_the_index_is_noticed(tmp_path):
    index, data = Index(tmp_path / "i"), tmp_path / "i" / "data.mdb"
    churn(index, 11, 3)
    index.close()
    shutil.copy(data, tmp_path / "older")
    index = Index(tmp_path / "i")
    churn(index, 12, 1)
    index.close()
    shutil.copy(tmp_path / "older", data)
    with pytest.raises(Corrupt, match="older copy"):
        Index(tmp_path / "i")
    (tmp_path / "i" / "commit").unlink()
    Index(tmp_path / "i").close()


@pytest.mark.parametrize("content", [b"", b"short", bytes(16), b"\xff" * 16, random.Random(3).randbytes(16)])
def test_a_damaged_note_of_the_last_commit_says_nothing(copy, content):
    (copy / "commit").write_bytes(content)
    index = Index(copy)
    assert index.noted_commit() == 0
    churn(index, 13, 1)
    assert index.noted_commit() == index.last_commit()
    index.close()


def test_a_transaction_without_changes_is_not_noted(copy):
    index = Index(copy)
    churn(index, 14, 1)
    before = index.noted_commit()
    with index.write():
        pass
    assert index.noted_commit() == index.last_commit() == before
    index.close()
    Index(copy).close()


def test_only_some_tables_are_walked(copy):
    data = copy / "data.mdb"
    with pages.PageFile(data) as file:
        root = root_of(file, "history")
    flip(data, root * 4096 + 10, 7)
    assert pages.check(data, only=["settings"]).tables["settings"] > 0
    with pytest.raises(Corrupt, match=f"table history: page {root} |page {root} calls itself"):
        pages.check(data, only=["history"])
    with pytest.raises(Corrupt):
        pages.check(data)
    pages.check_roots(data)
    Index(copy).close()


def test_rows_behind_a_damaged_inner_page_are_not_said_to_be_missing(copy):
    """A damaged key of an inner page leads readers to the wrong side of it."""
    data = copy / "data.mdb"
    with pages.PageFile(data) as file:
        root = file.page(root_of(file, "settings"))
    assert root.branch and len(root.nodes) > 4
    before, misled = rows(copy), 0
    for place, (_, _, _, ksize) in enumerate(root.nodes[1:], 1):
        # Beyond the key lies the next node, and no reader survives damage to that.
        for byte, bit in ((1, 2), (1, 4), (2, 0), (2, 3))[: 2 * ksize - 2]:
            offset = root.number * 4096 + root.offsets[place] + 8 + byte
            flip(data, offset, bit)
            answers = rows(copy, before)
            assert all(
                answer in (value, Corrupt)
                for value, answer in zip(before.values(), answers.values(), strict=True)
            )
            misled += Corrupt in answers.values()
            flip(data, offset, bit)
    assert misled > 5


def rows(path, known=None):
    """Every row of a table by its key, every one by a scan from it, and the last before it."""
    index, found = Index(path), {}
    keys = known or {("get", f"n{n}"): None for n in range(300)} | {
        ("scan", f"n{n}"): None for n in range(300)
    } | {("last", f"n{n}"): None for n in range(300)}
    for how, key in keys:
        try:
            with index.read() as view:
                if how == "get":
                    found[how, key] = view.get(SETTINGS, key)
                else:
                    after = view.scan(SETTINGS, after=(key,), reverse=how == "last")
                    found[how, key] = next(after, (None, None))[0]
        except Corrupt:
            found[how, key] = Corrupt
    index.close()
    return found
