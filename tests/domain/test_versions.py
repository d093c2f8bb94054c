import filecmp
import os
import time
from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runstone.domain import content, limits, manifests, versions
from runstone.errors import (
    AliasMoved,
    Conflict,
    Denied,
    Exists,
    Gone,
    Invalid,
    Missing,
    RunstoneError,
    TooLarge,
)
from runstone.types import FileEntry

HOSTILE = [
    "../up", "a/../b", "/etc/passwd", "a//b", "", ".", "..", "a/.", ".git/config", "a/.GIT/hooks", "nul\0byte",
    "back\\slash", "C:/windows", "trailing ", " leading", "tab\tname", "new\nline", "a/", "x" * 1025, "y" * 256,
    "cafe\u0301", "\ud800",
]  # fmt: skip


def same_files(left, right):
    names = sorted(os.path.relpath(os.path.join(d, f), left) for d, _, fs in os.walk(left) for f in fs)
    return filecmp.cmpfiles(left, right, names, shallow=False)[0] == names


def reference(path="a", size=1):
    return FileEntry(path=path, size=size, url="s3://bucket/key", etag="e")


def test_what_is_put_is_what_is_got(library, folder, tmp_path):
    made = library.put(
        "demo/model", folder, metadata={"accuracy": 0.9}, aliases=["prod"], tags=["b", "a", "b"]
    )
    assert (made.number, made.files, made.state) == (1, 4, "live")
    assert made.size == sum(p.stat().st_size for p in folder.rglob("*") if p.is_file())
    assert made.tags == ("a", "b") and made.aliases == ("prod",) and made.metadata == {"accuracy": 0.9}
    library.get("demo/model@prod", tmp_path / "out")
    assert same_files(folder, tmp_path / "out")
    assert [file.path for file in library.files("demo/model")] == sorted(
        ["model.safetensors", "config.json", "tokenizer/vocab.txt", "empty"]
    )


def test_a_file_is_mapped_without_copying(library, folder):
    library.put("demo/model", folder)
    with library.open_file("demo/model@v1", "model.safetensors") as stored:
        content = (folder / "model.safetensors").read_bytes()
        view = stored.map()
        assert view == content and view.readonly
        assert len(stored.segments(0, stored.size)) == 1
        assert stored.read(10, 30) == content[10:30]
        assert stored.read() == content
        view.release()
    with library.open_file("demo/model@v1", "empty") as stored:
        assert stored.read() == b"" and len(stored.map()) == 0


def test_a_changed_version_shares_what_did_not_change_and_maps_too(library, folder):
    library.put("demo/model", folder)
    content = bytearray((folder / "model.safetensors").read_bytes())
    content[1_500_000:1_500_100] = bytes(100)
    (folder / "model.safetensors").write_bytes(content)
    before = sum(p.stat().st_blocks for p in library.store.path.rglob("*.pack"))
    library.put("demo/model", folder)
    after = sum(p.stat().st_blocks for p in library.store.path.rglob("*.pack"))
    assert (after - before) * 512 < 400_000
    with library.open_file("demo/model@v2", "model.safetensors") as stored:
        assert len(stored.segments(0, stored.size)) > 1
        view = stored.map()
        assert view == bytes(content)
        view.release()


def test_equal_content_is_the_same_version(library, folder):
    first = library.put("demo/model", folder, metadata={"n": 1})
    again = library.put("demo/model", folder, metadata={"n": 1}, aliases=["new"])
    assert again.number == first.number and again.aliases == ("new",)
    assert library.put("demo/model", folder, metadata={"n": 2}).number == 2
    assert library.put("demo/model", folder, metadata={"n": 1}, reuse=False).number == 3


