"""A project in an open bundle and back: nothing is lost, nothing is made twice, and nothing hostile is taken."""

import hashlib
import json
import math
import os
import random
import shutil

import duckdb
import msgspec
import pyarrow
import pyarrow.parquet
import pytest

import runstone
from runstone import verifier
from runstone.domain import aliases, audit, labels, lineage, versions
from runstone.domain.bundle import export_project, import_project, state_of_project
from runstone.domain.bundle.records import plain, restored
from runstone.domain.runs import lifecycle, points
from runstone.errors import Denied, DigestMismatch, Exists, Invalid, Missing, Quarantined
from runstone.types import FileEntry

NAN_WITH_PAYLOAD = memoryview(b"\x01\0\0\0\0\0\xf8\x7f" * 3).cast("d")


def make_project(library, folder, tmp_path):
    """A project with some of everything: forks, rewinds, deletions, holds, references, moved and removed aliases."""
    library.create_project("p", description="all sorts", tags=["b", "a"])
    library.set_field_class("p", "config.user", "pii")
    labels.label_project(library.store, library.ctx, "p", {"stage": "x\ny"}, kind="property")
    library.create_document("p", "view", "mine", {"$a": [1, None]}, title="Mine", private=True)
    library.create_document("p", "report", "all", {"text": "#"})
    library.create_run(
        "p/base", display_name="the base", group="g", job_type="train", sweep="s", notes="n\nm",
        tags={"t": "", "u": "text"}, goals={"loss": "min"}, started=5,
        config={"lr": math.nan, "$odd": [1, -math.inf], "opt": {"$float": 2, "user": "ann"}, "big": 2**64 - 1},
        info={"host": "h"},
    )  # fmt: skip
    rows = [
        (step, step * 10, {"loss": 1 / (step + 1), "n": step, "h": {"_type": "h", "v": [step]}, "s": "x" * step})
        for step in range(20)
    ]  # fmt: skip
    library.log_rows("p/base", rows)
    library.log_rows("p/base", rows[3:4])
    library.log_rows("p/base", [(7, 1, {"loss": math.inf, "n": -5, "m": math.nan}), (-3, 0, {"loss": -0.0})])
    library.log_batch("p/base", runstone._native.points.encode_columns(range(3), range(3), {"nan": NAN_WITH_PAYLOAD}))  # fmt: skip
    library.create_run("p/fork", fork="p/base", step=10)
    library.log_rows("p/fork", [(step, step, {"loss": float(step)}) for step in range(8, 16)])
    library.rewind_run("p/fork", 12)
    library.log_rows("p/fork", [(12, 1, {"loss": 0.5, "own": None})])
    library.create_run("p/low", fork="p/base", step=10)
    library.log_rows("p/low", [(11, 1, {"loss": 3})])
    library.rewind_run("p/low", 6)
    library.create_run("p/grandchild", fork="p/fork", step=13)
    library.update_run("p/base", summary={"best": {"loss": math.inf}}, started=0)
    library.log_lines("p/base", [(time, "stdout", "", f"line {time}") for time in range(30)])
    library.log_lines("p/base", [(1, "stderr", "warn", "again\ttext")], first=3)
    library.log_lines("p/base", [(1, "stdout", "", "after a gap")], first=40)
    library.finish_run("p/base", "failed", finished=77)
    library.save_run_files("p/base", folder, files=[FileEntry(path="far", size=9, url="s3://b/k", etag="e")])
    library.create_run("p/gone")
    library.delete_run("p/gone")
    library.put(
        "p/m", folder, aliases=["prod", "old"], description="d", tags=["z", "a"], metadata={"f1": 0.5}
    )
    (tmp_path / "one").mkdir()
    (tmp_path / "one" / "only").write_bytes(b"only")
    library.put("p/m", tmp_path / "one", aliases=["prod"])
    library.put("p/m", files=[FileEntry(path="r", size=1, url="https://e.org/r", etag="1")], expires=1 << 50)
    library.set_alias("p/m:v3", "prod", reason="the best", fallback=False)
    library.delete_alias("p/m", "old", reason="not needed")
    library.set_alias("p/m:v2", "stage")
    library.delete_version("p/m:v2", with_aliases=True, reason="wrong")
    library.update_version("p/m:v1", hold="for the court")
    library.create_collection("p/empty set", type="dataset", metadata=[1, None])
    library.link("p/m:v1", "used_by", "run:local/p/base")
    library.link("run:local/p/base", "produced", "p/m:v3")
    library.link("p/m:v3", "fetched_by", "consumer:web")
    library.link("external:paper", "used_by", "run:local/p/fork")
    library.put("elsewhere/m", folder)
    library.link("elsewhere/m:v1", "used_by", "run:local/p/fork")
    return library


