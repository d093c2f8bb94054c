"""Putting over a network that breaks."""

import os
import random
import signal
import subprocess
import sys
import time

import pytest
from hostile import Origin, answer
from waiting import until

from runstone.client import origin
from runstone.client.http import Http, Retries
from runstone.client.remote import Remote
from runstone.client.upload import Uploads
from runstone.errors import Conflict, DigestMismatch, Invalid, TryAgain
from runstone.testing.store_contract import read, write

BIG = 24 << 20
CHILD = """
import sys
from runstone.client.remote import Remote
with Remote(sys.argv[1], cache=sys.argv[2], timeout=5.0) as remote:
    print(remote.put(sys.argv[3], sys.argv[4]).number, flush=True)
"""


@pytest.fixture
def far(relay, cache):
    with Remote(relay.url, cache=cache, timeout=5.0) as opened:
        yield opened


@pytest.fixture
def folder(tmp_path):
    files = {f"small{number}": os.urandom(1000 + number) for number in range(20)}
    return write(
        tmp_path / "folder", {"big": os.urandom(BIG), "sub/other": os.urandom(6 << 20), "empty": b""} | files
    )


def holds(remote, name, folder, tmp_path):
    return read(
        remote.get(
            name,
            tmp_path / "got",
        )
    ) == read(folder)


def test_a_folder_arrives(far, remote, folder, tmp_path):
    told = []
    version = far.put("put/whole", folder, progress=lambda done, total: told.append((done, total)))
    assert version.files == 23 and told[-1] == (version.size, version.size)
    assert holds(remote, "put/whole", folder, tmp_path)


@pytest.mark.parametrize("after", [100_000, 5 << 20, 20 << 20])
def test_a_broken_upload_goes_on_where_it_stopped(far, remote, relay, folder, tmp_path, after):
    relay.cut_up_after = after
    far.put(f"put/cut{after}", folder)
    assert relay.cuts == 1
    size = sum(len(content) for content in read(folder).values())
    assert relay.up < size + (8 << 20)
    assert holds(remote, f"put/cut{after}", folder, tmp_path)


