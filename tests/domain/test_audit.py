import base64
import json
import subprocess
import sys
from pathlib import Path

import pytest

import runstone
from runstone.domain import maintenance
from runstone.errors import Denied, Missing
from runstone.types import FileEntry

VERIFIER = Path(runstone.__file__).with_name("verifier.py")


def put(library, name, path="a", **options):
    return library.put(name, files=[FileEntry(path=path, size=1, url="s3://b/k", etag="e")], **options)


def checked(bundle, key, tmp_path):
    (tmp_path / "proof.json").write_text(json.dumps(bundle))
    return subprocess.run(
        [sys.executable, "-I", "-S", VERIFIER, tmp_path / "proof.json", "--key", key],
        capture_output=True,
        text=True,
    )


def test_an_alias_history_is_proven_offline(library, tmp_path):
    put(library, "demo/m", "a", aliases=["prod"])
    put(library, "demo/m", "b")
    library.set_alias("demo/m@v2", "prod", reason="better")
    bundle = library.proof("demo/m", "prod")
    done = checked(bundle, library.log_key(), tmp_path)
    assert done.returncode == 0, done.stderr
    assert "better" in done.stdout
    assert len(bundle["entries"]) == 2
    with runstone.open(tmp_path / "other") as other:
        assert checked(bundle, other.log_key(), tmp_path).returncode == 1


def test_every_change_of_an_object_is_in_its_history_and_proof(library, tmp_path):
    put(library, "demo/m", aliases=["prod"])
    library.update_version("demo/m@v1", description="d", reason="why")
    library.link("demo/m@v1", "used_by", "run:r")
    records = library.history("demo/m@v1")
    assert [record.kind for record in records] == ["commit_version", "update_version", "add_edge"]
    assert records[1].command["reason"] == "why" and records[1].actor == "local"
    assert library.history("demo/m@v1", after=records[0].seq, limit=1) == [records[1]]
    assert [record.kind for record in library.history("demo/m")] == ["create_collection", "commit_version"]
    assert [record.kind for record in library.history("local/demo")] == ["create_project"]
    bundle = library.proof("demo/m@v1")
    assert len(bundle["entries"]) == 3
    assert checked(bundle, library.log_key(), tmp_path).returncode == 0


def test_who_may_not_read_a_thing_gets_no_history_and_no_proof(people):
    put(people.ann, "lab/p/m", aliases=["prod"])
    assert people.ria.history("lab/p/m")
    assert people.ria.proof("lab/p/m", "prod")["entries"]
    for call in (
        lambda: people.eve.history("lab/p/m"),
        lambda: people.eve.proof("lab/p/m", "prod"),
        lambda: people.eve.proof("lab/p"),
        lambda: people.ann.proof("lab/p/m", "never"),
    ):
        with pytest.raises(Missing):
            call()
    with pytest.raises(Denied):
        people.ann.log()


def test_a_rebuild_in_a_fresh_process_knows_every_command(library):
    put(library, "demo/m", aliases=["prod"])
    library.create_user("ann")
    library.create_key("ann", "k")
    library.set_field_class("local/demo", "x", "pii")
    library.set_alias("demo/m@v1", "stage")
    library.link("demo/m@v1", "used_by", "run:r")
    library.close()
    code = f"from pathlib import Path; from runstone.domain import maintenance; print(maintenance.rebuild(Path({str(library.store.path)!r})).size)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) == 10
    assert maintenance.VOCABULARY


def test_hidden_fields_are_in_no_history_and_no_proof(people, tmp_path):
    put(people.ann, "lab/p/m", metadata={"email": "ann@example", "loss": 1})
    people.ann.create_run("lab/p/r", config={"email": "ann@example"})
    people.ann.set_field_class("lab/p", "email", "secret")
    for name in ("lab/p/m@v1", "run:lab/p/r"):
        shown = people.ria.history(name)
        assert len(shown) == len(people.ann.history(name)) and shown[0].command["actor"] == "ann"
        assert "ann@example" in str(people.ann.history(name)) or b"ann@example".hex() in str(
            people.ann.history(name)
        )
        assert "ann@example" not in str(shown) and b"ann@example".hex() not in str(shown)
        bundle = people.ria.proof(name)
        done = checked(bundle, people.root.log_key(), tmp_path)
        assert done.returncode == 0, done.stderr
        assert "ann@example" not in bundle_bytes(bundle) and "ann@example" in bundle_bytes(
            people.ann.proof(name)
        )


def bundle_bytes(bundle):
    return "".join(
        base64.b64decode(entry["payload"]).decode("latin-1")
        for entry in bundle["entries"]
        if entry["payload"]
    )