@pytest.fixture
def full(library, folder, tmp_path):
    return make_project(library, folder, tmp_path)


@pytest.fixture
def bundle(full, tmp_path):
    export_project(full.store, full.ctx, "p", tmp_path / "bundle")
    return tmp_path / "bundle"


@pytest.fixture
def other(tmp_path):
    with runstone.open(tmp_path / "other") as opened:
        yield opened


def state(library, project="p"):
    return state_of_project(library.store, library.ctx, project)


def take(library, bundle, project="p"):
    return import_project(library.store, library.ctx, bundle, project)


def manifest_of(bundle):
    return json.loads((bundle / "manifest.json").read_text())


def sign(bundle):
    """Makes the manifest say what is there, as whoever makes a hostile bundle does."""
    manifest = manifest_of(bundle)
    manifest["files"] = {
        path: {
            "size": (bundle / path).stat().st_size,
            "sha256": hashlib.sha256((bundle / path).read_bytes()).hexdigest(),
        }
        for path in manifest["files"]
        if (bundle / path).exists()
    }
    (bundle / "manifest.json").write_text(json.dumps(manifest))


def lines_of(bundle, name):
    return [json.loads(line) for line in (bundle / name).read_text().splitlines()]


def test_a_project_comes_back_equal(full, bundle, other, folder):
    before = state(full)
    done = take(other, bundle)
    assert state(other) == before == state(full)
    assert (done.project, done.outside, done.counts["runs"]) == ("local/p", 1, 4)
    assert set(before["runs"]) == {"base", "fork", "low", "grandchild"}
    assert before["runs"]["low"]["inherits"] == 6 < before["runs"]["low"]["forked"]
    assert [version["state"] for version in before["versions"]] == ["live", "deleted", "live"]
    with other.open_file("p/m:v1", "model.safetensors") as stored:
        assert stored.read() == (folder / "model.safetensors").read_bytes()
    with other.open_run_file("p/base", "config.json") as stored:
        assert stored.read() == b'{"layers": 2}'
    assert other.alias("p/m", "prod").version == 3
    mine, theirs = full.get_run("p/base"), other.get_run("p/base")
    assert (mine.state, mine.finished, mine.started) == (theirs.state, theirs.finished, 0)
    assert plain(mine.summary) == plain(theirs.summary)
    assert plain(mine.config) == plain(theirs.config)
    assert full.lines("p/base") == other.lines("p/base")
    for name in ("p/base", "p/fork", "p/low", "p/grandchild"):
        key = [
            (each.key, each.step, each.min, each.max)
            for each in full.run_stats(name)
            if each.points > each.nans
        ]
        assert key == [(each.key, each.step, each.min, each.max) for each in other.run_stats(name) if each.points > each.nans]  # fmt: skip
    with pytest.raises(Missing):
        other.get_run("p/gone", deleted=True)


def test_every_bit_of_a_point_is_kept(full, bundle, other):
    take(other, bundle)
    name = "p/base"
    packed = []
    for library in (full, other):
        from runstone.domain.bundle.source import Source

        with library.store.index.read() as view:
            source = Source(library.store, view, library.ctx, "p")
            run = next(run for run in source.runs() if run.name == name.partition("/")[2])
            found = [
                values.tobytes()
                for _, _, columns in source.history(run)
                for key, _, values in columns
                if key == "nan"
            ]
        packed.append(b"".join(found))
    assert packed[0] == packed[1] == bytes(NAN_WITH_PAYLOAD)


def test_an_import_is_done_once(full, bundle, other):
    take(other, bundle)
    size = other.store.log.head().size
    take(other, bundle)
    assert other.store.log.head().size == size
    other.create_run("p/new")
    take(other, bundle)
    assert other.get_run("p/new").state == "running"


