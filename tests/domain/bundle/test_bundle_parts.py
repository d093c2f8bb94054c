"""What a bundle carries beside runs, collections and versions: there and back, once, and nothing of it from a hostile bundle."""

import base64
import hashlib
import json
import shutil

import pytest
from tests.conftest import make_folder
from tests.domain.bundle.test_bundle import (
    in_manifest,
    lines_of,
    manifest_of,
    rewrite,
    set_first,
    sign,
    state,
    take,
)

import runstone
from runstone.domain import artifacts, assembling, content, digested, drafts, links
from runstone.domain.bundle import export_project
from runstone.domain.digested import DigestedFile
from runstone.domain.runs import inputs
from runstone.domain.runs.inputs import ModelUse, Used
from runstone.errors import Invalid

PARTS = ["extras", "artifacts", "datasets", "inputs"]


def make_project(library, folder):
    """A project with something of every part."""
    library.create_project("p")
    make_artifacts(library, folder)
    make_inputs(library)


def log_artifact(library, path, metadata, step):
    """An artifact as the wandb SDK logs one: its manifest refers to bytes here and elsewhere."""
    store, ctx = library.store, library.ctx
    digest = base64.b64encode(hashlib.md5(path.read_bytes()).digest()).decode()
    files = [
        DigestedFile("here", digest, path.stat().st_size, ref="file:///my/own path", extra={"$k": [1, None]}, held=True),
        DigestedFile("there", "etag", 9, ref="s3://bucket/with space"),
    ]  # fmt: skip
    library.create_run("p/maker")
    number, _ = drafts.create(
        store, ctx, "p/logged", digest=digested.digest_of(files), metadata=metadata, step=step, run="p/maker"
    )
    drafts.put_manifest(store, ctx, number, "m", "full", content.put_files(store, ctx, "local", [("", path)])[0].sha256)  # fmt: skip
    return assembling.commit(store, ctx, number, lambda _: files)


def make_artifacts(library, folder):
    store, ctx = library.store, library.ctx
    first = library.put("p/m", folder)
    library.put("elsewhere/m", folder)
    artifacts.contents(store, ctx, first.id)  # which makes their MD5s known
    path = min(path for path in folder.iterdir() if path.is_file())
    library.create_collection("p/logged", type="model")
    logged = log_artifact(library, path, {"by": "sdk"}, 12)
    links.link(store, ctx, logged, "p/chosen", ("best",))
    links.link(store, ctx, first.id, "p/chosen")
    links.link(store, ctx, library.version("elsewhere/m:v1").id, "p/chosen")
    artifacts.amend(store, ctx, logged, {"amended": {"$": 0.5}})
    artifacts.amend(store, ctx, first.id, None)
    library.delete_version("p/m:v1", with_aliases=True)


def make_inputs(library):
    store, ctx = library.store, library.ctx
    for run in ("a", "b", "gone"):
        library.create_run(f"p/{run}")
    train = Used(
        "train", "d1", "local", "{}", '[{"n": 1}]', '{"rows": 3}', {"mlflow.data.context": "training"}
    )
    inputs.note(store, ctx, "p/gone", [Used("only", "d0", source="gone")])
    inputs.note(store, ctx, "p/b", [Used("test", "d0"), train], [ModelUse("m-1"), ModelUse("m-2", True, 7)])
    inputs.note(store, ctx, "p/a", [Used("train", "d1", "other", labels={"k": ""}), Used("train", "d2")])
    inputs.note(store, ctx, "p/a", [Used(f"many {number}", "d") for number in range(990)])
    inputs.note(store, ctx, "p/a", [Used(f"more {number}", "d") for number in range(20)])
    library.finish_run("p/b")
    library.delete_run("p/gone")


@pytest.fixture
def full(library, folder):
    make_project(library, folder)
    return library


@pytest.fixture
def bundle(full, tmp_path):
    export_project(full.store, full.ctx, "p", tmp_path / "bundle")
    return tmp_path / "bundle"


