from __future__ import annotations

import http.client
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from hashlib import sha256
from pathlib import Path

import hf_xet
import pytest
from calling import Answer, Caller, Process, raw

from runstone.server.background import Background

MB = 1 << 20
#: The size of the upload that must leave no trace in memory.
LARGE = int(os.environ.get("RUNSTONE_UPLOAD_MB", "512")) * MB
ROOM = 64 * MB


@pytest.fixture
def upload(caller: Caller) -> str:
    begun = caller.post("/api/v1/uploads", {"namespace": "local"})
    where = begun.headers["Location"]
    assert where == f"/api/v1/uploads/{begun.expect(201)['id']}"
    return str(where)


def offset(caller: Caller, upload: str) -> int:
    answer = caller.call("HEAD", upload)
    assert answer.status == 204
    return int(answer.headers["Upload-Offset"])


def send(caller: Caller, upload: str, at: int, content: bytes | Iterator[bytes]) -> Answer:
    return caller.patch(upload, content=content, headers={"Upload-Offset": str(at)})


def test_pieces_make_a_file(caller: Caller, upload: str, tmp_path: Path):
    content = os.urandom(3_000_000)
    for start, stop in ((0, 1), (1, 70_000), (70_000, 70_000), (70_000, 2_999_999), (2_999_999, 3_000_000)):
        answer = send(caller, upload, start, content[start:stop])
        assert (answer.status, answer.headers["Upload-Offset"]) == (204, str(stop))
        assert offset(caller, upload) == stop
    found = caller.post(
        f"{upload}/finish", {"size": 3_000_000, "sha256": sha256(content).hexdigest()}
    ).expect(200)
    (tmp_path / "file").write_bytes(content)
    xet = hf_xet.hash_files([str(tmp_path / "file")])[0].hash
    assert found == {"size": 3_000_000, "sha256": sha256(content).hexdigest(), "xet": xet}


def test_a_body_in_chunks(caller: Caller, upload: str):
    pieces = [os.urandom(100_000) for _ in range(30)]
    assert send(caller, upload, 0, iter(pieces)).headers["Upload-Offset"] == "3000000"
    found = caller.post(f"{upload}/finish").expect(200)
    assert found["sha256"] == sha256(b"".join(pieces)).hexdigest()


def test_an_empty_file(caller: Caller, upload: str):
    assert send(caller, upload, 0, b"").status == 204
    assert caller.post(f"{upload}/finish").expect(200)["sha256"] == sha256(b"").hexdigest()


@pytest.mark.parametrize("at", [1, 4, 6, 1 << 40])
def test_a_wrong_offset_is_told_the_right_one(caller: Caller, upload: str, at: int):
    assert send(caller, upload, 0, b"12345").status == 204
    for content in (b"x", b""):
        answer = send(caller, upload, at, content)
        assert (answer.status, answer.code, answer.json["offset"]) == (409, "offset_mismatch", 5)
    assert offset(caller, upload) == 5


@pytest.mark.parametrize(
    "headers",
    [{}, {"Upload-Offset": ""}, {"Upload-Offset": "-1"}, {"Upload-Offset": "٣"}, {"Upload-Offset": "9" * 30}],
)
def test_an_offset_that_is_none(caller: Caller, upload: str, headers: dict[str, str]):
    encoded = {name: value.encode() for name, value in headers.items()}
    answer = caller.patch(upload, content=b"x", headers=encoded)
    assert (answer.status, answer.code) == (400, "malformed")


@pytest.mark.parametrize("name", ["0" * 32, "x", "0" * 31, "ü"])
def test_an_unknown_upload(caller: Caller, name: str):
    where = f"/api/v1/uploads/{name}".replace("ü", "%C3%BC")
    assert caller.call("HEAD", where).status == 404
    for answer in (
        send(caller, where, 0, b"x"),
        caller.post(f"{where}/finish"),
        caller.delete(where),
        caller.post(f"{where}/sign"),
    ):
        assert (answer.status, answer.code) == (404, "missing")