def test_a_version_is_never_overwritten(library, folder):
    library.put("demo/model", folder)
    before = library.version("demo/model@v1")
    for name in ("demo/model@v1", "demo/model:v1", "demo/model@prod"):
        with pytest.raises(Invalid, match="names a version"):
            library.put(name, folder)
    (folder / "config.json").write_bytes(b"other")
    assert library.put("demo/model", folder).number == 2
    assert library.version("demo/model@v1") == before
    with library.open_file("demo/model@v1", "config.json") as stored:
        assert stored.read() == b'{"layers": 2}'


@pytest.mark.parametrize("path", HOSTILE)
def test_hostile_paths_are_refused_and_nothing_is_changed(library, path):
    library.create_project("demo")
    library.create_collection("demo/model")
    before = library.store.log.head()
    with pytest.raises(Invalid):
        library.commit("demo/model", [reference(path)])
    assert library.store.log.head() == before


@given(st.text(max_size=40))
def test_an_accepted_path_stays_inside(path):
    try:
        limits.path(path)
    except Invalid:
        return
    assert not os.path.isabs(path)
    inside = os.path.normpath(os.path.join("/base", path))
    assert inside.startswith("/base/") and inside == "/base/" + path


def test_a_path_is_given_once_and_is_a_file_or_a_directory(library):
    library.create_project("demo")
    library.create_collection("demo/model")
    with pytest.raises(Invalid, match="twice"):
        library.commit("demo/model", [reference("a"), reference("a")])
    with pytest.raises(Invalid, match="directory"):
        library.commit("demo/model", [reference("a"), reference("a/b")])


def test_a_commit_of_bytes_that_are_not_here_is_refused(library):
    library.create_project("demo")
    library.create_collection("demo/model")
    before = library.store.log.head()
    with pytest.raises(Missing, match="ab" * 32):
        library.commit("demo/model", [FileEntry(path="a", size=1, sha256="ab" * 32)])
    assert library.store.log.head() == before


def test_a_commit_with_another_size_is_refused(library, folder):
    library.put("demo/model", folder)
    entry = next(file for file in library.files("demo/model") if file.path == "config.json")
    wrong = FileEntry(path="config.json", size=entry.size + 1, sha256=entry.sha256)
    with pytest.raises(RunstoneError):
        library.commit("demo/model", [wrong])


@pytest.mark.parametrize(
    "entry",
    [
        FileEntry(path="a", size=1),
        FileEntry(path="a", size=-1, url="s3://b/k", etag="e"),
        FileEntry(path="a", size=1, sha256="xyz"),
        FileEntry(path="a", size=1, url="ftp://x/y", etag="e"),
        FileEntry(path="a", size=1, url="s3://", etag="e"),
        FileEntry(path="a", size=1, url="s3://b/k"),
        FileEntry(path="a", size=2**60, url="s3://b/k", etag="e"),
    ],
    ids=str,
)
def test_bad_entries_are_refused(library, entry):
    library.create_project("demo")
    library.create_collection("demo/model")
    with pytest.raises(Invalid):
        library.commit("demo/model", [entry])


def test_references_are_recorded_and_not_fetched(library):
    urls = ["s3://b/k", "gs://b/k", "https://example.org/x", "file:///data/x"]
    made = library.put(
        "demo/data",
        type="dataset",
        files=[FileEntry(path=f"f{n}", size=n, url=url, etag="e") for n, url in enumerate(urls)],
    )
    assert (made.files, made.size, made.type) == (4, 6, "dataset")
    assert [file.url for file in library.files("demo/data")] == urls
    with pytest.raises(Invalid, match="s3://b/k"):
        library.open_file("demo/data", "f0")


def test_metadata_may_be_any_json_and_nothing_else(library):
    shape = {"": None, "deep": [[{"x": [1, -(2**63), 2**64 - 1, 1e300, True, "ü"]}]]}
    assert library.put("demo/m", files=[reference()], metadata=shape).metadata == shape
    assert library.put("demo/m", files=[reference()], metadata=[1, 2]).metadata == [1, 2]
    deep: list = []
    for _ in range(limits.MAX_DEPTH + 1):
        deep = [deep]
    for bad in (
        {"n": float("nan")},
        {"n": float("inf")},
        {"n": 2**64},
        {1: 2},
        {"n": {1, 2}},
        deep,
        "x" * (1 << 20),
    ):
        with pytest.raises(Invalid):
            library.put("demo/m", files=[reference()], metadata=bad)
    with pytest.raises(TooLarge, match="nested"):
        library.put("demo/m", files=[reference()], metadata=deep)


