"""What the client asks over the wire, and what becomes of a download that a network cuts."""

from __future__ import annotations

import random
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest
from hubkit import Hub, contents
from huggingface_hub import hf_hub_download, snapshot_download

sys.path.append(str(Path(__file__).parents[2] / "client"))

from relay import Relay


@pytest.fixture
def relay(hub: Hub) -> Iterator[Relay]:
    made = Relay(hub.url)
    yield made
    made.close()


def test_a_cut_download_goes_on_where_it_stopped(hub: Hub, relay: Relay, tmp_path):
    data = random.Random(8).randbytes(32 << 20)
    hub.put("lab/vision/cut", {"files/big.bin": data}, tmp_path)
    relay.cut_after = 25 << 20
    token = hub.tokens["ria"]
    got = hf_hub_download("lab/vision.cut", "files/big.bin", endpoint=relay.url, token=token)
    assert Path(got).read_bytes() == data
    assert relay.cuts == 1
    # The client keeps whole pieces of 10 MiB: it asks again for what it lacked of the third.
    assert len(data) < relay.body <= len(data) + (10 << 20)


def test_a_warm_snapshot_takes_one_request(hub: Hub, relay: Relay, files, tmp_path):
    hub.put("lab/vision/warm", files, tmp_path)
    token = hub.tokens["ria"]
    found = snapshot_download("lab/vision.warm", endpoint=relay.url, token=token)
    assert contents(Path(found)) == files
    cold, relay.requests[:] = len(relay.requests), []
    assert 2 < cold <= 2 + 2 * len(files)
    snapshot_download("lab/vision.warm", endpoint=relay.url, token=token)
    assert [request.partition("?")[0] for request in relay.requests] == [
        "GET /api/models/lab/vision.warm/revision/main"
    ]
    relay.requests[:] = []
    assert (
        snapshot_download("lab/vision.warm", revision=Path(found).name, endpoint=relay.url, token=token)
        == found
    )
    assert relay.requests == []


def test_the_shapes_of_other_clients(hub: Hub, files, tmp_path):
    """What the Rust hub client and llama.cpp ask: a range of one byte for the metadata; refs, then the tree of a commit."""
    hub.put("lab/vision/others", files, tmp_path)
    headers = {"Authorization": f"Bearer {hub.tokens['ria']}"}
    told = httpx2.get(
        f"{hub.url}/lab/vision.others/resolve/main/config.json", headers=headers | {"Range": "bytes=0-0"}
    )
    size = len(files["config.json"])
    assert (told.status_code, told.content) == (206, files["config.json"][:1])
    assert told.headers["Content-Range"] == f"bytes 0-0/{size}"
    assert told.headers["ETag"].strip('"') and len(told.headers["X-Repo-Commit"]) == 40
    refs = httpx2.get(f"{hub.url}/api/models/lab/vision.others/refs", headers=headers).json()
    (main,) = refs["branches"]
    assert (main["name"], main["targetCommit"]) == ("main", told.headers["X-Repo-Commit"])
    tree = httpx2.get(
        f"{hub.url}/api/models/lab/vision.others/tree/{main['targetCommit']}?recursive=true", headers=headers
    ).json()
    assert {entry["path"] for entry in tree if entry["type"] == "file"} == set(files)
