"""What a client that lies, spies or breaks off is answered, and that nothing of it is visible."""

from __future__ import annotations

import hashlib
import http.client
import json
import random
import struct
from urllib.parse import urlsplit

import httpx2
import pytest
import xetkit
from hubkit import Hub
from xetkit import Client, Xorb, reference, xorb_of


def noise(size: int, seed: int) -> bytes:
    return random.Random(seed).randbytes(size)


@pytest.fixture
def repo(hub: Hub, request: pytest.FixtureRequest) -> str:
    name = f"lab/h{abs(hash(request.node.name)) % 10**10}"
    hub.api().create_repo(name)
    return name


def files_of(hub: Hub, repo: str) -> list[str]:
    return hub.api().list_repo_files(repo)


def test_an_honest_upload_by_hand_and_every_way_to_read_it(hub: Hub, repo: str):
    data = noise(3_000_000, 1)
    xorb, ann = xorb_of(data), Client(hub, "ann", repo)
    assert ann.xorb(xorb).json() == {"was_inserted": True}
    assert ann.xorb(xorb).json() == {"was_inserted": True}, "what is here already is not told"
    assert ann.shard(xetkit.shard_of(xorb)).json() == {"result": 1}
    assert ann.committed(repo, "a.bin", data).status_code == 200
    ria = Client(hub, "ria", repo, "read")
    name = reference.xet_hex(xetkit.file_hash(xorb.chunks))
    for version, where in ((1, "fetch_info"), (2, "xorbs")):
        for start, stop in ((0, len(data)), (0, 1), (1_234_567, 2_345_678), (len(data) - 1, len(data))):
            told = ria.get(f"/v{version}/reconstructions/{name}", Range=f"bytes={start}-{stop - 1}").json()
            whole = b""
            for piece in told["terms"]:
                for entry in told[where][piece["hash"]]:
                    within = entry["url_range"] if version == 1 else entry["ranges"][0]["bytes"]
                    chunks = entry["range"] if version == 1 else entry["ranges"][0]["chunks"]
                    assert chunks == piece["range"]
                    got = httpx2.get(
                        entry["url"], headers={"Range": f"bytes={within['start']}-{within['end']}"}
                    )
                    assert got.status_code == 206
                    found = b"".join(xetkit.reference_frames.unframe(got.content))
                    assert len(found) == piece["unpacked_length"]
                    whole += found
            skip = told["offset_into_first_range"]
            assert whole[skip : skip + stop - start] == data[start:stop]
    assert ria.get(f"/v2/reconstructions/{name}", Range=f"bytes={len(data)}-").status_code == 416
    assert ria.get(f"/v2/reconstructions/{name}", Range="lines=1").status_code == 400


def test_forged_xorbs_are_refused(hub: Hub, repo: str):
    xorb, ann = xorb_of(noise(500_000, 2)), Client(hub, "ann", repo)
    other = Xorb([b"other"])
    frames = xorb.frames
    wrong = {
        "another's hash": other.frames,
        "a chunk more": frames + other.frames,
        "nothing": b"",
        "a bit turned": frames[:1000] + bytes([frames[1000] ^ 1]) + frames[1001:],
        "cut short": frames[:-1],
        "inside a header": frames + b"\0\0\0",
        "a bomb": xetkit.reference_frames.frame(
            bytes(100_000), 1, b"\x04\x22\x4d\x18\x60\x40\x82" + b"\0" * 4
        ),
        "no frames": noise(1000, 3),
    }
    for what, body in wrong.items():
        answer = ann.xorb(xorb, body)
        assert answer.status_code == 400, what
        assert answer.headers["X-Error-Message"], what
    assert ann.post("/v1/xorbs/default/" + "z" * 64, frames).status_code == 400
    assert ann.shard(xetkit.shard_of(xorb)).status_code == 404, "nothing of the attempts is here"
    assert ann.xorb(xorb).status_code == 200


