"""What only a directory can do: backups, restores, rebuilds, and what damage does."""

import signal
import socket
import subprocess

import msgspec
import pytest
from commandline import running

import runstone
from runstone.cli import exits


def damage(data, at=1_000_000):
    pack = max((data / "packs").rglob("*.pack"), key=lambda path: path.stat().st_size)
    with pack.open("r+b") as file:
        file.seek(at)
        byte = file.read(1)[0]
        file.seek(at)
        file.write(bytes([byte ^ 1]))
    return pack.stem


def test_a_backup_is_restored_whole_or_to_an_earlier_point(ok, run, directory, folder, tmp_path):
    ok("put", folder, "p/m", "--alias", "prod")
    head = ok("verify", "--json").json
    ok("put", folder, "p/m", "--alias", "prod", "--new")
    backup = ok("backup", "saved", "--json").json
    assert backup["size"] == head["entries"] + 1
    assert sum(backup["packs"].values()) > 3_000_000
    assert ok("backup", "saved", "--json").json["packs"] == backup["packs"]
    restored = ok("restore", "saved", "whole", "--json").json
    assert restored["state"] == backup["state"] == ok("verify", "--json").json["state"]
    assert ok("get", "p/m@prod", "out", "--store", "whole").out.startswith("local/p/m:v2 ")
    with running("restore", "saved", "earlier", "--to", head["entries"], "--json") as alone:
        out, err = alone.communicate(timeout=60)
    assert (alone.returncode, err) == (0, "")
    earlier = msgspec.json.decode(out)
    assert earlier["entries"] == head["entries"] + 1
    assert ok("ls", "p/m", "--store", "earlier").out == "local/p/m:v1\n"
    assert ok("proof", "key", "--store", "earlier").out != ok("proof", "key").out
    assert run("restore", "saved", "whole").code == exits.INVALID
    assert run("restore", "nowhere", "else").code == exits.USAGE
    assert run("restore", "saved", "else", "--store", "x").code == exits.INVALID
    assert not (tmp_path / "else").exists()
    assert run("backup", folder).code == exits.INVALID


def test_a_rebuilt_index_is_equal_and_needs_the_store_for_itself(ok, run, directory, folder):
    ok("put", folder, "p/m", "--alias", "prod")
    ok("users", "add", "ann")
    ok("keys", "add", "ann")
    ok("lineage", "add", "p/m:v1", "used_by", "run:r")
    head = ok("verify", "--json").json
    with runstone.open(directory):
        ran = run("rebuild")
        assert ran.code == exits.CONFLICT
        assert "is open in another process" in ran.err
    # In a process of its own, as a user runs it: this one has every kind of command loaded already.
    with running("rebuild", "--json") as alone:
        out, err = alone.communicate(timeout=60)
    assert (alone.returncode, err) == (0, "")
    assert msgspec.json.decode(out) == head
    assert ok("verify", "--json").json == head
    assert ok("get", "p/m@prod", "out").code == 0


def test_damage_is_found_named_withdrawn_and_repaired(ok, run, directory, folder, tmp_path):
    ok("put", folder, "p/m", "--alias", "prod")
    ok("lineage", "add", "p/m:v1", "used_by", "run:train")
    pack = damage(directory)
    ran = run("get", "p/m@prod", "out", "--json")
    assert (ran.code, ran.out) == (exits.CORRUPT, "")
    assert ran.problem["code"] == "corrupt"
    assert ran.problem["pack"] == pack
    assert not (tmp_path / "out" / "model.safetensors").exists()
    assert run("get", "p/m:v1", "out", "--json").problem["code"] == "quarantined"
    assert run("verify", "p/m:v1").code == run("export", "p/m:v1", "a.tar").code == exits.CORRUPT
    assert not (tmp_path / "a.tar").exists()
    ran = run("scrub")
    assert ran.code == exits.CORRUPT
    for told in (f"in pack {pack} at", "withdrawn  local/p/m:v1", "affected   run:train"):
        assert told in ran.out
    assert run("scrub", "--deep", "--json").json["damages"][0]["versions"] == ["local/p/m:v1"]
    ok("put", folder, "p/m")
    ok("scrub")
    assert ok("verify", "p/m:v1").code == 0


def test_a_deep_scrub_is_asked_for(ok, directory, folder, monkeypatch):
    from runstone.library import Library

    asked, true = [], Library.scrub

    def scrub(library: Library, **options: object) -> object:
        asked.append(options["deep"])
        return true(library, **options)

    monkeypatch.setattr(Library, "scrub", scrub)
    ok("put", folder, "p/m")
    assert ok("scrub", "--json").json == ok("scrub", "--deep", "--json").json
    assert asked == [False, True]


