"""The client's HTTP against answers that no honest server gives, and connections that break."""

import threading
import time

import msgspec
import pytest
from hostile import Origin, answer

from runstone import errors
from runstone.client import connection, origin
from runstone.client.http import Http, Retries, problem
from runstone.errors import Broken, Unreachable

QUICK = Retries(times=3, first=0.001, longest=0.002)


class Once:
    """A script that gives its answers one after the other, and the last one for ever."""

    def __init__(self, *answers):
        self.answers = list(answers)

    def __call__(self, target, headers):
        return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]


def asked(script, *, timeout=2.0, retries=QUICK, key=""):
    return Origin(script), lambda url: Http(origin.parse(url), key, timeout=timeout, retries=retries)


def get(script, path="/x", **options):
    served, client = asked(script, **options)
    with served:
        http = client(served.url)
        try:
            return http.body_of(http.request("GET", path)), served.requests
        finally:
            http.close()


def test_bodies_of_every_framing():
    chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4;x=y\r\nWiki\r\n6\r\npedia \r\n0\r\nTrailer: t\r\n\r\n"
    assert get(lambda *_: chunked)[0] == b"Wikipedia "
    assert get(lambda *_: answer(200, b"x" * 300_000))[0] == b"x" * 300_000
    assert get(lambda *_: answer(200))[0] == b""

    def until_closed(target, headers):
        until_closed.sent = True
        return b"HTTP/1.0 200 OK\r\n\r\nto the end"

    with Origin(until_closed) as served:
        http = Http(origin.parse(served.url), timeout=0.3, retries=Retries(times=0))
        response = http.request("GET", "/")
        with pytest.raises(Unreachable):  # the server of this test never closes
            http.body_of(response)
        http.close()


def test_interim_answers_are_passed_over():
    assert get(lambda *_: b"HTTP/1.1 103 Early\r\nLink: x\r\n\r\n" + answer(200, b"ok"))[0] == b"ok"
    with pytest.raises(Broken, match="interim"):
        get(lambda *_: b"HTTP/1.1 100 Continue\r\n\r\n" * 20, retries=Retries(times=0))


@pytest.mark.parametrize(
    "head",
    [
        b"SSH-2.0-OpenSSH\r\n\r\n",
        b"HTTP/2 200\r\n\r\n",
        b"HTTP/1.1 20x OK\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nno colon\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nBad : x\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nA: b\r\n folded\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nx",
        b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n-4\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nabcd\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + b"1" * 5000,
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n" + b"T: x\r\n" * 500,
        b"HTTP/1.1 200 OK\r\n" + b"H: x\r\n" * 500 + b"\r\n",
        b"HTTP/1.1 200 OK\r\nH: " + b"x" * (1 << 20),
    ],
)
def test_what_cannot_be_read_for_certain_is_refused(head):
    with pytest.raises(Broken):
        get(lambda *_: head, retries=Retries(times=0))


def test_a_body_is_bounded():
    endless = (
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
        + (b"4000\r\n" + bytes(0x4000) + b"\r\n") * 100
    )
    for script in (lambda *_: endless, lambda *_: b"HTTP/1.1 200 OK\r\nContent-Length: 99999999\r\n\r\n"):
        with Origin(script) as served:
            http = Http(origin.parse(served.url), timeout=2.0, retries=QUICK)
            with pytest.raises(Broken, match="limit"):
                http.body_of(http.request("GET", "/"), 100_000)
            http.close()


def test_connections_are_kept_and_replaced():
    with Origin(lambda *_: answer(200, b"x")) as served:
        http = Http(origin.parse(served.url), timeout=2.0, retries=Retries(times=0))
        for _ in range(5):
            http.body_of(http.request("GET", "/"))
        assert len(served._open) == 1
        served._open[0].shutdown(2)
        time.sleep(0.05)
        assert http.body_of(http.request("GET", "/")) == b"x"
        assert len(served._open) == 2
        http.close()


def test_threads_share_one_client():
    with Origin(lambda target, _: answer(200, target.encode())) as served:
        http = Http(origin.parse(served.url), timeout=5.0, retries=QUICK)
        wrong = []

        def work(number):
            for turn in range(50):
                path = f"/{number}/{turn}"
                if http.body_of(http.request("GET", path)) != f"GET {path}".encode():
                    wrong.append(path)

        threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert not wrong and len(served.requests) == 400 and len(served._open) <= 8
        http.close()


def test_passing_trouble_is_waited_out():
    body, requests = get(Once(answer(503, Retry_After="0"), answer(429), None, answer(200, b"ok")))
    assert body == b"ok" and len(requests) == 4
    with pytest.raises(errors.TryAgain) as caught:
        get(lambda *_: answer(503, Retry_After="7777"))
    assert caught.value.details["retry_after"] == 7777