BREAKING = [
    (points, "log"),
    (lifecycle, "set_state"),
    (versions, "commit"),
    (aliases, "move"),
    (lineage, "link"),
]


@pytest.mark.parametrize("function", BREAKING, ids=lambda function: function[1])
def test_an_import_that_broke_off_goes_on(full, bundle, other, monkeypatch, function):
    module, name = function
    true, calls = getattr(module, name), []

    def breaking(*arguments, **options):
        calls.append(1)
        if len(calls) == 2 or (len(calls) == 1 and name == "set_state"):
            raise KeyboardInterrupt
        return true(*arguments, **options)

    monkeypatch.setattr(module, name, breaking)
    with pytest.raises(KeyboardInterrupt):
        take(other, bundle)
    monkeypatch.undo()
    assert state(other) != state(full)
    take(other, bundle)
    assert state(other) == state(full)


def test_only_an_empty_project_takes_a_bundle(full, bundle, other):
    with pytest.raises(Exists, match="not empty"):
        take(full, bundle)
    other.create_run("q/first")
    with pytest.raises(Exists, match="not empty"):
        take(other, bundle, "q")
    other.create_project("r", description="was empty", visibility="public")
    take(other, bundle, "r")
    assert state(other, "r") == state(full)
    other.create_project("s", kind="registry")
    with pytest.raises(Exists, match="is a registry"):
        take(other, bundle, "s")


def test_a_project_that_was_deleted_can_be_imported_again(library, other, tmp_path):
    library.create_project("p", description="d")
    library.set_field_class("p", "config.user", "pii")
    export_project(library.store, library.ctx, "p", tmp_path / "bundle")
    for _ in range(2):
        take(other, tmp_path / "bundle")
        assert state(other) == state(library)
        other.delete_project("p")


def test_what_was_made_by_others_lies_in_the_name_it_is_given(full, bundle, other):
    take(other, bundle, "local/renamed")
    assert state(other, "renamed") == state(full)
    assert other.get_run("renamed/fork").parent == "local/renamed/base"


def test_forks_of_what_is_gone_keep_their_history(library, other, tmp_path):
    for name in ("purged", "deleted", "rewound"):
        library.create_run(f"p/{name}")
        library.log_rows(f"p/{name}", [(step, step, {"loss": step / 7}) for step in range(10)])
        library.create_run(f"p/of-{name}", fork=f"p/{name}", step=8)
        library.log_rows(f"p/of-{name}", [(8, 1, {"loss": 1})])
    for name in ("purged", "deleted"):
        library.delete_run(f"p/{name}")
    library.purge_run("p/purged")
    library.rewind_run("p/rewound", 4)
    library.log_rows("p/rewound", [(5, 1, {"loss": 2})])
    export_project(library.store, library.ctx, "p", tmp_path / "bundle")
    take(other, tmp_path / "bundle")
    found = state(other)
    assert found == state(library)
    assert {name: run["points"]["count"] for name, run in found["runs"].items()} == {
        "of-purged": 9, "of-deleted": 9, "of-rewound": 9, "rewound": 5
    }  # fmt: skip
    origins = {record["name"]: record["origin"] for record in lines_of(tmp_path / "bundle", "runs.jsonl")}
    assert origins == {"of-purged": "", "of-deleted": "deleted", "of-rewound": "rewound", "rewound": ""}


def test_a_bundle_can_be_read_without_us(bundle, full):
    rows = duckdb.sql(
        f"select run, count(*), count(float), count(int), count(object) from '{bundle}/points/*.parquet' group by run order by run"
    ).fetchall()
    records = {record["name"]: record for record in lines_of(bundle, "runs.jsonl")}
    assert {row[0]: row[1] for row in rows} == {
        name: record["points"] for name, record in records.items() if record["points"]
    }
    assert all(row[1] == sum(row[2:]) for row in rows)
    best = duckdb.sql(
        f"select step, float from '{bundle}/points/*.parquet' where run = 'base' and key = 'loss' and step in (4, 7) order by step, float"
    ).fetchall()
    assert best == [(4, 0.2), (7, 0.125), (7, math.inf)]
    texts = duckdb.sql(f"select number, text from '{bundle}/lines/*.parquet' order by number").fetchall()
    assert texts[3] == (3, "again\ttext") and texts[-1] == (40, "after a gap")
    held = sorted(path.name for path in (bundle / "files").rglob("*") if path.is_file())
    assert held == sorted(record["sha256"] for record in lines_of(bundle, "files.jsonl"))
    for path in (bundle / "files").rglob("*"):
        if path.is_file():
            assert hashlib.sha256(path.read_bytes()).hexdigest() == path.name
    for path, listed in manifest_of(bundle)["files"].items():
        assert hashlib.sha256((bundle / path).read_bytes()).hexdigest() == listed["sha256"]