def test_xorbs_have_limits(hub: Hub, repo: str):
    ann = Client(hub, "ann", repo)
    chunk = bytes(128 << 10)
    many = Xorb([b"x"] * 8193)
    assert ann.xorb(many).status_code == 413
    frame = xetkit.reference_frames.frame(chunk)
    name = "0" * 64
    assert ann.post(f"/v1/xorbs/default/{name}", frame * 513).status_code == 413
    small = xetkit.lz4_frame(chunk)
    assert len(small) < 1000
    answer = ann.post(f"/v1/xorbs/default/{name}", small * 8000)
    assert answer.status_code == 413, "a body of 5 MB may not become 1 GB"


def test_shards_that_lie_are_refused(hub: Hub, repo: str):
    xorb, ann = xorb_of(noise(700_000, 4)), Client(hub, "ann", repo)
    assert ann.xorb(xorb).status_code == 200
    data = b"".join(xorb.chunks)
    digest, sha256 = xetkit.file_hash(xorb.chunks), hashlib.sha256(data).digest()
    whole, count = xetkit.term(xorb), len(xorb.chunks)
    wrong = {
        "another file's hash": xetkit.shard(bytes(32), [whole], sha256),
        "another SHA-256": xetkit.shard(digest, [whole], hashlib.sha256(b"victim").digest()),
        "chunks past the end": xetkit.shard(
            digest, [xetkit.term(xorb, 0, count + 1, size=len(data))], sha256
        ),
        "no chunks": xetkit.shard(digest, [xetkit.term(xorb, 3, 3)], sha256),
        "chunks backwards": xetkit.shard(
            digest, [(struct.pack("<32sIIII", xorb.hash, 0, 9, 5, 2), whole[1])], sha256
        ),
        "another size": xetkit.shard(digest, [xetkit.term(xorb, size=len(data) - 1)], sha256),
        "another check": xetkit.shard(digest, [(whole[0], bytes(48))], sha256),
        "in another order": xetkit.shard(digest, [xetkit.term(xorb, 1), xetkit.term(xorb, 0, 1)], sha256),
        "a count of 4 billion": struct.pack("<32sQQ32sIIQ", xetkit.TAG, 2, 0, digest, 3 << 30, 0xFFFFFFFF, 0),
        "cut short": xetkit.shard_of(xorb)[:200],
        "no shard": noise(4096, 5),
        "nothing": b"",
    }
    for what, body in wrong.items():
        answer = ann.shard(body)
        assert answer.status_code == 400, (what, answer.status_code, answer.text)
        told = ann.post("/v2/shards", body)
        last = json.loads(told.text.splitlines()[-1])
        assert (last["type"], last["retryable"]) == ("error", False) and last["message"], what
    assert files_of(hub, repo) == []
    assert ann.shard(xetkit.shard_of(xorb)).status_code == 200


