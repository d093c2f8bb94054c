from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable
from email.message import Message
from pathlib import Path

import pytest
from calling import Caller, Process, raw, read_all, segment

from runstone.server.background import Background

FILES = "/api/v1/collections/local/p/m/versions"


@pytest.fixture
def content() -> bytes:
    return os.urandom(2_000_000)


@pytest.fixture
def stored(caller: Caller, content: bytes) -> Caller:
    caller.put_version(
        "local/p/m", {"model.bin": content, "a b/ü%?#.txt": b"text", "empty": b""}, aliases=["prod"]
    )
    return caller


def test_bytes_come_back(stored: Caller, content: bytes):
    for version in ("1", "v1", "prod", "latest"):
        answer = stored.get(f"{FILES}/{version}/files/model.bin")
        assert (answer.status, answer.content) == (200, content)
    assert answer.headers["Content-Length"] == str(len(content))
    assert answer.headers["ETag"].strip('"') == stored.get(f"{FILES}/1/files").json["items"][2]["sha256"]
    assert answer.headers["Content-Disposition"] == 'attachment; filename="model.bin"'
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["X-Request-Id"]
    assert stored.get(f"{FILES}/1/files/empty").content == b""


def test_any_name_can_be_asked_for(stored: Caller):
    path = "/".join(segment(part) for part in ["a b", "ü%?#.txt"])
    answer = stored.get(f"{FILES}/1/files/{path}")
    assert (answer.status, answer.content, answer.headers["Content-Type"]) == (200, b"text", "text/plain")


def test_head_ranges_and_conditions(stored: Caller, content: bytes):
    where = f"{FILES}/1/files/model.bin"
    head = stored.call("HEAD", where)
    assert (head.status, head.headers["Content-Length"], head.content) == (200, str(len(content)), b"")
    part = stored.get(where, headers={"Range": "bytes=1000-1999"})
    assert (part.status, part.content) == (206, content[1000:2000])
    assert part.headers["Content-Range"] == f"bytes 1000-1999/{len(content)}"
    tail = stored.get(where, headers={"Range": "bytes=-5"})
    assert tail.content == content[-5:]
    both = stored.get(where, headers={"Range": "bytes=0-0,5-6"})
    assert both.status == 206
    kind = Message()
    kind["Content-Type"] = both.headers["Content-Type"]
    assert kind.get_content_type() == "multipart/byteranges"
    assert content[5:7] in both.content
    assert stored.get(where, headers={"If-None-Match": head.headers["ETag"]}).status == 304
    assert stored.get(where, headers={"If-Match": '"other"'}).status == 412
    outside = stored.get(where, headers={"Range": "bytes=9000000-"})
    assert (outside.status, outside.headers["Content-Range"]) == (416, f"bytes */{len(content)}")


@pytest.mark.parametrize(
    "path", ["none", "../model.bin", "model.bin/", "/model.bin", "a%20b", "%00", "model.bin%00"]
)
def test_a_file_that_is_not_there(stored: Caller, path: str):
    answer = stored.get(f"{FILES}/1/files/{path}")
    assert answer.status in (404, 422)
    assert answer.code in ("missing", "invalid")


def test_bytes_that_are_elsewhere(caller: Caller):
    caller.put_version("local/p/m", {"a": b"1"})
    files = [
        {"path": "web", "size": 3, "url": "https://bytes.example/a?b=c", "etag": "x"},
        {"path": "bucket", "size": 3, "url": "s3://bucket/key", "etag": "x"},
        {"path": "local", "size": 3, "url": "file:///etc/passwd", "etag": "x"},
        {"path": "odd", "size": 3, "url": "https://bytes.example/ä", "etag": "x"},
    ]
    caller.post(FILES, {"files": files}).expect(201)
    web = caller.get(f"{FILES}/2/files/web")
    assert (web.status, web.headers["Location"]) == (302, "https://bytes.example/a?b=c")
    for path in ("bucket", "local", "odd"):
        answer = caller.get(f"{FILES}/2/files/{path}")
        assert (answer.status, answer.code) == (409, "conflict")
        assert answer.json["url"] == next(file["url"] for file in files if file["path"] == path)


def test_a_deleted_version_is_gone(stored: Caller):
    stored.delete(f"{FILES}/1?with_aliases=true").expect(204)
    answer = stored.get(f"{FILES}/1/files/model.bin")
    assert (answer.status, answer.code) == (410, "gone")


def flip_a_byte(data: Path, content: bytes) -> None:
    """Damages the stored copy of some bytes in the pack that holds them."""
    for pack in data.rglob("*.pack"):
        held = pack.read_bytes()
        at = held.find(content[500_000:500_064])
        if at >= 0:
            with pack.open("r+b") as file:
                file.seek(at)
                file.write(bytes([held[at] ^ 1]))
            return
    raise AssertionError("the bytes are in no pack")