def test_the_proof_holds_without_the_store(bundle, full):
    proof = json.loads((bundle / "proof.json").read_text())
    found = verifier.verify_bundle(proof, [audit.verifier_key(full.store, full.ctx)])
    assert len(found) == manifest_of(bundle)["counts"]["proven"] > 20
    proof["entries"][3]["header"] = proof["entries"][4]["header"]
    with pytest.raises(verifier.Refused if hasattr(verifier, "Refused") else Exception):
        verifier.verify_bundle(proof, [audit.verifier_key(full.store, full.ctx)])


def test_points_take_several_files_and_groups(library, other, tmp_path, monkeypatch):
    from runstone.domain.bundle import checking, parquet

    monkeypatch.setattr(parquet, "GROUP_ROWS", 50)
    monkeypatch.setattr(parquet, "FILE_ROWS", 120)
    monkeypatch.setattr(parquet, "GROUP_BYTES", 500)
    monkeypatch.setattr(checking, "MAX_BATCH", 700)
    for run in ("a", "b", "c"):
        library.create_run(f"p/{run}")
        library.log_rows(
            f"p/{run}", [(step, step, {"x": step, "y": "t" * (step % 9)}) for step in range(130)]
        )
        library.log_lines(f"p/{run}", [(1, "stdout", "", "l" * 20)] * 130)
    manifest = export_project(library.store, library.ctx, "p", tmp_path / "bundle")
    assert sum(path.startswith("points/") for path in manifest.files) > 3
    assert sum(path.startswith("lines/") for path in manifest.files) > 1
    take(other, tmp_path / "bundle")
    assert state(other) == state(library)


