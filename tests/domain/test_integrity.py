import os

import pytest
from tests.conftest import make_folder

from runstone.domain import integrity
from runstone.errors import Corrupt, Missing, Quarantined


def pack_place(library, name, path, at):
    """The pack file and offset of a byte of a file."""
    with library.open_file(name, path) as stored:
        segment = stored.segments(at, at + 1)[0]
        for pack in library.store.path.rglob("*.pack"):
            if pack.stat().st_ino == os.fstat(segment[0]).st_ino:
                return pack, segment[1]
    raise AssertionError("the byte is in no pack")


def flip(pack, offset):
    with pack.open("r+b") as file:
        file.seek(offset)
        byte = file.read(1)[0]
        file.seek(offset)
        file.write(bytes([byte ^ 0x10]))


@pytest.fixture
def damaged(library, folder):
    """Two versions; prod moved from the first to the second, whose weights are then damaged on disk."""
    library.put("demo/m", folder, aliases=["prod", "pinned"])
    (folder / "model.safetensors").write_bytes(bytes(reversed((folder / "model.safetensors").read_bytes())))
    library.put("demo/m", folder, aliases=["prod"])
    library.set_alias("demo/m@v2", "pinned", fallback=False)
    library.link("demo/m@v2", "fetched_by", "consumer:fleet")
    flip(*pack_place(library, "demo/m@v2", "model.safetensors", 1_000_000))
    return library


def check_withdrawn(library):
    version = library.version("demo/m@v2")
    assert version.state == "quarantined" and "model.safetensors" in version.state_reason
    assert library.resolve("demo/m@prod").version == 1
    with pytest.raises(Quarantined, match="pinned"):
        library.resolve("demo/m@pinned")
    with pytest.raises(Quarantined):
        library.open_file("demo/m@v2", "config.json")
    (damage,) = library.damages()
    assert damage.offset <= 1_000_000 < damage.offset + damage.length
    assert damage.versions == ("local/demo/m:v2",)
    assert damage.consumers == ("consumer:fleet",)
    last = library.alias_history("demo/m", "prod")[-1]
    assert (last.previous, last.version, last.by) == (2, 1, integrity.SELF)


def test_damage_is_found_on_reading_named_and_never_served(damaged):
    with damaged.open_file("demo/m@v2", "model.safetensors") as stored, pytest.raises(Corrupt) as caught:
        stored.read(999_990, 1_000_010)
    assert caught.value.details["pack"]
    check_withdrawn(damaged)


def test_damage_is_found_by_scrubbing(damaged):
    report = damaged.scrub()
    assert len(report["damages"]) == 1
    check_withdrawn(damaged)


def test_a_damaged_file_is_neither_mapped_nor_copied(damaged, tmp_path):
    with damaged.open_file("demo/m@v2", "model.safetensors") as stored:
        with pytest.raises(Corrupt):
            stored.map()
        with pytest.raises(Corrupt):
            stored.copy_to(tmp_path / "out")
    assert not (tmp_path / "out").exists() and not list(tmp_path.glob(".*part"))


def test_an_undamaged_part_of_the_file_is_served_until_then(damaged, folder):
    with damaged.open_file("demo/m@v2", "model.safetensors") as stored:
        assert stored.read(0, 100) == (folder / "model.safetensors").read_bytes()[:100]


def test_putting_the_file_again_repairs_and_releases(damaged, folder):
    damaged.scrub()
    damaged.put("demo/other", folder)
    damaged.scrub()
    assert damaged.damages() == []
    assert damaged.version("demo/m@v2").state == "live"
    with damaged.open_file("demo/m@v2", "model.safetensors") as stored:
        assert stored.read() == (folder / "model.safetensors").read_bytes()
    assert damaged.resolve("demo/m@prod").version == 1, "an alias that fell back is moved by people only"


def test_only_the_versions_that_hold_the_bytes_are_withdrawn(library, folder, tmp_path):
    library.put("demo/m", folder)
    library.put("demo/same", folder)
    library.put("demo/other", make_folder(tmp_path / "o", {"x": b"unrelated"}))
    flip(*pack_place(library, "demo/m@v1", "model.safetensors", 5))
    library.scrub()
    states = {name: library.version(f"demo/{name}").state for name in ("m@v1", "same@v1", "other@v1")}
    assert states == {"m@v1": "quarantined", "same@v1": "quarantined", "other@v1": "live"}


def test_others_do_not_see_damage_of_what_they_may_not_read(people, folder):
    people.ann.put("lab/p/m", folder)
    flip(*pack_place(people.ann, "lab/p/m", "model.safetensors", 5))
    people.root.scrub()
    assert len(people.ria.damages()) == 1
    assert people.eve.damages() == []


def test_the_log_is_still_what_the_index_is(damaged):
    damaged.scrub()
    damaged.verify()


def test_a_quarantined_version_can_be_deleted_and_its_damage_goes_with_it(damaged):
    damaged.scrub()
    damaged.delete_version("demo/m@v2", with_aliases=True)
    damaged.gc(grace_seconds=0)
    damaged.gc(grace_seconds=0)
    assert damaged.damages() == []
    with pytest.raises(Missing):
        damaged.alias("demo/m", "pinned")