@pytest.fixture
def other(tmp_path):
    with runstone.open(tmp_path / "other") as opened:
        yield opened


def test_all_parts_come_back_equal_and_once(full, bundle, other):
    before = state(full)
    assert all(before[part] for part in PARTS)
    take(other, bundle)
    assert state(other) == before
    size = other.store.log.head().size
    take(other, bundle)
    assert other.store.log.head().size == size


def test_a_bundle_from_before_there_were_parts_is_taken(bundle, other):
    manifest = manifest_of(bundle)
    for part in PARTS:
        del manifest["files"][f"{part}.jsonl"], manifest["counts"][part]
    (bundle / "manifest.json").write_text(json.dumps(manifest))
    take(other, bundle)
    found = state(other)
    assert found["versions"] and not any(found[part] for part in PARTS)


def test_artifacts_are_what_they_were(full, bundle, other):
    take(other, bundle)
    for name in ("p/logged:v1", "p/chosen:v1", "p/chosen:v2", "p/chosen:v3"):
        mine, theirs = (artifacts.get(each.store, each.ctx, name) for each in (full, other))
        assert (mine.step, mine.metadata, mine.version.metadata) == (theirs.step, theirs.metadata, theirs.version.metadata)  # fmt: skip
        told = [
            (artifacts.digest(each.store, each.ctx, info.version.id), artifacts.contents(each.store, each.ctx, info.version.id))
            for each, info in ((full, mine), (other, theirs))
        ]  # fmt: skip
        assert told[0] == told[1]
    logged = artifacts.get(other.store, other.ctx, "p/logged:v1")
    found = [each.name for each in artifacts.links_of(other.store, other.ctx, logged.version.id)]
    assert found == ["local/p/chosen@v1"]
    digest = bytes.fromhex(artifacts.digest(other.store, other.ctx, logged.version.id))
    again = drafts.create(other.store, other.ctx, "p/logged", digest=digest)
    assert again == (logged.version.id, True)
    records = {record["version"]: record for record in lines_of(bundle, "artifacts.jsonl")}
    assert [records[f"chosen@v{number}"]["source"] for number in (1, 2, 3)] == ["logged@v1", "m@v1", ""]
    assert records["chosen@v3"]["outside"] is True and "elsewhere" not in json.dumps(records)


def test_a_digest_that_is_not_of_the_files_finds_nothing(bundle, other):
    set_first("artifacts.jsonl", digest="0" * 32)(bundle)
    take(other, bundle)
    name = lines_of(bundle, "artifacts.jsonl")[0]["version"].partition("@")[0]
    assert drafts.create(other.store, other.ctx, f"p/{name}", digest=bytes(16))[1] is False


def test_runs_read_what_they_read(full, bundle, other):
    take(other, bundle)

    def uses(library, run):
        found = inputs.of(library.store, library.ctx, run)
        described = {
            (
                each.name,
                each.digest,
                each.source_type,
                each.source,
                each.schema,
                each.profile,
                tuple(labels.items()),
            )
            for each, labels in found.datasets
        }
        return described, found.models

    for run in ("p/a", "p/b"):
        assert uses(full, run) == uses(other, run)
    assert len(uses(other, "p/a")[0]) == 1012
    assert len(lines_of(bundle, "inputs.jsonl")) == 3
    assert other.get_run("p/b").state == "finished"
    inputs.note(other.store, other.ctx, "p/b", [Used("only", "d0", source="later")])
    assert ("only", "d0", "", "gone", "", "", ()) in uses(other, "p/b")[0]


def of(file, **wanted):
    """The first record of a file that has some values, to be changed."""

    def find(records):
        return next(each for each in records if wanted.items() <= each.items())

    return lambda **values: rewrite(file, lambda records: find(records).update(values))