def test_nobody_learns_what_others_hold(hub: Hub, repo: str):
    """A stranger who knows every hash gets nothing: no xorb, no chunk, no file; and cannot make a file of them."""
    data = noise(2_000_000, 6)
    xorb, ann = xorb_of(data), Client(hub, "ann", repo)
    assert ann.xorb(xorb).status_code == 200
    assert ann.shard(xetkit.shard_of(xorb)).status_code == 200
    assert ann.committed(repo, "a.bin", data).status_code == 200
    hub.api("eve").create_repo("eve/own")
    eve = Client(hub, "eve", "eve/own")
    first = reference.xet_hex(reference.record(xorb.chunks[0])[:32])
    name = reference.xet_hex(xetkit.file_hash(xorb.chunks))
    absent = reference.xet_hex(bytes(31) + b"\1")
    assert ann.get(f"/v1/chunks/default/{first}").status_code == 200

    def told(answer: httpx2.Response, asked: str) -> tuple[int, str]:
        return answer.status_code, answer.text.replace(asked, "…")

    for cas in (eve.cas, eve.cas.replace("/eve/", "/lab/")):
        eve.cas = cas
        for path in ("/v1/chunks/default/", "/v2/reconstructions/", "/v1/reconstructions/"):
            for known in (first, name):
                assert told(eve.get(path + known), known) == told(eve.get(path + absent), absent)
                assert eve.get(path + known).status_code in (401, 404)
    eve = Client(hub, "eve", "eve/own")
    refused, nothing = eve.shard(xetkit.shard_of(xorb)), eve.shard(xetkit.shard_of(Xorb([b"never was"])))
    assert refused.status_code == nothing.status_code == 404
    assert eve.committed("eve/own", "a.bin", data).status_code == 400
    assert hub.api("eve").list_repo_files("eve/own") == []
    # With the bytes in hand it is her own.
    assert eve.xorb(xorb).json() == {"was_inserted": True}
    assert eve.shard(xetkit.shard_of(xorb)).status_code == 200
    assert eve.committed("eve/own", "a.bin", data).status_code == 200


def test_tokens_and_addresses_are_good_for_what_they_were_given_for(hub: Hub, repo: str):
    data = noise(1_500_000, 7)
    xorb, ann = xorb_of(data), Client(hub, "ann", repo)
    assert ann.xorb(xorb).status_code == 200
    assert ann.shard(xetkit.shard_of(xorb)).status_code == 200
    assert ann.committed(repo, "a.bin", data).status_code == 200
    reader = Client(hub, "ann", repo, "read")
    assert reader.xorb(xorb).status_code == 403
    assert reader.shard(xetkit.shard_of(xorb)).status_code == 403
    asked = {"Authorization": f"Bearer {hub.tokens['ria']}"}
    denied = httpx2.get(f"{hub.url}/api/models/{repo}/xet-write-token/main", headers=asked)
    assert denied.status_code == 403
    elsewhere = httpx2.get(f"{hub.url}/api/models/{repo}", headers=ann.headers)
    assert elsewhere.status_code == 401, "a token is no key"
    other = ann.cas.replace("/lab/", "/ann/")
    name = reference.xet_hex(xetkit.file_hash(xorb.chunks))
    assert httpx2.get(f"{other}/v2/reconstructions/{name}", headers=ann.headers).status_code == 401
    forged = {"Authorization": f"Bearer {ann.token[:-2]}xx"}
    assert httpx2.get(f"{ann.cas}/v2/reconstructions/{name}", headers=forged).status_code == 401
    (entries,) = reader.get(f"/v2/reconstructions/{name}").json()["xorbs"].values()
    url = entries[0]["url"]
    assert httpx2.get(url).status_code == 200
    sha256 = hashlib.sha256(data).hexdigest()
    assert httpx2.get(url.replace(sha256, "0" * 64)).status_code == 403
    assert httpx2.get(url.partition("?")[0]).status_code in (400, 403)


def test_a_xorb_that_breaks_off_anywhere_leaves_nothing(hub: Hub, repo: str):
    xorb, ann = xorb_of(noise(2_000_000, 8)), Client(hub, "ann", repo)
    where = urlsplit(ann.cas)
    name, frames = reference.xet_hex(xorb.hash), xorb.frames
    for cut in range(0, len(frames), len(frames) // 20):
        connection = http.client.HTTPConnection(where.hostname, where.port, timeout=30)
        connection.putrequest("POST", f"{where.path}/v1/xorbs/default/{name}")
        connection.putheader("Authorization", ann.headers["Authorization"])
        connection.putheader("Content-Length", str(len(frames)))
        connection.endheaders()
        connection.send(frames[:cut])
        connection.close()
        assert ann.shard(xetkit.shard_of(xorb)).status_code == 404
    assert ann.xorb(xorb).status_code == 200
    assert ann.shard(xetkit.shard_of(xorb)).status_code == 200
