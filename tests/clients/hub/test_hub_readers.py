"""What is built on ``huggingface_hub`` and used with the environment alone: datasets, transformers, the command line; and people without a key."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import os
import random
import subprocess
import sys
from pathlib import Path

import httpx2
import pytest
from hubkit import Hub, contents, safetensors
from huggingface_hub import CommitOperationCopy, HfApi, snapshot_download
from huggingface_hub.errors import GatedRepoError, HfHubHTTPError, RepositoryNotFoundError


@pytest.fixture
def given(hub: Hub, tmp_path: Path) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("HF_")}
    return {
        **kept,
        "HF_ENDPOINT": hub.url,
        "HF_TOKEN": hub.tokens["ria"],
        "HF_HOME": str(tmp_path / "home"),
        "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    }


def python(given: dict[str, str], code: str, *args: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", code, *args], env=given, capture_output=True, text=True, timeout=200
    )
    assert done.returncode == 0, done.stderr[-4000:]
    return done.stdout


def test_a_dataset_is_loaded_whole_and_as_a_stream(hub: Hub, given, tmp_path):
    rows = [{"text": f"line {number}", "label": number % 3} for number in range(500)]
    table = io.StringIO()
    writer = csv.DictWriter(table, ["text", "label"])
    writer.writeheader()
    writer.writerows(rows[400:])
    files = {
        "README.md": b"---\nlicense: mit\n---\n# Rows\n",
        "data/train.jsonl": b"".join(json.dumps(row).encode() + b"\n" for row in rows[:400]),
    }
    hub.put("lab/datasets/rows", files, tmp_path, type="dataset", aliases=("best",))
    hub.put("lab/datasets/sheets", {"test.csv": table.getvalue().encode()}, tmp_path, type="dataset")
    code = """
import datasets
whole = datasets.load_dataset("lab/rows", split="train")
pinned = datasets.load_dataset("lab/rows", split="train", revision="best", streaming=True)
first = list(pinned.take(7))
sheet = datasets.load_dataset("lab/sheets", split="test")
print(len(whole), whole[399]["text"], len(first), first[6]["label"], len(sheet), sheet[0]["text"])
"""
    assert python(given, code).splitlines()[-1] == "400 line 399 7 0 100 line 400"


def test_a_model_is_loaded_by_transformers(hub: Hub, given, tmp_path):
    made = tmp_path / "made"
    code = """
import sys
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import BertConfig, PreTrainedTokenizerFast
words = Tokenizer(models.WordLevel({"[UNK]": 0, "a": 1, "model": 2}, unk_token="[UNK]"))
words.pre_tokenizer = pre_tokenizers.Whitespace()
PreTrainedTokenizerFast(tokenizer_object=words, unk_token="[UNK]").save_pretrained(sys.argv[1])
BertConfig(hidden_size=24, num_attention_heads=2, num_hidden_layers=3).save_pretrained(sys.argv[1])
"""
    python(given, code, str(made))
    files = contents(made) | {"model.safetensors": safetensors(b"weights")}
    hub.put("lab/registry-of-all/tiny", files, tmp_path, aliases=("prod",))
    code = """