def test_an_export_wants_an_empty_place_and_one_that_breaks_off_is_no_bundle(
    full, other, tmp_path, monkeypatch
):
    (tmp_path / "used").mkdir()
    (tmp_path / "used" / "x").touch()
    for target in (tmp_path / "used", tmp_path / "used" / "x"):
        with pytest.raises(Invalid, match="not an empty directory"):
            export_project(full.store, full.ctx, "p", target)
    monkeypatch.setattr(audit, "bundle", lambda *asked: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        export_project(full.store, full.ctx, "p", tmp_path / "half")
    assert (tmp_path / "half" / "runs.jsonl").exists() and not (tmp_path / "half" / "manifest.json").exists()
    with pytest.raises(Invalid, match="not a whole bundle"):
        take(other, tmp_path / "half")
    assert not other.projects()


def test_who_may_not_read_every_field_may_not_export(people, tmp_path):
    people.ann.create_run("lab/p/r", config={"user": "x"})
    for library in (people.max, people.ria):
        with pytest.raises(Denied):
            export_project(library.store, library.ctx, "lab/p", tmp_path / "bundle")
    with pytest.raises(Missing):
        export_project(people.eve.store, people.eve.ctx, "lab/p", tmp_path / "bundle")
    people.ann.set_member("lab", "max", "owner", classes=["public"])
    with pytest.raises(Denied, match="read all fields"):
        export_project(people.max.store, people.max.ctx, "lab/p", tmp_path / "bundle")
    assert not (tmp_path / "bundle").exists()
    export_project(people.ann.store, people.ann.ctx, "lab/p", tmp_path / "bundle")
    with pytest.raises(Denied):
        take(people.ria, tmp_path / "bundle", "lab/q")
    with pytest.raises(Missing):
        take(people.eve, tmp_path / "bundle", "lab/q")
    take(people.eve, tmp_path / "bundle", "eve/q")
    assert state(people.eve, "eve/q") == state(people.ann, "lab/p")


def test_damaged_bytes_are_not_exported(full, tmp_path):
    from runstone.domain.versioning import QuarantineVersion

    found = full.version("p/m:v3")
    with full.store.index.read() as view:
        from runstone.storage.tables import VERSION_IDS

        collection, number = view.get(VERSION_IDS, found.id)
    full.store.log.submit(QuarantineVersion(actor="x", collection=collection, number=number, why="damage"))
    with pytest.raises(Quarantined, match="p/m:v3 is quarantined"):
        export_project(full.store, full.ctx, "p", tmp_path / "bundle")
    assert not (tmp_path / "bundle" / "manifest.json").exists()


def test_progress_is_told(full, other, tmp_path):
    seen = []
    export_project(full.store, full.ctx, "p", tmp_path / "b", lambda done, total: seen.append((done, total)))
    assert seen[-1] == (6, 6) and len(seen) == 6
    seen.clear()
    import_project(
        other.store, other.ctx, tmp_path / "b", "p", lambda done, total: seen.append((done, total))
    )
    assert seen[-1] == (7, 7)


def test_strict_json_says_any_number_and_key():
    value = {"a": [math.inf, -math.inf, {"$float": "NaN", "$$": 1}], "$float": {"x": -0.0}}
    text = msgspec.json.encode(plain(value))
    assert restored(msgspec.json.decode(text)) == value
    assert math.isnan(restored(plain([math.nan]))[0])
    for hostile in ({"$float": "1"}, {"$float": "NaN", "x": 1}, {"$x": 1}):
        with pytest.raises(Invalid):
            restored(hostile)


def rewrite(name, change):
    def tamper(bundle):
        records = lines_of(bundle, name)
        change(records)
        (bundle / name).write_text("".join(json.dumps(record) + "\n" for record in records))
        sign(bundle)

    return tamper


def in_manifest(change):
    def tamper(bundle):
        manifest = manifest_of(bundle)
        change(manifest)
        (bundle / "manifest.json").write_text(json.dumps(manifest))

    return tamper


def outside_file(bundle):
    (bundle.parent / "secret").write_bytes(b"secret")
    manifest = manifest_of(bundle)
    digest = hashlib.sha256(b"secret").hexdigest()
    manifest["files"]["../secret"] = {"size": 6, "sha256": digest}
    (bundle / "manifest.json").write_text(json.dumps(manifest))


def linked_file(bundle):
    shutil.move(bundle / "runs.jsonl", bundle.parent / "moved")
    os.symlink(bundle.parent / "moved", bundle / "runs.jsonl")


def linked_folder(bundle):
    shutil.move(bundle / "files", bundle.parent / "moved")
    os.symlink(bundle.parent / "moved", bundle / "files")


def truncated(bundle):
    path = bundle / "points" / "part-00000.parquet"
    path.write_bytes(path.read_bytes()[:-50])
    sign(bundle)


def cut_in_the_middle(bundle):
    path = bundle / "points" / "part-00000.parquet"
    data = bytearray(path.read_bytes())
    data[200:260] = b"\xff" * 60
    path.write_bytes(data)
    sign(bundle)


def parquet_with(folder="points", /, **columns):
    def tamper(bundle):
        path = bundle / folder / "part-00000.parquet"
        table = pyarrow.parquet.read_table(path)
        for name, value in columns.items():
            place = table.schema.get_field_index(name)
            field = table.schema.field(name)
            made = pyarrow.array([value] * table.num_rows, field.type)
            table = table.set_column(place, field.with_nullable(True), made)
        pyarrow.parquet.write_table(table, path)
        sign(bundle)

    return tamper


def other_columns(bundle):
    path = bundle / "points" / "part-00000.parquet"
    pyarrow.parquet.write_table(pyarrow.table({"x": [1]}), path)
    sign(bundle)


def many_rows(bundle):
    path = bundle / "points" / "part-00000.parquet"
    table = pyarrow.parquet.read_table(path).slice(0, 1)
    huge = pyarrow.concat_tables([table] * 4096).combine_chunks()
    pyarrow.parquet.write_table(pyarrow.concat_tables([huge] * 300), path, row_group_size=1 << 21)
    sign(bundle)


def broken_blob(bundle):
    path = next(path for path in (bundle / "files").rglob("*") if path.is_file())
    path.write_bytes(path.read_bytes() + b"!")


def set_first(file, /, **values):
    return rewrite(file, lambda records: records[0].update(values))


HOSTILE = {
    "no manifest": lambda bundle: (bundle / "manifest.json").unlink(),
    "manifest is no JSON": lambda bundle: (bundle / "manifest.json").write_text("{"),
    "manifest is deep": lambda bundle: (bundle / "manifest.json").write_text("[" * 100_000),
    "unknown format": in_manifest(lambda manifest: manifest.update(format="runstone-bundle/99")),
    "unknown field": in_manifest(lambda manifest: manifest.update(extra=1)),
    "a file that no bundle has": in_manifest(lambda manifest: manifest["files"].update({"x.sh": {"size": 0, "sha256": "0" * 64}})),
    "huge count": in_manifest(lambda manifest: manifest["counts"].update(points=10**18)),
    "negative count": in_manifest(lambda manifest: manifest["counts"].update(runs=-1)),
    "no count": in_manifest(lambda manifest: manifest["counts"].pop("lineage")),
    "a file less": in_manifest(lambda manifest: manifest["files"].pop("aliases.jsonl")),
    "wrong size": in_manifest(lambda manifest: manifest["files"]["runs.jsonl"].update(size=1)),
    "wrong digest": lambda bundle: (bundle / "runs.jsonl").write_text((bundle / "runs.jsonl").read_text().replace("the base", "the ease")),
    "path out of the bundle": outside_file,
    "link to a file": linked_file,
    "link to a folder": linked_folder,
    "wrong bytes": broken_blob,
    "blob path": set_first("files.jsonl", sha256="../../../../etc/passwd"),
    "blob size": set_first("files.jsonl", size=10**15),
    "truncated parquet": truncated,
    "damaged parquet": cut_in_the_middle,
    "other columns": other_columns,
    "huge row group": many_rows,
    "points of no run": parquet_with(run="nobody"),
    "points of a wrong run": parquet_with(run="low"),
    "null run": parquet_with(run=None),
    "unknown kind": parquet_with(kind="complex"),
    "points without values": parquet_with(kind="object", object=None),
    "objects that are none": parquet_with(kind="object", object=b"\xc1"),
    "long key": parquet_with(key="k" * 500),
    "line out of order": parquet_with("lines", number=5),
    "negative line": parquet_with("lines", number=-5),
    "line of no stream": parquet_with("lines", stream=""),
    "record is no JSON": lambda bundle: ((bundle / "runs.jsonl").write_text("{}\n"), sign(bundle)),
    "record is no text": lambda bundle: ((bundle / "runs.jsonl").write_bytes(b'{"name": "\xff"}\n'), sign(bundle)),
    "run name": set_first("runs.jsonl", name="../x"),
    "run twice": rewrite("runs.jsonl", lambda records: records.append(records[0])),
    "run state": set_first("runs.jsonl", state="done"),
    "run never ended": set_first("runs.jsonl", finished=0),
    "run time": set_first("runs.jsonl", started=-1),
    "parent unknown": rewrite("runs.jsonl", lambda records: records[1].update(parent="nobody")),
    "inherits too much": rewrite("runs.jsonl", lambda records: records[1].update(inherits=11)),
    "points of a run": set_first("runs.jsonl", points=1),
    "config number": set_first("runs.jsonl", config={"$float": "x"}),
    "config depth": set_first("runs.jsonl", config=json.loads('{"a":' * 90 + "1" + "}" * 90)),
    "run file path": rewrite("runs.jsonl", lambda records: records[0]["files"][0].update(path="../x")),
    "run file unknown": rewrite("runs.jsonl", lambda records: records[0]["files"][0].update(sha256="0" * 64)),
    "collection name": set_first("collections.jsonl", name="a/b"),
    "version path": rewrite("versions.jsonl", lambda records: records[0]["files"][0].update(path="/etc/x")),
    "version number": set_first("versions.jsonl", number=7),
    "version state": set_first("versions.jsonl", state="quarantined"),
    "version digest": set_first("versions.jsonl", digest="0" * 64),
    "version of no collection": set_first("versions.jsonl", collection="nothing"),
    "version metadata": set_first("versions.jsonl", metadata={"$float": "NaN"}),
    "alias name": set_first("aliases.jsonl", alias="v1"),
    "alias history": rewrite("aliases.jsonl", lambda records: records[0]["history"][0].update(previous=1)),
    "alias target": rewrite("aliases.jsonl", lambda records: records[1].update(version=1)),
    "alias to no version": rewrite("aliases.jsonl", lambda records: records[0]["history"][0].update(version=99)),
    "label of nothing": rewrite("labels.jsonl", lambda records: records[0]["subject"].update(kind="run")),
    "label of no version": rewrite("labels.jsonl", lambda records: records[0].update(subject={"kind": "version", "name": "m@v99"})),
    "label kind": set_first("labels.jsonl", kind="sticker"),
    "label text": set_first("labels.jsonl", labels={"k": "a\0b"}),
    "document name": set_first("documents.jsonl", name="a/b"),
    "document twice": rewrite("documents.jsonl", lambda records: records.append(records[0])),
    "document depth": set_first("documents.jsonl", spec=json.loads('{"a":' * 90 + "1" + "}" * 90)),
    "document number": set_first("documents.jsonl", spec={"$float": "NaN"}),
    "edge relation": set_first("lineage.jsonl", relation="likes"),
    "edge end": rewrite("lineage.jsonl", lambda records: records[0]["source"].update(kind="version", name="m@v9")),
    "edge kind": rewrite("lineage.jsonl", lambda records: records[0]["source"].update(kind="node-x")),
    "project kind": set_first("project.json", kind="folder"),
    "project twice": rewrite("project.json", lambda records: records.append(records[0])),
    "field class": lambda bundle: ((bundle / "field_classes.json").write_text('{"x": "public"}'), sign(bundle)),
    "field classes are no map": lambda bundle: ((bundle / "field_classes.json").write_text("[]"), sign(bundle)),
}  # fmt: skip


@pytest.fixture(scope="module")
def pristine(tmp_path_factory):
    """One bundle that the hostile ones are made of."""
    from tests.conftest import make_folder

    root = tmp_path_factory.mktemp("pristine")
    folder = make_folder(root / "folder", {"a": b"a" * 1000, "b/c": b"c"})
    with runstone.open(root / "data") as library:
        make_project(library, folder, root)
        export_project(library.store, library.ctx, "p", root / "bundle")
    return root / "bundle"


@pytest.mark.parametrize("how", HOSTILE)
def test_nothing_is_made_of_a_hostile_bundle(pristine, other, tmp_path, how):
    shutil.copytree(pristine, tmp_path / "bundle")
    HOSTILE[how](tmp_path / "bundle")
    size = other.store.log.head().size
    with pytest.raises(Invalid) as caught:
        take(other, tmp_path / "bundle")
    assert other.store.log.head().size == size
    assert caught.value.message
    if how in ("wrong size", "wrong digest", "wrong bytes", "version digest"):
        assert isinstance(caught.value, DigestMismatch)


def test_the_bundle_that_hostile_ones_are_made_of_is_good(pristine, other, tmp_path):
    shutil.copytree(pristine, tmp_path / "bundle")
    sign(tmp_path / "bundle")
    take(other, tmp_path / "bundle")
    assert len(state(other)["runs"]) == 4


def test_random_damage_is_refused_or_harmless(pristine, other, tmp_path):
    """Bytes changed at random in a bundle whose digests were made to fit: a clear refusal, or a project; never anything else."""
    noise = random.Random(5)
    bundle = tmp_path / "bundle"
    shutil.copytree(pristine, bundle)
    listed = manifest_of(bundle)["files"]
    paths = sorted(path for path, file in listed.items() if file["size"] and not path.startswith("proof"))
    manifest = (bundle / "manifest.json").read_bytes()
    refused = 0
    for number in range(80):
        path = bundle / noise.choice(paths)
        whole = path.read_bytes()
        damaged = bytearray(whole)
        place = noise.randrange(len(damaged))
        if number % 3:
            damaged[place] ^= 1 << noise.randrange(8)
        else:
            del damaged[place : place + noise.randrange(1, 20)]
        path.write_bytes(damaged)
        sign(bundle)
        size = other.store.log.head().size
        try:
            take(other, bundle, f"p{number}")
        except Invalid:
            refused += 1
            assert other.store.log.head().size == size
        else:
            assert len(state(other, f"p{number}")["runs"]) == 4
        path.write_bytes(whole)
        (bundle / "manifest.json").write_bytes(manifest)
    assert 40 < refused < 80