logged, chosen = of("artifacts.jsonl", version="logged@v1"), of("artifacts.jsonl", version="chosen@v1")
HOSTILE = {
    "count": in_manifest(lambda manifest: manifest["counts"].update(artifacts=9)),
    "artifact of no version": logged(version="logged@v9"),
    "artifact of a deleted version": logged(version="m@v1"),
    "artifact twice": rewrite("artifacts.jsonl", lambda records: records.append(records[0])),
    "artifact digest": logged(digest="../x"),
    "artifact step": logged(step=1 << 63),
    "link to nothing": chosen(source="logged@v9"),
    "link to itself": chosen(source="chosen@v1"),
    "link outside the project": chosen(source="../elsewhere/m@v1"),
    "link to other files": chosen(source="chosen@v3"),
    "metadata depth": logged(metadata=json.loads("[" * 90 + "]" * 90)),
    "metadata that is none": logged(amended=False),
    "extras of no version": set_first("extras.jsonl", version="m@v1"),
    "extras twice": rewrite("extras.jsonl", lambda records: records.append(records[0])),
    "extras page": set_first("extras.jsonl", page=-1),
    "extras path": set_first("extras.jsonl", extras={"../x": {"ref": "x"}}),
    "extras of another kind": set_first("extras.jsonl", extras={"x": {"sha256": "x"}}),
    "extras reference": set_first("extras.jsonl", extras={"x": {"ref": 7}}),
    "extras map": set_first("extras.jsonl", extras={"x": {"extra": {"k": "v" * 70_000}}}),
    "dataset twice": rewrite("datasets.jsonl", lambda records: records.append(records[0])),
    "dataset name": set_first("datasets.jsonl", name="n" * 600),
    "dataset text": set_first("datasets.jsonl", source="a\0b"),
    "inputs of no run": of("inputs.jsonl", run="b")(run="gone"),
    "input that is no dataset": of("inputs.jsonl", run="b")(datasets=[{"name": "x", "digest": "y", "labels": {}}]),
    "input labels": of("inputs.jsonl", run="b")(datasets=[{"name": "train", "digest": "d1", "labels": {"": "x"}}]),
    "model name": of("inputs.jsonl", run="b")(models=[{"model": "m" * 600, "output": True, "step": 0}]),
    "model step": of("inputs.jsonl", run="b")(models=[{"model": "m", "output": True, "step": -1}]),
    "too many inputs": of("inputs.jsonl", run="b")(models=[{"model": "m", "output": True, "step": step} for step in range(1001)]),
}  # fmt: skip


@pytest.fixture(scope="module")
def pristine(tmp_path_factory):
    """One bundle that the hostile ones are made of."""
    root = tmp_path_factory.mktemp("pristine")
    folder = make_folder(root / "folder", {"a": b"a" * 1000, "b/c": b"c"})
    with runstone.open(root / "data") as library:
        make_project(library, folder)
        export_project(library.store, library.ctx, "p", root / "bundle")
    return root / "bundle"


@pytest.fixture(scope="module")
def empty(tmp_path_factory):
    """A store that no hostile bundle gets anything into."""
    with runstone.open(tmp_path_factory.mktemp("empty") / "data") as library:
        yield library


@pytest.mark.parametrize("how", HOSTILE)
def test_nothing_is_made_of_a_hostile_part(pristine, empty, tmp_path, how):
    shutil.copytree(pristine, tmp_path / "bundle")
    HOSTILE[how](tmp_path / "bundle")
    size = empty.store.log.head().size
    with pytest.raises(Invalid) as caught:
        take(empty, tmp_path / "bundle")
    assert empty.store.log.head().size == size
    assert caught.value.message


def test_the_parts_that_hostile_ones_are_made_of_are_good(pristine, other, tmp_path):
    shutil.copytree(pristine, tmp_path / "bundle")
    sign(tmp_path / "bundle")
    take(other, tmp_path / "bundle")
    assert all(state(other)[part] for part in PARTS)