def test_verify_trusts_nobody_and_hashes_what_it_reads(ok, run, directory, folder, monkeypatch):
    from runstone.domain.content import StoredFile

    ok("put", folder, "p/m")
    true = StoredFile.read
    monkeypatch.setattr(StoredFile, "read", lambda *asked: true(*asked)[:-1] + b"!")
    ran = run("verify", "p/m", "--json")
    assert (ran.code, ran.out) == (exits.CORRUPT, "")
    assert ran.problem["path"] == "config.json"


@pytest.mark.parametrize("command", ["verify", "export"])
def test_damage_that_nobody_knows_of_yet_is_found_by(ok, run, directory, folder, tmp_path, command):
    ok("put", folder, "p/m")
    damage(directory, 2_000_000)
    ran = run(command, "p/m", *(["a.tar"] if command == "export" else []))
    assert (ran.code, ran.out) == (exits.CORRUPT, "")
    assert "are damaged" in ran.err
    assert not list(tmp_path.glob("*a.tar*"))


def test_a_server_that_is_gone_is_worth_another_try_and_the_cache_stands_in(
    ok, run, serve, data, folder, monkeypatch
):
    url = serve(data)
    monkeypatch.setenv("RUNSTONE_STORE", url)
    ok("put", folder, "p/m", "--alias", "prod")
    ok("get", "p/m@prod", "one")
    monkeypatch.setenv("RUNSTONE_STORE", "http://127.0.0.1:9")
    monkeypatch.setattr("time.sleep", lambda seconds: None)
    ran = run("ls")
    assert (ran.code, ran.out) == (exits.TRY_AGAIN, "")
    assert "cannot connect to http://127.0.0.1:9" in ran.err


def test_what_was_fetched_is_served_from_the_cache_when_the_server_is_gone(
    ok, run, data, folder, monkeypatch, tmp_path
):
    monkeypatch.setattr("time.sleep", lambda seconds: None)
    with running("up", "--data", data, "--port", 0, stderr=subprocess.DEVNULL) as server:
        url = server.stdout.readline().split()[3]
        monkeypatch.setenv("RUNSTONE_STORE", url)
        ok("put", folder, "p/m", "--alias", "prod")
        ok("get", "p/m@prod", "one")
        server.kill()
    ran = run("get", "p/m@prod", "two", "--json")
    assert (ran.code, ran.json["stale"], ran.json["version"]) == (0, True, "local/p/m:v1")
    assert ran.json["fetched"] == 0
    assert "served from the cache" in ran.err
    assert (tmp_path / "two" / "model.safetensors").read_bytes() == (
        folder / "model.safetensors"
    ).read_bytes()
    ran = run("get", "p/m@other", "three")
    assert (ran.code, ran.out) == (exits.TRY_AGAIN, "")


def test_up_listens_where_it_is_told_and_ends_in_peace(run, ok, data, folder, monkeypatch):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with running("up", "--data", data, "--host", "127.0.0.1", "--port", port, "--workers", 2) as server:
        line = server.stdout.readline()
        assert f"http://127.0.0.1:{port}" in line
        assert str(data) in line
        ok("put", folder, "p/m", "--store", f"http://127.0.0.1:{port}")
        server.send_signal(signal.SIGTERM)
        server.communicate(timeout=60)
    assert server.returncode == 0
    assert ok("ls", "p/m", "--store", data).out == "local/p/m:v1\n"


def test_a_port_in_use_is_refused(serve, data, run):
    url = serve(data)
    ran = run("up", "--data", data, "--port", url.rpartition(":")[2])
    assert (ran.code, ran.out) == (exits.CONFLICT, "")
    assert ran.err.startswith("runstone: ")


def test_keys_are_asked_for_and_checked(ok, run, serve, directory, folder, monkeypatch):
    ok("users", "add", "ann")
    key = ok("keys", "add", "ann", "--role", "reader").out.strip()
    monkeypatch.setenv("RUNSTONE_AUTH", "on")
    url = serve(directory)
    monkeypatch.setenv("RUNSTONE_STORE", url)
    for options in ((), ("--key", "hf_" + "x" * 40)):
        ran = run("ls", "--json", *options)
        assert (ran.code, ran.problem["code"]) == (exits.DENIED, "unauthenticated")
    assert ok("ls", "--key", key).out == "ann/\n"
    monkeypatch.setenv("RUNSTONE_API_KEY", key)
    assert ok("users", "show").out.startswith("user     ann\n")
    ran = run("put", folder, "p/m", "--json")
    assert (ran.code, ran.problem["code"]) == (exits.DENIED, "denied")
    assert run("gc").code == exits.DENIED
