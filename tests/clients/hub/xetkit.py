"""A Xet client that can lie: xorbs and shards made by hand, by the plain Python versions of the formats."""

from __future__ import annotations

import hashlib
import struct
import sys
from dataclasses import dataclass
from itertools import accumulate, pairwise
from pathlib import Path

import blake3
import httpx2
import lz4.frame
from hubkit import Hub

sys.path.append(str(Path(__file__).parents[2] / "native"))

import reference
import reference_frames

from runstone._native.ingest import chunk_lengths

TAG = b"HFRepoMetaData\0" + bytes(
    (85, 105, 103, 69, 106, 123, 129, 87, 131, 165, 189, 217, 92, 205, 209, 74, 169)
)
RANGE_KEY = bytes.fromhex("7f1857d6ce56ed66127ff913e7a5c3f3a4cd26d5b5db49e64124987f28fb94c3")
END = b"\xff" * 32


@dataclass
class Xorb:
    """Chunks, the hash of the xorb they are, and its frames."""

    chunks: list[bytes]

    @property
    def hash(self) -> bytes:
        return reference.xorb_hash(b"".join(map(reference.record, self.chunks)))

    @property
    def frames(self) -> bytes:
        return b"".join(map(reference_frames.frame, self.chunks))


def xorb_of(data: bytes) -> Xorb:
    ends = list(accumulate(chunk_lengths(data)))
    return Xorb([data[start:end] for start, end in pairwise([0, *ends])])


def file_hash(chunks: list[bytes]) -> bytes:
    return reference.file_hash(b"".join(map(reference.record, chunks)))


def term(
    xorb: Xorb, start: int = 0, stop: int | None = None, *, size: int | None = None
) -> tuple[bytes, bytes]:
    """A term's entry and its verification entry."""
    chosen = xorb.chunks[start:stop]
    stop = len(xorb.chunks) if stop is None else stop
    length = sum(map(len, chosen)) if size is None else size
    hashes = b"".join(reference.record(chunk)[:32] for chunk in chosen)
    check = blake3.blake3(hashes, key=RANGE_KEY).digest()
    return struct.pack("<32sIIII", xorb.hash, 0, length, start, stop), check + bytes(16)


def shard(digest: bytes, terms: list[tuple[bytes, bytes]], sha256: bytes) -> bytes:
    """A shard with one file, as clients send it: without a footer."""
    swapped = b"".join(sha256[at : at + 8][::-1] for at in range(0, 32, 8))
    head = struct.pack("<32sIIQ", digest, 1 << 31 | 1 << 30, len(terms), 0)
    body = b"".join(entry for entry, _ in terms) + b"".join(check for _, check in terms)
    ends = struct.pack("<32sIIQ", END, 0, 0, 0) + struct.pack("<32sIIII", END, 0, 0, 0, 0)
    return struct.pack("<32sQQ", TAG, 2, 0) + head + body + swapped + bytes(16) + ends


def shard_of(xorb: Xorb) -> bytes:
    """An honest shard: the file that is all of a xorb."""
    data = b"".join(xorb.chunks)
    return shard(file_hash(xorb.chunks), [term(xorb)], hashlib.sha256(data).digest())


class Client:
    """Speaks to the store of bytes as somebody."""

    def __init__(self, hub: Hub, who: str, repo: str, kind: str = "write") -> None:
        self.hub, self.who = hub, who
        headers = {"Authorization": f"Bearer {hub.tokens[who]}"}
        told = httpx2.get(f"{hub.url}/api/models/{repo}/xet-{kind}-token/main", headers=headers)
        assert told.status_code == 200, told.text
        self.cas, self.token = told.json()["casUrl"], told.json()["accessToken"]
        self.headers = {"Authorization": f"Bearer {self.token}"}

    def post(self, path: str, content: bytes, **more) -> httpx2.Response:
        return httpx2.post(f"{self.cas}{path}", content=content, headers=self.headers, timeout=60, **more)

    def get(self, path: str, **headers: str) -> httpx2.Response:
        return httpx2.get(f"{self.cas}{path}", headers=self.headers | headers, timeout=60)

    def xorb(self, xorb: Xorb, frames: bytes | None = None) -> httpx2.Response:
        name = reference.xet_hex(xorb.hash)
        return self.post(f"/v1/xorbs/default/{name}", xorb.frames if frames is None else frames)

    def shard(self, data: bytes) -> httpx2.Response:
        return self.post("/v1/shards", data)

    def committed(self, repo: str, path: str, data: bytes) -> httpx2.Response:
        lines = (
            b'{"key":"header","value":{"summary":"by hand"}}\n'
            b'{"key":"lfsFile","value":{"path":"%s","algo":"sha256","oid":"%s","size":%d}}\n'
            % (path.encode(), hashlib.sha256(data).hexdigest().encode(), len(data))
        )
        headers = {"Authorization": f"Bearer {self.hub.tokens[self.who]}"}
        return httpx2.post(f"{self.hub.url}/api/models/{repo}/commit/main", content=lines, headers=headers)


def lz4_frame(chunk: bytes) -> bytes:
    """A frame of scheme 1."""
    return reference_frames.frame(chunk, 1, lz4.frame.compress(chunk))
