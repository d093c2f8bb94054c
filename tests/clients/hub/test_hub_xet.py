"""Large files by xet, as the real ``hf_xet`` moves them, and what a hostile client tries."""

from __future__ import annotations

import os
import random
import subprocess
import sys
from pathlib import Path

import pytest
from hubkit import Hub, contents
from huggingface_hub import CommitOperationCopy, snapshot_download
from huggingface_hub.errors import BadRequestError, RepositoryNotFoundError

RUN = """
import sys
from huggingface_hub import HfApi
api = HfApi()
{}
"""


@pytest.fixture
def given(hub: Hub, tmp_path: Path) -> dict[str, str]:
    """The environment of somebody who has set nothing but the address and the key."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("HF_")}
    return {**kept, "HF_ENDPOINT": hub.url, "HF_TOKEN": hub.tokens["ann"], "HF_HOME": str(tmp_path / "home")}


def run(given: dict[str, str], code: str, *args: str) -> str:
    command = [sys.executable, "-c", RUN.format(code), *args]
    done = subprocess.run(command, env=given, capture_output=True, text=True, timeout=200)
    assert done.returncode == 0, done.stderr[-4000:]
    return done.stdout


def written(folder: Path, files: dict[str, bytes]) -> Path:
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    return folder


def noise(size: int, seed: int) -> bytes:
    return random.Random(seed).randbytes(size)


def packed(hub: Hub) -> int:
    return sum(path.stat().st_blocks * 512 for path in (hub.data / "packs").rglob("*.pack"))


def test_a_folder_comes_by_xet_with_the_environment_alone(hub: Hub, given, tmp_path):
    whole = noise(20_000_000, 1)
    files = {
        "model.safetensors": whole,
        "copy.bin": whole[:9_000_000] + b"changed" + whole[9_000_000:],
        "text.jsonl": b"".join(b'{"line": %d}\n' % number for number in range(600_000)),
        "zeros.bin": bytes(7_000_000),
        "README.md": b"# small\n",
    }
    source = written(tmp_path / "up", files)
    run(
        given,
        "api.create_repo('lab/xet'); api.upload_folder(repo_id='lab/xet', folder_path=sys.argv[1])",
        str(source),
    )
    found = snapshot_download("lab/xet", endpoint=hub.url, token=hub.tokens["ria"])
    assert contents(Path(found)) == files


def test_a_changed_file_sends_what_changed_and_shares_with_what_came_otherwise(hub: Hub, given, tmp_path):
    """Bytes that runstone's own library stored are not sent again, and nothing is stored twice."""
    whole = noise(24_000_000, 2)
    hub.put("lab/models/shared", {"model.bin": whole}, tmp_path)
    changed = whole[:12_000_000] + b"a few bytes" + whole[12_000_000:]
    source = written(tmp_path / "up", {"model.bin": changed})
    before, received = packed(hub), hub.received()
    run(
        given,
        "print(api.upload_file(repo_id='lab/shared', path_in_repo='model.bin', path_or_fileobj=sys.argv[1]))",
        str(source / "model.bin"),
    )
    assert packed(hub) - before < 2_000_000
    assert 0 < hub.received() - received < 2_000_000
    found = snapshot_download("lab/shared", endpoint=hub.url, token=hub.tokens["ria"])
    assert contents(Path(found)) == {"model.bin": changed}


FETCH = "from huggingface_hub import snapshot_download; snapshot_download(sys.argv[1], local_dir=sys.argv[2])"


def test_files_are_read_by_xet_where_it_is_announced(hub: Hub, given, tmp_path):
    whole = noise(40_000_000, 3)
    files = {
        "a.bin": whole,
        "b/small.bin": noise(3000, 4),
        "c.bin": whole[:9_000_000] + b"!" + whole[9_000_001:],
    }
    hub.put("lab/models/byxet", files, tmp_path)
    with hub.announcing_xet():
        told = hub.api("ria").list_repo_tree("lab/byxet", recursive=True)
        assert {entry.path for entry in told if getattr(entry, "xet_hash", None)} == {"a.bin", "c.bin"}
        before = hub.asked("/v2/reconstructions/")
        run(given | {"HF_TOKEN": hub.tokens["ria"]}, FETCH, "lab/byxet", str(tmp_path / "got"))
        assert hub.asked("/v2/reconstructions/") - before >= 2
    assert contents(tmp_path / "got") == files
    run(given, FETCH, "lab/byxet", str(tmp_path / "plain"))
    assert contents(tmp_path / "plain") == files


def test_a_copy_from_another_repo_moves_no_byte(hub: Hub, tmp_path):
    files = {"large.bin": noise(8_000_000, 5), "small.txt": b"small"}
    hub.put("lab/models/copied", files, tmp_path)
    api, received = hub.api(), hub.received()
    api.create_repo("lab/copies")
    copies = [
        CommitOperationCopy(name, f"moved/{name}", src_repo_id="lab/copied", src_repo_type="model")
        for name in files
    ]
    api.create_commit("lab/copies", copies, commit_message="Copied")
    assert hub.received() - received < 5000
    found = snapshot_download("lab/copies", endpoint=hub.url, token=hub.tokens["ria"])
    assert contents(Path(found)) == {f"moved/{name}": content for name, content in files.items()}
    hub.api("eve").create_repo("eve/stolen")
    with pytest.raises(RepositoryNotFoundError):
        hub.api("eve").create_commit("eve/stolen", copies, commit_message="Copied")
    assert [file.filename for file in api.list_lfs_files("lab/copies")] == [
        "moved/large.bin",
        "moved/small.txt",
    ]
    with pytest.raises(BadRequestError, match="never changes"):
        api.permanently_delete_lfs_files("lab/copies", api.list_lfs_files("lab/copies"))
    with pytest.raises(BadRequestError, match="history"):
        api.super_squash_history("lab/copies")
