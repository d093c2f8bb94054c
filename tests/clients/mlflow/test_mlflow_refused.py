"""What docs/mlflow.md says is refused: each route of its list is asked, and the list has every route of mlflow's server that is not served."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import requests

from runstone import dialects
from runstone.server.router import Router, segments_of

pytestmark = pytest.mark.filterwarnings("ignore")
DOCS = Path(__file__).parents[3] / "docs" / "mlflow.md"
#: mlflow's pages and what it is asked by watchdogs, which are answered in ways of our own.
_OWN = {"/", "/graphql", "/health", "/static-files/{path}", "/build/{filename}"}
_ROW = re.compile(
    r"^\| `(?P<below>/\S+)` \| (?P<routes>.+) \| (?P<status>\d{3}) (?P<how>in HTML|`NOT_IMPLEMENTED`)"
)


def listed():
    """{(method, path): status} of the list in the docs."""
    section = DOCS.read_text().partition("## What is refused")[2].partition("\n## ")[0]
    found = {}
    for line in section.splitlines():
        if row := _ROW.match(line):
            for method, rest in re.findall(r"`([A-Z]+) ([^`]+)`", row["routes"]):
                found[method, row["below"] + rest] = int(row["status"])
    return found


LISTED = listed()


def test_the_list_is_there():
    assert len(LISTED) > 100 and set(LISTED.values()) == {404, 405, 501}


@pytest.mark.parametrize(("method", "path"), LISTED, ids=" ".join)
def test_each_is_refused_as_it_says(served, method, path):
    status = LISTED[method, path]
    paths = [path] + ([path.replace("/api/", "/ajax-api/")] if path.startswith("/api/") else [])
    for each in paths:
        answer = requests.request(method, served.url + re.sub(r"\{\w+\}", "x", each), json={}, timeout=60)
        assert answer.status_code == status, each
        if status == 501:
            assert answer.json()["error_code"] == "NOT_IMPLEMENTED" and answer.json()["message"]
        else:
            assert answer.headers["Content-Type"] == "text/html"


@pytest.fixture(scope="module")
def theirs():
    """What mlflow's own server tells of its routes."""
    program = Path(__file__).with_name("genuine_routes.py")
    done = subprocess.run(
        [sys.executable, "-W", "ignore", str(program)],
        capture_output=True,
        env=os.environ | {"MLFLOW_DISABLE_TELEMETRY": "true"},
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, done.stderr.decode()
    return json.loads(done.stdout.splitlines()[-1])


def test_every_route_of_mlflows_server_is_served_or_listed(theirs):
    router = Router()
    for dialect in dialects.shipped():
        router.add(dialect, dialect.routes())
    assert len(theirs["routes"]) > 400
    lacking = set()
    for method, path in theirs["routes"]:
        match = router.find(segments_of(re.sub(r"\{\w+\}", "x", path)))
        endpoint = match.endpoints.get(method) if match is not None else None
        served = endpoint is not None and endpoint.dialect.name == "mlflow" and endpoint.route.status != 501
        if not served and path not in _OWN:
            lacking.add((method, path))
    told = set(LISTED) | {(method, path.replace("/api/", "/ajax-api/")) for method, path in LISTED}
    assert lacking - told == set()


def test_every_path_of_users_and_roles_is_served_or_listed(served, theirs):
    told = {path for _, path in LISTED} | {path.replace("/api/", "/ajax-api/") for _, path in LISTED}
    told |= {
        "/api/2.0/mlflow/users/create-ui",
        "/ajax-api/2.0/mlflow/users/create-ui",
    }  # a form of mlflow's pages
    for path in theirs["auth"]:
        asked = re.sub(r"<\w+>", "x", path)
        answer = requests.request("OPTIONS", served.url + asked, timeout=60)
        assert answer.status_code == 204 or re.sub(r"<(\w+)>", r"{\1}", path) in told, path
