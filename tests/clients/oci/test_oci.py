"""Versions are pulled as artifacts and as images by ``skopeo`` and ``oras``."""

from __future__ import annotations

import hashlib
import json
import random
import tarfile
from pathlib import Path

import httpx2
import oras.client
import pytest
from registrykit import Registry, layers

FILES = {
    "README.md": b"# A model\n",
    "config.json": b'{"layers": 2}',
    "empty": b"",
    "model.safetensors": random.Random(1).randbytes(3_000_001),
    "tokenizer/deep/vocab.txt": b"a\nb\n",
    "tokenizer/" + "long-" * 30 + "name.txt": b"a path over a hundred bytes",
}


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def sha(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


@pytest.fixture
def model(registry: Registry, tmp_path: Path, request: pytest.FixtureRequest) -> str:
    path = f"lab/models/m{abs(hash(request.node.name)) % 10**10}"
    registry.put(path, {"config.json": b"{}"}, tmp_path)
    registry.put(path, FILES, tmp_path, aliases=("prod", "team/best"))
    return path


def test_an_artifact_is_pulled_by_oras(registry: Registry, model: str, tmp_path: Path):
    client = oras.client.OrasClient(hostname=registry.host, insecure=True)
    client.auth.set_basic_auth("ria", registry.tokens["ria"])
    assert client.get_tags(f"{registry.host}/{model}") == ["latest", "prod", "v1", "v2"]
    client.pull(target=f"{registry.host}/{model}:prod", outdir=str(tmp_path / "got"))
    assert contents(tmp_path / "got") == FILES
    client.pull(target=f"{registry.host}/{model}:v1", outdir=str(tmp_path / "first"))
    assert contents(tmp_path / "first") == {"config.json": b"{}"}


def test_an_artifact_is_copied_by_skopeo(registry: Registry, model: str, tmp_path: Path):
    registry.skopeo("copy", f"docker://{registry.host}/{model}:prod", f"dir:{tmp_path / 'artifact'}")
    manifest, blobs = layers(tmp_path / "artifact")
    found = {
        layer["annotations"]["org.cncf.model.filepath"]: blobs[layer["digest"]].read_bytes()
        for layer in manifest["layers"]
    }
    assert found == FILES
    assert manifest["artifactType"] == "application/vnd.cncf.model.manifest.v1+json"
    kinds = {
        layer["annotations"]["org.cncf.model.filepath"]: layer["mediaType"] for layer in manifest["layers"]
    }
    assert kinds["model.safetensors"] == "application/vnd.cncf.model.weight.v1.raw"
    assert kinds["config.json"] == "application/vnd.cncf.model.weight.config.v1.raw"
    assert kinds["README.md"] == "application/vnd.cncf.model.doc.v1.raw"


def test_an_image_has_the_files_in_one_layer(registry: Registry, model: str, tmp_path: Path):
    told = json.loads(registry.skopeo("inspect", f"docker://{registry.host}/{model}/image:prod"))
    assert told["Digest"].startswith("sha256:") and len(told["Layers"]) == 1
    assert told["RepoTags"] == ["latest", "prod", "v1", "v2"]
    where = f"docker://{registry.host}/{model}/image"
    registry.skopeo("copy", f"{where}:prod", f"dir:{tmp_path / 'image'}")
    registry.skopeo("copy", f"{where}@{told['Digest']}", f"dir:{tmp_path / 'again'}")
    assert contents(tmp_path / "image") == contents(tmp_path / "again")
    manifest, blobs = layers(tmp_path / "image")
    (layer,) = manifest["layers"]
    config = json.loads(blobs[manifest["config"]["digest"]].read_bytes())
    assert config["rootfs"]["diff_ids"] == [layer["digest"]]
    with tarfile.open(blobs[layer["digest"]]) as packed:
        packed.extractall(tmp_path / "unpacked", filter="data")
    assert contents(tmp_path / "unpacked" / "models") == FILES
    registry.skopeo("copy", f"{where}:prod", f"oci:{tmp_path / 'layout'}:prod")


def test_blobs_have_ranges_and_the_digest_of_their_bytes(registry: Registry, model: str):
    manifest = registry.get(f"{model}/image/manifests/prod").json()
    layer = manifest["layers"][0]
    whole = registry.get(f"{model}/image/blobs/{layer['digest']}")
    assert (sha(whole.content), len(whole.content)) == (layer["digest"], layer["size"])
    assert whole.headers["Docker-Content-Digest"] == layer["digest"]
    noise = random.Random(2)
    for _ in range(30):
        start = noise.randrange(layer["size"])
        stop = min(layer["size"], start + noise.choice([1, 511, 512, 513, 5000, 2_000_000]))
        asked = {"Range": f"bytes={start}-{stop - 1}"}
        part = registry.get(f"{model}/image/blobs/{layer['digest']}", **asked)
        assert (part.status_code, part.content) == (206, whole.content[start:stop])
    weights = FILES["model.safetensors"]
    part = registry.get(f"{model}/blobs/{sha(weights)}", Range="bytes=1000-1999")
    assert (part.status_code, part.content) == (206, weights[1000:2000])
    token = {"Authorization": f"Bearer {registry.token(model, 'ria')}"}
    head = httpx2.head(f"{registry.url}/v2/{model}/blobs/{sha(weights)}", headers=token)
    assert (head.status_code, head.headers["Content-Length"], head.content) == (200, str(len(weights)), b"")
    head = httpx2.head(f"{registry.url}/v2/{model}/manifests/prod", headers=token)
    whole = registry.get(f"{model}/manifests/prod")
    assert head.headers["Docker-Content-Digest"] == sha(whole.content)
    assert head.headers["Content-Length"] == str(len(whole.content))


def test_an_alias_is_a_tag_that_moves_and_a_digest_stays(registry: Registry, model: str):
    before = registry.get(f"{model}/manifests/prod")
    registry.library.set_alias(f"{model}@v1", "prod")
    after = registry.get(f"{model}/manifests/prod")
    assert after.content == registry.get(f"{model}/manifests/v1").content != before.content
    digest = before.headers["Docker-Content-Digest"]
    assert registry.get(f"{model}/manifests/{digest}").content == before.content
    index = registry.get(f"{model}/referrers/{digest}")
    assert index.json()["manifests"] == []


def test_a_pull_is_in_the_lineage(registry: Registry, model: str, tmp_path: Path):
    registry.skopeo("copy", f"docker://{registry.host}/{model}:prod", f"dir:{tmp_path / 'got'}")
    registry.server.worker.core.fetches.flush()
    graph = registry.library.lineage(f"{model}@v2")
    names = [node.name for node in graph.nodes if node.kind == "consumer"]
    assert len(names) == 1 and names[0].partition(" with ")[0].endswith("ria") and "skopeo" in names[0]


def test_private_ones_take_a_key_and_public_ones_none(registry: Registry, model: str, tmp_path: Path):
    registry.put("lab/open/free", FILES, tmp_path)
    registry.skopeo(
        "copy", f"docker://{registry.host}/lab/open/free:latest", f"dir:{tmp_path / 'free'}", who=""
    )
    assert len(layers(tmp_path / "free")[1]) == len(FILES) + 1
    for who in ("", "eve"):
        with pytest.raises(RuntimeError, match=r"unauthorized|denied|unknown|not exist"):
            registry.skopeo("inspect", f"docker://{registry.host}/{model}:prod", who=who)
    weights = sha(FILES["model.safetensors"])
    assert registry.get(f"{model}/blobs/{weights}", who="eve").status_code == 404
    assert registry.get(f"{model}/blobs/{weights}", who="").status_code == 401
    # A token is good for the repository that it was asked for, and the blob of one repository is not another's.
    token = {"Authorization": f"Bearer {registry.token('lab/open/free', 'ria')}"}
    assert httpx2.get(f"{registry.url}/v2/{model}/blobs/{weights}", headers=token).status_code == 401
    registry.put("lab/open/other", {"x": b"x"}, tmp_path)
    assert registry.get(f"lab/open/other/blobs/{weights}", who="").status_code in (401, 404)
    challenge = httpx2.get(f"{registry.url}/v2/").headers["WWW-Authenticate"]
    assert challenge == f'Bearer realm="{registry.url}/v2/token",service="runstone"'
    wrong = httpx2.get(f"{registry.url}/v2/token", auth=("ria", "hf_" + "x" * 40))
    assert wrong.status_code == 401 and wrong.json()["errors"][0]["code"] == "UNAUTHORIZED"


def test_bad_requests_are_answered_as_a_registry_does(registry: Registry, model: str):
    def code(path: str, **options) -> tuple[int, str]:
        answer = registry.get(path, **options)
        return answer.status_code, answer.json()["errors"][0]["code"]

    assert code(f"{model}/manifests/none") == (404, "MANIFEST_UNKNOWN")
    assert code(f"{model}/manifests/sha256:{'0' * 64}") == (404, "MANIFEST_UNKNOWN")
    assert code(f"{model}/blobs/sha256:{'0' * 64}") == (404, "BLOB_UNKNOWN")
    assert code(f"{model}/blobs/sha256:zz")[0] == 422
    assert code("lab/models/none/manifests/latest") == (404, "NAME_UNKNOWN")
    token = {"Authorization": f"Bearer {registry.token(model, 'ria')}"}
    for path in ("..%2F..%2Fx", "%2e%2e", "x%00y"):
        hostile = httpx2.get(f"{registry.url}/v2/lab/models/{path}/manifests/latest", headers=token)
        assert hostile.status_code in (401, 404) and hostile.json()["errors"]
    token = {"Authorization": f"Bearer {registry.token(model, 'ria')}"}
    pushed = httpx2.post(f"{registry.url}/v2/{model}/blobs/uploads/", headers=token)
    assert (pushed.status_code, pushed.json()["errors"][0]["code"]) == (405, "UNSUPPORTED")
    page = registry.get(f"{model}/tags/list?n=2")
    assert page.json()["tags"] == ["latest", "prod"]
    assert page.headers["Link"] == f'</v2/{model}/tags/list?n=2&last=prod>; rel="next"'
    assert registry.get(f"{model}/tags/list?n=2&last=prod").json()["tags"] == ["v1", "v2"]
