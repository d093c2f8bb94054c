"""``runstone://`` for fsspec: its own abstract tests of reading, and the libraries that read through it."""

import fsspec
import numpy
import pandas
import pytest
import zarr
from fsspec.implementations.local import LocalFileSystem, make_path_posix
from fsspec.tests.abstract import AbstractFixtures
from fsspec.tests.abstract.get import AbstractGetTests

from runstone.client.fetch import fetch
from runstone.client.filesystem import RunstoneFileSystem
from runstone.client.remote import Remote
from runstone.testing.store_contract import read

MODEL = "runstone://local/demo/model@prod"


@pytest.fixture
def fs(relay, cache, model):
    return RunstoneFileSystem(relay.url, cache=str(cache), skip_instance_cache=True)


class TestGet(AbstractGetTests, AbstractFixtures):
    """fsspec's tests of ``get``. What they read is a version, made of the folder that they would make."""

    #: It makes what it reads by writing to the file system.
    test_get_directory_recursive = None

    @pytest.fixture
    def fs(self, server, tmp_path):
        return RunstoneFileSystem(server.url, cache=str(tmp_path / "cache"), skip_instance_cache=True)

    @pytest.fixture
    def fs_join(self):
        return lambda *parts: "/".join(parts)

    @pytest.fixture
    def fs_path(self, request, tmp_path):
        return f"local/fsspec/{abs(hash(request.node.nodeid))}@prod"

    @pytest.fixture
    def local_fs(self):
        return LocalFileSystem(auto_mkdir=True)

    @pytest.fixture
    def local_path(self, tmp_path):
        return make_path_posix(str(tmp_path / "local"))

    @pytest.fixture
    def stored(self, remote, fs_path, fs_join, tmp_path):
        def store(make):
            folder = tmp_path / "made"
            folder.mkdir()
            local = LocalFileSystem(auto_mkdir=True)
            source = make(local, fs_join, str(folder))
            remote.put(fs_path.removesuffix("@prod"), folder, aliases=["prod"])
            return f"{fs_path}/{source.removeprefix(str(folder)).lstrip('/')}".rstrip("/")

        return store

    @pytest.fixture
    def fs_bulk_operations_scenario_0(self, stored):
        return stored(self._bulk_operations_scenario_0)

    @pytest.fixture
    def fs_glob_edge_cases_files(self, stored):
        return stored(self._glob_edge_cases_files)

    @pytest.fixture
    def fs_dir_and_file_with_same_name_prefix(self, stored):
        return stored(self._dir_and_file_with_same_name_prefix)

    @pytest.fixture
    def fs_10_files_with_hashed_names(self, stored):
        return stored(self._10_files_with_hashed_names)


def test_what_there_is(fs, model):
    assert "local" in fs.ls("runstone://", detail=False)
    assert "local/demo" in fs.ls("local", detail=False)
    assert "local/demo/model" in fs.ls("runstone://local/demo", detail=False)
    assert set(fs.find(MODEL)) == {f"local/demo/model@prod/{path}" for path in read(model)}
    assert fs.isdir(f"{MODEL}/deep/er") and not fs.isfile(f"{MODEL}/deep") and fs.isfile(f"{MODEL}/empty")
    assert fs.glob(f"{MODEL}/*.json") == ["local/demo/model@prod/config.json"]
    assert fs.glob("local/demo/mod*") == ["local/demo/model"]
    info = fs.info(f"{MODEL}/zeros")
    assert (info["size"], info["type"], info["version"]) == (1 << 20, "file", "local/demo/model:v1")
    assert fs.checksum(f"{MODEL}/zeros") == info["sha256"] and fs.modified(f"{MODEL}/zeros").year > 2000
    assert fs.du(MODEL) == sum(map(len, read(model).values()))


@pytest.mark.parametrize(
    "path", ["nowhere", f"{MODEL}/nothing", "local/demo/none@prod/x", "local/none", "local/demo/model@none"]
)
def test_what_there_is_not(fs, path):
    assert not fs.exists(path)
    with pytest.raises(FileNotFoundError):
        fs.info(path)
    with pytest.raises(FileNotFoundError):
        fs.cat_file(path)


def test_ranges_move_their_chunks_only(fs, relay, model):
    content = (model / "model.bin").read_bytes()
    path = f"{MODEL}/model.bin"
    assert fs.cat_file(path, 5_000_000, 5_000_100) == content[5_000_000:5_000_100]
    assert relay.body <= 260 << 10
    assert fs.cat_ranges([path] * 3, [0, 10, -7], [5, 11, None]) == [
        content[:5],
        content[10:11],
        content[-7:],
    ]
    assert fs.cat_file(path, 9, 9) == fs.cat_file(path, 1 << 40, None) == b""
    assert fs.head(path, 100) == content[:100] and fs.tail(path, 100) == content[-100:]
    assert fs.cat_file(f"{MODEL}/empty") == b""
    with fs.open(path, block_size=1 << 16) as file:
        file.seek(-1000, 2)
        assert file.read(10) == content[-1000:-990]
        assert file.seek(3) == 3 and file.read(4) == content[3:7]


