"""Artifacts of the real SDK: logged, found, used, changed and fetched; read back by the SDK and by the native library."""

from __future__ import annotations

import base64
import hashlib
import itertools

from sdk import ANY_KEY, Sdk

from runstone import domain
from runstone.config import ServerOptions
from runstone.domain.context import Context
from runstone.server.background import Background

CTX = Context()
DAY = 86_400 * 1_000_000


def native(served, name):
    """A version's files by path, with their digests, as the native library lists them."""
    files = domain.versions.files(served.store, CTX, name)
    return {file.path: (file.size, file.sha256, file.url) for file in files}


def sha(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def b64md5(content: bytes) -> str:
    return base64.b64encode(hashlib.md5(content).digest()).decode()


def test_an_artifact_is_logged_used_and_fetched(served, sdk):
    said = sdk.run("""
        import os
        os.makedirs("model/deep")
        with open("model/weights.bin", "wb") as file: file.write(bytes(range(256)) * 10_000)
        with open("model/deep/a é.txt", "w") as file: file.write("text")
        with open("model/empty", "w"): pass
        with wandb.init(project="art", id="maker") as run:
            artifact = wandb.Artifact("net", type="model", description="words", metadata={"lr": 0.1, "deep": {"x": [1, None]}})
            artifact.add_dir("model")
            run.log({"x": 1})
            logged = run.log_artifact(artifact, aliases=["latest", "best"], tags=["t1"]).wait()
            say([logged.name, logged.version, logged.digest, sorted(logged.aliases), str(logged.state)])
            again = wandb.Artifact("net", type="model"); again.add_dir("model")
            say(run.log_artifact(again, aliases=["again"]).wait().version)
            more = wandb.Artifact("net", type="model"); more.add_dir("model"); more.add_file("model/empty", "other")
            say(run.log_artifact(more).wait().version)
        with wandb.init(project="art", id="user") as run:
            used = run.use_artifact("net:best")
            say([used.version, used.description, used.metadata, used.size, used.file_count, used.tags, sorted(used.aliases), used.type])
            root = used.download()
            say([open(root + "/weights.bin", "rb").read() == bytes(range(256)) * 10_000, open(root + "/deep/a é.txt").read(),
                 os.path.getsize(root + "/empty")])
            used.verify()
        api = wandb.Api()
        artifact = api.artifact("art/net:v0")
        say([run.id for run in artifact.used_by()] + [artifact.logged_by().id])
        say([[each.name for each in api.run("art/maker").logged_artifacts()], [each.name for each in api.run("art/user").used_artifacts()]])
        say(sorted([file.name, file.size, file.digest, file.mimetype] for file in artifact.files()))
        say([len(artifact.files()), artifact.get_entry("deep/a é.txt").download(root="one"), artifact.download(root="two", path_prefix="deep")])
        say([each.version for each in api.artifacts("model", "art/net")])
        say([each.name for each in api.artifact_types("art")])
        say(api.artifact_exists("art/net:v0") and not api.artifact_exists("art/net:v9") and api.artifact_collection_exists("art/net", "model"))
    """)
    content = bytes(range(256)) * 10_000
    expected = {
        "weights.bin": (2_560_000, sha(content), ""),
        "deep/a é.txt": (4, sha(b"text"), ""),
        "empty": (0, sha(b""), ""),
    }
    assert native(served, "local/art/net@v1") == expected
    assert native(served, "local/art/net@v2") == expected | {"other": (0, sha(b""), "")}
    version = domain.versions.get(served.store, CTX, "local/art/net@v1")
    assert (version.description, version.metadata, version.tags) == (
        "words",
        {"lr": 0.1, "deep": {"x": [1, None]}},
        ("t1",),
    )
    assert set(version.aliases) == {"again", "best"}
    assert said[0][:2] == ["net:v0", "v0"]
    assert said[0][3:] == [["best", "latest"], "COMMITTED"]
    assert said[1:3] == ["v0", "v1"]
    assert said[3] == ["v0", "words", version.metadata, 2_560_004, 3, ["t1"], ["again", "best"], "model"]
    assert said[4] == [True, "text", 0]
    assert said[5] == ["user", "maker"]
    assert said[6] == [["net:v0", "net:v1"], ["net:v0"]]
    assert said[7] == [
        ["deep/a é.txt", 4, b64md5(b"text"), "text/plain"],
        ["empty", 0, b64md5(b""), "application/octet-stream"],
        ["weights.bin", 2_560_000, b64md5(content), "application/octet-stream"],
    ]
    assert said[8:] == [[3, "one/deep/a é.txt", "two"], ["v1", "v0"], ["model"], True]


def test_what_may_change_changes(served, sdk):
    said = sdk.run("""
        from datetime import timedelta
        def log(run, text, **more):
            artifact = wandb.Artifact("data", type="dataset")
            with artifact.new_file("f.txt") as file: file.write(text)
            return run.log_artifact(artifact, **more).wait()
        with wandb.init(project="change", id="r") as run:
            first, second = log(run, "a"), log(run, "b")
            third = log(run, "a", aliases=["latest", "back"])
            say([first.version, second.version, third.version])
        api = wandb.Api()
        say(api.artifact("change/data:latest").version)
        artifact = api.artifact("change/data:v1")
        artifact.description = "new"; artifact.metadata["k"] = {"n": float("nan"), "i": 3}; artifact.tags = ["x", "y"]
        artifact.aliases = ["one", "two"]; artifact.ttl = timedelta(days=3)
        artifact.save()
        artifact = wandb.Api().artifact("change/data:two")
        say([artifact.description, artifact.metadata, sorted(artifact.tags), sorted(artifact.aliases), artifact.ttl.total_seconds()])
        artifact.aliases.remove("one"); artifact.tags.remove("x"); artifact.ttl = None; artifact.save()
        artifact = wandb.Api().artifact("change/data:v1")
        say([artifact.aliases, artifact.tags, artifact.ttl])
        try: artifact.delete(); say("deleted")
        except Exception as error: say("two" in str(error))
        artifact.delete(delete_aliases=True)
        say(wandb.Api().artifact_exists("change/data:v1"))
        collection = api.artifact_collection("dataset", "change/data")
        collection.name, collection.description, collection.tags, collection.type = "renamed", "all of it", ["c1", "c2"], "table"
        collection.save()
        collection = wandb.Api().artifact_collection("table", "change/renamed")
        say([collection.description, sorted(collection.tags), collection.aliases, collection.is_sequence()])
        say(wandb.Api().artifact("change/renamed:back").file() is not None)
        with wandb.init(project="change", id="r2") as run:
            for name in ("b1", "a1", "c1"):
                artifact = wandb.Artifact(name, type="kind")
                with artifact.new_file("f") as file: file.write(name)
                run.log_artifact(artifact)
        found = wandb.Api().artifact_type("kind", "change")
        two = found.collections(filters={"name": {"$in": ["c1", "b1"]}})
        say([[each.name for each in found.collections(order="name")], [each.name for each in two],
             len(wandb.Api().artifact_collections("change", "kind"))])
        collection.delete()
        say([each.name for each in wandb.Api().artifact_types("change")])
    """)
    assert said == [
        ["v0", "v1", "v0"],
        "v0",
        ["new", {"k": {"n": "NaN", "i": 3}}, ["x", "y"], ["one", "two"], 3 * 86400.0],
        [["two"], ["y"], None],
        True,
        False,
        ["all of it", ["c1", "c2"], ["back", "latest"], True],
        True,
        [["a1", "b1", "c1"], ["c1", "b1"], 3],
        ["kind"],
    ]
    names = [each.name for each in domain.collections.list_collections(served.store, CTX, "local/change")]
    assert names == ["a1", "b1", "c1"]


def test_files_of_other_artifacts_and_of_elsewhere(served, sdk):
    said = sdk.run("""
        import os
        with open("here.txt", "w") as file: file.write("here")
        with wandb.init(project="refs", id="r") as run:
            base = wandb.Artifact("base", type="dataset")
            with base.new_file("part/a.txt") as file: file.write("from base")
            with base.new_file("b.txt") as file: file.write("b")
            run.log_artifact(base).wait()
            refs = wandb.Artifact("refs", type="dataset")
            far = wandb.Artifact("far", type="dataset")
            # What the SDK makes of an object there, without the packages and the network that asking for it takes.
            from wandb.sdk.artifacts.artifact_manifest_entry import ArtifactManifestEntry as Entry
            for name, ref in (("s3", "s3://bucket/a key"), ("gs", "gs://bucket/key"), ("web", "https://example.invalid/x?y=1")):
                far.manifest.add_entry(Entry(path=name, ref=ref, digest="etag-" + name, size=7, extra={"etag": "e", "versionID": "v1"}))
            refs.add_reference("file://" + os.path.abspath("here.txt"), name="local")
            refs.add(wandb.Table(columns=["a", "b"], data=[[1, "x"], [2, "y"]]), "table")
            refs.add_reference(base.get_entry("part/a.txt").ref_url(), name="shared/a.txt")
            refs.add_file("here.txt")
            refs = run.log_artifact(refs).wait()
            say([refs.version, refs.file_count, run.log_artifact(far).wait().size])
        artifact = wandb.Api().artifact("refs/refs:v0")
        say({path: [entry.ref, entry.digest, entry.size] for path, entry in sorted(artifact.manifest.entries.items()) if entry.ref})
        far = wandb.Api().artifact("refs/far:v0")
        say({path: [entry.ref, entry.digest, entry.size, entry.extra] for path, entry in far.manifest.entries.items()})
        say([each.manifest.digest() == each.digest for each in (artifact, far)])
        say([open(artifact.get_entry(name).download(root="got")).read() for name in ("shared/a.txt", "here.txt", "local")])
        say([artifact.get("table").data, sorted(f.name for f in artifact.files())])
        with wandb.init(project="refs", id="r2") as run:
            draft = run.use_artifact("base:latest").new_draft()
            draft.remove("b.txt")
            with draft.new_file("c.txt") as file: file.write("c")
            say(sorted(run.log_artifact(draft).wait().manifest.entries))
            added = wandb.Artifact("base", type="dataset", incremental=True)
            with added.new_file("d.txt") as file: file.write("d")
            say(sorted(run.log_artifact(added).wait().manifest.entries))
    """)
    assert said[0] == ["v0", 4, 21]
    assert set(said[1]) == {"local", "shared/a.txt"}
    assert said[1]["shared/a.txt"][0].startswith("wandb-artifact://")
    assert said[1]["shared/a.txt"][1:] == [b64md5(b"from base"), 9]
    kept = {"etag": "e", "versionID": "v1"}
    assert said[2] == {
        "gs": ["gs://bucket/key", "etag-gs", 7, kept],
        "s3": ["s3://bucket/a key", "etag-s3", 7, kept],
        "web": ["https://example.invalid/x?y=1", "etag-web", 7, kept],
    }
    assert said[3:] == [
        [True, True],
        ["from base", "here", "here"],
        [[[1, "x"], [2, "y"]], ["here.txt", "local", "shared/a.txt", "table.table.json"]],
        ["c.txt", "part/a.txt"],
        ["c.txt", "d.txt", "part/a.txt"],
    ]
    assert native(served, "local/refs/refs@v1")["shared/a.txt"] == (9, sha(b"from base"), "")
    assert native(served, "local/refs/far@v1")["s3"] == (7, "", "s3://bucket/a%20key")
    files = native(served, "local/refs/base@v3")
    assert set(files) == {"part/a.txt", "c.txt", "d.txt"}
    assert files["part/a.txt"][1] == sha(b"from base")


def test_several_processes_make_one_artifact(served, sdk):
    said = sdk.run("""
        def part(number):
            with wandb.init(project="many", group="g", id=f"w{number}") as run:
                artifact = wandb.Artifact("whole", type="dataset")
                with artifact.new_file(f"part{number}.txt") as file: file.write(f"part {number}")
                run.upsert_artifact(artifact, distributed_id="d1")
        for number in range(3): part(number)
        say(wandb.Api().artifact_exists("many/whole:latest"))
        with wandb.init(project="many", group="g", id="last") as run:
            artifact = wandb.Artifact("whole", type="dataset")
            with artifact.new_file("end.txt") as file: file.write("end")
            run.finish_artifact(artifact, distributed_id="d1").wait()
        found = wandb.Api().artifact("many/whole:latest")
        say([found.version, sorted(found.manifest.entries), found.digest == found.manifest.digest()])
    """)
    assert said == [False, ["v0", ["end.txt", "part0.txt", "part1.txt", "part2.txt"], True]]
    assert native(served, "local/many/whole@v1")["part1.txt"][1] == sha(b"part 1")


def test_tables_code_and_models(served, sdk):
    said = sdk.run("""
        import os
        os.makedirs("src"); open("src/train.py", "w").write("print(1)")
        os.makedirs("mod"); open("mod/w.bin", "wb").write(b"12345")
        with wandb.init(project="kinds", id="r") as run:
            run.log({"table": wandb.Table(columns=["n", "s"], data=[[1, "a"], [2, "b"]])})
            run.log_code("src")
            run.log_model("mod", name="model-x", aliases=["m"])
        with wandb.init(project="kinds", id="r2") as run:
            say(open(run.use_model("model-x:m"), "rb").read().decode())
            run.link_model("mod", registered_model_name="linked", name="model-x", aliases=["prod"])
        api = wandb.Api()
        say(sorted([kind.name, [each.name for each in kind.collections()]] for kind in api.artifact_types("kinds")))
        say(api.artifact("kinds/run-r-table:v0").get("table").data)
        api.artifact("kinds/run-r-table:v0").checkout("out"); say(sorted(os.listdir("out")))
        linked = api.artifact("model-registry/linked:prod")
        say([linked.qualified_name, linked.source_qualified_name, linked.type])
    """)
    assert said == [
        "12345",
        [["code", ["source-kinds-None"]], ["model", ["model-x"]], ["run_table", ["run-r-table"]]],
        [[1, "a"], [2, "b"]],
        ["table.table.json"],
        ["local/wandb-registry-models/linked:prod", "local/kinds/model-x:v0", "model"],
    ]


def test_a_run_is_deleted_with_what_only_it_logged(served, sdk):
    said = sdk.run("""
        wandb.Api().create_registry("kept", visibility="organization")
        def artifact(name, text):
            made = wandb.Artifact(name, type="model")
            with made.new_file("w") as file: file.write(text)
            return made
        with wandb.init(project="gone", id="other") as run:
            run.log_artifact(artifact("given", "used")).wait()
        with wandb.init(project="gone", id="r") as run:
            run.use_artifact("given:latest")
            run.log_artifact(artifact("both", "the same")).wait()
            run.log_artifact(artifact("own", "first"), aliases=["best"]).wait()
            linked = run.log_artifact(artifact("own", "second")).wait()
            run.link_artifact(linked, "wandb-registry-kept/Net")
        with wandb.init(project="gone", id="later") as run:
            run.use_artifact("own:best")
            run.log_artifact(artifact("own", "third")).wait()
            run.log_artifact(artifact("both", "the same")).wait()
        api = wandb.Api()
        say([sorted(each.name for each in api.run(f"gone/{name}").logged_artifacts()) for name in ("r", "later")])
        say(api.artifact("gone/both:v0").logged_by().id)
        api.run("gone/r").delete(delete_artifacts=True)
        say(sorted(run.id for run in api.runs("gone")))
        names = ["given:v0", "both:v0", "own:v0", "own:v1", "own:v2", "own:best", "own:latest"]
        say([name for name in names if api.artifact_exists(f"gone/{name}")])
        say(open(api.artifact("wandb-registry-kept/Net:v0").file()).read())
    """)
    assert said == [
        [["both:v0", "own:v0", "own:v1"], ["both:v0", "own:v2"]],
        "r",
        ["later", "other"],
        ["given:v0", "both:v0", "own:v2", "own:latest"],
        "second",
    ]
    states = {
        number: domain.versions.get(served.store, CTX, f"local/gone/own@v{number}").state
        for number in (1, 2, 3)
    }
    assert states == {1: "deleted", 2: "deleted", 3: "live"}


def test_files_come_from_the_cache_of_the_sdk_unless_it_is_skipped(served, sdk):
    said = sdk.run("""
        import pathlib
        with wandb.init(project="cached", id="r") as run:
            artifact = wandb.Artifact("data", type="dataset")
            with artifact.new_file("f.txt") as file: file.write("as it was logged")
            run.log_artifact(artifact).wait()
        artifact = wandb.Api().artifact("cached/data:v0")
        whole = lambda folder: open(f"{folder}/f.txt").read()
        artifact.download(root="one")
        for path in pathlib.Path("cache").rglob("*"):
            if path.is_file() and path.read_text() == "as it was logged": path.chmod(0o600); path.write_text("as in the cache!")
        artifact.download(root="two"); artifact.download(root="three", skip_cache=True)
        say([whole("one"), whole("two"), whole("three")])
        try: artifact.verify("two"); say("whole")
        except ValueError: say("changed")
        artifact.verify("three")
    """)
    assert said == [["as it was logged", "as in the cache!", "as it was logged"], "changed"]


def test_what_is_deleted_frees_its_bytes(tmp_path, monkeypatch):
    with Background(ServerOptions(data=str(tmp_path / "data"), port=0, log_format="off")) as server:
        store = server.store
        sdk = Sdk(server.url, ANY_KEY, tmp_path / "sdk")
        sdk.run("""
            import os
            os.makedirs("d"); open("d/large", "wb").write(os.urandom(3 << 20)); open("d/kept", "wb").write(os.urandom(1 << 20))
            with wandb.init(project="free", id="r") as run:
                for names in (["large", "kept"], ["kept"]):
                    artifact = wandb.Artifact("data", type="dataset")
                    for name in names: artifact.add_file(f"d/{name}", name)
                    run.log_artifact(artifact).wait()
                open("f.bin", "wb").write(os.urandom(2 << 20)); run.save("f.bin")
            wandb.Api().artifact("free/data:v0").delete(delete_aliases=True)
            wandb.Api().run("free/r").file("f.bin").delete()
        """)
        days = itertools.count(store.blobs.clock() + 3 * DAY, DAY)  # when no upload holds them any more
        monkeypatch.setattr(store.blobs.collector, "_clock", lambda: next(days))
        reports = [domain.maintenance.gc(store, CTX, grace_seconds=0) for _ in range(3)]
        freed = sum(each.bytes_freed for each in reports)
        assert 5 << 20 <= freed < 6 << 20
        said = sdk.run("""
            artifact = wandb.Api().artifact("free/data:latest")
            say([artifact.version, artifact.size, open(artifact.file("back"), "rb").read() == open("d/kept", "rb").read()])
        """)
        assert said == [["v1", 1 << 20, True]]
