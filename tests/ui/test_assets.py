"""The application as it is sent: what it is made of, how much of it, and under which rules."""

import base64
import gzip
import hashlib
import http.client
import json
import re
import tomllib
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from runstone.server.assets import IMPORTS, ROOT, Assets, imported

BUDGET = 100_000
LICENCES = ("MIT", "Apache-2.0", "MPL-2.0 OR Apache-2.0")
VENDOR = ROOT / "vendor"


@pytest.fixture(scope="module")
def assets():
    return Assets()


def ask(server, path, **headers):
    connection = http.client.HTTPConnection(urlsplit(server.url).netloc, timeout=10)
    connection.request("GET", path, headers=headers)
    answer = connection.getresponse()
    content = answer.read()
    connection.close()
    return answer, content


def test_vendored_files_are_those_of_the_lock_each_with_its_licence():
    lock = json.loads((VENDOR / "lock.json").read_text())
    assert {entry["folder"] for entry in lock} == {path.name for path in VENDOR.iterdir() if path.is_dir()}
    for entry in lock:
        files = {
            path.name: hashlib.sha256(path.read_bytes()).hexdigest()
            for path in (VENDOR / entry["folder"]).iterdir()
        }
        assert files == entry["sha256"], entry["folder"]
        assert "LICENSE" in files and entry["licence"] in LICENCES


def test_nothing_evaluates_text_as_code():
    for path in ROOT.rglob("*.*js"):
        assert not re.search(r"\beval\(|new Function\b|\bFunction\(", path.read_text()), path


def test_what_is_loaded_first_is_within_the_budget(assets):
    packed = {name: len(assets.get(name).packed) for name in assets.initial()}
    assert "app.js" in packed and "vendor/preact/preact.mjs" in packed
    assert sum(packed.values()) <= BUDGET, packed


def test_a_page_names_the_modules_it_will_need(server, assets):
    for path, module in (
        ("/", "home"),
        ("/local/p", "workspace/workspace"),
        ("/local/p/runs/r/logs", "run/run"),
        ("/-/keys", "people/keys"),
    ):
        page = ask(server, path, Accept="text/html")[1].decode()
        loaded = set(re.findall(rf'modulepreload" href="{assets.base}([^"]+)"', page))
        assert f"pages/{module}.js" in loaded
        assert loaded == set(assets.initial(f"pages/{module}.js"))
        packed = sum(len(assets.get(name).packed) for name in loaded)
        assert packed + len(assets.get("vendor/uplot/uPlot.iife.min.js").packed) <= BUDGET, (path, packed)


def test_every_import_leads_to_a_file():
    for path in ROOT.rglob("*.js"):
        name = path.relative_to(ROOT).as_posix()
        if name.startswith("vendor/"):
            continue
        source = path.read_text()
        loaded = re.findall(r"""import\(["'](\.[^"']+)["']\)""", source)
        for target in [
            *imported(name, source),
            *((path.parent / each).resolve().relative_to(ROOT) for each in loaded),
        ]:
            assert (ROOT / target).is_file(), (name, target)
    assert all((ROOT / target).is_file() for target in IMPORTS.values())


def test_files_are_sent_packed_and_kept_for_ever(server, assets):
    path = f"{assets.base}app.js"
    answer, content = ask(server, path, **{"Accept-Encoding": "gzip"})
    assert answer.status == 200
    assert answer.headers["Cache-Control"] == "public, max-age=31536000, immutable"
    assert answer.headers["Content-Encoding"] == "gzip"
    assert gzip.decompress(content) == (ROOT / "app.js").read_bytes() == ask(server, path)[1]
    again, nothing = ask(server, path, **{"If-None-Match": answer.headers["ETag"]})
    assert (again.status, nothing) == (304, b"")
    old, _ = ask(server, path.replace(assets.version, "0" * 16))
    assert old.headers["Cache-Control"] == "no-store"
    assert ask(server, f"{assets.base}../../../errors.py")[0].status == 404
    assert ask(server, f"{assets.base}none.js")[0].status == 404


def test_the_page_runs_nothing_but_its_own_files(server):
    answer, content = ask(server, "/", Accept="text/html")
    policy = answer.headers["Content-Security-Policy"]
    assert "unsafe" not in policy and "default-src 'none'" in policy
    inline = re.search(rb'<script type="importmap">(.*?)</script>', content)[1]
    assert f"'sha256-{base64.b64encode(hashlib.sha256(inline).digest()).decode()}'" in policy
    assert answer.headers["X-Content-Type-Options"] == "nosniff"


def test_a_browser_gets_the_page_where_nothing_else_is_and_a_client_its_error(server):
    for path in ("/team/project", "/team/project/runs/r1", "/authorize"):
        assert ask(server, path, Accept="text/html,*/*")[1].startswith(b"<!doctype html>")
        answer, content = ask(server, path, Accept="application/json")
        assert answer.status == 404 and json.loads(content)["code"] == "unknown_path"
    for path in (
        "/api/v1/none",
        "/api/2.0/mlflow/none",
        "/graphql/none",
        "/files/none",
        "/api/models/none/x",
    ):
        answer, content = ask(server, path, Accept="text/html,*/*")
        assert answer.status in (401, 404, 405) and b"importmap" not in content, path


def test_the_files_are_in_the_package():
    settings = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())
    assert "ui/**/*" in settings["tool"]["setuptools"]["package-data"]["runstone"]
