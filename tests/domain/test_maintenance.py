import json
import os

import pytest

import runstone
from runstone.domain import maintenance
from runstone.domain.store import Store
from runstone.errors import Conflict, Corrupt, Invalid
from runstone.types import FileEntry


def reference(path):
    return FileEntry(path=path, size=1, url="s3://b/k", etag="e")


def used(store):
    return sum(p.stat().st_blocks * 512 for p in store.path.rglob("*.pack"))


def test_collection_frees_what_nothing_refers_to(library, folder):
    library.put("demo/m", folder)
    library.put("demo/keep", files=library.files("demo/m", prefix="config"))
    before = used(library.store)
    library.delete_version("demo/m@v1")
    marked = library.gc(grace_seconds=0)
    freed = library.gc(grace_seconds=0)
    assert marked["marked"] + freed["marked"] == 3
    assert marked["bytes_freed"] + freed["bytes_freed"] >= 2_900_000
    assert before - used(library.store) >= 2_900_000
    with library.open_file("demo/keep@v1", "config.json") as stored:
        assert stored.read() == b'{"layers": 2}'


def test_a_rebuilt_index_is_equal_and_serves_the_same_bytes(tmp_path, folder):
    with runstone.open(tmp_path / "data") as library:
        library.put("demo/m", folder, aliases=["prod"])
        library.set_alias("demo/m@v1", "stage")
        before = library.store.log.head()
        with pytest.raises(Conflict, match="stop it first"):
            maintenance.rebuild(tmp_path / "data")
    assert maintenance.rebuild(tmp_path / "data") == before
    with runstone.open(tmp_path / "data") as library:
        assert library.store.log.head() == before
        library.verify()
        with library.open_file("demo/m@stage", "model.safetensors") as stored:
            assert stored.read() == (folder / "model.safetensors").read_bytes()


def test_a_backup_restores_and_goes_on(library, folder, tmp_path):
    library.put("demo/m", folder, aliases=["prod"])
    key = library.log_key()
    library.backup(tmp_path / "backup")
    (folder / "config.json").write_bytes(b"new")
    library.put("demo/m", folder, aliases=["prod"])
    again = library.backup(tmp_path / "backup")
    assert again["size"] == library.store.log.head().size
    maintenance.restore(tmp_path / "backup", tmp_path / "restored")
    with runstone.open(tmp_path / "restored") as restored:
        assert restored.store.log.head() == library.store.log.head()
        assert restored.log_key() == key
        with restored.open_file("demo/m@prod", "config.json") as stored:
            assert stored.read() == b"new"
        assert restored.scrub()["damages"] == []
        restored.put("demo/m", files=[reference("x")])


def test_a_point_in_time_is_another_log_from_there_on(library, folder, tmp_path):
    library.put("demo/m", folder, aliases=["prod"])
    then = library.store.log.head()
    library.put("demo/m", files=[reference("x")], aliases=["prod"])
    library.backup(tmp_path / "backup")
    maintenance.restore(tmp_path / "backup", tmp_path / "restored", to=then.size)
    with runstone.open(tmp_path / "restored") as restored:
        assert restored.store.log.head().size == then.size + 1
        assert restored.store.log.head().state == then.state, "the marker changes no table"
        assert restored.resolve("demo/m@prod").version == 1
        assert restored.log_key() != library.log_key()
        record = restored.log(start=then.size)[0]
        assert record.kind == "restored" and record.command["size"] == library.store.log.head().size
        assert record.command["root"] == library.store.log.head().root.hex()
        restored.verify()


def test_a_backup_is_made_where_nothing_else_is(library, tmp_path):
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "file").write_bytes(b"x")
    with pytest.raises(Invalid, match="not a backup"):
        library.backup(tmp_path / "full")
    with runstone.open(tmp_path / "other") as other:
        other.backup(tmp_path / "backup")
    with pytest.raises(Invalid, match="another store"):
        library.backup(tmp_path / "backup")
    with pytest.raises(Invalid, match="not empty"):
        maintenance.restore(tmp_path / "backup", tmp_path / "full")
    with pytest.raises(Invalid, match="BACKUP"):
        maintenance.restore(tmp_path / "full", tmp_path / "new")


def test_a_shortened_backup_is_refused(library, folder, tmp_path):
    library.put("demo/m", folder)
    library.backup(tmp_path / "backup")
    pack = next((tmp_path / "backup").rglob("*.pack"))
    os.truncate(pack, 1000)
    with pytest.raises(Corrupt, match="1000 bytes of"):
        maintenance.restore(tmp_path / "backup", tmp_path / "restored")


def test_a_foreign_directory_is_left_alone(tmp_path):
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "cat.jpg").write_bytes(b"meow")
    with pytest.raises(Invalid, match="not a runstone data directory"):
        Store(tmp_path / "photos")
    assert [p.name for p in (tmp_path / "photos").iterdir()] == ["cat.jpg"]
    with pytest.raises(Invalid):
        Store(tmp_path / "missing", create=False)
    assert not (tmp_path / "missing").exists()


def test_a_newer_format_is_refused_by_name(tmp_path):
    Store(tmp_path / "data").close()
    path = tmp_path / "data" / "FORMAT"
    path.write_text(json.dumps({**json.loads(path.read_text()), "runstone": 99}))
    with pytest.raises(Invalid, match="99"):
        Store(tmp_path / "data")
    path.write_text("garbage")
    with pytest.raises(Corrupt, match="FORMAT"):
        Store(tmp_path / "data")


def test_a_store_is_open_twice_and_each_sees_the_other(library, folder):
    import subprocess
    import sys

    code = f"""
import runstone
with runstone.open({str(library.store.path)!r}) as other:
    print(other.put("demo/m", {str(folder)!r}, aliases=["prod"]).number)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout == "1\n", done.stderr
    assert library.resolve("demo/m@prod").version == 1
    with library.open_file("demo/m@prod", "model.safetensors") as stored:
        assert stored.read() == (folder / "model.safetensors").read_bytes()
    assert library.put("demo/m", folder).number == 1


def test_the_embedded_start_leaves_one_entry_however_often(tmp_path):
    for _ in range(3):
        with runstone.open(tmp_path / "data") as library:
            assert library.store.log.head().size == 1
