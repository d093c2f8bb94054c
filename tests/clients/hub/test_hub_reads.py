"""What was stored is read by the real ``huggingface_hub``."""

from __future__ import annotations

import contextlib
import hashlib
import http.client
import os
import random
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from hubkit import Hub, contents
from huggingface_hub import (
    _CACHED_NO_EXIST,
    HfFileSystem,
    get_hf_file_metadata,
    hf_hub_download,
    hf_hub_url,
    snapshot_download,
    try_to_load_from_cache,
)
from huggingface_hub.errors import (
    EntryNotFoundError,
    HfHubHTTPError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

from runstone.types import FileEntry


@pytest.fixture
def model(hub: Hub, files: dict[str, bytes], tmp_path: Path, request: pytest.FixtureRequest):
    """A repo that runstone's own library stored, in two versions."""
    name = f"m{abs(hash(request.node.name)) % 10**10}"
    path = f"lab/vision/{name}"
    hub.put(path, {"old.txt": b"old", "config.json": b"{}"}, tmp_path, description="The first")
    hub.put(path, files, tmp_path, aliases=("prod", "team/best"))
    return path, f"lab/vision.{name}"


def test_a_snapshot_is_what_was_put(hub: Hub, model, files, tmp_path):
    _, repo = model
    found = Path(snapshot_download(repo, endpoint=hub.url, token=hub.tokens["ria"]))
    assert contents(found) == files
    assert found.name == hub.api().model_info(repo).sha
    local = tmp_path / "local"
    snapshot_download(repo, endpoint=hub.url, token=hub.tokens["ria"], local_dir=local)
    assert contents(local) == files


def test_every_kind_of_revision(hub: Hub, model, files):
    path, repo = model
    api = hub.api("ria")
    newest, first = [commit.commit_id for commit in api.list_repo_commits(repo)]
    for revision in (None, "main", "prod", "team/best", "v2", "2", newest, "refs/tags/prod", "latest"):
        assert api.model_info(repo, revision=revision).sha == newest
        assert set(api.list_repo_files(repo, revision=revision)) == set(files)
    for revision in ("v1", first):
        assert set(api.list_repo_files(repo, revision=revision)) == {"old.txt", "config.json"}
        got = hf_hub_download(
            repo, "config.json", revision=revision, endpoint=hub.url, token=hub.tokens["ria"]
        )
        assert Path(got).read_bytes() == b"{}"
    hub.library.set_alias(f"{path}@v1", "prod")
    assert api.model_info(repo, revision="prod").sha == first
    for wrong in ("none", "v9", "f" * 40, first[:32] + newest[32:], "a@b", "refs/pr/1"):
        with pytest.raises(RevisionNotFoundError):
            api.model_info(repo, revision=wrong)
        with pytest.raises(RevisionNotFoundError):
            hf_hub_download(repo, "config.json", revision=wrong, endpoint=hub.url, token=hub.tokens["ria"])


def test_commits_and_refs(hub: Hub, model):
    _, repo = model
    newest, first = hub.api().list_repo_commits(repo)
    assert (first.title, first.message, first.authors) == ("The first", "The first", ["local"])
    assert newest.created_at >= first.created_at
    refs = hub.api().list_repo_refs(repo)
    assert [(ref.name, ref.ref, ref.target_commit) for ref in refs.branches] == [
        ("main", "refs/heads/main", newest.commit_id)
    ]
    assert {(ref.name, ref.target_commit) for ref in refs.tags} == {
        ("prod", newest.commit_id),
        ("team/best", newest.commit_id),
    }


def test_trees_and_paths(hub: Hub, model, files):
    _, repo = model
    api = hub.api()
    whole = {entry.path: entry for entry in api.list_repo_tree(repo, recursive=True)}
    assert set(whole) == {*files, "tokenizer", "tokenizer/deep", "tokenizer-old"}
    for path, content in files.items():
        assert whole[path].size == len(content)
        assert whole[path].lfs.sha256 == hashlib.sha256(content).hexdigest()
    top = {entry.path for entry in api.list_repo_tree(repo)}
    assert top == {"README.md", "config.json", "empty", "model.safetensors", "tokenizer", "tokenizer-old"}
    below = {entry.path for entry in api.list_repo_tree(repo, "tokenizer", recursive=True)}
    assert below == {"tokenizer/vocab.txt", "tokenizer/deep", "tokenizer/deep/ä b.txt"}
    with pytest.raises(EntryNotFoundError):
        list(api.list_repo_tree(repo, "token"))
    asked = ["tokenizer", "config.json", "none", "tok", "tokenizer/deep/ä b.txt"]
    assert [info.path for info in api.get_paths_info(repo, asked)] == [
        "tokenizer",
        "config.json",
        "tokenizer/deep/ä b.txt",
    ]
    siblings = api.model_info(repo, files_metadata=True).siblings
    assert {file.rfilename: (file.size, file.lfs.sha256) for file in siblings} == {
        path: (len(content), whole[path].lfs.sha256) for path, content in files.items()
    }
    # The id that Git itself gives to the pointer file of Git LFS.
    pointer = (
        "version https://git-lfs.github.com/spec/v1\n"
        f"oid sha256:{whole['config.json'].lfs.sha256}\nsize {len(files['config.json'])}\n"
    )
    told = subprocess.run(["git", "hash-object", "--stdin"], input=pointer.encode(), capture_output=True)
    assert told.stdout.decode().strip() == whole["config.json"].blob_id


def test_a_large_tree_comes_in_pages(hub: Hub, tmp_path):
    many = {f"{at // 500:02}/{at:05}": b"%d" % at for at in range(2300)}
    hub.put("lab/vision/many", many, tmp_path)
    entries = list(hub.api().list_repo_tree("lab/vision.many", recursive=True))
    assert sorted(entry.path for entry in entries) == sorted({*many, *(f"{at:02}" for at in range(5))})


def test_metadata_and_ranges(hub: Hub, model, files):
    _, repo = model
    api = hub.api("ria")
    data = files["model.safetensors"]
    told = get_hf_file_metadata(
        hf_hub_url(repo, "model.safetensors", endpoint=hub.url), token=hub.tokens["ria"]
    )
    assert told.commit_hash == api.model_info(repo).sha
    assert (told.size, told.xet_file_data) == (len(data), None)
    assert told.etag == hashlib.sha256(data).hexdigest()
    header = api.get_safetensors_metadata(repo).files_metadata["model.safetensors"]
    assert header.tensors["weight"].shape == [3_000_000]
    system = HfFileSystem(endpoint=hub.url, token=hub.tokens["ria"])
    with system.open(f"{repo}/model.safetensors", "rb", block_size=100_000) as opened:
        for start, length in ((0, 10), (1_000_003, 250_001), (len(data) - 7, 7)):
            opened.seek(start)
            assert opened.read(length) == data[start : start + length]
    assert system.cat(f"{repo}/tokenizer/vocab.txt") == files["tokenizer/vocab.txt"]
    assert {Path(path).name for path in system.ls(f"{repo}/tokenizer", detail=False)} == {"deep", "vocab.txt"}
    assert set(system.find(f"{repo}@v1")) == {f"{repo}@v1/config.json", f"{repo}@v1/old.txt"}
    with pytest.raises(FileNotFoundError):
        system.info(f"{repo}/none")


def test_conditional_and_resumed_requests(hub: Hub, model, files):
    _, repo = model
    where = urlsplit(hub.url)

    def ask(method: str, **headers: str):
        connection = http.client.HTTPConnection(where.hostname, where.port, timeout=30)
        given = {"Authorization": f"Bearer {hub.tokens['ria']}"} | {
            name.replace("_", "-"): value for name, value in headers.items()
        }
        connection.request(method, f"/{repo}/resolve/main/model.safetensors", headers=given)
        with contextlib.closing(connection):
            answer = connection.getresponse()
            return answer, answer.read()

    data = files["model.safetensors"]
    head, nothing = ask("HEAD")
    assert (head.status, nothing, head.headers["Content-Length"]) == (200, b"", str(len(data)))
    assert head.headers["X-Linked-Size"] == str(len(data))
    assert head.headers["X-Linked-Etag"] == head.headers["ETag"]
    assert head.headers["Location"] is None
    rest, content = ask("GET", Range="bytes=2000000-")
    assert (rest.status, content) == (206, data[2_000_000:])
    assert rest.headers["Content-Range"] == f"bytes 2000000-{len(data) - 1}/{len(data)}"
    assert ask("GET", If_None_Match=head.headers["ETag"])[0].status == 304
    assert ask("GET", If_Match='"other"')[0].status == 412
    assert ask("GET", Range=f"bytes={len(data)}-")[0].status == 416


def test_the_clients_own_exceptions(hub: Hub, model):
    _, repo = model
    with pytest.raises(RepositoryNotFoundError):
        hub.api("eve").model_info(repo)
    with pytest.raises(RepositoryNotFoundError):
        hf_hub_download(repo, "config.json", endpoint=hub.url, token=hub.tokens["eve"])
    for wrong in ("lab/none", "none/none", "lab/vision.none", "lab/a.b.c"):
        with pytest.raises(RepositoryNotFoundError, match="there is no model"):
            hub.api().model_info(wrong)
    with pytest.raises(RepositoryNotFoundError):
        hub.api().dataset_info(repo)
    with pytest.raises(EntryNotFoundError):
        hf_hub_download(repo, "none.txt", endpoint=hub.url, token=hub.tokens["ria"])
    assert not hub.api().file_exists(repo, "none.txt")
    assert hub.api().file_exists(repo, "config.json")
    assert not hub.api().repo_exists("lab/none")
    assert not hub.api().revision_exists(repo, "none")
    with pytest.raises(RepositoryNotFoundError):
        hf_hub_download(repo, "config.json", endpoint=hub.url, token=False)
    wrong_key = "hf_" + "x" * 40
    with pytest.raises(HfHubHTTPError) as caught:
        hf_hub_download(repo, "config.json", endpoint=hub.url, token=wrong_key)
    assert not isinstance(caught.value, RepositoryNotFoundError)
    with pytest.raises(HfHubHTTPError, match="Invalid user token"):
        hub.api().whoami(token=wrong_key)


def test_a_file_that_is_not_there_is_remembered(hub: Hub, model):
    _, repo = model
    with pytest.raises(EntryNotFoundError):
        hf_hub_download(repo, "none.txt", endpoint=hub.url, token=hub.tokens["ria"])
    assert try_to_load_from_cache(repo, "none.txt") is _CACHED_NO_EXIST


def test_lists_and_search(hub: Hub, tmp_path):
    for name in ("find-a", "find-b", "find-c"):
        hub.put(f"lab/models/{name}", {"x": name.encode()}, tmp_path, type="model")
    hub.put("lab/corpora/find-d", {"x": b"d"}, tmp_path, type="dataset")
    api = hub.api("ria")
    assert [info.id for info in api.list_models(search="find")] == ["lab/find-a", "lab/find-b", "lab/find-c"]
    assert [info.id for info in api.list_models(search="FIND -b", author="lab")] == ["lab/find-b"]
    assert len(list(api.list_models(search="find", limit=2))) == 2
    assert [info.id for info in api.list_datasets(search="find")] == ["lab/corpora.find-d"]
    newest = [info.id for info in api.list_models(search="find", sort="created_at")]
    assert newest == ["lab/find-c", "lab/find-b", "lab/find-a"]
    assert list(hub.api("eve").list_models(search="find")) == []
    assert list(api.list_models(author="none")) == []
    told = api.model_info("lab/find-a", expand=["sha", "private"])
    assert told.sha and told.private and told.siblings is None
    assert api.dataset_info("lab/corpora.find-d").private


def test_who_asks(hub: Hub):
    told = hub.api("max").whoami()
    assert (told["type"], told["name"]) == ("user", "max")
    assert [org["name"] for org in told["orgs"]] == ["lab"]
    assert told["auth"]["accessToken"]["role"] == "write"
    assert hub.api("ann-reads").whoami()["auth"]["accessToken"]["role"] == "read"


def test_downloads_are_attributed(hub: Hub, model):
    path, repo = model
    hf_hub_download(
        repo,
        "config.json",
        endpoint=hub.url,
        token=hub.tokens["ria"],
        library_name="lens",
        library_version="1.2",
    )
    hub.server.connections.app.core.fetches.flush()
    graph = hub.library.lineage(f"{path}@v2")
    names = {node.name for node in graph.nodes if node.kind == "consumer"}
    assert any("ria with lens/1.2" in name for name in names), names


def test_the_environment_alone_is_enough(hub: Hub, model, files, tmp_path):
    _, repo = model
    given = {
        **os.environ,
        "HF_ENDPOINT": hub.url,
        "HF_TOKEN": hub.tokens["ria"],
        "HF_HOME": str(tmp_path / "home"),
        "HF_HUB_DISABLE_TELEMETRY": "1",
    }
    tool = Path(sys.executable).with_name("hf")
    done = subprocess.run(
        [str(tool), "download", repo, "--local-dir", str(tmp_path / "here")],
        env=given,
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert done.returncode == 0, done.stderr
    assert contents(tmp_path / "here") == files
    program = f"from huggingface_hub import snapshot_download; print(snapshot_download({repo!r}))"
    done = subprocess.run([sys.executable, "-c", program], env=given, capture_output=True, text=True)
    assert contents(Path(done.stdout.strip())) == files, done.stderr


def test_versions_that_are_withdrawn_are_not_there(hub: Hub, model):
    path, repo = model
    api = hub.api()
    _, first = api.list_repo_commits(repo)
    hub.library.delete_version(f"{path}@v1", reason="wrong data")
    for revision in (first.commit_id, "v1"):
        with pytest.raises(RevisionNotFoundError, match="wrong data"):
            api.model_info(repo, revision=revision)
    assert len(api.list_repo_commits(repo)) == 1
    with pytest.raises(RepositoryNotFoundError, match="write owner/name"):
        api.model_info("gpt2")


def test_bytes_elsewhere_are_fetched_there_without_the_key(hub: Hub, tmp_path):
    seen = []

    class Elsewhere(BaseHTTPRequestHandler):
        def do_GET(self):
            seen.append((self.path, self.headers["Authorization"]))
            self.send_response(200)
            self.send_header("Content-Length", "5")
            self.end_headers()
            self.wfile.write(b"there")

        def log_message(self, *_):
            pass

    with ThreadingHTTPServer(("127.0.0.2", 0), Elsewhere) as other:
        threading.Thread(target=other.serve_forever).start()
        hub.library.create_project("lab/far", exist_ok=True)
        hub.library.create_collection("lab/far/m")
        url = f"http://127.0.0.2:{other.server_port}/far/x.bin"
        hub.library.commit("lab/far/m", [FileEntry(path="x.bin", size=5, url=url, etag="one")])
        token = hub.tokens["ria"]
        told = get_hf_file_metadata(hf_hub_url("lab/far.m", "x.bin", endpoint=hub.url), token=token)
        assert (told.size, told.location) == (5, url)
        got = snapshot_download("lab/far.m", endpoint=hub.url, token=token)
        assert contents(Path(got)) == {"x.bin": b"there"}
        other.shutdown()
    assert seen == [("/far/x.bin", None)]


def test_ids_without_an_owner_are_ones_own(hub: Hub, files, tmp_path):
    hub.put("ria/models/mine", files, tmp_path)
    api = hub.api("ria")
    assert api.model_info("mine").id == "ria/mine"
    assert {entry.path for entry in api.list_repo_tree("mine", "tokenizer")} >= {"tokenizer/vocab.txt"}
    assert [entry.path for entry in api.get_paths_info("mine", ["config.json", "none"])] == ["config.json"]
    assert contents(Path(snapshot_download("mine", endpoint=hub.url, token=hub.tokens["ria"]))) == files
    found = api.hf_hub_download("mine", "config.json", revision="v1")
    assert Path(found).read_bytes() == files["config.json"]
    for who in ("ann", "eve"):
        with pytest.raises(RepositoryNotFoundError):
            hub.api(who).model_info("mine")
        with pytest.raises(RepositoryNotFoundError):
            hub.api(who).hf_hub_download("mine", "config.json", cache_dir=tmp_path / who)
    with pytest.raises(RepositoryNotFoundError):
        api.dataset_info("mine")
    with pytest.raises(EntryNotFoundError):
        api.hf_hub_download("mine", "none")


def test_ids_without_an_owner_are_written_to(hub: Hub, tmp_path):
    """Commits (by xet too), branches, tags and history, as of ``owner/name``."""
    api, large = hub.api("max"), random.Random(21).randbytes(6_000_000)
    (tmp_path / "large.bin").write_bytes(large)
    assert api.create_repo("short").repo_id == "max/short"
    api.upload_file(path_or_fileobj=b"{}", path_in_repo="config.json", repo_id="short")
    api.upload_file(path_or_fileobj=tmp_path / "large.bin", path_in_repo="d/large.bin", repo_id="short")
    api.create_branch("short", branch="exp")
    api.create_tag("short", tag="one", revision="exp")
    assert [ref.name for ref in api.list_repo_refs("max/short").tags] == ["one"]
    assert len(api.list_repo_commits("short")) == len(api.list_repo_commits("max/short")) == 2
    found = snapshot_download("short", revision="one", endpoint=hub.url, token=hub.tokens["max"])
    assert contents(Path(found)) == {"config.json": b"{}", "d/large.bin": large}
    api.delete_repo("short")


@pytest.mark.parametrize("kind", ["model", "dataset"])
@pytest.mark.parametrize(
    "name", ["resolve", "revision", "tree", "paths-info", "refs", "commits", "branch", "models"]
)
def test_a_repo_may_be_named_like_a_part_of_a_path(hub: Hub, tmp_path, name, kind):
    api, repo = hub.api(), {"repo_id": f"lab/{name}", "repo_type": kind}
    api.create_repo(**repo)
    files = {"config.json": b"{}", f"{name}/{name}": b"deep", "tree/main/refs": b"deeper"}
    for path, data in files.items():
        api.upload_file(path_or_fileobj=data, path_in_repo=path, **repo)
    api.create_branch(branch=name, **repo)
    told = api.repo_info(**repo)
    assert told.id == f"lab/{name}" and {each.rfilename for each in told.siblings} == set(files)
    assert api.repo_info(revision=name, **repo).sha == told.sha
    assert {branch.name for branch in api.list_repo_refs(**repo).branches} == {"main", name}
    assert len(api.list_repo_commits(**repo)) == len(files)
    assert len(api.list_repo_commits(revision=name, **repo)) == len(files)
    for revision in ("main", name):
        listed = api.list_repo_tree(recursive=True, revision=revision, **repo)
        assert {each.path for each in listed if hasattr(each, "size")} == set(files)
        assert [each.path for each in api.list_repo_tree(path_in_repo=name, revision=revision, **repo)][
            :1
        ] == [f"{name}/{name}" if name != "tree" else "tree/main"]
        assert [each.path for each in api.get_paths_info(paths=["config.json"], revision=revision, **repo)]
        found = api.snapshot_download(revision=revision, **repo)
        assert contents(Path(found)) == files
    api.delete_repo(**repo)
