"""The layout that Hugging Face's libraries read: they find offline what runstone fetched."""

import json
import os
import subprocess
import sys

import pytest
from hostile import Origin, answer, plan_body, planned

from runstone.client.hubcache import default_hub_cache, fetch_for_hub
from runstone.errors import Corrupt, Invalid
from runstone.testing.store_contract import read, write

NAME = "local/demo/bert@prod"
CONFIG = {
    "model_type": "bert",
    "hidden_size": 8,
    "num_attention_heads": 2,
    "num_hidden_layers": 1,
    "vocab_size": 5,
}
WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "hello"]


@pytest.fixture(scope="module")
def bert(remote, tmp_path_factory):
    files = {
        "config.json": json.dumps(CONFIG).encode(),
        "tokenizer_config.json": b'{"tokenizer_class": "BertTokenizer"}',
        "vocab.txt": "\n".join(WORDS).encode(),
        "model.safetensors": os.urandom(3_000_000),
        "onnx/model.onnx": b"onnx",
        "empty": b"",
    }
    folder = write(tmp_path_factory.mktemp("bert") / "m", files)
    remote.put("demo/bert", folder, aliases=["prod"])
    return folder


@pytest.fixture
def hub(tmp_path):
    return tmp_path / "hub"


@pytest.fixture
def bring(relay, cache, hub, bert):
    return lambda name=NAME, *args, **options: fetch_for_hub(
        name, *args, **({"url": relay.url, "cache": cache, "hub_cache": hub, "timeout": 5.0} | options)
    )


def offline(hub, script):
    """What a script prints that may ask nobody."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("HF_")}
    environment |= {"HF_HUB_CACHE": str(hub), "HF_HUB_OFFLINE": "1", "HF_ENDPOINT": "http://127.0.0.1:9"}
    command = [sys.executable, "-W", "ignore", "-c", f"import sys; sys.path[:] = {sys.path!r}\n{script}"]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=120)
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout.strip()


def test_huggingface_hub_finds_it_offline(bring, hub, bert):
    found = bring()
    assert read(found.path) == read(bert)
    script = """
from huggingface_hub import snapshot_download, hf_hub_download, try_to_load_from_cache, scan_cache_dir
print(snapshot_download("local/bert"), snapshot_download("local/bert", revision="prod"))
print(open(hf_hub_download("local/bert", "onnx/model.onnx")).read())
print(try_to_load_from_cache("local/bert", "vocab.txt"))
cache = scan_cache_dir()
(repo,) = cache.repos
(revision,) = repo.revisions
print(repo.repo_id, repo.repo_type, sorted(revision.refs), repo.nb_files, cache.warnings)
"""
    lines = offline(hub, script).splitlines()
    assert lines[0].split() == [str(found.path)] * 2
    assert lines[1] == "onnx" and lines[2] == str(found.path / "vocab.txt")
    assert lines[3] == "local/bert model ['main', 'prod'] 6 []"


def test_transformers_loads_from_it_offline(bring, hub):
    bring(NAME, "acme/bert")
    script = """
from transformers import AutoConfig, AutoTokenizer
print(AutoConfig.from_pretrained("acme/bert").hidden_size)
print(AutoTokenizer.from_pretrained("acme/bert")("hello")["input_ids"])
"""
    assert offline(hub, script).splitlines()[-2:] == ["8", "[2, 4, 3]"]


def test_a_second_version_shares_what_is_equal(bring, hub, bert, remote, relay, tmp_path):
    first = bring()
    body = relay.body
    changed = write(tmp_path / "m", read(bert) | {"config.json": b"{}"})
    remote.put("demo/bert", changed, aliases=["next"])
    second = bring("local/demo/bert@next", revisions=["next"])
    assert second.path != first.path and read(second.path) == read(changed) and read(first.path) == read(bert)
    assert relay.body - body == 2
    assert len(list((hub / "models--local--bert" / "blobs").iterdir())) == 7
    refs = {path.name: path.read_text() for path in (hub / "models--local--bert" / "refs").iterdir()}
    assert refs["main"] == refs["prod"] == first.path.name and refs["next"] == second.path.name


def test_bytes_are_shared_with_the_cache(bring, cache):
    found = bring()
    held = (found.path / "model.safetensors").stat()
    assert held.st_nlink >= 2 or held.st_blocks


def test_a_dataset_is_one_there_too(bring, hub, remote, tmp_path):
    remote.put("demo/rows", write(tmp_path / "d", {"a.csv": b"1"}), type="dataset")
    assert bring("local/demo/rows").path.is_relative_to(hub / "datasets--local--rows")


@pytest.mark.parametrize("repo", ["a/b/c", "../up", "a//b", "..", "a--b/c", "/"])
def test_names_that_are_none(bring, hub, repo):
    with pytest.raises(Invalid):
        bring(NAME, repo)
    assert not hub.exists()


def test_revisions_stay_in_their_folder(bring, hub):
    with pytest.raises(Invalid, match="not the name of a revision"):
        bring(revisions=["../../outside"])
    assert not (hub / "outside").exists()


def test_a_digest_that_is_not_the_bytes_is_not_believed(tmp_path, hub):
    """Others take the name of a blob for its SHA-256: a server that lies about it must not fill another's place."""

    def script(target, headers):
        if target.endswith("/plan"):
            return answer(200, plan_body(planned("w", b"evil", sha256="ab" * 32)))
        return answer(200, b"evil")

    with Origin(script) as served, pytest.raises(Corrupt, match="another SHA-256"):
        fetch_for_hub("n/p/c@x", url=served.url, cache=tmp_path / "cache", hub_cache=hub, retries=0)
    assert not [path for path in hub.rglob("*") if path.is_file()]


def test_it_is_written_where_the_libraries_look(monkeypatch, tmp_path):
    from huggingface_hub import constants

    for name in ("HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE", "HF_HOME", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    assert str(default_hub_cache()).endswith(".cache/huggingface/hub")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert default_hub_cache() == tmp_path / "huggingface" / "hub"
    monkeypatch.setenv("HF_HOME", str(tmp_path / "home"))
    assert default_hub_cache() == tmp_path / "home" / "hub"
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "there"))
    assert default_hub_cache() == tmp_path / "there"
    assert constants.default_cache_path is not None
