"""How bytes of artifacts arrive, and what does not: said over plain HTTP as the SDK says it."""

from __future__ import annotations

import base64
import hashlib
import http.client
import json
import threading
import time
from urllib.parse import urlsplit

import pytest

from runstone import domain
from runstone.config import ServerOptions
from runstone.dialects.wandb.parts import PART
from runstone.domain.context import Context
from runstone.server.background import Background
from runstone.storage.tables import DRAFTS

CTX = Context()
CREATE = """mutation M($i: CreateArtifactInput!) { createArtifact(input: $i) { artifact { id state } } }"""
FILES = """mutation M($i: CreateArtifactFilesInput!) { createArtifactFiles(input: $i) { files { edges { node {
    storagePath uploadUrl uploadHeaders uploadMultipartUrls { uploadID uploadUrlParts { partNumber uploadUrl } } artifact { id } } } } } }"""
MANIFEST = """mutation M($i: CreateArtifactManifestInput!) { createArtifactManifest(input: $i) { artifactManifest { id file { uploadUrl } } } }"""
COMMIT = """mutation M($i: ID!) { commitArtifact(input: {artifactID: $i}) { artifact { id digest } } }"""
COMPLETE = """mutation M($i: CompleteMultipartUploadArtifactInput!) { completeMultipartUploadArtifact(input: $i) { digest } }"""


def request(served, method, url, body=b"", **headers):
    where = urlsplit(url)
    connection = http.client.HTTPConnection(urlsplit(served.url).netloc, timeout=60)
    connection.request(method, f"{where.path}?{where.query}" if where.query else where.path, body, headers)
    response = connection.getresponse()
    found = response.status, response.headers, response.read()
    connection.close()
    return found


def ask(served, query, **variables):
    body = json.dumps({"query": query, "variables": variables}).encode()
    status, _, found = request(served, "POST", "/graphql", body, **{"Content-Type": "application/json"})
    assert status == 200
    return json.loads(found)


def b64md5(content):
    return base64.b64encode(hashlib.md5(content).digest()).decode()


def digest_of(files):
    lines = "".join(f"{path}:{b64md5(content)}\n" for path, content in sorted(files.items()))
    return hashlib.md5(b"wandb-artifact-manifest-v1\n" + lines.encode()).hexdigest()


class Artifact:
    """One that is logged by hand."""

    def __init__(self, served, collection, files, digest=""):
        self.served, self.files, self.collection = served, files, collection
        given = {"entityName": "local", "projectName": "byhand", "artifactTypeName": "dataset", "artifactCollectionName": collection,
                 "digest": digest or digest_of(files), "aliases": [{"artifactCollectionName": collection, "alias": "latest"}]}  # fmt: skip
        found = ask(served, CREATE, i=given)
        self.id, self.state = found["data"]["createArtifact"]["artifact"].values()

    def addresses(self, **more):
        files = [
            {"artifactID": self.id, "name": path, "md5": b64md5(content), **more}
            for path, content in self.files.items()
        ]
        found = ask(self.served, FILES, i={"artifactFiles": files, "storageLayout": "V2"})
        return [edge["node"] for edge in found["data"]["createArtifactFiles"]["files"]["edges"]]

    def put_manifest(self, contents=None):
        given = {
            "artifactID": self.id,
            "name": "m",
            "digest": "",
            "entityName": "local",
            "projectName": "byhand",
            "runName": "r",
            "type": "FULL",
        }
        url = ask(self.served, MANIFEST, i=given)["data"]["createArtifactManifest"]["artifactManifest"][
            "file"
        ]["uploadUrl"]
        held = {
            path: {"digest": b64md5(content), "size": len(content)} for path, content in self.files.items()
        }
        body = {
            "version": 1,
            "storagePolicy": "wandb-storage-policy-v1",
            "storagePolicyConfig": {},
            "contents": contents or held,
        }
        return request(self.served, "PUT", url, json.dumps(body).encode())[0]

    def commit(self):
        found = ask(self.served, COMMIT, i=self.id)
        return (
            found["errors"][0]["message"]
            if "errors" in found
            else found["data"]["commitArtifact"]["artifact"]
        )

    def versions(self):
        found = domain.versions.list_versions(self.served.store, CTX, f"local/byhand/{self.collection}")
        return [version.number for version in found]


def test_files_that_never_arrive_make_no_version(served):
    artifact = Artifact(served, "absent", {"a": b"never sent a", "b": b"sent b"})
    assert artifact.state == "PENDING"
    assert "manifest of the artifact never arrived" in artifact.commit()
    _, second = artifact.addresses()
    assert request(served, "PUT", second["uploadUrl"], b"other bytes")[0] == 422
    status, headers, _ = request(served, "PUT", second["uploadUrl"], b"sent b")
    assert status == 200 and headers["ETag"]
    assert artifact.put_manifest() == 200
    assert "the bytes of a never arrived" in artifact.commit()
    assert artifact.versions() == []
    first, second = artifact.addresses()
    assert second["uploadUrl"] is None
    assert request(served, "PUT", first["uploadUrl"], b"never sent a")[0] == 200
    made = artifact.commit()
    assert made["digest"] == digest_of(artifact.files)
    assert artifact.versions() == [1]
    assert artifact.commit() == made
    assert artifact.versions() == [1]
    assert Artifact(served, "absent", artifact.files).state == "COMMITTED"


