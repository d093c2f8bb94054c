"""What the Hub's client meets when connections break and disks are full: whole bytes or an error of its own kind, and nothing half."""

from __future__ import annotations

import contextlib
import json
import os
import random
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest
from hubkit import Hub, contents
from huggingface_hub import HfApi, constants, hf_hub_download
from huggingface_hub.errors import EntryNotFoundError, HfHubHTTPError

from runstone.testing.served import served

sys.path.append(str(Path(__file__).parents[2] / "client"))

from relay import Relay

EVERY_FIVE_PERCENT = range(5, 100, 5)
SIZE = 6_000_000


@pytest.fixture
def relay(hub: Hub) -> Iterator[Relay]:
    made = Relay(hub.url)
    yield made
    made.close()


@pytest.mark.parametrize("way", ["xet", "plain"])
def test_downloads_cut_at_every_five_percent(hub: Hub, relay: Relay, tmp_path: Path, way: str):
    """The client goes on by itself, over either way, and has every byte in the end."""
    data = random.Random(way).randbytes(SIZE)
    hub.put(f"lab/vision/cut-{way}", {"model.bin": data}, tmp_path)
    options = {"endpoint": relay.url, "token": hub.tokens["ria"]}
    asked = hub.asked("/v2/reconstructions/")
    with hub.announcing_xet() if way == "xet" else contextlib.nullcontext():
        for share in EVERY_FIVE_PERCENT:
            cuts, relay.cut_down_after = relay.cuts, relay.down + SIZE * share // 100
            got = hf_hub_download(
                f"lab/vision.cut-{way}", "model.bin", cache_dir=tmp_path / str(share), **options
            )
            assert Path(got).read_bytes() == data, share
            assert relay.cuts == cuts + 1, share
    assert (hub.asked("/v2/reconstructions/") > asked) == (way == "xet")


# The client hands a body to httpx in a way that httpx has deprecated.
@pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")
def test_uploads_cut_at_every_five_percent(hub: Hub, relay: Relay, tmp_path: Path, monkeypatch):
    """By LFS: the client tries again or says that it could not; a commit is there whole or not at all."""
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
    hub.api().create_repo("lab/cut-up")
    api, direct = HfApi(endpoint=relay.url, token=hub.tokens["ann"]), hub.api()
    for share in EVERY_FIVE_PERCENT:
        data = random.Random(share).randbytes(SIZE)
        (tmp_path / "model.bin").write_bytes(data)
        cuts, relay.cut_up_after = relay.cuts, relay.up + SIZE * share // 100
        sha = direct.model_info("lab/cut-up").sha
        upload = {"path_in_repo": "model.bin", "repo_id": "lab/cut-up"}
        try:
            api.upload_file(path_or_fileobj=tmp_path / "model.bin", **upload)
        except (httpx2.TransportError, OSError, HfHubHTTPError, RuntimeError):
            assert direct.model_info("lab/cut-up").sha == sha, share
            direct.upload_file(path_or_fileobj=tmp_path / "model.bin", **upload)
        assert relay.cuts == cuts + 1, share
        got = direct.hf_hub_download("lab/cut-up", "model.bin", cache_dir=tmp_path / str(share))
        assert Path(got).read_bytes() == data, share


def _fails_without_a_network(url: str, token: str, upload: dict[str, object]) -> None:
    """An upload in a process of its own, which fails, or is ended: now and then hf_xet waits for ever for a connection that was cut."""
    code = (
        "import json, sys; from huggingface_hub import HfApi; HfApi().upload_file(**json.loads(sys.argv[1]))"
    )
    environment = {**os.environ, "HF_ENDPOINT": url, "HF_TOKEN": token}
    command = [sys.executable, "-c", code, json.dumps(upload, default=str)]
    try:
        done = subprocess.run(command, env=environment, capture_output=True, timeout=45, check=False)
    except subprocess.TimeoutExpired:
        return
    assert done.returncode != 0


@pytest.mark.parametrize("gone", [False, True], ids=["mended", "gone"])
def test_xet_uploads_cut_at_every_five_percent(hub: Hub, relay: Relay, tmp_path: Path, monkeypatch, gone):
    """hf_xet mends a cut by itself, or fails when the network stays away; until the commit the repo is as it was, and then it is whole."""
    monkeypatch.setenv("HF_XET_CLIENT_RETRY_BASE_DELAY", "10ms")
    repo = f"lab/cut-xet-{gone}"
    hub.api().create_repo(repo)
    api, direct = HfApi(endpoint=relay.url, token=hub.tokens["ann"]), hub.api()
    files: dict[str, bytes] = {}

    def visible() -> tuple[str | None, set[str]]:
        return direct.model_info(repo).sha, set(direct.list_repo_files(repo))

    for share in EVERY_FIVE_PERCENT:
        # Bytes of its own: what another test has sent is there, and does not go up again.
        name, data = f"model-{share}.bin", random.Random(f"xet {share} {gone}").randbytes(SIZE)
        (tmp_path / name).write_bytes(data)
        cuts, before, seen = relay.cuts, visible(), []
        relay.when_cut = lambda seen=seen: seen.append(visible())
        relay.refuse_when_cut, relay.cut_up_after = gone, relay.up + SIZE * share // 100
        upload = {"path_or_fileobj": tmp_path / name, "path_in_repo": name, "repo_id": repo}
        asked = hub.asked("/v1/xorbs/")
        if gone:
            _fails_without_a_network(relay.url, hub.tokens["ann"], upload)
            assert visible() == before, share
            relay.refuse = False
        api.upload_file(**upload)
        assert (relay.cuts, seen) == (cuts + 1, [before]), share
        assert hub.asked("/v1/xorbs/") >= asked + 2, share
        files[name] = data
    found = direct.snapshot_download(repo)
    assert contents(Path(found)) == files