def test_damage_is_never_given_out(fs, relay, model):
    content = (model / "model.bin").read_bytes()
    relay.flip = [1_000_000, 1]
    assert fs.cat_file(f"{MODEL}/model.bin", 999_000, 1_001_000) == content[999_000:1_001_000]
    assert relay.flipped == 1
    relay.flip = [1_000_000, 1000]
    with pytest.raises(Exception, match="came damaged"):
        fs.cat_file(f"{MODEL}/model.bin", 999_000, 1_001_000)


def test_what_was_fetched_is_read_from_the_cache(fs, relay, cache, model):
    fetch("local/demo/model@prod", url=relay.url, cache=cache)
    body = relay.body
    assert fs.cat(f"{MODEL}/model.bin") == (model / "model.bin").read_bytes()
    assert relay.body == body


def test_nothing_can_be_written(fs):
    for change in (
        lambda: fs.open(f"{MODEL}/new", "wb"),
        lambda: fs.pipe_file(f"{MODEL}/new", b""),
        lambda: fs.rm(f"{MODEL}/zeros"),
        lambda: fs.mkdir("local/demo/new"),
        lambda: fs.touch(f"{MODEL}/new"),
        lambda: fs.mv(f"{MODEL}/zeros", f"{MODEL}/new"),
        lambda: fs.cp_file(f"{MODEL}/zeros", f"{MODEL}/new"),
    ):
        with pytest.raises(OSError, match="a version never changes"):
            change()


def test_one_version_is_read_until_it_is_forgotten(server, remote, cache, tmp_path):
    (tmp_path / "a").write_text("one")
    remote.put("demo/moving", tmp_path / "a", aliases=["prod"])
    fs = RunstoneFileSystem(server.url, cache=str(cache), skip_instance_cache=True)
    assert fs.cat_file("local/demo/moving@prod/a") == b"one"
    (tmp_path / "a").write_text("two!")
    remote.put("demo/moving", tmp_path / "a", aliases=["prod"])
    assert fs.cat_file("local/demo/moving@prod/a") == b"one"
    fs.invalidate_cache("runstone://local/demo/moving@prod/a")
    assert fs.cat_file("local/demo/moving@prod/a") == b"two!"


def test_who_may_not_gets_the_error_of_files(tmp_path):
    from runstone.testing.served import served

    with (
        served(tmp_path / "data", "--auth", "on") as server,
        Remote(server.url, key=server.first_key) as owner,
    ):
        owner.create_project("demo")
        fs = RunstoneFileSystem(server.url, key="hf_" + "x" * 40, skip_instance_cache=True)
        with pytest.raises(PermissionError):
            fs.ls("local/demo/model@prod")


@pytest.fixture
def settings(monkeypatch, server, cache):
    """What a user has set in the environment: the libraries below are told nothing else."""
    monkeypatch.setenv("RUNSTONE_URL", server.url)
    monkeypatch.setenv("RUNSTONE_CACHE", str(cache))
    RunstoneFileSystem.clear_instance_cache()
    yield
    RunstoneFileSystem.clear_instance_cache()


def test_fsspec_finds_it_by_its_entry_point(settings, model):
    assert fsspec.get_filesystem_class("runstone") is RunstoneFileSystem
    with fsspec.open(f"{MODEL}/config.json") as file:
        assert file.read() == b"{}"


def test_pandas_reads_a_table_in_place(settings, remote, tmp_path):
    frame = pandas.DataFrame({"a": range(1000), "b": [f"row {n}" for n in range(1000)]})
    (tmp_path / "t").mkdir()
    frame.to_csv(tmp_path / "t" / "t.csv", index=False)
    frame.to_parquet(tmp_path / "t" / "t.parquet")
    remote.put("demo/table", tmp_path / "t", type="dataset", aliases=["prod"])
    assert pandas.read_csv("runstone://local/demo/table@prod/t.csv").equals(frame)
    parquet = pandas.read_parquet("runstone://local/demo/table@prod/t.parquet", columns=["a"])
    assert parquet["a"].tolist() == list(range(1000))


def test_zarr_reads_an_array_in_place(settings, remote, tmp_path):
    values = numpy.arange(10_000).reshape(100, 100)
    made = zarr.create_array(
        str(tmp_path / "z" / "a.zarr"), shape=(100, 100), chunks=(10, 100), dtype=values.dtype
    )
    made[:] = values
    remote.put("demo/array", tmp_path / "z", type="dataset", aliases=["prod"])
    array = zarr.open_array("runstone://local/demo/array@prod/a.zarr", mode="r")
    assert numpy.array_equal(array[15:35], values[15:35])


def test_datasets_reads_a_file_in_place(settings, remote, tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    import datasets

    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "rows.jsonl").write_text("".join(f'{{"n": {n}}}\n' for n in range(50)))
    remote.put("demo/rows", tmp_path / "d", type="dataset", aliases=["prod"])
    rows = datasets.load_dataset(
        "json",
        data_files="runstone://local/demo/rows@prod/rows.jsonl",
        split="train",
        cache_dir=str(tmp_path / "datasets"),
        streaming=True,
    )
    assert [row["n"] for row in rows] == list(range(50))