def test_what_was_announced_is_held_to(caller: Caller):
    content = b"right"
    begun = {"namespace": "local", "size": 5, "sha256": sha256(content).hexdigest()}
    where = caller.post("/api/v1/uploads", begun).headers["Location"]
    assert caller.call("HEAD", where).headers["Upload-Length"] == "5"
    long = send(caller, where, 0, b"right and more")
    assert (long.status, long.code) in ((422, "invalid"), (413, "too_large"), (422, "digest_mismatch"))
    assert caller.post(f"{where}/finish").code in ("digest_mismatch", "conflict", "invalid")
    where = caller.post("/api/v1/uploads", begun).headers["Location"]
    send(caller, where, 0, b"wrong").expect(204)
    assert caller.post(f"{where}/finish").code == "digest_mismatch"


def test_a_finish_with_other_digests_is_refused(caller: Caller, upload: str):
    send(caller, upload, 0, b"content")
    assert caller.post(f"{upload}/finish", {"sha256": "xyz"}).code == "invalid"
    assert caller.post(f"{upload}/finish", {"sha256": "0" * 64}).code == "digest_mismatch"


def test_an_aborted_upload_is_gone(caller: Caller, upload: str):
    send(caller, upload, 0, b"content")
    caller.delete(upload).expect(204)
    assert caller.call("HEAD", upload).status == 404


def test_a_body_that_breaks_off_is_kept_as_far_as_it_came(caller: Caller, server: Background, upload: str):
    content = os.urandom(2_000_000)
    head = (
        f"PATCH {upload} HTTP/1.1\r\nHost: localhost\r\nUpload-Offset: 0\r\nContent-Length: 2000000\r\n\r\n"
    )
    host, port = server.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=10) as connection:
        connection.sendall(head.encode() + content[:1_234_567])
        while offset(caller, upload) < 1_234_567:  # taken in, though the body is not whole
            time.sleep(0.02)
    at = settled_offset(caller, upload)
    assert at == 1_234_567
    assert send(caller, upload, at, content[at:]).status == 204
    assert caller.post(f"{upload}/finish").expect(200)["sha256"] == sha256(content).hexdigest()


def settled_offset(caller: Caller, upload: str) -> int:
    """The offset once the server has noticed that nobody sends any more: then another may go on."""
    at = offset(caller, upload)
    for _ in range(200):
        if send(caller, upload, at, b"").status == 204:
            break
        time.sleep(0.05)
    return offset(caller, upload)


def test_what_was_acknowledged_survives_a_kill(process: Callable[..., Process], tmp_path: Path):
    first = process()
    caller = first.caller()
    where = caller.post("/api/v1/uploads", {"namespace": "local"}).headers["Location"]
    content = os.urandom(1_500_000)
    send(caller, where, 0, content[:1_000_000]).expect(204)
    first.process.kill()
    first.close()
    caller = process().caller()
    assert offset(caller, where) == 1_000_000
    send(caller, where, 1_000_000, content[1_000_000:]).expect(204)
    assert caller.post(f"{where}/finish").expect(200)["sha256"] == sha256(content).hexdigest()


def test_chunks_that_are_wrongly_framed(caller: Caller, server: Background, upload: str):
    head = f"PATCH {upload} HTTP/1.1\r\nHost: localhost\r\nUpload-Offset: 0\r\nTransfer-Encoding: chunked\r\n\r\n"
    received = raw(server.url, head.encode() + b"5\r\nabcde\r\nnonsense\r\n")
    assert received.split()[1] == b"400", received
    assert settled_offset(caller, upload) in (0, 5)


def test_of_two_senders_one_is_refused(caller: Caller, server: Background, upload: str):
    content = os.urandom(4 * MB)
    going_on, begun = threading.Event(), threading.Event()

    def slowly() -> Iterator[bytes]:
        for at in range(0, len(content), MB):
            yield content[at : at + MB]
            begun.set()
            if at == 0:
                going_on.wait(20)

    answers: list[Answer] = []
    slow = threading.Thread(target=lambda: answers.append(send(Caller(server.url), upload, 0, slowly())))
    slow.start()
    begun.wait(20)
    while offset(caller, upload) < MB:
        time.sleep(0.01)
    for at in (0, MB):
        other = send(caller, upload, at, b"other")
        assert other.status == 409
        assert other.code in ("conflict", "offset_mismatch")
    going_on.set()
    slow.join(60)
    assert answers[0].headers["Upload-Offset"] == str(len(content))
    assert caller.post(f"{upload}/finish").expect(200)["sha256"] == sha256(content).hexdigest()


