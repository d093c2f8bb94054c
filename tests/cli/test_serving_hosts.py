"""``pull``, ``pins``, ``watch`` and ``rollback``: what a host that serves models uses."""

import json
import subprocess
import time
from pathlib import Path

import pytest
from commandline import start

from runstone.cli import exits


@pytest.fixture
def served(serve, data, folder, ok, monkeypatch):
    monkeypatch.setenv("RUNSTONE_STORE", serve(data))
    ok("put", folder, "p/m", "--alias", "prod")
    return folder


def test_a_version_is_pulled_pinned_and_let_go(served, ok, run, tmp_path):
    pulled = ok("pull", "p/m@prod", "--pin", "--json").json
    # The server is on this host: its files are read where they lie, and nothing is sent.
    assert pulled["version"] == "local/p/m:v1" and pulled["pinned"] and pulled["fetched"] == 0
    assert all(
        (Path(pulled["path"]) / file.relative_to(served)).read_bytes() == file.read_bytes()
        for file in served.rglob("*")
        if file.is_file()
    )
    assert pulled["path"].startswith(str(tmp_path / "home"))
    assert ok("pull", "p/m@prod", "--json").json["fetched"] == 0
    assert ok("pins").out.startswith("local/p/m@prod  local/p/m:v1  ")
    (shown,) = ok("pins", "ls", "--json").json
    assert (shown["name"], shown["versions"]) == ("local/p/m@prod", ["local/p/m:v1"])
    assert "may be evicted" in ok("pins", "rm", "p/m@prod").out
    assert ok("pins").out == "" and run("pins", "rm", "p/m@prod").code == exits.MISSING


def test_a_version_is_put_where_hugging_face_looks(served, ok, run, tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    path = ok("pull", "p/m@prod", "--hub", "--repo", "acme/m", "--revision", "r1", "--json").json["path"]
    assert path.startswith(str(tmp_path / "hub" / "models--acme--m" / "snapshots"))
    assert (tmp_path / "hub" / "models--acme--m" / "refs" / "r1").read_text() == path.rpartition("/")[2]
    assert run("pull", "p/m@prod", "--repo", "x").code == exits.USAGE


def test_a_directory_has_nothing_to_pull(ok, run, data, folder, monkeypatch):
    ok("put", folder, "p/m", "--store", data)
    for command in (("pull", "p/m"), ("watch", "p/m@prod", "link")):
        ran = run(*command, "--store", data)
        assert ran.code == exits.INVALID and "is for a server" in ran.err


def test_a_link_follows_a_name_and_goes_back(served, ok, run, tmp_path):
    log = tmp_path / "log"
    command = (
        "watch",
        "p/m@prod",
        "link",
        "--json",
        "--run",
        f'echo "$WATCH_PREVIOUS>$WATCH_VERSION" >> {log}',
    )
    with start(*command, stdout=subprocess.PIPE) as watching:
        try:
            first = json.loads(watching.stdout.readline())
            assert (first["version"], first["previous"]) == ("local/p/m:v1", "")
            (served / "config.json").write_text("{}")
            ok("put", served, "p/m", "--alias", "prod")
            second = json.loads(watching.stdout.readline())
            assert (second["version"], second["previous"]) == ("local/p/m:v2", "local/p/m:v1")
            assert (tmp_path / "link" / "config.json").read_text() == "{}"
            until = time.monotonic() + 20
            while log.read_text().count("\n") < 2 and time.monotonic() < until:
                time.sleep(0.01)
        finally:
            watching.terminate()
    assert log.read_text().split() == [">local/p/m:v1", "local/p/m:v1>local/p/m:v2"]
    assert ok("rollback", "link").out == "link is local/p/m:v1 again\n"
    assert (
        not (tmp_path / "link" / "config.json").exists()
        or (tmp_path / "link" / "config.json").read_text() != "{}"
    )
    assert run("rollback", "other").code == exits.MISSING
    assert "link" in ok("pins").out
    ok("pins", "rm", "link")
    assert ok("pins").out == ""


def test_a_link_is_pointed_once(served, ok, tmp_path):
    assert ok("watch", "p/m@prod", "link", "--once").out.startswith("local/p/m:v1  ")
    assert (tmp_path / "link").is_symlink()