def test_a_refusal_is_not_asked_again():
    for status, error in (
        (401, errors.Unauthenticated),
        (403, errors.Denied),
        (404, errors.Missing),
        (410, errors.Gone),
    ):
        script = Once(answer(status), answer(200, b"never"))
        with pytest.raises(error):
            get(script)
        assert len(script.answers) == 1


def test_a_write_is_repeated_under_one_key():
    with Origin(Once(None, answer(503), answer(200, b"{}", Content_Type="application/json"))) as served:
        http = Http(origin.parse(served.url), "hf_key", timeout=2.0, retries=QUICK)
        assert http.call("POST", "/things", dict, value={"a": 1}) == {}
        keys = {headers["idempotency-key"] for _, headers, _ in served.requests}
        assert len(served.requests) == 3 and len(keys) == 1
        assert all(msgspec.msgpack.decode(body) == {"a": 1} for _, _, body in served.requests)
        assert served.requests[0][1]["authorization"] == "Bearer hf_key"
        http.close()


def test_redirects_stay_on_the_origin():
    assert get(Once(answer(302, Location="/y"), answer(200, b"moved")))[0] == b"moved"
    for location in ("http://elsewhere.example/x", "//elsewhere.example/x", "ftp://x", "", "relative"):
        with pytest.raises(errors.Invalid, match="redirects"):
            get(Once(answer(302, Location=location), answer(200, b"never")), key="hf_secret")
    with pytest.raises(Broken, match="without end"):
        get(lambda *_: answer(302, Location="/x"), retries=Retries(times=0))


def test_a_problem_becomes_its_error():
    body = b'{"code": "alias_moved", "detail": "no", "status": 412, "current": 3, "message": 1, "self": 2, "instance": "r1"}'
    found = problem(412, body, "otherwise")
    assert type(found) is errors.AliasMoved and found.message == "no"
    assert found.details == {"current": 3, "message": 1, "self": 2, "request_id": "r1"}
    assert type(problem(404, b"<html>", "otherwise")) is errors.Missing
    assert type(problem(418, b"", "otherwise")) is errors.RunstoneError
    assert type(problem(500, b'{"code": "no_such_code"}', "otherwise")) is errors.RunstoneError
    assert problem(500, b'{"detail": 7, "code": []}', "otherwise").message == "otherwise"
    assert type(problem(502, b"\xff[[[[", "otherwise")) is errors.TryAgain


def test_an_answer_of_another_shape_is_broken():
    for body in (b'{"id": 1', b'{"x": 1}', b"\xc1", b"[" * 100_000):
        with Origin(lambda *_, body=body: answer(200, body, Content_Type="application/json")) as served:
            http = Http(origin.parse(served.url), timeout=2.0, retries=QUICK)
            with pytest.raises(Broken):
                http.call("GET", "/", list[int])
            http.close()


def test_a_silent_server_is_given_up():
    with Origin(lambda *_: time.sleep(3) or b"") as served:
        http = Http(origin.parse(served.url), timeout=0.1, retries=Retries(times=0))
        with pytest.raises(Unreachable, match=r"nothing moved for 0\.1 s"):
            http.request("GET", "/")
        http.close()


def test_nobody_there():
    with Origin(lambda *_: b"") as served:
        url = served.url
    http = Http(origin.parse(url), timeout=1.0, retries=QUICK)
    with pytest.raises(Unreachable, match="cannot connect"):
        http.request("GET", "/")
    with pytest.raises(Unreachable, match="cannot connect"):
        Http(origin.parse("http://no-such-host.invalid"), retries=Retries(times=0)).request("GET", "/")


@pytest.mark.parametrize(
    "url", ["", "host:80", "ftp://host", "http://", "http://u:p@host", "http://host:0", "http://host:99999", "http://h/?q",
            "http://h#f", "http://[::1", "http://ho st", "http://h\r\nX: y", "http://hé"]
)  # fmt: skip
def test_urls_that_are_none(url, monkeypatch):
    monkeypatch.delenv("RUNSTONE_URL", raising=False)
    with pytest.raises(errors.Invalid):
        origin.parse(url)


def test_urls_that_are():
    assert origin.parse("https://Host.example/pre/") == ("https", "host.example", 443, "/pre")
    assert str(origin.parse("http://[::1]:8080")) == "http://[::1]:8080"
    assert origin.quote("a/b c.ü") == "a%2Fb%20c.%C3%BC" and origin.quote("..") == "%2E%2E"


def test_headers_cannot_be_forged():
    with pytest.raises(errors.Invalid):
        Http(origin.parse("http://h"), "key\r\nX: y")
    http = Http(origin.parse("http://127.0.0.1:1"), headers={"X-A": "b\r\nX-C: d"}, retries=Retries(times=0))
    with pytest.raises((ValueError, Unreachable)):
        http.request("GET", "/")
    with pytest.raises(ValueError, match="header"):
        connection._checked("a\nb")