def test_a_sender_that_stalls_is_ended(background: Callable[..., Background]):
    server = background(stall_seconds=0.5)
    caller = Caller(server.url)
    where = caller.post("/api/v1/uploads", {"namespace": "local"}).headers["Location"]
    head = f"PATCH {where} HTTP/1.1\r\nHost: localhost\r\nUpload-Offset: 0\r\nContent-Length: 100\r\n\r\n"
    received = raw(server.url, head.encode() + b"abc")
    assert received.startswith(b"HTTP/1.1 408 "), received
    assert settled_offset(caller, where) == 3


def test_a_sender_that_drips_is_ended(background: Callable[..., Background]):
    server = background(stall_seconds=0.5, stall_bytes=1000)
    caller = Caller(server.url)
    where = caller.post("/api/v1/uploads", {"namespace": "local"}).headers["Location"]
    head = f"PATCH {where} HTTP/1.1\r\nHost: localhost\r\nUpload-Offset: 0\r\nContent-Length: 1000000\r\n\r\n"
    host, port = server.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=0.2) as connection:
        connection.sendall(head.encode())
        received = b""
        for _ in range(100):
            try:
                connection.sendall(b"x")
                received = connection.recv(1000)
                break
            except TimeoutError:
                continue
    assert received.startswith(b"HTTP/1.1 408 "), received


def test_nothing_is_read_of_a_body_that_may_not_be_sent(background: Callable[..., Background]):
    server = background(auth="on")
    head = b"PATCH /api/v1/uploads/00 HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\nUpload-Offset: 0\r\nContent-Length: 9\r\n\r\n"
    received = raw(server.url, head)
    assert received.startswith(b"HTTP/1.1 401 ")


def test_a_large_upload_and_download_leave_memory_flat(process: Callable[..., Process]):
    server = process()
    caller = server.caller()
    piece = os.urandom(MB)
    pieces = [piece[at:] + piece[:at] for at in range(0, MB, MB // 16)]
    expected = sha256()

    def content() -> Iterator[bytes]:
        for number in range(LARGE // MB):
            block = number.to_bytes(8, "little") + pieces[number % 16][8:]
            expected.update(block)
            yield block

    caller.upload(os.urandom(8 * MB))  # what is allocated once is there now
    before, peaks = resident(server.pid), [0]
    done = threading.Event()
    watcher = threading.Thread(target=lambda: watch(server.pid, peaks, done))
    watcher.start()
    try:
        where = caller.post("/api/v1/uploads", {"namespace": "local", "size": LARGE}).headers["Location"]
        assert send(caller, where, 0, content()).headers["Upload-Offset"] == str(LARGE)
        found = caller.post(f"{where}/finish").expect(200)
        assert found["sha256"] == expected.hexdigest()
        caller.post("/api/v1/namespaces/local/projects", {"name": "p"}).expect(201)
        caller.post("/api/v1/projects/local/p/collections", {"name": "m"}).expect(201)
        files = [{"path": "large", "size": LARGE, "sha256": found["sha256"]}]
        caller.post("/api/v1/collections/local/p/m/versions", {"files": files}).expect(201)
        assert (
            downloaded(server.url, "/api/v1/collections/local/p/m/versions/1/files/large") == found["sha256"]
        )
    finally:
        done.set()
        watcher.join()
    assert peaks[0], "nothing was measured"
    assert peaks[0] - before < ROOM, (
        f"{(peaks[0] - before) / MB:.0f} MB more while {LARGE / MB:.0f} MB went in and out"
    )


def downloaded(url: str, path: str) -> str:
    host, port = url.removeprefix("http://").split(":")
    connection = http.client.HTTPConnection(host, int(port), timeout=60)
    connection.request("GET", path)
    response, digest = connection.getresponse(), sha256()
    while piece := response.read(MB):
        digest.update(piece)
    connection.close()
    return digest.hexdigest()


def resident(pid: int) -> int:
    """Anonymous memory: what the process holds, and not the pages of files that the kernel keeps."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("RssAnon:"):
            return int(line.split()[1]) * 1024
    raise AssertionError("no RssAnon")


def watch(pid: int, peaks: list[int], done: threading.Event) -> None:
    while not done.wait(0.05):
        peaks[0] = max(peaks[0], resident(pid))
