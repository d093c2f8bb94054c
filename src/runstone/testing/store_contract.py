"""What every store promises, however it is reached: run against the embedded library and against its remote twin.

A subclass gives the fixture ``store``: an empty store, seen by its owner ``local``. Whatever another implementation of these
methods answers to the calls below must be equal, values and errors alike.
"""

from __future__ import annotations

import inspect
import random
import time
from pathlib import Path
from typing import Any

import pytest

from runstone.errors import (
    AliasMoved,
    Conflict,
    Denied,
    Exists,
    Gone,
    Invalid,
    Missing,
    RunstoneError,
)
from runstone.types import FileEntry

FILES = {
    "model.safetensors": random.Random(7).randbytes(3_000_000),
    "config.json": b'{"layers": 2}',
    "tokenizer/vocab größer.txt": b"a\nb\n",
    "empty": b"",
}


def reference(path: str = "far", size: int = 10) -> FileEntry:
    """A file whose bytes are elsewhere."""
    return FileEntry(path=path, size=size, url="s3://bucket/key", etag="tag")


def write(folder: Path, files: dict[str, bytes]) -> Path:
    """Makes a folder of files."""
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    return folder


def read(folder: Path) -> dict[str, bytes]:
    """The files of a folder."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()
    }


class StoreContract:
    """Subclass it, and give it the fixture ``store``."""

    @pytest.fixture
    def source(self, tmp_path: Path) -> Path:
        """A folder with a small model."""
        return write(tmp_path / "source", FILES)

    def test_what_is_put_is_what_is_got(self, store: Any, source: Path, tmp_path: Path) -> None:
        """Bytes, metadata and names come back as they were given."""
        told: list[tuple[int, int]] = []
        made = store.put(
            "demo/model",
            source,
            metadata={"accuracy": 0.9, "nested": [1, None, {"ü": "x"}]},
            description="first",
            tags=["b", "a", "b"],
            aliases=["prod"],
            progress=lambda done, total: told.append((done, total)),
        )
        assert made.name == "local/demo/model:v1"
        assert (made.number, made.files, made.state, made.by) == (1, 4, "live", "local")
        assert made.size == sum(len(content) for content in FILES.values())
        assert made.tags == ("a", "b") and made.aliases == ("prod",) and made.description == "first"
        assert made.metadata == {"accuracy": 0.9, "nested": [1, None, {"ü": "x"}]}
        assert store.version("demo/model@prod") == made == store.version("local/demo/model:v1")
        target = tmp_path / "out"
        assert store.get("demo/model@prod", target) == target
        assert read(target) == FILES
        assert [file.path for file in store.files("demo/model@v1")] == sorted(FILES)
        assert told and told[-1] == (made.size, made.size)

    def test_documents(self, store: Any) -> None:
        """A document changes by compare-and-set, keeps its revisions, and goes with its project."""
        store.create_project("demo")
        spec = {"panels": [{"key": "loss", "width": 2.5}], "ü": None}
        made = store.create_document("demo", "view", "mine", spec, title="Mine")
        assert (made.kind, made.name, made.title, made.spec, made.revision) == (
            "view",
            "mine",
            "Mine",
            spec,
            1,
        )
        with pytest.raises(Exists):
            store.create_document("demo", "view", "mine", {})
        changed = store.update_document("demo", "view", "mine", spec=[1], revision=1, reason="less of it")
        assert (changed.spec, changed.title, changed.revision) == ([1], "Mine", 2)
        with pytest.raises(Conflict, match="revision 2"):
            store.update_document("demo", "view", "mine", title="late", revision=1)
        assert store.document("demo", "view", "mine") == changed
        assert store.document("demo", "view", "mine", revision=1).spec == spec
        with pytest.raises(Missing):
            store.document("demo", "view", "mine", revision=3)
        assert [
            (step.revision, step.by, step.reason) for step in store.document_revisions("demo", "view", "mine")
        ] == [
            (1, "local", ""),
            (2, "local", "less of it"),
        ]
        store.create_document("demo", "report", "first", {"text": "# all"})
        assert [(item.kind, item.name, item.spec) for item in store.documents("demo")] == [
            ("report", "first", None),
            ("view", "mine", None),
        ]
        assert [item.name for item in store.documents("demo", kind="view")] == ["mine"]
        assert [item.name for item in store.documents("demo", after="report/first")] == ["mine"]
        store.delete_document("demo", "view", "mine")
        with pytest.raises(Missing):
            store.document("demo", "view", "mine")
        store.delete_project("demo")
        store.create_project("demo")
        assert store.documents("demo") == []

    def test_a_bad_document_is_refused(self, store: Any) -> None:
        """Names, sizes and depths are checked, and nothing is stored."""
        store.create_project("demo")
        deep: Any = None
        for _ in range(80):
            deep = [deep]
        for kind, name, spec in (
            ("view", "../x", 1),
            ("a b", "x", 1),
            ("view", "x", deep),
            ("view", "x", "s" * (5 << 20)),
        ):
            with pytest.raises(Invalid):
                store.create_document("demo", kind, name, spec)
        assert store.documents("demo") == []

    def test_what_is_got_is_of_one_version(self, store: Any, tmp_path: Path) -> None:
        """An alias that moves meanwhile changes nothing."""
        for number in (b"1", b"2"):
            store.put("demo/model", write(tmp_path / str(number), {"a": number * 9, "b": number * 9}))
        store.set_alias("demo/model@v1", "prod")
        store.get(
            "demo/model@prod",
            tmp_path / "out",
            progress=lambda done, total: store.set_alias("demo/model@v2", "prod"),
        )
        assert read(tmp_path / "out") == {"a": b"1" * 9, "b": b"1" * 9}

    def test_a_file_is_put_alone_and_got_by_prefix(self, store: Any, source: Path, tmp_path: Path) -> None:
        """One file is a version too; a prefix selects."""
        assert store.put("demo/one", source / "config.json").files == 1
        store.put("demo/model", source)
        store.get("demo/model", tmp_path / "out", prefix="tokenizer/")
        assert list(read(tmp_path / "out")) == ["tokenizer/vocab größer.txt"]
        assert [file.path for file in store.files("demo/model", prefix="c")] == ["config.json"]
        assert [file.path for file in store.files("demo/model", limit=2)] == ["config.json", "empty"]
        assert [file.path for file in store.files("demo/model", after="empty", limit=1)] == [
            "model.safetensors"
        ]

    def test_a_file_is_read_in_part_and_mapped(self, store: Any, source: Path, tmp_path: Path) -> None:
        """Ranges, the whole, and a read-only map hold the same bytes."""
        content = FILES["model.safetensors"]
        store.put("demo/model", source)
        with store.open_file("demo/model", "model.safetensors") as file:
            assert (file.size, file.name, file.version) == (
                len(content),
                "model.safetensors",
                "local/demo/model:v1",
            )
            assert file.etag == f'"{file.sha256}"' and len(file.sha256) == 64
            assert file.read(10, 30) == content[10:30]
            assert file.read(2_900_000) == content[2_900_000:]
            assert file.read(1_000, 1_500_000) == content[1_000:1_500_000]
            assert file.read(5, 5) == b"" and file.read() == content
            assert len(file.chunks()) % 44 == 0
            file.copy_to(tmp_path / "copy")
            view = file.map()
            assert view == content and view.readonly
            view.release()
        assert (tmp_path / "copy").read_bytes() == content
        with store.open_file("demo/model", "empty") as file:
            assert file.read() == b"" and len(file.map()) == 0

    def test_what_cannot_be_opened(self, store: Any, source: Path) -> None:
        """A missing file, version or collection is missing; a reference names its address."""
        store.put("demo/model", source, files=[reference()])
        with pytest.raises(Missing):
            store.open_file("demo/model", "nothing")
        with pytest.raises(Missing):
            store.open_file("demo/model@v9", "config.json")
        with pytest.raises(Missing):
            store.files("demo/other")
        with pytest.raises(Invalid) as caught:
            store.open_file("demo/model", "far")
        assert caught.value.details["url"] == "s3://bucket/key"

    def test_equal_content_is_one_version_unless_told_otherwise(self, store: Any, source: Path) -> None:
        """Reuse answers the version that is there; an alias moves to it all the same."""
        first = store.put("demo/model", source)
        again = store.put("demo/model", source, aliases=["same"])
        assert again.number == first.number and again.aliases == ("same",)
        assert store.put("demo/model", source, metadata={"other": 1}).number == 2
        assert store.put("demo/model", source, reuse=False).number == 3
        assert [version.number for version in store.versions("demo/model")] == [3, 2, 1]
        assert [version.number for version in store.versions("demo/model", before=3, limit=1)] == [2]

    def test_versions_are_committed_of_references_and_of_files_that_are_there(
        self, store: Any, source: Path
    ) -> None:
        """A manifest may name bytes that were put before, and bytes elsewhere; bytes that are nowhere are refused."""
        store.put("demo/model", source)
        held = store.files("demo/model", prefix="config.json")
        made = store.commit("demo/model", [*held, reference("weights/far")])
        assert made.number == 2
        assert store.files("demo/model@v2") == [*held, reference("weights/far")]
        unknown = FileEntry(path="x", size=1, sha256="ab" * 32)
        with pytest.raises(RunstoneError):
            store.commit("demo/model", [unknown])
        assert store.collection("demo/model").latest == 2

    def test_hostile_paths_are_refused(self, store: Any) -> None:
        """Nothing that could leave a directory is committed."""
        store.create_project("demo")
        store.create_collection("demo/model")
        for path in ("../up", "/etc/passwd", "a//b", "a/.git/b", "nul\0", "x" * 300, "trailing ", "\ud800"):
            with pytest.raises(Invalid):
                store.commit("demo/model", [reference(path)])
        assert store.versions("demo/model") == []

    def test_sources_that_cannot_be_put(self, store: Any, tmp_path: Path) -> None:
        """A folder that is missing, empty, leads out of itself or holds what is no file is refused, and no version is made."""
        outside = write(tmp_path / "outside", {"secret": b"x"})
        leading_out = write(tmp_path / "leading", {"a": b"a"})
        (leading_out / "link").symlink_to(outside / "secret")
        linking = write(tmp_path / "linking", {"a": b"a", "sub/b": b"b"})
        (linking / "also").symlink_to("sub")
        around = write(tmp_path / "around", {"sub/b": b"b"})
        (around / "sub/up").symlink_to("..")
        dangling = write(tmp_path / "dangling", {"a": b"a"})
        (dangling / "nowhere").symlink_to("gone")
        (tmp_path / "none").mkdir()
        for source, error, named in (
            (tmp_path / "no", Missing, "no"),
            (tmp_path / "none", Invalid, "none"),
            (leading_out, Invalid, "leading/link"),
            (linking, Invalid, "linking/also is a link to a directory"),
            (around, Invalid, "around/sub/up is a link to a directory"),
            (dangling, Invalid, "dangling/nowhere"),
        ):
            with pytest.raises(error, match=named):
                store.put("demo/model", source)
        with pytest.raises(Invalid):
            store.put("demo/model@v1", outside)
        with pytest.raises(Missing):
            store.version("demo/model")

    def test_aliases_move_by_compare_and_set_and_keep_their_history(self, store: Any) -> None:
        """The last mover's expectation decides; every step is kept, with its reason."""
        for number in (1, 2, 3):
            assert store.put("demo/model", files=[reference(size=number)]).number == number
        assert store.set_alias("demo/model@v1", "prod", expected=0, reason="grüße").version == 1
        assert store.set_alias("demo/model@v3", "prod", expected=1, fallback=False).fallback is False
        with pytest.raises(AliasMoved) as caught:
            store.set_alias("demo/model@v2", "prod", expected=1)
        assert caught.value.details.items() >= {"current": 3, "expected": 1}.items()
        with pytest.raises(Invalid):
            store.set_alias("demo/model", "prod")
        with pytest.raises(Missing):
            store.set_alias("demo/model@v8", "prod")
        store.set_alias("demo/model@prod", "a/b c")
        assert [(found.alias, found.version) for found in store.aliases("demo/model")] == [
            ("a/b c", 3),
            ("prod", 3),
        ]
        assert store.alias("demo/model", "a/b c").version == store.resolve("demo/model@a/b c").version == 3
        store.delete_alias("demo/model", "prod", expected=3, reason="gone")
        with pytest.raises(Missing):
            store.alias("demo/model", "prod")
        steps = store.alias_history("demo/model", "prod")
        assert [(step.previous, step.version, step.reason) for step in steps] == [
            (0, 1, "grüße"), (1, 3, ""), (3, 0, "gone"),
        ]  # fmt: skip
        assert store.alias_history("demo/model", "prod", after=steps[0].seq, limit=1) == steps[1:2]
        assert store.alias_at("demo/model", "prod", seq=steps[1].seq) == 3
        assert store.alias_at("demo/model", "prod", time=steps[0].time) == 1
        assert store.alias_at("demo/model", "prod", seq=0) == 0
        with pytest.raises(Invalid):
            store.alias_at("demo/model", "prod")

    def test_a_name_without_a_version_is_the_latest(self, store: Any, tmp_path: Path) -> None:
        """The highest live version, whatever was deleted above it; or where an alias ``latest`` points, if somebody made one."""

        def meant(name: str) -> list[int]:
            with store.open_file(name, "n") as file:
                opened = int(file.version.rpartition("v")[2])
            read_back = int((store.get(name, tmp_path / "out") / "n").read_bytes())
            resolved = store.resolve(name)
            aliases.add(resolved.alias)
            return [store.version(name).number, resolved.version, opened, read_back, len(store.files(name))]

        store.create_project("demo")
        store.create_collection("demo/model")
        for ask in (store.version, store.resolve, store.files):
            with pytest.raises(Missing, match="no live version"):
                ask("demo/model")
        for number in (1, 2, 3):
            store.put("demo/model", write(tmp_path / str(number), {"n": b"%d" % number}))
        store.delete_version("demo/model@v3")
        aliases: set[str] = set()
        assert meant("demo/model") == meant("demo/model@latest") == [2, 2, 2, 2, 1]
        assert aliases == {""}
        store.set_alias("demo/model@v1", "latest")
        aliases.clear()
        assert meant("demo/model") == meant("demo/model@latest") == [1, 1, 1, 1, 1]
        assert aliases == {"latest"}
        assert store.collection("demo/model").latest == 2
        store.delete_alias("demo/model", "latest")
        assert meant("demo/model") == [2, 2, 2, 2, 1]

    def test_versions_are_described_held_and_deleted(self, store: Any) -> None:
        """What may change changes, a hold forbids deletion, and a deleted version is gone for good."""
        store.put("demo/model", files=[reference()], aliases=["prod"])
        store.put("demo/model", files=[reference(size=11)])
        later = time.time_ns() // 1000 + 10**9
        changed = store.update_version(
            "demo/model@v1", description="d", tags=["t"], expires=later, hold="case 7"
        )
        assert (changed.description, changed.tags, changed.expires, changed.hold) == (
            "d",
            ("t",),
            later,
            "case 7",
        )
        with pytest.raises(Conflict):
            store.delete_version("demo/model@v1", with_aliases=True)
        assert store.update_version("demo/model@v1", hold="").hold == ""
        with pytest.raises(Conflict):
            store.delete_version("demo/model@v1")
        store.delete_version("demo/model@v1", with_aliases=True, reason="bad")
        with pytest.raises(Gone):
            store.files("demo/model@v1")
        assert store.version("demo/model@v1").state == "deleted"
        assert store.put("demo/model", files=[reference()]).number == 3

    def test_collections_and_projects_are_made_changed_listed_and_removed(self, store: Any) -> None:
        """Names are unique, listings are ordered and paged, and only what is empty is removed."""
        made = store.create_project("demo", description="d", tags=["x"], kind="registry", visibility="public")
        assert (made.path, made.kind, made.visibility, made.tags) == (
            "local/demo",
            "registry",
            "public",
            ("x",),
        )
        with pytest.raises(Exists):
            store.create_project("demo")
        assert store.create_project("demo", exist_ok=True) == made == store.project("local/demo")
        for name in ("b", "a", "data set"):
            kind = "dataset" if " " in name else "model"
            store.create_collection(f"demo/{name}", type=kind, metadata={"n": name})
        with pytest.raises(Exists):
            store.create_collection("demo/a")
        assert [found.name for found in store.collections("demo")] == ["a", "b", "data set"]
        assert [found.name for found in store.collections("demo", type="dataset")] == ["data set"]
        assert [found.name for found in store.collections("demo", after="a", limit=1)] == ["b"]
        store.create_project("other")
        moved = store.update_collection(
            "demo/a", new_name="c", project="other", description="new", tags=["t"]
        )
        assert (moved.path, moved.description, moved.tags, moved.metadata) == (
            "local/other/c", "new", ("t",), {"n": "a"},
        )  # fmt: skip
        assert [found.name for found in store.projects()] == ["demo", "other"]
        assert store.update_project("other", new_name="third", description="x").path == "local/third"
        with pytest.raises(Conflict):
            store.delete_project("third")
        store.delete_collection("third/c")
        store.delete_project("third")
        with pytest.raises(Missing):
            store.project("third")
        with pytest.raises(Missing):
            store.collections("nobody/nothing")

    def test_listings_go_on_over_pages(self, store: Any) -> None:
        """A limit is a limit, however many requests it takes."""
        store.create_project("demo")
        for number in range(25):
            store.put("demo/model", files=[reference(size=number)])
        assert len(store.versions("demo/model", limit=1500)) == 25
        assert len(store.versions("demo/model", limit=7)) == 7
        records = store.history("demo/model", limit=2000)
        assert [record.seq for record in records] == sorted(record.seq for record in records)
        assert store.history("demo/model", after=records[3].seq, limit=2) == records[4:6]

    def test_field_classes(self, store: Any) -> None:
        """A field of a project has a class."""
        store.create_project("demo")
        store.set_field_class("demo", "patient", "phi")
        assert store.field_classes("demo")["patient"] == "phi"
        with pytest.raises(Invalid):
            store.set_field_class("demo", "patient", "nonsense")

    def test_lineage(self, store: Any) -> None:
        """Edges are found from both ends."""
        store.put("demo/data", files=[reference()], type="dataset")
        store.put("demo/model", files=[reference()])
        store.link("demo/data@v1", "used_by", "run:local/r1")
        store.link("run:local/r1", "produced", "demo/model@v1")
        graph = store.lineage("demo/model@v1", direction="upstream")
        assert {node.name for node in graph.nodes} >= {
            "local/demo/data:v1",
            "local/demo/model:v1",
            "local/r1",
        }
        assert {edge.relation for edge in graph.edges} == {"used_by", "produced"}
        assert len(store.lineage("demo/data@v1", depth=1).edges) == 1
        with pytest.raises(Invalid):
            store.link("demo/data@v1", "eaten_by", "demo/model@v1")
        with pytest.raises(Missing):
            store.lineage("demo/model@v7")

    def test_history_log_and_proofs(self, store: Any) -> None:
        """Every change has its entry, and can be proven."""
        store.put("demo/model", files=[reference()], aliases=["prod"])
        kinds = [record.kind for record in store.history("demo/model")]
        assert kinds[0] == "create_collection" and "commit_version" in kinds
        log = store.log()
        assert [record.seq for record in log] == list(range(len(log)))
        assert store.log(start=1, limit=1) == log[1:2]
        assert store.log_key() in store.proof("demo/model", "prod").get("vkey", "")
        assert store.proof("demo/model@v1")["entries"]
        assert store.checkpoint().count("\n") > 3
        with pytest.raises(Missing):
            store.proof("demo/model", "never")

    def test_users_keys_namespaces_and_members(self, store: Any) -> None:
        """People, their keys, and who belongs where."""
        me = store.whoami()
        assert (me.name, me.admin) == ("local", True)
        ann = store.create_user("ann", email="ann@example.org", full_name="Ann")
        assert store.user("ann") == ann and ann in store.users()
        with pytest.raises(Exists):
            store.create_user("ann")
        assert store.update_user("ann", full_name="Ann A.", disabled=True).disabled
        team = store.create_namespace("lab", description="the lab")
        assert store.namespace("lab") == team and "lab" in [found.name for found in store.namespaces()]
        assert store.set_member("lab", "ann", "reader").role == "reader"
        assert {member.user for member in store.members("lab")} == {"ann", "local"}
        store.remove_member("lab", "ann")
        assert [member.user for member in store.members("lab")] == ["local"]
        with pytest.raises(Conflict):
            store.remove_member("lab", "local")
        made = store.create_key("ann", "laptop", role="reader")
        assert made.key.startswith("hf_") and made.info.role == "reader"
        assert store.keys("ann") == [made.info]
        store.revoke_key(made.info.id)
        assert store.keys("ann")[0].revoked > 0
        with pytest.raises(Missing):
            store.revoke_key(made.info.id + 10**6)
        with pytest.raises(Missing):
            store.user("nobody-here")

    def test_upkeep(self, store: Any, source: Path) -> None:
        """A sound store says so, and says what it went through."""
        store.put("demo/model", source)
        told: list[tuple[int, int]] = []
        found = store.verify(progress=lambda done, total: told.append((done, total)))
        assert found["entries"] == len(store.log(limit=1000)) and len(found["root"]) == 64
        assert store.scrub(deep=True)["damages"] == []
        assert store.gc(grace_seconds=0)["bytes_freed"] == 0
        assert store.damages() == []

    def test_names_that_are_none(self, store: Any) -> None:
        """A name that cannot be read is invalid, whatever is asked of it."""
        for name in ("", "a", "a/b/c/d", "a//b", "demo/model@", "demo/model:"):
            for ask in (store.version, store.files, store.resolve, store.collection):
                with pytest.raises(Invalid):
                    ask(name)

    def test_metadata_that_is_no_json(self, store: Any) -> None:
        """What JSON cannot hold is refused, and nothing is made."""
        for wrong in (float("nan"), 1 << 70, "\ud800", b"bytes"):
            with pytest.raises(Invalid):
                store.put("demo/model", files=[reference()], metadata={"n": wrong})
        assert store.versions("demo/model") == []

    def test_errors_are_runstones(self, store: Any) -> None:
        """Whoever may not be told what is missing is told nothing else."""
        with pytest.raises((Missing, Denied)):
            store.project("somebody/else")


def same_methods(left: type, right: type) -> list[str]:
    """The public methods of ``left`` that ``right`` lacks, or takes other parameters for."""
    differing = []
    for name, function in inspect.getmembers(left, inspect.isfunction):
        if name.startswith("_"):
            continue
        other = getattr(right, name, None)
        if other is None or list(inspect.signature(function).parameters) != list(
            inspect.signature(other).parameters
        ):
            differing.append(name)
    return differing
