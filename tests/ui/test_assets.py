"""The application as it is sent: what it is made of, how much of it, and under which rules."""

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


CHARTS = "components/chart/uplot.js"
UPLOT = "vendor/uplot/uPlot.iife.min.js"


def test_what_is_loaded_first_is_within_the_budget(assets):
    for module in {module for _, module in assets._routes}:
        packed = len(assets.get(f"bundles/{module}").packed)
        if CHARTS in assets.initial(module):
            packed += len(assets.get(UPLOT).packed)
        assert 20_000 < packed <= BUDGET, (module, packed)


def test_a_page_is_sent_with_all_that_it_needs_and_who_reads_it(server, assets):
    for path, module in (
        ("/", "pages/home.js"),
        ("/local/p", "pages/workspace/workspace.js"),
        ("/local/p/runs/r/logs", "pages/run/run.js"),
        ("/-/keys", "pages/people/keys.js"),
        ("/a/b/c/d/e/f/g", "app.js"),
    ):
        answer, content = ask(server, path, Accept="text/html")
        page = content.decode()
        assert re.findall(r'<script type="module" src="([^"]+)"', page) == [f"{assets.base}bundles/{module}"]
        assert re.findall(r'rel="stylesheet" href="([^"]+)"', page) == [f"{assets.base}styles.css"]
        reader = json.loads(re.search(r'id="reader">(.*?)</script>', page)[1])
        assert reader["name"] == "local" and reader["local"] is True
        assert answer.headers["Cache-Control"] == "private, no-cache"
        sent = ask(server, f"{assets.base}bundles/{module}")[1].decode()
        assert re.findall(r'^\$\.define\("([^"]+)"', sent, re.MULTILINE) == assets.initial(module)


def test_who_reads_a_page_cannot_end_its_element(assets):
    page = assets.page_at("/", json.dumps({"name": "</script><script>alert(1)</script>"}).encode())
    inner = re.search(rb'id="reader">(.*?)</script>', page)[1]
    assert json.loads(inner)["name"] == "</script><script>alert(1)</script>"
    assert page.count(b"<script") == 2


def test_a_page_gone_to_later_brings_what_the_first_did_not(assets):
    sent = assets.get("parts/pages/run/run.js").content.decode()
    names = set(re.findall(r'^\$\.define\("([^"]+)"', sent, re.MULTILINE))
    assert "pages/run/run.js" in names and not names & set(assets.initial())
    assert names | set(assets.initial()) == set(assets.initial("pages/run/run.js"))
    assert assets.get("parts/../errors.py") is None and assets.get("bundles/pages/none.js") is None


def test_no_module_needs_itself_by_way_of_others(assets):
    """One that is run within another that it needs would find nothing there."""
    done: set[str] = set()

    def walk(name: str, way: tuple[str, ...]) -> None:
        assert name not in way, (*way, name)
        if name not in done:
            for target in imported(name, (ROOT / name).read_text()):
                walk(target, (*way, name))
            done.add(name)

    for path in ROOT.rglob("*.js"):
        name = path.relative_to(ROOT).as_posix()
        if not name.startswith("vendor/"):
            walk(name, ())
            assert not re.search(r"^export (let|var|\*)", path.read_text(), re.MULTILINE), name


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
    assert re.search(r"script-src ([^;]+)", policy)[1] == "'self'"
    # What stands in the page itself is data.
    assert re.findall(rb"<script ([^>]*)>[^<]", content) == [b'type="application/json" id="reader"']
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
        assert answer.status in (401, 404, 405) and b"<script" not in content, path


def test_the_files_are_in_the_package():
    settings = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())
    assert "ui/**/*" in settings["tool"]["setuptools"]["package-data"]["runstone"]