def test_what_may_change_of_a_version_changes(library):
    library.put("demo/m", files=[reference()])
    changed = library.update_version("demo/m@v1", description="d", tags=["t"], expires=2**50)
    assert (changed.description, changed.tags, changed.expires) == ("d", ("t",), 2**50)
    assert library.update_version("demo/m@v1", expires=0).expires == 0


def test_a_deleted_version_is_gone_and_its_number_is_not_given_again(library, folder):
    library.put("demo/m", folder)
    library.delete_version("demo/m@v1", reason="leaked")
    with pytest.raises(Gone, match="leaked"):
        library.resolve("demo/m@v1")
    with pytest.raises(Gone):
        library.open_file("demo/m@v1", "config.json")
    assert library.version("demo/m@v1").state == "deleted"
    assert library.put("demo/m", folder).number == 2
    with pytest.raises(Missing):
        library.delete_version("demo/m@v1")


def test_a_version_with_an_alias_or_a_hold_is_not_deleted(library):
    library.put("demo/m", files=[reference()], aliases=["prod"])
    with pytest.raises(Conflict, match="prod"):
        library.delete_version("demo/m@v1")
    library.update_version("demo/m@v1", hold="case 17")
    with pytest.raises(Conflict, match="case 17"):
        library.delete_version("demo/m@v1", with_aliases=True)
    library.update_version("demo/m@v1", hold="")
    library.delete_version("demo/m@v1", with_aliases=True)
    with pytest.raises(Missing):
        library.alias("demo/m", "prod")
    assert [step.version for step in library.alias_history("demo/m", "prod")] == [1, 0]


def test_a_version_expires_unless_it_is_held(library):
    from runstone.domain import maintenance

    past, future = time.time_ns() // 1000 - 1, time.time_ns() // 1000 + 10**9
    for n, expires in enumerate((past, past, future, 0)):
        library.put("demo/m", files=[reference(f"f{n}")], expires=expires)
    library.update_version("demo/m@v2", hold="keep")
    assert maintenance.expire(library.store) == ["local/demo/m:v1"]
    assert [v.state for v in library.versions("demo/m")] == ["live", "live", "live", "deleted"]


def test_names_lead_to_versions(library):
    library.put("demo/m", files=[reference("a")], aliases=["prod"])
    library.put("demo/m", files=[reference("b")])
    for name, number in {
        "demo/m": 2, "local/demo/m": 2, "demo/m@prod": 1, "demo/m:prod": 1, "demo/m@v1": 1, "demo/m:1": 1, "demo/m@latest": 2,
    }.items():  # fmt: skip
        assert library.resolve(name).version == number, name
    for name in ("demo", "a/b/c/d", "demo/m@", "/m", "demo//m", "", "x" * 2000):
        with pytest.raises(Invalid):
            library.resolve(name)
    for name in ("demo/x", "demo/m@nope", "demo/m@v9", "no/m", "demo/m@v99999999"):
        with pytest.raises(Missing):
            library.resolve(name)


def test_listings_page(library):
    for n in range(7):
        library.put("demo/m", files=[reference(f"f{n}")])
    first = library.versions("demo/m", limit=3)
    second = library.versions("demo/m", before=first[-1].number, limit=3)
    assert [v.number for v in first + second] == [7, 6, 5, 4, 3, 2]