def test_an_upload_goes_on_in_another_process(relay, cache, remote, tmp_path):
    folder = write(tmp_path / "folder", {"big": random.Random(1).randbytes(BIG)})
    command = [sys.executable, "-c", CHILD, relay.url, str(cache), "put/resumed", str(folder)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    first = subprocess.Popen(command, stdout=subprocess.PIPE, env=environment)
    until(lambda: relay.up >= BIG // 2, first)
    first.kill()
    first.communicate()
    if first.returncode != -signal.SIGKILL:
        pytest.fail("the upload was over before it could be killed")
    relay.hang_up()
    time.sleep(0.3)
    sent, relay.up = relay.up, 0
    done = subprocess.run(command, stdout=subprocess.PIPE, env=environment, check=True, timeout=60)
    assert done.stdout.strip() == b"1"
    assert relay.up < BIG * 0.75 and sent + relay.up >= BIG
    assert holds(remote, "put/resumed", folder, tmp_path)
    assert list((cache / "v1" / "uploads").iterdir()) == []


@pytest.mark.parametrize("request_line", [b"POST /api/v1/uploads ", b"/finish ", b"/versions "])
def test_a_lost_answer_doubles_nothing(far, remote, relay, folder, tmp_path, request_line):
    relay.drop_answers_to = request_line
    name = "put/lost" + str(len(request_line))
    version = far.put(name, folder, reuse=False)
    assert relay.dropped == 1 and version.number == 1
    assert [found.number for found in remote.versions(name)] == [1]
    assert holds(remote, name, folder, tmp_path)


def test_a_bit_flipped_on_its_way_is_no_version(far, remote, relay, tmp_path):
    folder = write(tmp_path / "folder", {"big": os.urandom(8 << 20)})
    relay.flip_up = relay.up + (3 << 20)
    with pytest.raises(DigestMismatch, match="big did not arrive as it is"):
        far.put("put/flipped", folder)
    assert relay.flipped == 1 and remote.versions("put/flipped") == []
    far.put("put/flipped", folder)
    assert holds(remote, "put/flipped", folder, tmp_path)


def test_a_file_that_changes_while_it_is_sent_is_no_version(far, remote, relay, tmp_path, monkeypatch):
    folder = write(tmp_path / "folder", {"big": os.urandom(8 << 20)})
    from runstone.client import upload

    real = upload.Uploads._finish

    def changed(self, *given):
        with (folder / "big").open("r+b") as file:
            file.write(b"changed")
        return real(self, *given)

    monkeypatch.setattr(upload.Uploads, "_finish", changed)
    with pytest.raises((Conflict, DigestMismatch)):
        far.put("put/changing", folder)
    assert remote.versions("put/changing") == []
    monkeypatch.setattr(upload.Uploads, "_finish", real)
    far.put("put/changing", folder)
    assert holds(remote, "put/changing", folder, tmp_path)


def test_a_server_that_stays_away_ends_it(relay, cache, folder):
    with Remote(relay.url, cache=cache, timeout=1.0, retries=1) as far:
        far.create_project("put", exist_ok=True)
        relay.cut_up_after, relay.refuse_when_cut = relay.up + (1 << 20), True
        with pytest.raises(TryAgain):
            far.put("put/away", folder)
        assert relay.cuts == 1


def test_links_and_names_in_a_folder(far, remote, tmp_path):
    folder = write(tmp_path / "folder", {"a": b"1", "sub/b": b"2", ".git/config": b"secret"})
    (folder / "link").symlink_to("sub/b")
    assert [file.path for file in remote.files(far.put("put/links", folder).name)] == ["a", "link", "sub/b"]
    (folder / "directory").symlink_to("sub")
    with pytest.raises(Invalid, match="directory is a link to a directory"):
        far.put("put/links", folder)
    (folder / "directory").unlink()
    os.mkfifo(folder / "pipe")
    with pytest.raises(Invalid, match="not a file inside"):
        far.put("put/links", folder)
    (folder / "pipe").unlink()
    write(folder, {"new\nline": b""})
    with pytest.raises(Invalid, match="rename the file"):
        far.put("put/links", folder)


def test_an_upload_that_the_server_is_still_busy_with_is_waited_for(tmp_path):
    """A request that broke off occupies its upload until the server has noticed."""
    (tmp_path / "file").write_bytes(b"x" * 100)
    busy = b'{"code": "conflict", "detail": "another request is busy with the upload", "status": 409}'
    answers = {
        "POST /api/v1/uploads": [answer(201, b'{"id": "u1", "offset": 0, "size": 100, "expires": 0}')],
        "PATCH /api/v1/uploads/u1": [answer(409, busy), answer(409, busy), answer(204, Upload_Offset="100")],
        "POST /api/v1/uploads/u1/finish": [answer(409, busy), answer(200, b'{"size": 100, "sha256": "aa"}')],
    }
    with Origin(lambda target, headers: answers[target].pop(0)) as served:
        http = Http(origin.parse(served.url), retries=Retries(first=0.001))
        (entry,) = Uploads(http, "ns", tmp_path).send([("f", tmp_path / "file")])
        assert (entry.path, entry.size, entry.sha256) == ("f", 100, "aa")
        assert not any(answers.values())
        http.close()
    sent = [body for target, _, body in served.requests if target.startswith("PATCH")]
    assert sent == [b"x" * 100] * 3


def test_another_conflict_is_not_waited_for(tmp_path):
    (tmp_path / "file").write_bytes(b"x")
    gone = b'{"code": "digest_mismatch", "detail": "no", "status": 422}'
    answers = {
        "POST /api/v1/uploads": answer(201, b'{"id": "u1", "offset": 0, "size": 1, "expires": 0}'),
        "PATCH /api/v1/uploads/u1": answer(204, Upload_Offset="1"),
        "POST /api/v1/uploads/u1/finish": answer(422, gone),
    }
    with Origin(lambda target, headers: answers[target]) as served:
        http = Http(origin.parse(served.url), retries=Retries(first=0.001))
        with pytest.raises(DigestMismatch, match="put it again"):
            Uploads(http, "ns", tmp_path).send([("f", tmp_path / "file")])
        assert len(served.requests) == 3
        http.close()
