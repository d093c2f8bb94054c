"""What the real ``huggingface_hub`` commits is a version, byte for byte, and no commit undoes another."""

from __future__ import annotations

import hashlib
import io
import os
import random
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import httpx2
import msgspec
import pytest
from hubkit import Hub, contents
from huggingface_hub import (
    CommitOperationAdd,
    CommitOperationCopy,
    CommitOperationDelete,
    HfApi,
    constants,
    snapshot_download,
)
from huggingface_hub.errors import (
    BadRequestError,
    HfHubHTTPError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

from runstone.config import ServerOptions
from runstone.dialects.hub import changes, lfs
from runstone.server.background import Background


@pytest.fixture
def repo(hub: Hub, request: pytest.FixtureRequest) -> str:
    name = f"lab/w{hashlib.sha256(request.node.name.encode()).hexdigest()[:12]}"
    hub.api().create_repo(name)
    return name


@pytest.fixture
def without_xet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)


#: The client hands a body to httpx in a way that httpx has deprecated.
by_its_old_way = pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")


def answered_routes(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The routes that are answered from here on."""
    app, found = hub.server.connections.app, []
    finished = app.finished

    def noting(request: Any, response: Any) -> None:
        if request.endpoint is not None:
            found.append(request.endpoint.route.path)
        finished(request, response)

    monkeypatch.setattr(app, "finished", noting)
    return found


def written(folder: Path, files: dict[str, bytes]) -> Path:
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    return folder


def stored(hub: Hub, name: str, tmp: Path) -> dict[str, bytes]:
    """What runstone's own library gives for a version."""
    target = tmp / f"got-{random.randrange(1 << 60)}"
    hub.library.get(name, target)
    return contents(target)


def test_a_folder_becomes_a_version(hub: Hub, repo: str, files, tmp_path):
    api = hub.api("max")
    done = api.upload_folder(
        repo_id=repo, folder_path=written(tmp_path / "model", files), commit_message="All of it"
    )
    owner, name = repo.split("/")
    path = f"{owner}/models/{name}"
    assert stored(hub, path, tmp_path) == files
    version = hub.library.version(path)
    assert (version.number, version.by) == (1, "max")
    assert version.description == files["README.md"].decode()
    assert api.model_info(repo).sha == done.oid
    (commit,) = api.list_repo_commits(repo)
    assert (commit.title, commit.authors, commit.commit_id) == ("All of it", ["max"], done.oid)
    assert contents(Path(snapshot_download(repo, endpoint=hub.url, token=hub.tokens["ria"]))) == files
    again = api.upload_folder(repo_id=repo, folder_path=tmp_path / "model")
    assert again.oid == done.oid
    assert hub.library.version(path).number == 1


def test_files_are_added_changed_copied_and_deleted(hub: Hub, repo: str, tmp_path):
    api = hub.api()
    expected = {}
    for name, content in (("a.txt", b"one"), ("d/b.txt", b"two"), ("d/e/c.txt", b""), ("a.txt", b"three")):
        api.upload_file(path_or_fileobj=content, path_in_repo=name, repo_id=repo)
        expected[name] = content
    path = f"lab/models/{repo.split('/')[1]}"
    assert stored(hub, path, tmp_path) == expected
    assert hub.library.version(path).number == 4
    api.create_commit(
        repo,
        [
            CommitOperationCopy(src_path_in_repo="a.txt", path_in_repo="copy.txt"),
            CommitOperationCopy(
                src_path_in_repo="a.txt",
                path_in_repo="old.txt",
                src_revision=api.list_repo_commits(repo)[3].commit_id,
            ),
            CommitOperationDelete("d/e/"),
            CommitOperationAdd("new.txt", b"new"),
        ],
        commit_message="Several",
        commit_description="In one",
    )
    expected = {
        "a.txt": b"three",
        "copy.txt": b"three",
        "old.txt": b"one",
        "new.txt": b"new",
        "d/b.txt": b"two",
    }
    assert stored(hub, path, tmp_path) == expected
    api.delete_file("d/b.txt", repo)
    del expected["d/b.txt"]
    assert stored(hub, path, tmp_path) == expected
    newest = api.list_repo_commits(repo)[1]
    assert (newest.title, newest.message) == ("Several", "In one")
    with pytest.raises(HfHubHTTPError, match="no file 'none'"):
        api.delete_file("none", repo)
    with pytest.raises(HfHubHTTPError, match="no folder"):
        api.delete_folder("none", repo)


@by_its_old_way
def test_large_files_go_by_lfs_in_one_piece_and_in_parts(
    hub: Hub, repo: str, tmp_path, without_xet, monkeypatch
):
    monkeypatch.setattr(lfs, "PART", 6 << 20)
    noise = random.Random(3)
    files = {
        "one.bin": noise.randbytes((5 << 20) + 1),
        "many.bin": noise.randbytes((20 << 20) + 17),
        "s": b"s",
    }
    hub.api().upload_folder(repo_id=repo, folder_path=written(tmp_path / "large", files))
    path = f"lab/models/{repo.split('/')[1]}"
    assert stored(hub, path, tmp_path) == files
    assert contents(Path(snapshot_download(repo, endpoint=hub.url, token=hub.tokens["ria"]))) == files
    # The bytes are here: another file of the same content moves nothing.
    asked = answered_routes(hub, monkeypatch)
    hub.api().upload_file(path_or_fileobj=files["one.bin"], path_in_repo="same.bin", repo_id=repo)
    assert stored(hub, path, tmp_path) == files | {"same.bin": files["one.bin"]}
    assert "/{ns}/{name}/info/lfs/objects/batch" in asked
    assert not any("lfs-uploads" in route for route in asked)


def test_the_largest_file_that_comes_in_a_commit(hub: Hub, repo: str, tmp_path, monkeypatch):
    asked = answered_routes(hub, monkeypatch)
    files = {"a.bin": random.Random(9).randbytes(changes.REGULAR), "b.txt": b"after it"}
    hub.api().upload_folder(repo_id=repo, folder_path=written(tmp_path / "largest", files))
    assert stored(hub, f"lab/models/{repo.split('/')[1]}", tmp_path) == files
    assert not any("lfs" in route or "xet" in route for route in asked)
    headers = {"Authorization": f"Bearer {hub.tokens['ann']}"}
    line = b'{"key":"header","value":{"summary":"' + b"s" * changes.MAX_LINE + b'"}}'
    where = f"{hub.url}/api/models/{repo}/commit/main"
    assert httpx2.post(where, content=line, headers=headers).status_code == 413
    for broken in (b"{", b"[]", b'{"key":"other","value":1}', b'{"key":"file","value":{}}', b"\xff", b""):
        assert httpx2.post(where, content=broken, headers=headers).status_code == 400, broken


@by_its_old_way
def test_a_file_object_goes_by_lfs_even_with_xet(hub: Hub, repo: str, tmp_path):
    data = random.Random(4).randbytes(changes.REGULAR + 5)
    hub.api().upload_file(path_or_fileobj=io.BytesIO(data), path_in_repo="x.bin", repo_id=repo)
    assert stored(hub, f"lab/models/{repo.split('/')[1]}", tmp_path) == {"x.bin": data}


def test_bytes_that_never_came_are_refused(hub: Hub, repo: str, tmp_path, without_xet):
    data = b"z" * (changes.REGULAR + 1)
    add = CommitOperationAdd("x.bin", data)
    add._upload_mode, add._is_uploaded = "lfs", True
    with pytest.raises(BadRequestError, match=r"upload (it before|them first)"):
        hub.api().create_commit(repo, [add], commit_message="Nothing there")
    assert hub.api().list_repo_commits(repo) == []
    # What somebody else holds is not there for whoever only knows its digest.
    hub.library.create_project("local/secret", exist_ok=True)
    hub.put("local/secret/m", {"x.bin": data}, tmp_path)
    with pytest.raises(BadRequestError, match=r"upload (it before|them first)"):
        hub.api("max").create_commit(repo, [add], commit_message="Guessed")


def test_hostile_paths_are_refused(hub: Hub, repo: str):
    for path in ("../x", "/x", "a/../x", ".git/config", "a//b", "a/", "x\x00y"):
        line = (
            b'{"key":"header","value":{"summary":"s"}}\n{"key":"file","value":'
            + msgspec.json.encode({"path": path, "content": "eA==", "encoding": "base64"})
            + b"}\n"
        )
        answer = httpx2.post(
            f"{hub.url}/api/models/{repo}/commit/main",
            content=line,
            headers={"Authorization": f"Bearer {hub.tokens['ann']}", "Content-Type": "application/x-ndjson"},
        )
        assert answer.status_code == 400, (path, answer.text)
    assert hub.api().list_repo_files(repo) == []


def test_concurrent_commits_all_last(hub: Hub, repo: str, tmp_path):
    apis = [hub.api("ann"), hub.api("max")] * 4
    failed: list[BaseException] = []

    def work(api: HfApi, number: int) -> None:
        try:
            for turn in range(4):
                api.upload_file(
                    path_or_fileobj=b"%d-%d" % (number, turn), path_in_repo=f"{number}/{turn}", repo_id=repo
                )
        except BaseException as error:
            failed.append(error)

    threads = [threading.Thread(target=work, args=(api, at)) for at, api in enumerate(apis)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []
    expected = {f"{number}/{turn}": b"%d-%d" % (number, turn) for number in range(8) for turn in range(4)}
    assert stored(hub, f"lab/models/{repo.split('/')[1]}", tmp_path) == expected
    assert len(hub.api().list_repo_commits(repo)) == 32


def test_a_stale_parent_is_refused(hub: Hub, repo: str):
    api = hub.api()
    root = api.model_info(repo).sha
    first = api.upload_file(path_or_fileobj=b"1", path_in_repo="a", repo_id=repo, parent_commit=root)
    with pytest.raises(HfHubHTTPError) as caught:
        api.upload_file(path_or_fileobj=b"2", path_in_repo="a", repo_id=repo, parent_commit=root)
    assert caught.value.response.status_code == 412
    second = api.upload_file(path_or_fileobj=b"2", path_in_repo="a", repo_id=repo, parent_commit=first.oid)
    assert api.model_info(repo).sha == second.oid != first.oid


def test_branches_and_tags(hub: Hub, repo: str, tmp_path):
    api = hub.api()
    with pytest.raises(BadRequestError, match="no commit yet"):
        api.create_branch(repo, branch="early")
    first = api.upload_file(path_or_fileobj=b"1", path_in_repo="a", repo_id=repo)
    api.create_branch(repo, branch="exp/a")
    api.create_branch(repo, branch="exp/a", exist_ok=True)
    with pytest.raises(HfHubHTTPError, match="already"):
        api.create_branch(repo, branch="exp/a")
    on_branch = api.upload_file(path_or_fileobj=b"2", path_in_repo="b", repo_id=repo, revision="exp/a")
    path = f"lab/models/{repo.split('/')[1]}"
    assert stored(hub, f"{path}@heads/exp/a", tmp_path) == {"a": b"1", "b": b"2"}
    assert api.model_info(repo, revision="exp/a").sha == on_branch.oid
    assert [commit.commit_id for commit in api.list_repo_commits(repo, revision="exp/a")] == [
        on_branch.oid,
        first.oid,
    ]
    for tag in ("v1", "v1.0", "release 1"):
        api.create_tag(repo, tag=tag, revision=first.oid, tag_message="good")
        assert api.model_info(repo, revision=tag).sha == first.oid
    api.create_tag(repo, tag="v1", exist_ok=True)
    with pytest.raises(HfHubHTTPError, match="already"):
        api.create_tag(repo, tag="v1")
    assert hub.library.alias(path, "v1.0").version == 1
    refs = api.list_repo_refs(repo)
    assert {ref.name: ref.target_commit for ref in refs.branches}["exp/a"] == on_branch.oid
    assert {ref.name for ref in refs.tags} == {"v1", "v1.0", "release 1"}
    with pytest.raises(RevisionNotFoundError):
        api.upload_file(path_or_fileobj=b"3", path_in_repo="c", repo_id=repo, revision="v1.0")
    api.delete_tag(repo, tag="v1.0")
    api.delete_branch(repo, branch="exp/a")
    with pytest.raises(RevisionNotFoundError):
        api.delete_tag(repo, tag="v1.0")
    with pytest.raises(RevisionNotFoundError):
        api.model_info(repo, revision="exp/a")
    with pytest.raises(BadRequestError, match="main cannot be deleted"):
        api.delete_branch(repo, branch="main")


def test_main_goes_on_where_other_clients_stopped(hub: Hub, repo: str, tmp_path):
    """Without an alias ``main`` it is the newest version; with ``latest`` or ``main`` made by somebody, that alias moves."""
    api, path = hub.api(), f"lab/models/{repo.split('/')[1]}"
    hub.put(path, {"a": b"1"}, tmp_path)
    api.upload_file(path_or_fileobj=b"2", path_in_repo="b", repo_id=repo)
    assert stored(hub, path, tmp_path) == {"a": b"1", "b": b"2"}
    hub.put(path, {"other": b"o"}, tmp_path)
    assert api.list_repo_files(repo) == ["other"]
    hub.library.set_alias(f"{path}@v1", "latest")
    api.upload_file(path_or_fileobj=b"3", path_in_repo="c", repo_id=repo)
    assert stored(hub, f"{path}@latest", tmp_path) == {"a": b"1", "c": b"3"}
    hub.library.set_alias(f"{path}@v2", "main")
    api.upload_file(path_or_fileobj=b"4", path_in_repo="d", repo_id=repo)
    assert stored(hub, f"{path}@main", tmp_path) == {"a": b"1", "b": b"2", "d": b"4"}
    assert hub.library.alias(path, "latest").version == 4


def test_repos_are_made_moved_shown_and_deleted(hub: Hub, tmp_path):
    api = hub.api()
    url = api.create_repo("lab/made")
    assert (url.repo_id, url.endpoint) == ("lab/made", hub.url)
    with pytest.raises(HfHubHTTPError, match="already"):
        api.create_repo("lab/made")
    assert api.create_repo("lab/made", exist_ok=True).repo_id == "lab/made"
    api.upload_file(path_or_fileobj=b"1", path_in_repo="a", repo_id="lab/made")
    sha = api.model_info("lab/made").sha
    assert not hub.api("eve").repo_exists("lab/made")
    api.update_repo_settings("lab/made", private=False)
    assert hub.api("eve").model_info("lab/made").private is False
    assert hub.api("eve").model_info("lab/made").sha == sha
    with pytest.raises(HfHubHTTPError) as caught:
        hub.api("eve").upload_file(path_or_fileobj=b"2", path_in_repo="a", repo_id="lab/made")
    assert caught.value.response.status_code in (403, 404)
    api.update_repo_settings("lab/made", private=True)
    with pytest.raises(RepositoryNotFoundError):
        hub.api("eve").model_info("lab/made")
    api.move_repo("lab/made", "ann/moved")
    assert api.model_info("ann/moved").sha == sha
    with pytest.raises(RepositoryNotFoundError):
        api.model_info("lab/made")
    assert api.create_repo("own").repo_id == "ann/own"
    assert api.create_repo("lab/made", repo_type="dataset").repo_type == "dataset"
    api.upload_file(path_or_fileobj=b"d", path_in_repo="d.csv", repo_id="lab/made", repo_type="dataset")
    assert stored(hub, "lab/datasets/made", tmp_path) == {"d.csv": b"d"}
    api.delete_repo("ann/moved")
    with pytest.raises(RepositoryNotFoundError):
        api.delete_repo("ann/moved")
    api.delete_repo("ann/moved", missing_ok=True)
    assert api.create_repo("ann/moved").repo_id == "ann/moved"


def test_readers_do_not_write(hub: Hub, repo: str):
    for who in ("ria", "ann-reads"):
        with pytest.raises(HfHubHTTPError) as caught:
            hub.api(who).upload_file(path_or_fileobj=b"x", path_in_repo="x", repo_id=repo)
        assert caught.value.response.status_code == 403
        with pytest.raises(HfHubHTTPError):
            hub.api(who).create_repo("lab/other")
    with pytest.raises(BadRequestError, match="no pull requests"):
        hub.api().upload_file(path_or_fileobj=b"x", path_in_repo="x", repo_id=repo, create_pr=True)


def test_a_part_that_breaks_off_is_sent_again(hub: Hub, repo: str, tmp_path):
    data = random.Random(6).randbytes(3_000_000)
    headers = {"Authorization": f"Bearer {hub.tokens['ann']}"}
    digest = hashlib.sha256(data).hexdigest()
    batch = {"operation": "upload", "transfers": ["basic"], "objects": [{"oid": digest, "size": len(data)}]}
    where = f"{hub.url}/{repo}.git/info/lfs/objects/batch"
    (told,) = httpx2.post(where, json=batch, headers=headers).json()["objects"]
    href = told["actions"]["upload"]["href"]
    whole = httpx2.put(href.replace("/whole", "/parts/7"), content=data[7:])
    assert whole.status_code == 403, "the signature is of another address"

    def breaking_off():
        yield data[:1_000_000]
        raise ConnectionResetError

    with pytest.raises(ConnectionResetError):
        httpx2.put(href, content=breaking_off(), headers={"Content-Length": str(len(data))})
    deadline = time.monotonic() + 20
    while (again := httpx2.put(href, content=data)).status_code == 409 and time.monotonic() < deadline:
        time.sleep(0.05)  # the first attempt is not given up yet
    assert again.status_code == 200, again.text
    assert "actions" not in httpx2.post(where, json=batch, headers=headers).json()["objects"][0]
    wrong = batch | {"objects": [{"oid": "0" * 64, "size": 3}]}
    (told,) = httpx2.post(where, json=wrong, headers=headers).json()["objects"]
    assert httpx2.put(told["actions"]["upload"]["href"], content=b"abc").status_code == 400


def test_the_command_line_uploads_with_the_environment_alone(hub: Hub, files, tmp_path):
    given = {
        **os.environ,
        "HF_ENDPOINT": hub.url,
        "HF_TOKEN": hub.tokens["ann"],
        "HF_HOME": str(tmp_path / "home"),
    }
    source = written(tmp_path / "up", files)
    tool = Path(sys.executable).with_name("hf")
    command = [str(tool), "upload", "lab/by-hand", str(source), "--commit-message", "By hand"]
    done = subprocess.run(command, env=given, capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, done.stderr
    assert stored(hub, "lab/models/by-hand", tmp_path) == files
    assert hub.api().list_repo_commits("lab/by-hand")[0].authors == ["ann"]


def test_a_local_server_needs_no_key(tmp_path, files):
    with Background(ServerOptions(data=str(tmp_path / "data"), port=0, log_format="off")) as server:
        api = HfApi(endpoint=server.url, token="hf_anything")
        assert api.whoami()["name"] == "local"
        api.create_repo("mine")
        api.upload_folder(repo_id="local/mine", folder_path=written(tmp_path / "m", files))
        found = snapshot_download("local/mine", endpoint=server.url, token=False)
        assert contents(Path(found)) == files