def test_a_large_manifest_pages_by_path(library):
    paths = [f"d{n % 7}/f{n:05d}" for n in range(2000)]
    library.put("demo/m", files=[reference(path, 1) for path in paths])
    assert [file.path for file in library.files("demo/m")] == sorted(paths)
    under = sorted(path for path in paths if path.startswith("d3/"))
    assert [file.path for file in library.files("demo/m", prefix="d3/")] == under
    first = library.files("demo/m", limit=700)
    assert [file.path for file in first + library.files("demo/m", after=first[-1].path)] == sorted(paths)
    with library.store.index.read() as view:
        digest = bytes.fromhex(library.version("demo/m").digest)
        for path in (paths[0], paths[999], paths[-1]):
            assert manifests.find(view, digest, path).path == path
        for path in ("", "zzz", "d3/", "d3/f"):
            with pytest.raises(Missing):
                manifests.find(view, digest, path)


def test_collections_are_renamed_moved_and_deleted(library):
    library.create_project("other")
    library.put("demo/m", files=[reference()], aliases=["prod"])
    with pytest.raises(Exists):
        library.create_collection("demo/m")
    moved = library.update_collection("demo/m", new_name="n", project="other", description="d", tags=["x"])
    assert moved.path == "local/other/n"
    assert library.resolve("other/n@prod").version == 1
    with pytest.raises(Missing):
        library.resolve("demo/m@prod")
    with pytest.raises(Conflict, match="1 versions"):
        library.delete_collection("other/n")
    library.delete_version("other/n@v1", with_aliases=True)
    library.delete_collection("other/n")
    with pytest.raises(Missing):
        library.collection("other/n")
    library.delete_project("demo")
    library.delete_project("other")
    assert library.projects() == []


def test_who_knows_a_digest_does_not_get_the_bytes(people, folder):
    made = people.ann.put("lab/secret/m", folder)
    stolen = [file for file in people.ann.files(made.name) if file.size]
    people.eve.create_project("eve/loot")
    people.eve.create_collection("eve/loot/m")
    with pytest.raises(Missing, match="was uploaded"):
        people.eve.commit("eve/loot/m", stolen)
    with pytest.raises(Denied):
        people.ria.commit("lab/secret/m", stolen)
    assert people.max.commit("lab/secret/m", stolen).number == 2


def test_a_commit_that_expects_is_a_compare_and_set(library, folder):
    library.put("local/p/m", folder)
    files = library.files("local/p/m")
    store, ctx = library.store, library.ctx

    def commit(**expecting):
        found, _ = versions.commit_or_find(
            store, ctx, "local/p/m", files, reuse=False, aliases=("main",), **expecting
        )
        return found.number

    assert commit(expected={"main": 0}, newest=1) == 2
    for stale in ({"expected": {"main": 0}}, {"expected": {"main": 1}}, {"newest": 1}, {"newest": 3}):
        with pytest.raises(AliasMoved):
            commit(**stale)
    assert [version.number for version in library.versions("local/p/m")] == [2, 1]
    assert commit(expected={"main": 2, "other": 0}, newest=2) == 3
    assert library.alias("local/p/m", "main").version == 3


def test_bytes_from_memory_and_what_is_held(people):
    stored = content.put_bytes(people.max.store, people.max.ctx, "lab", b"some bytes")
    assert (stored.size, stored.sha256) == (10, sha256(b"some bytes").hexdigest())
    assert content.held_size(people.max.store, people.max.ctx, "lab", stored.sha256) == 10
    # Another member did not bring them, and no version that he may read has them.
    assert content.held_size(people.ann.store, people.ann.ctx, "lab", stored.sha256) is None
    assert content.held_size(people.max.store, people.max.ctx, "lab", "0" * 64) is None
    with pytest.raises(Denied):
        content.put_bytes(people.ria.store, people.ria.ctx, "lab", b"x")
    people.max.create_project("lab/p")
    people.max.create_collection("lab/p/m")
    people.max.commit("lab/p/m", [FileEntry(path="a", size=10, sha256=stored.sha256)])
    assert content.held_size(people.ann.store, people.ann.ctx, "lab", stored.sha256) == 10