def test_damaged_bytes_are_never_sent(process: Callable[..., Process], tmp_path: Path):
    first = process()
    content = os.urandom(2_000_000)
    caller = first.caller()
    caller.put_version("local/p/m", {"model.bin": b"good"}, aliases=["prod"])
    caller.put_version("local/p/m", {"model.bin": content, "other": b"fine"}, aliases=["prod"])
    assert first.stop() == 0
    first.close()
    flip_a_byte(tmp_path / "data", content)
    server = process()
    caller = server.caller()
    answer = caller.get(f"{FILES}/2/files/model.bin")
    assert (answer.status, answer.code) == (500, "corrupt")
    assert content[:1000] not in answer.content
    again = caller.get(f"{FILES}/2/files/model.bin")
    assert (again.status, again.code) == (409, "quarantined")
    assert caller.get("/api/v1/resolve/local/p/m/2").code == "quarantined"
    assert caller.get("/api/v1/resolve/local/p/m/prod").expect(200)["version"] == 1
    assert caller.get(f"{FILES}/prod/files/model.bin").content == b"good"
    damages = caller.get("/api/v1/damages").expect(200)["items"]
    assert damages[0]["versions"] == ["local/p/m:v2"]
    assert "runstone_streams_damaged_total 1" in caller.get("/metrics").content.decode()


def test_a_pack_that_is_cut_short_under_a_running_server(
    background: Callable[..., Background], content: bytes, tmp_path: Path
):
    server = background()
    caller = Caller(server.url)
    caller.put_version("local/p/m", {"model.bin": content})
    where = f"{FILES}/1/files/model.bin"
    assert caller.get(where).content == content
    pack = next(pack for pack in (tmp_path / "data").rglob("*.pack") if content[:1000] in pack.read_bytes())
    os.truncate(pack, pack.read_bytes().find(content[:1000]) + 1_000_000)
    request = f"GET {where} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode()
    received = raw(server.url, request)
    assert received.startswith(b"HTTP/1.1 500 ") or len(received) < len(content)
    until = time.monotonic() + 20
    while caller.get("/api/v1/resolve/local/p/m/1").status == 200 and time.monotonic() < until:
        time.sleep(0.05)
    assert caller.get("/api/v1/resolve/local/p/m/1").code == "quarantined"
    assert caller.get(where).code == "quarantined"


def test_a_pack_that_is_cut_short_under_a_running_download(
    background: Callable[..., Background], tmp_path: Path
):
    server, content = background(), os.urandom(24 << 20)
    caller = Caller(server.url)
    caller.put_version("local/p/m", {"model.bin": content})
    pack = next(pack for pack in (tmp_path / "data").rglob("*.pack") if content[:1000] in pack.read_bytes())
    host, port = server.url.removeprefix("http://").split(":")
    with socket.socket() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
        connection.settimeout(20)
        connection.connect((host, int(port)))
        connection.sendall(f"GET {FILES}/1/files/model.bin HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        assert connection.recv(1000).startswith(b"HTTP/1.1 200 OK")
        os.truncate(pack, pack.stat().st_size - (2 << 20))
        assert len(read_all(connection)) < len(content)
    until = time.monotonic() + 20
    while caller.get("/api/v1/resolve/local/p/m/1").status == 200 and time.monotonic() < until:
        time.sleep(0.05)
    assert caller.get("/api/v1/resolve/local/p/m/1").code == "quarantined"


def test_a_fetch_is_noted_in_the_lineage(background: Callable[..., Background], content: bytes):
    server = background(upkeep_seconds=0.2)
    caller = Caller(server.url)
    caller.put_version("local/p/m", {"model.bin": content})
    before = server.store.log.head().size
    for _ in range(10):
        headers = {"X-Runstone-Consumer": "trainer-7", "Range": "bytes=0-9"}
        assert caller.get(f"{FILES}/1/files/model.bin", headers=headers).status == 206
    until = time.monotonic() + 20
    while time.monotonic() < until:
        found = caller.get("/api/v1/lineage?name=local/p/m@1").expect(200)
        if found["edges"]:
            break
        time.sleep(0.05)
    assert {node["name"] for node in found["nodes"]} == {"local/p/m:v1", "local/trainer-7"}
    assert found["edges"][0]["relation"] == "fetched_by"
    assert server.store.log.head().size - before < 10


def test_a_client_that_only_shuts_its_sending_side_gets_everything(
    stored: Caller, server: Background, content: bytes
):
    host, port = server.url.removeprefix("http://").split(":")
    for path, expected in ((f"{FILES}/1/files/model.bin", content), ("/health", b'"status":"ok"')):
        with socket.create_connection((host, int(port)), timeout=20) as connection:
            connection.sendall(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
            connection.shutdown(socket.SHUT_WR)
            assert expected in read_all(connection)


def test_pipelined_downloads_among_other_requests(stored: Caller, server: Background, content: bytes):
    def get(path: str, *more: str) -> bytes:
        return "\r\n".join([f"GET {path} HTTP/1.1", "Host: localhost", *more, "\r\n"]).encode()

    where = f"{FILES}/1/files/model.bin"
    resolve = "/api/v1/resolve/local/p/m/prod"
    received = raw(
        server.url,
        get(resolve)
        + get(where, "Range: bytes=0-99999")
        + get(resolve)
        + get("/nothing")
        + get(where)
        + get(resolve, "Connection: close"),
    )
    places = [received.find(mark) for mark in (b"206 Partial", content[:100_000], b"404 Not", content)]
    assert -1 not in places
    assert places == sorted(places)
    assert received.count(b'"alias":"prod"') == 3
    assert received.endswith(b"}")
