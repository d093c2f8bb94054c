"""Artifacts of the real SDK: logged, found, used, changed and fetched; read back by the SDK and by the native library."""

from __future__ import annotations

import base64
import hashlib

from runstone import domain
from runstone.domain.context import Context

CTX = Context()


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
