"""The commands, on a directory and on a server: what they change, what they print, how they refuse."""

import filecmp
import hashlib
import io
import json
import tarfile
from pathlib import Path

import msgspec
import pytest

from runstone import verifier
from runstone.cli import exits
from runstone.cli.put import parse_reference
from runstone.cli.text import size
from runstone.types import FileEntry


def same_tree(one: Path, other: Path) -> bool:
    names = {path.relative_to(one) for path in one.rglob("*") if path.is_file()}
    if names != {path.relative_to(other) for path in other.rglob("*") if path.is_file()}:
        return False
    _, different, failed = filecmp.cmpfiles(one, other, [str(name) for name in names], shallow=False)
    return not different and not failed


def bytes_of(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def test_put_and_get(ok, store, folder, tmp_path):
    total = bytes_of(folder)
    assert (
        ok("put", folder, "p/m", "--alias", "prod").out
        == f"local/p/m:v1  4 files, {size(total)}\naliases: prod\n"
    )
    got = ok("get", "p/m@prod", tmp_path / "out", "--json").json
    assert (got["version"], got["size"], got["stale"], got["references"]) == (
        "local/p/m:v1",
        total,
        False,
        [],
    )
    assert got["fetched"] + got["reused"] == total
    assert same_tree(folder, tmp_path / "out")


def test_get_by_default_goes_to_a_folder_of_the_collections_name(ok, store, folder, tmp_path):
    ok("put", folder, "p/m")
    assert ok("get", "p/m").out.startswith("local/p/m:v1 in m: ")
    assert same_tree(folder, tmp_path / "m")


def test_get_a_part(ok, store, folder, tmp_path):
    ok("put", folder, "p/m")
    assert ok("get", "p/m:v1", "out", "--prefix", "tokenizer/", "--json").json["size"] == 4
    assert [path.name for path in (tmp_path / "out").rglob("*") if path.is_file()] == ["vocab.txt"]


def test_get_of_what_is_not_there_makes_nothing(run, store, folder, tmp_path):
    assert run("put", folder, "p/m").code == 0
    for name in ("p/m:v2", "p/m@prod", "p/other"):
        assert run("get", name, "out").code == exits.MISSING
    assert run("get", "nonsense", "out").code == exits.INVALID
    assert not [path for path in (tmp_path / "out").rglob("*") if path.is_file()]


def test_put_says_all_that_it_was_told(ok, store, folder, tmp_path):
    (tmp_path / "metadata.json").write_text('{"accuracy": 0.91, "classes": ["a", "b"]}')
    made = ok(
        "put", folder, "p/data", "--type", "dataset", "--tag", "one", "--tag", "two", "--alias", "a", "--alias", "b",
        "--description", "words\nof it", "--metadata", "@metadata.json", "--expires", "30d", "--json",
    ).json  # fmt: skip
    assert made == ok("show", "p/data@a", "--json").json
    assert (made["type"], made["tags"], made["aliases"]) == ("dataset", ["one", "two"], ["a", "b"])
    assert made["metadata"] == {"accuracy": 0.91, "classes": ["a", "b"]}
    assert abs(made["expires"] - made["created"] - 30 * 86_400 * 10**6) < 3600 * 10**6
    shown = ok("show", "p/data:v1").out
    for line in (
        "version      local/p/data:v1",
        "aliases      a, b",
        "tags         one, two",
        "description  words",
    ):
        assert line in shown


def test_metadata_from_standard_input_and_what_is_no_json(run, store, folder, monkeypatch):
    class Input:
        buffer = io.BytesIO(b'{"x": [1, null]}')

    monkeypatch.setattr("sys.stdin", Input)
    assert run("put", folder, "p/m", "--metadata", "@-", "--json").json["metadata"] == {"x": [1, None]}
    ran = run("put", folder, "p/m", "--metadata", "{'x'}")
    assert (ran.code, ran.out) == (exits.INVALID, "")
    assert "the metadata is not JSON" in ran.err


def test_an_equal_version_is_answered_unless_a_new_one_is_asked_for(ok, store, folder):
    for expected, options in (
        ("v1", ()),
        ("v1", ()),
        ("v2", ("--new",)),
        ("v3", ("--metadata", "{}", "--new")),
    ):
        assert ok("put", folder, "p/m", *options).out.startswith(f"local/p/m:{expected} ")


def test_references_are_kept_and_named_and_not_fetched(run, store, folder, tmp_path):
    written = "far/big.bin=https://example.org/a=b,c.bin,123456,sha256:" + "ab" * 32
    assert run("put", "p/m", "--reference", written, "--reference", "x=s3://b/x,7,etag7").code == 0
    assert run("put", folder, "p/m", "--reference", "x=s3://b/x,7,etag7").code == 0
    listed = run("ls", "-l", "p/m:v1").out
    assert "far/big.bin -> https://example.org/a=b,c.bin" in listed
    assert "123.5 kB" in listed
    ran = run("get", "p/m:v2", "out", "--json")
    assert [file["path"] for file in ran.json["references"]] == ["x"]
    assert ran.err == "not fetched: x is a reference to s3://b/x\n"
    assert same_tree(folder, tmp_path / "out")


def test_a_reference_as_written():
    assert parse_reference("a=s3://b/k=1,2,3,etag") == FileEntry(
        path="a", url="s3://b/k=1,2", size=3, etag="etag"
    )


def test_ls_from_the_top_down(ok, store, folder):
    for name in ("p/m", "p/n", "q/m"):
        ok("put", folder, name, "--alias", "prod")
    ok("put", folder, "p/m", "--new")
    assert ok("ls").out == ok("ls", "local").out == "local/p\nlocal/q\n"
    assert ok("ls", "p").out == ok("ls", "local/p").out == "local/p/m\nlocal/p/n\n"
    assert ok("ls", "p/m").out == ok("ls", "local/p/m").out == "local/p/m:v2\nlocal/p/m:v1\n"
    files = ["config.json", "empty", "model.safetensors", "tokenizer/vocab.txt"]
    assert ok("ls", "p/m@prod").out.splitlines() == ok("ls", "local/p/m:v1").out.splitlines() == files
    assert [item["path"] for item in ok("ls", "p/m@prod", "--json").json] == files
    assert [item["number"] for item in ok("ls", "p/m", "--json").json] == [2, 1]
    for name, heads in (("p", "COLLECTION"), ("p/m", "VERSION"), ("p/m:v1", "SIZE"), ("local", "PROJECT")):
        lines = ok("ls", "-l", name).out.splitlines()
        assert heads in lines[0]
        assert len(lines) == 1 + len(ok("ls", name).out.splitlines())


def test_a_namespace_with_nothing_in_it_is_listed_too(ok, store):
    ok("teams", "add", "red")
    assert ok("ls").out == "local/\nred/\n"
    assert "team" in ok("ls", "-l").out


def test_listings_go_on_past_a_page(ok, store, folder, monkeypatch):
    monkeypatch.setattr("runstone.cli.names.PAGE", 2)
    for number in range(5):
        ok("put", folder / "empty", f"p/c{number}")
        ok("put", folder / "empty", "p/c0", "--new")
    assert len(ok("ls", "p").out.splitlines()) == 5
    assert ok("ls", "p/c0").out.splitlines() == [f"local/p/c0:v{number}" for number in (6, 5, 4, 3, 2, 1)]
    for number in (3, 1, 2, 5, 4):
        ok("alias", "set", f"p/c0:v{number}", "prod")
        ok("alias", "set", f"p/c0:v{number}", f"a{number}")
    assert [step["version"] for step in ok("history", "p/c0@prod", "--json").json] == [3, 1, 2, 5, 4]
    assert len(ok("alias", "ls", "p/c0", "--json").json) == 6
    assert len(ok("history", "p/c0", "--json").json) == 17


def test_show_of_each_kind(ok, run, store, folder):
    ok("put", folder, "p/m", "--alias", "prod")
    assert ok("show", "local").out.startswith("user     local\n")
    assert ok("show", "p").out.startswith("project     local/p\n")
    shown = ok("show", "p/m").out
    assert "versions    1, latest v1" in shown
    assert "aliases     prod -> v1" in shown
    assert ok("show", "p/m", "--json").json["aliases"] == {"prod": 1}
    for name in ("nobody", "p/x", "local/p/x", "p/m:v9", "p/m@x"):
        assert run("show", name).code == exits.MISSING, name


def test_what_is_shown_plays_no_tricks_on_the_terminal(ok, store, folder):
    evil = "\x1b[2J\x1b[31mred\x07"
    ok("put", folder, "p/m", "--description", evil)
    ok("alias", "set", "p/m@latest", "prod", "--reason", evil)
    for command in (("show", "p/m:v1"), ("history", "p/m@prod"), ("history", "p/m")):
        out = ok(*command).out
        assert "red" in out
        assert "\x1b" not in out
        assert "\x07" not in out
    assert ok("show", "p/m:v1", "--json").json["description"] == evil


def test_aliases_move_by_compare_and_set(run, ok, store, folder):
    ok("put", folder, "p/m", "--alias", "prod")
    ok("put", folder, "p/m", "--new")
    assert (
        ok("alias", "set", "p/m@latest", "prod", "--expect", "1", "--reason", "better").out
        == "local/p/m@prod -> v2\n"
    )
    lost = run("alias", "set", "p/m:v1", "prod", "--expect", "1", "--json")
    assert (lost.code, lost.problem["code"]) == (exits.CONFLICT, "alias_moved")
    assert run("alias", "set", "p/m:v1", "prod", "--expect", "0").code == exits.CONFLICT
    assert (
        ok("alias", "set", "p/m@prod", "stable", "--no-fallback", "--expect", "0", "--json").json["fallback"]
        is False
    )
    assert run("alias", "set", "p/m:v9", "prod").code == exits.MISSING
    assert run("alias", "rm", "p/m", "prod", "--expect", "1").code == exits.CONFLICT
    assert ok("alias", "rm", "p/m", "prod", "--expect", "2", "--reason", "gone").out == "removed p/m@prod\n"
    steps = ok("history", "p/m@prod", "--json").json
    assert [(step["previous"], step["version"], step["reason"]) for step in steps] == [
        (0, 1, ""),
        (1, 2, "better"),
        (2, 0, "gone"),
    ]
    assert steps == ok("alias", "history", "p/m", "prod", "--json").json
    assert "removed  v2      local  gone" in ok("history", "p/m@prod").out
    assert [alias["alias"] for alias in ok("alias", "ls", "p/m", "--json").json] == ["stable"]
    assert ok("alias", "at", "p/m", "prod", "--seq", steps[1]["seq"]).out == "v2\n"
    assert ok("alias", "at", "p/m", "prod", "--seq", steps[1]["seq"] - 1).out == "v1\n"
    assert ok("alias", "at", "p/m", "prod", "--time", "1d").out == "none\n"
    assert ok("alias", "at", "p/m", "stable", "--time", "2200-01-01", "--json").json == {"version": 2}


def test_history_of_an_object(ok, store, folder):
    ok("put", folder, "p/m")
    ok("rm", "p/m:v1", "--reason", "too old")
    records = ok("history", "p/m:v1", "--json").json
    assert [record["kind"] for record in records] == ["commit_version", "delete_version"]
    assert records == ok("history", "p/m@v1", "--json").json
    assert ok("history", "p/m:v1", "-n", "1", "--json").json == records[:1]
    last = ok("history", "p/m").out.splitlines()[-1]
    assert "delete_version" in last
    assert "too old; number=1" in last


def test_lineage(ok, run, store, folder):
    for name in ("p/data", "p/m"):
        ok("put", folder, name)
    assert ok("lineage", "add", "p/data:v1", "used_by", "run:train").out == "p/data:v1 -used_by-> run:train\n"
    ok("lineage", "add", "run:train", "produced", "p/m:v1")
    assert "local/p/data:v1  used_by   run:local/train  " in ok("lineage", "p/m:v1").out

    def ends(*options):
        graph = ok("lineage", *options, "--json").json
        return sorted(node["name"] for node in graph["nodes"] if node["id"] != graph["root"])

    assert ends("p/m:v1") == ends("show", "p/m:v1") == ["local/p/data:v1", "local/train"]
    assert ends("p/m:v1", "--downstream") == []
    assert ends("p/m:v1", "--upstream", "--depth", "1") == ["local/train"]
    assert ends("--json", "p/data:v1", "--downstream") == ["local/p/m:v1", "local/train"]
    assert run("lineage", "p/none:v1").code == exits.MISSING
    assert run("lineage", "add", "p/m:v1", "used_by", "p/m:v1").code == exits.INVALID


def test_verify_a_version_and_the_store(ok, run, store, folder):
    ok("put", folder, "p/m", "--reference", "x=s3://b/x,7,etag7")
    found = ok("verify", "p/m", "--json").json
    assert (found["version"], found["files"], found["references"]) == ("local/p/m:v1", 4, 1)
    assert found["size"] == bytes_of(folder)
    head = ok("verify", "--json").json
    assert head["entries"] == 4
    assert head["root"] in ok("verify").out
    assert run("verify", "p/m:v2").code == exits.MISSING


def test_a_proof_is_checked_offline(ok, run, store, folder, tmp_path, monkeypatch):
    ok("put", folder, "p/m", "--alias", "prod")
    ok("put", folder, "p/m", "--alias", "prod", "--new")
    key = ok("proof", "key").out.strip()
    made = ok("proof", "p/m@prod", "-o", "proof.json", "--json").json
    assert made == {"output": "proof.json", "entries": 2}
    bundle = ok("proof", "p/m@prod").out
    assert len(json.loads(bundle)["entries"]) == 2
    monkeypatch.setenv("RUNSTONE_STORE", "/nonexistent")
    assert "entries proven: 2" in ok("proof", "check", "proof.json", "--key", key).out
    (tmp_path / "key").write_text(f"# the key\n{key}\n")
    found = ok("proof", "check", "proof.json", "--key-file", "key", "--json").json
    assert [entry["payload"]["aliases"] for entry in found] == [["prod"], ["prod"]]
    assert verifier.main(["proof.json", "--key", key]) == 0
    ran = run("proof", "check", "proof.json", "--trust-bundle-key")
    assert (ran.code, ran.err.count("WARNING: ")) == (0, 2)


def test_a_proof_that_does_not_hold_is_refused(ok, run, directory, folder, tmp_path):
    ok("put", folder, "p/m", "--alias", "prod")
    key = ok("proof", "key").out.strip()
    bundle = ok("proof", "p/m:v1", "--json").json
    (tmp_path / "proof.json").write_text(json.dumps(bundle))
    ok("proof", "check", "proof.json", "--key", key)
    salt = bundle["entries"][0]["salt"]
    bundle["entries"][0]["salt"] = ("B" if salt[0] == "A" else "A") + salt[1:]
    (tmp_path / "forged.json").write_text(json.dumps(bundle))
    ran = run("proof", "check", "forged.json", "--key", key, "--json")
    assert (ran.code, ran.out, ran.problem["code"]) == (exits.CORRUPT, "", "corrupt")
    assert "not proven" in ran.problem["detail"]
    ok("put", folder, "p/m", "--store", tmp_path / "other")
    other = ok("proof", "key", "--store", tmp_path / "other").out.strip()
    assert run("proof", "check", "proof.json", "--key", other).code == exits.CORRUPT
    assert run("proof", "check", "proof.json", "--key", "nonsense").code == exits.INVALID
    assert run("proof", "check", "nowhere.json", "--key", key).code == exits.FAILED


def test_a_checkpoint_is_a_signed_note(ok, store, folder):
    ok("put", folder, "p/m")
    note = ok("proof", "checkpoint").out
    key = ok("proof", "key").out.strip()
    opened = verifier.open_checkpoint(note, [verifier.parse_key(key)])
    assert opened.size == ok("verify", "--json").json["entries"] == 4


def test_rm(ok, run, store, folder):
    ok("put", folder, "p/m", "--alias", "prod")
    pointed = run("rm", "p/m:v1")
    assert (pointed.code, pointed.out) == (exits.CONFLICT, "")
    assert run("rm", "p/m").code == exits.CONFLICT
    assert run("rm", "p").code == exits.CONFLICT
    assert run("rm", "local").code == exits.INVALID
    assert ok("rm", "p/m@prod", "--with-aliases").out == "removed local/p/m:v1\n"
    gone = run("get", "p/m:v1", "out")
    assert gone.code == exits.MISSING
    assert "was deleted" in gone.err
    assert ok("rm", "p/m", "--json").json == {"removed": "local/p/m"}
    assert ok("rm", "p").out == "removed local/p\n"
    assert ok("ls").out == "local/\n"


def test_users_teams_and_keys(ok, run, store):
    assert (
        ok(
            "users", "add", "ann", "--email", "ann@example.org", "--full-name", "Ann", "--no-key", "--json"
        ).json["kind"]
        == "person"
    )
    assert run("users", "add", "ann").code == exits.CONFLICT
    assert run("users", "add", "no/slash").code == exits.INVALID
    key = ok("users", "add", "bot", "--service", "--admin").out.splitlines()[-1].split()[-1]
    assert ok("keys", "ls", "bot", "--json").json[0]["hint"] == key[-4:] and key.startswith("hf_")
    assert [user["name"] for user in ok("users", "ls", "--json").json] == ["ann", "bot", "local"]
    assert ok("users", "set", "bot", "--disable", "--no-admin", "--json").json["disabled"] is True
    assert "state    disabled" in ok("users", "show", "bot").out
    assert ok("users", "show").out.startswith("user     local\n")
    ok("teams", "add", "red", "--description", "the reds", "--region", "eu")
    assert ok("teams", "set", "red", "ann", "reader").out == "ann is reader of red\n"
    member = ok("teams", "set", "red", "ann", "member", "--class", "public", "--json").json
    assert (member["role"], member["classes"]) == ("member", ["public"])
    assert [member["user"] for member in ok("teams", "show", "red", "--json").json] == ["ann", "local"]
    assert "red" in ok("teams", "ls").out
    ok("teams", "rm", "red", "ann")
    assert run("teams", "rm", "red", "local").code == exits.CONFLICT
    made = ok("keys", "add", "ann", "--name", "laptop", "--role", "reader", "--expires", "30d")
    key = made.out.strip()
    assert key.startswith("hf_")
    assert "shown this once" in made.err
    listed = ok("keys", "ls", "ann", "--json").json
    assert [(found["name"], found["hint"], found["role"]) for found in listed] == [
        ("laptop", key[-4:], "reader")
    ]
    assert "valid until" in ok("keys", "ls", "ann").out
    ok("keys", "rm", listed[0]["id"])
    assert "ended" in ok("keys", "ls", "ann").out
    assert run("keys", "rm", "999999").code == exits.MISSING


def test_gc_frees_what_was_marked_long_enough_ago(ok, store, folder):
    ok("put", folder, "p/m")
    ok("rm", "p/m:v1")

    def collected(*options: str) -> tuple[bool, int]:
        report = ok("gc", "--json", *options).json
        assert report["failures"] == []
        return report["marked"] > 0, report["deleted"]

    assert collected("--grace", "1h") == (True, 0)
    assert collected() == collected("--grace", "10m") == (False, 0)
    assert "bytes freed" in ok("gc", "--grace", "0").out
    assert collected("--grace", "0") == (False, 0)


def test_scrub_of_what_is_whole(ok, store, folder):
    ok("put", folder, "p/m")
    assert ok("scrub", "--json").json["damages"] == []
    assert "DAMAGED" not in ok("scrub").out


def test_an_export_holds_all_of_a_version_and_its_bytes_are_fixed(ok, store, folder, tmp_path):
    ok("put", folder, "p/m", "--metadata", '{"x": 1}', "--reference", "far=s3://b/x,7,etag7")
    told = ok("export", "p/m", "one.tar", "--json").json
    ok("export", "p/m:v1", "two.tar")
    data = (tmp_path / "one.tar").read_bytes()
    assert data == (tmp_path / "two.tar").read_bytes()
    assert (told["size"], told["sha256"]) == (len(data), hashlib.sha256(data).hexdigest())
    with tarfile.open(tmp_path / "one.tar") as tar:
        assert {(member.mode, member.uid, member.uname) for member in tar} == {(0o644, 0, "")}
        read = {member.name: tar.extractfile(member).read() for member in tar}
    manifest = json.loads(read["manifest.json"])
    assert (manifest["collection"], manifest["version"]) == ("local/p/m", 1)
    assert [file["path"] for file in manifest["files"] if file["url"]] == ["far"]
    assert json.loads(read["metadata.json"]) == {"x": 1}
    (tmp_path / "proof.json").write_bytes(read["proof.json"])
    ok("proof", "check", "proof.json", "--key", ok("proof", "key").out.strip())
    for file in manifest["files"]:
        if not file["url"]:
            content = read[f"files/{file['path']}"]
            assert content == (folder / file["path"]).read_bytes()
            assert hashlib.sha256(content).hexdigest() == file["sha256"]


def test_an_export_without_the_proof_stays_the_same_while_the_log_goes_on(ok, directory, folder, tmp_path):
    ok("put", folder, "p/m", "--alias", "prod")
    with_proof = [ok("export", "p/m:v1", "a.tar", "--json").json["sha256"]]
    without = [ok("export", "p/m:v1", "a.tar", "--no-proof", "--json").json["sha256"]]
    ok("alias", "set", "p/m:v1", "other")
    ok("put", folder, "p/m", "--new")
    with_proof.append(ok("export", "p/m:v1", "a.tar", "--json").json["sha256"])
    without.append(ok("export", "p/m:v1", "a.tar", "--no-proof", "--json").json["sha256"])
    assert with_proof[0] != with_proof[1]
    assert without[0] == without[1]


def test_an_export_that_fails_leaves_no_file(run, store, folder, tmp_path):
    assert run("put", folder, "p/m").code == 0
    before = sorted(path.name for path in tmp_path.iterdir())
    assert run("export", "p/m:v2", "a.tar").code == exits.MISSING
    assert sorted(path.name for path in tmp_path.iterdir()) == before


def test_the_export_of_all_metadata_is_json_lines(ok, store, folder):
    ok("put", folder, "p/m", "--alias", "prod", "--metadata", '{"x": 1}')
    ok("put", folder, "p/m", "--alias", "prod", "--new")
    ok("rm", "p/m:v1")
    ok("users", "add", "ann")
    lines = [msgspec.json.decode(line) for line in ok("export").out.splitlines()]
    kinds = [line["kind"] for line in lines]
    assert {kind: kinds.count(kind) for kind in kinds} == {
        "user": 2, "namespace": 2, "member": 2, "project": 1, "collection": 1, "version": 2, "file": 4,
        "alias": 1, "alias_step": 2,
    }  # fmt: skip
    versions = [line["value"] for line in lines if line["kind"] == "version"]
    assert [(version["number"], version["state"]) for version in versions] == [(2, "live"), (1, "deleted")]


@pytest.mark.parametrize(
    "arguments", [("ls",), ("users", "ls"), ("teams", "show", "local"), ("show", "p/m:v1")]
)
def test_json_is_one_document(ok, store, folder, arguments):
    ok("put", folder, "p/m")
    out = ok(*arguments, "--json").out
    assert out.count("\n") == 1
    assert msgspec.json.decode(out)