def test_a_wrong_digest_makes_no_version(served):
    artifact = Artifact(served, "wrong", {"a": b"bytes"}, digest="0" * 32)
    assert request(served, "PUT", artifact.addresses()[0]["uploadUrl"], b"bytes")[0] == 200
    assert artifact.put_manifest() == 200
    assert "announced with 000" in artifact.commit()
    other = Artifact(served, "wrong", {"a": b"bytes"})
    assert other.put_manifest({"a": {"digest": b64md5(b"bytes"), "size": 4}}) == 200
    assert "has 5 bytes, and the manifest says 4" in other.commit()
    for path in ("../up", "/abs", "a//b", "x/.git/y"):
        hostile = Artifact(served, "hostile", {path: b"bytes"})
        assert hostile.put_manifest() == 200
        assert "path" in hostile.commit()
    assert other.put_manifest({"a": 3}) == 200
    assert "not one of version 1" in other.commit()
    assert artifact.versions() == []


def test_two_commits_at_once_make_one_version(served):
    artifact = Artifact(served, "racing", {f"f{number}": b"%d" % number for number in range(50)})
    for node, content in zip(artifact.addresses(), artifact.files.values(), strict=True):
        assert request(served, "PUT", node["uploadUrl"], content)[0] == 200
    assert artifact.put_manifest() == 200
    found = []
    threads = [threading.Thread(target=lambda: found.append(artifact.commit())) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [found[0]] * 4 and found[0]["digest"] == digest_of(artifact.files)
    assert artifact.versions() == [1]


@pytest.mark.parametrize("order", [(1, 2), (2, 1)])
def test_parts_of_a_large_file_in_any_order(served, order):
    content = bytes(range(251)) * (PART // 251) + b"x" * (PART % 251) + b"the last part %d" % order[0]
    artifact = Artifact(served, f"large{order[0]}", {"big": content})
    parts = {1: content[:PART], 2: content[PART:]}
    asked = [
        {"partNumber": number, "hexMD5": hashlib.md5(part).hexdigest()} for number, part in parts.items()
    ]
    node = artifact.addresses(uploadPartsInput=asked)[0]
    split = node["uploadMultipartUrls"]
    urls = {each["partNumber"]: each["uploadUrl"] for each in split["uploadUrlParts"]}
    tags = {}

    def put(number):
        status, headers, _ = request(served, "PUT", urls[number], parts[number])
        tags[number] = (status, headers["ETag"])

    threads = [threading.Thread(target=put, args=(number,)) for number in order]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [tags[number][0] for number in (1, 2)] == [200, 200]
    done = {"completeMultipartAction": "Complete", "artifactID": artifact.id, "storagePath": node["storagePath"], "uploadID": split["uploadID"],
            "completedParts": [{"partNumber": number, "hexMD5": tags[number][1]} for number in (1, 2)]}  # fmt: skip
    expected = {"data": {"completeMultipartUploadArtifact": {"digest": hashlib.md5(content).hexdigest()}}}
    assert ask(served, COMPLETE, i=done) == expected
    assert ask(served, COMPLETE, i=done) == expected
    assert artifact.put_manifest() == 200
    assert artifact.commit()["digest"] == digest_of(artifact.files)
    with domain.content.open_file(served.store, CTX, f"local/byhand/{artifact.collection}@v1", "big") as file:
        assert file.sha256 == hashlib.sha256(content).hexdigest()


def test_what_is_not_there_says_so(served):
    assert "not the id of a Artifact" in ask(served, COMMIT, i="nonsense")["errors"][0]["message"]
    missing = base64.b64encode(b"Artifact:999999").decode()
    assert "there is no artifact 999999" in ask(served, COMMIT, i=missing)["errors"][0]["message"]
    query = "query Q($i: ID!) { artifact(id: $i) { id } }"
    assert ask(served, query, i=missing) == {"data": {"artifact": None}}
    digest = hashlib.md5(b"nobody has it").hexdigest()
    for path in (
        f"/artifacts/local/{digest}",
        f"/artifactsV2/default/local/byhand/x/{missing}/{missing}/{digest}/a",
    ):
        assert request(served, "GET", path)[0] == 404


def test_an_artifact_that_is_never_committed_is_purged(tmp_path):
    options = ServerOptions(data=str(tmp_path / "data"), port=0, log_format="off", upkeep_seconds=0.1)
    with Background(options) as server:
        artifact = Artifact(server, "given-up", {"a": b"bytes"})
        assert request(server, "PUT", artifact.addresses()[0]["uploadUrl"], b"bytes")[0] == 200
        assert artifact.put_manifest() == 200
        clock = server.store.blobs.clock
        server.store.blobs.clock = lambda: clock() + int(8 * 86_400e6)
        until = time.monotonic() + 60
        while drafts_of(server) and time.monotonic() < until:
            time.sleep(0.1)
        assert "there is no artifact" in artifact.commit()
        assert artifact.versions() == []


def drafts_of(server):
    with server.store.index.read() as view:
        return view.count(DRAFTS)