from transformers import AutoConfig, AutoTokenizer
config = AutoConfig.from_pretrained("lab/registry-of-all.tiny", revision="prod")
words = AutoTokenizer.from_pretrained("lab/registry-of-all.tiny")
print(config.hidden_size, words("a model here")["input_ids"])
"""
    assert python(given, code).splitlines()[-1] == "24 [1, 2, 0]"


def test_public_repos_are_read_without_a_key(hub: Hub, files, tmp_path):
    hub.library.create_project("lab/public-models", visibility="public", exist_ok=True)
    hub.put("lab/public-models/free", files, tmp_path, aliases=("prod",))
    hub.put("lab/models/closed", files, tmp_path)
    nobody = HfApi(endpoint=hub.url, token=False)
    found = snapshot_download("lab/free", endpoint=hub.url, token=False)
    assert contents(Path(found)) == files
    assert nobody.model_info("lab/free").private is False
    assert [commit.title for commit in nobody.list_repo_commits("lab/free")]
    assert [ref.name for ref in nobody.list_repo_refs("lab/free").tags] == ["prod"]
    shown = {model.id for model in nobody.list_models()}
    assert "lab/free" in shown and "lab/closed" not in shown
    assert "lab/free" in {model.id for model in hub.api("eve").list_models()}
    for attempt in (
        lambda: nobody.model_info("lab/closed"),
        lambda: snapshot_download("lab/closed", endpoint=hub.url, token=False),
        lambda: nobody.create_repo("lab/mine"),
        lambda: nobody.upload_file(path_or_fileobj=b"x", path_in_repo="x", repo_id="lab/free"),
        lambda: nobody.create_tag("lab/free", tag="x"),
        lambda: nobody.delete_repo("lab/free"),
    ):
        with pytest.raises(RepositoryNotFoundError):
            attempt()
    wrong = httpx2.get(f"{hub.url}/api/models/lab/free", headers={"Authorization": "Bearer hf_" + "x" * 40})
    assert wrong.status_code == 401
    with hub.announcing_xet():
        data = {"big.bin": os.urandom(3_000_000)}
        hub.put("lab/public-models/free", data, tmp_path)
        where = tmp_path / "by-xet"
        kept = {name: value for name, value in os.environ.items() if not name.startswith("HF_")}
        code = "import sys; from huggingface_hub import snapshot_download as get; get('lab/free', local_dir=sys.argv[1])"
        before = hub.asked("/v2/reconstructions/")
        python({**kept, "HF_ENDPOINT": hub.url, "HF_HOME": str(tmp_path / "none")}, code, str(where))
        assert hub.asked("/v2/reconstructions/") > before
        assert contents(where) == data


def test_the_command_line_does_what_repos_need(hub: Hub, given, files, tmp_path):
    given = given | {"HF_TOKEN": hub.tokens["ann"], "NO_COLOR": "1", "COLUMNS": "400"}

    def hf(*args: str) -> str:
        tool = str(Path(sys.executable).with_name("hf"))
        done = subprocess.run([tool, *args], env=given, capture_output=True, text=True, timeout=100)
        assert done.returncode == 0, done.stderr + done.stdout
        return done.stdout

    source = tmp_path / "source"
    for name, content in files.items():
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        (source / name).write_bytes(content)
    assert "ann" in hf("auth", "whoami")
    hf("repos", "create", "lab/by-cli", "--private")
    hf("upload", "lab/by-cli", str(source), ".")
    hf("repos", "tag", "create", "lab/by-cli", "v-one")
    assert "v-one" in hf("repos", "tag", "list", "lab/by-cli")
    hf("repos", "branch", "create", "lab/by-cli", "dev")
    hf("upload", "lab/by-cli", str(source / "config.json"), "more.json", "--revision", "dev")
    hf("download", "lab/by-cli", "--local-dir", str(tmp_path / "got"), "--revision", "dev")
    assert contents(tmp_path / "got") == files | {"more.json": files["config.json"]}
    assert "lab/by-cli" in hf("models", "ls", "--author", "lab", "--quiet")
    assert "by-cli" in hf("models", "info", "lab/by-cli")
    hf("repos", "delete-files", "lab/by-cli", "more.json", "--revision", "dev")
    hf("cp", "hf://lab/by-cli/config.json", str(tmp_path / "copied.json"))
    assert (tmp_path / "copied.json").read_bytes() == files["config.json"]
    hf("repos", "branch", "delete", "lab/by-cli", "dev")
    hf("repos", "move", "lab/by-cli", "lab/by-cli-moved")
    hf("repos", "delete", "lab/by-cli-moved", "--yes")


def test_cards_last_commits_and_counts(hub: Hub, tmp_path):
    api = hub.api()
    api.create_repo("lab/told")
    card = b"---\nlicense: mit\nlibrary_name: lens\ntags: [one, two]\ndate: 2026-01-02\nlanguage:\n- en\n---\n# Told\n"
    first = api.upload_file(
        path_or_fileobj=card, path_in_repo="README.md", repo_id="lab/told", commit_message="A <b>card</b>"
    )
    second = api.upload_file(
        path_or_fileobj=b"1", path_in_repo="data/x", repo_id="lab/told", commit_message="Data"
    )
    info = api.model_info("lab/told")
    assert (info.card_data.license, info.card_data.date, info.library_name) == ("mit", "2026-01-02", "lens")
    assert set(info.tags) == {"license:mit", "lens", "one", "two", "en"}
    entries = {entry.path: entry for entry in api.list_repo_tree("lab/told", recursive=True, expand=True)}
    assert {path: entry.last_commit.oid for path, entry in entries.items()} == {
        "README.md": first.oid,
        "data": second.oid,
        "data/x": second.oid,
    }
    assert entries["README.md"].last_commit.title == "A <b>card</b>"
    (told,) = api.get_paths_info("lab/told", ["README.md"], expand=True)
    assert told.last_commit.oid == first.oid
    commits = api.list_repo_commits("lab/told", formatted=True)
    assert [commit.formatted_title for commit in commits] == ["Data", "A &lt;b&gt;card&lt;/b&gt;"]
    assert info.downloads == 0
    snapshot_download("lab/told", endpoint=hub.url, token=hub.tokens["ria"])
    hub.server.worker.core.fetches.flush()
    assert api.model_info("lab/told").downloads == 1


@pytest.mark.parametrize(
    "head",
    [
        b"a: [1",
        b"- a list",
        b"a: &x [1]\nb: *x",
        b"a: .nan",
        b"? [1]\n: 2",
        b"a: " + b"[" * 5000,
        b"!!python/name:os.system x: 1",
    ],
)
def test_cards_that_are_wrong_are_told_of_before_the_commit(hub: Hub, head: bytes, tmp_path):
    api = hub.api()
    api.create_repo("lab/wrong-card", exist_ok=True)
    card = b"---\n" + head + b"\n---\n# Wrong\n"
    with pytest.raises(ValueError, match="Invalid metadata in README"):
        api.upload_file(path_or_fileobj=card, path_in_repo="README.md", repo_id="lab/wrong-card")
    hub.put("lab/models/wrong-card", {"README.md": card}, tmp_path)
    assert not api.model_info("lab/wrong-card").card_data


def test_a_gated_repo_is_seen_by_all_and_read_by_those_let_in(hub: Hub, files, tmp_path):
    ann, eve, nobody = hub.api("ann"), hub.api("eve"), HfApi(endpoint=hub.url, token=False)
    hub.library.create_project("lab/public-models", visibility="public", exist_ok=True)
    files = files | {"model.safetensors": safetensors(b"nobody else has these")}
    hub.put("lab/public-models/guarded", files, tmp_path, aliases=("prod",))
    with pytest.raises(HfHubHTTPError, match="403"):
        hub.api("max").update_repo_settings("lab/guarded", gated="manual")
    ann.update_repo_settings("lab/guarded", gated="manual")
    assert eve.model_info("lab/guarded").gated == "manual" and nobody.model_info("lab/guarded").siblings == []
    asks = {"Authorization": f"Bearer {hub.tokens['eve']}"}

    def reads(who: HfApi) -> bool:
        try:
            found = who.snapshot_download("lab/guarded", cache_dir=tmp_path / str(random.random()))
        except GatedRepoError:
            with pytest.raises(GatedRepoError):
                who.hf_hub_download("lab/guarded", "config.json", cache_dir=tmp_path / str(random.random()))
            return False
        return contents(Path(found)) == files

    assert reads(hub.api("ria")) and not reads(eve) and not reads(nobody)
    # What may not be read may neither be fetched by another way nor made a version of.
    digest = hashlib.sha256(files["model.safetensors"]).hexdigest()
    eve.create_repo("eve/taken", exist_ok=True)
    copy = [CommitOperationCopy("model.safetensors", "x", src_repo_id="lab/guarded", src_repo_type="model")]
    with pytest.raises(GatedRepoError):
        eve.create_commit("eve/taken", copy, commit_message="Taken")
    line = b'{"key":"header","value":{"summary":"x"}}\n{"key":"lfsFile","value":{"path":"x","oid":"%s","size":%d}}\n'
    taken = httpx2.post(
        f"{hub.url}/api/models/eve/taken/commit/main",
        content=line % (digest.encode(), len(files["model.safetensors"])),
        headers=asks,
    )
    assert taken.status_code == 400
    native = httpx2.get(
        f"{hub.url}/api/v1/versions/lab/public-models/guarded@prod/files/config.json", headers=asks
    )
    assert native.status_code in (403, 404)
    image = httpx2.get(f"{hub.url}/v2/lab/public-models/guarded/manifests/prod", headers=asks)
    assert image.status_code == 403 and image.json()["errors"][0]["code"] == "DENIED"
    assert httpx2.post(f"{hub.url}/lab/guarded/ask-access", headers=asks).json() == {"status": "pending"}
    assert [request.username for request in ann.list_pending_access_requests("lab/guarded")] == ["eve"]
    with pytest.raises(HfHubHTTPError):
        eve.accept_access_request("lab/guarded", "eve")
    assert not reads(eve)
    ann.accept_access_request("lab/guarded", "eve")
    assert reads(eve)
    ann.reject_access_request("lab/guarded", "eve", rejection_reason="no more")
    assert not reads(eve)
    ann.grant_access("lab/guarded", "eve")
    assert reads(eve)
    ann.update_repo_settings("lab/guarded", gated=False)
    assert reads(nobody)
    ann.update_repo_settings("lab/guarded", gated="auto")
    assert not reads(nobody)