@pytest.mark.parametrize("request_line", [b"/v1/xorbs/", b"/v2/shards", b"/preupload/", b"/commit/"])
def test_xet_uploads_whose_answer_is_lost(hub: Hub, relay: Relay, tmp_path: Path, monkeypatch, request_line):
    """Each step may be done again: the commit is there once, and whole."""
    monkeypatch.setenv("HF_XET_CLIENT_RETRY_BASE_DELAY", "10ms")
    repo = f"lab/lost{request_line.decode().strip('/').replace('/', '-')}"
    hub.api().create_repo(repo)
    data = random.Random(request_line).randbytes(SIZE)
    (tmp_path / "model.bin").write_bytes(data)
    upload = {"path_or_fileobj": tmp_path / "model.bin", "path_in_repo": "model.bin", "repo_id": repo}
    relay.drop_answers_to = request_line
    try:
        HfApi(endpoint=relay.url, token=hub.tokens["ann"]).upload_file(**upload)
    except (OSError, httpx2.TransportError):
        hub.api().upload_file(**upload)
    assert relay.dropped == 1
    assert contents(Path(hub.api().snapshot_download(repo))) == {"model.bin": data}
    assert [commit.title for commit in hub.api().list_repo_commits(repo)].count(
        "Upload model.bin with huggingface_hub"
    ) == 1


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to mount a tmpfs")
@pytest.mark.parametrize("way", ["xet", "lfs"])
def test_a_full_disk_of_the_server(tmp_path: Path, way: str):
    """The upload fails with the server's own words, the repo stays as it was, and works again when there is room."""
    place, ballast = tmp_path / "small", tmp_path / "small" / "ballast"
    place.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64m", "tmpfs", place], check=True)
    try:
        with served(place / "data") as server:
            api = HfApi(endpoint=server.url, token="hf_any")
            api.create_repo("local/full")
            api.upload_file(path_or_fileobj=b"{}", path_in_repo="config.json", repo_id="local/full")
            sha = api.model_info("local/full").sha
            left = os.statvfs(place)
            ballast.write_bytes(bytes(max(left.f_bavail * left.f_frsize - (8 << 20), 0)))
            source = tmp_path / "model.bin"
            source.write_bytes(random.Random(way).randbytes(30_000_000))
            code = (
                "import sys; from huggingface_hub import HfApi; HfApi().upload_file("
                "path_or_fileobj=sys.argv[1], path_in_repo='model.bin', repo_id='local/full')"
            )
            kept = {name: value for name, value in os.environ.items() if not name.startswith("HF_")}
            given = {**kept, "HF_ENDPOINT": server.url, "HF_TOKEN": "hf_any", "HF_HOME": str(tmp_path / "h")}
            given |= (
                {"HF_HUB_DISABLE_XET": "1"} if way == "lfs" else {"HF_XET_CLIENT_RETRY_MAX_ATTEMPTS": "1"}
            )
            command = [sys.executable, "-c", code, str(source)]
            done = subprocess.run(command, env=given, capture_output=True, text=True, timeout=300)
            assert done.returncode != 0
            assert "507" in done.stderr, done.stderr[-2000:]
            assert api.model_info("local/full").sha == sha
            with pytest.raises(EntryNotFoundError):
                api.hf_hub_download("local/full", "model.bin", cache_dir=tmp_path / "cache")
            got = api.hf_hub_download("local/full", "config.json", cache_dir=tmp_path / "cache")
            assert Path(got).read_bytes() == b"{}"
            ballast.unlink()
            api.upload_file(path_or_fileobj=b"x" * 100, path_in_repo="after", repo_id="local/full")
            assert {entry.path for entry in api.list_repo_tree("local/full")} == {"config.json", "after"}
    finally:
        subprocess.run(["umount", "-l", place], check=True)


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to mount a tmpfs")
@pytest.mark.parametrize("way", ["xet", "lfs"])
def test_a_full_disk_of_the_client(tmp_path: Path, way: str):
    """The download fails at the client; the server goes on, and the same download works where there is room."""
    place = tmp_path / "small"
    place.mkdir()
    data = random.Random(way).randbytes(30_000_000)
    with served(tmp_path / "data") as server:
        api = HfApi(endpoint=server.url, token="hf_any")
        api.create_repo("local/fits")
        api.upload_file(path_or_fileobj=data, path_in_repo="model.bin", repo_id="local/fits")
        code = (
            "from huggingface_hub import hf_hub_download; print(hf_hub_download('local/fits', 'model.bin'))"
        )
        kept = {name: value for name, value in os.environ.items() if not name.startswith("HF_")}
        given = {**kept, "HF_ENDPOINT": server.url, "HF_TOKEN": "hf_any"}
        given |= {"HF_HUB_DISABLE_XET": "1"} if way == "lfs" else {}
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", place], check=True)
        try:
            command = [sys.executable, "-c", code]
            done = subprocess.run(
                command, env={**given, "HF_HOME": str(place)}, capture_output=True, text=True, timeout=120
            )
            assert done.returncode != 0
            assert "No space left on device" in done.stderr, done.stderr[-2000:]
            assert not [path for path in place.rglob("snapshots/*/*") if path.exists()]
        finally:
            subprocess.run(["umount", "-l", place], check=True)
        done = subprocess.run(
            command,
            env={**given, "HF_HOME": str(tmp_path / "roomy")},
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert Path(done.stdout.strip()).read_bytes() == data, done.stderr[-2000:]
