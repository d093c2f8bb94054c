from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from urllib.parse import parse_qs, parse_qsl, urlencode, urlsplit

import msgspec
import pytest
from calling import Caller

from runstone.domain import keys
from runstone.domain.context import Context, Principal
from runstone.errors import Denied
from runstone.server.background import Background
from runstone.server.signing import Signature

FILES = "/api/v1/collections/ann/p/m/versions"


@pytest.fixture
def owner(background: Callable[..., Background]) -> Caller:
    server = background(auth="on")
    return Caller(server.url, keys.create(server.store, Context(), "local", "test").key)


@pytest.fixture
def ann(owner: Caller) -> Caller:
    owner.post("/api/v1/users", {"name": "ann"}).expect(201)
    key = owner.post("/api/v1/users/ann/keys", {"name": "k"}).expect(201)["key"]
    ann = owner.with_key(key)
    ann.put_version("ann/p/m", {"folder/ä b%.bin": b"first", "other": b"2"}, aliases=["prod"])
    return ann


@pytest.fixture
def url(ann: Caller) -> str:
    signed: str = ann.post(f"{FILES}/prod/sign", {"path": "folder/ä b%.bin", "seconds": 60}).expect(200)[
        "url"
    ]
    return signed


def changed(url: str, **fields: str) -> str:
    parts = urlsplit(url)
    return f"{parts.path}?{urlencode(dict(parse_qsl(parts.query)) | fields)}"


def test_a_signed_address_needs_no_credentials(ann: Caller, url: str):
    nobody = ann.with_key("")
    assert nobody.get(url).content == b"first"
    assert nobody.get(url, headers={"Range": "bytes=1-2"}).content == b"ir"
    head = nobody.call("HEAD", url)
    assert (head.status, head.headers["Content-Length"], head.content) == (200, "5", b"")


def test_it_stands_for_the_version_that_the_alias_was(ann: Caller, url: str):
    ann.put_version("ann/p/m", {"folder/ä b%.bin": b"second"}, aliases=["prod"])
    assert ann.with_key("").get(url).content == b"first"


def test_other_spellings_of_the_path_are_the_same_path(ann: Caller, url: str):
    assert "%C3%A4%20b%25.bin" in url
    assert (
        ann.with_key("").get(url.replace("folder", "%66older").replace("%C3%A4", "%c3%a4")).content
        == b"first"
    )


@pytest.mark.parametrize(
    "forge",
    [
        lambda url: changed(url, signature=parse_qs(urlsplit(url).query)["signature"][0][:-1] + "_"),
        lambda url: changed(url, signature=""),
        lambda url: changed(url, signature="é"),
        lambda url: changed(url, expires=str(int(time.time()) + 10_000)),
        lambda url: changed(url, by="local"),
        lambda url: changed(url, role="owner"),
        lambda url: changed(url, methods="GET.HEAD.PATCH"),
        lambda url: url.replace("/1/folder", "/2/folder"),
        lambda url: url.replace("/folder/%C3%A4%20b%25.bin", "/other"),
        lambda url: url.replace("/folder/", "/folder/../folder/"),
        lambda url: url.replace("/signed/files/ann/", "/signed/files/local/"),
    ],
)
def test_a_forged_address_is_refused(ann: Caller, url: str, forge: Callable[[str], str]):
    forged = forge(url)
    assert forged != url
    answer = ann.with_key("").get(forged)
    assert (answer.status, answer.code) == (403, "denied")


@pytest.mark.parametrize(
    "forge",
    [
        lambda url: url.partition("?")[0],
        lambda url: changed(url, expires="soon"),
        lambda url: changed(url, more="1"),
        lambda url: url + "&by=ann",
    ],
)
def test_an_incomplete_address_is_refused(ann: Caller, url: str, forge: Callable[[str], str]):
    answer = ann.with_key("").get(forge(url))
    assert (answer.status, answer.code) == (422, "invalid")


def test_it_expires(ann: Caller):
    url = ann.post(f"{FILES}/prod/sign", {"path": "other", "seconds": 1}).expect(200)["url"]
    assert ann.with_key("").get(url).status == 200
    time.sleep(int(parse_qs(urlsplit(url).query)["expires"][0]) - time.time() + 0.05)
    answer = ann.with_key("").get(url)
    assert (answer.status, answer.code) == (403, "denied")
    assert "expired" in answer.json["detail"]


@pytest.mark.parametrize("seconds", [0, -1, 8 * 86_400, 1e300])
def test_it_cannot_hold_for_ever(ann: Caller, seconds: float):
    assert ann.post(f"{FILES}/prod/sign", {"path": "other", "seconds": seconds}).code == "invalid"


def test_one_for_reading_does_not_write(ann: Caller, url: str):
    assert ann.with_key("").call("PATCH", url, content=b"x").status == 405
    upload = ann.post("/api/v1/uploads", {"namespace": "ann"}).expect(201)["id"]
    signed = ann.post(f"/api/v1/uploads/{upload}/sign").expect(200)["url"]
    query = urlsplit(url).query
    replayed = ann.with_key("").call(
        "PATCH", f"{urlsplit(signed).path}?{query}", content=b"x", headers={"Upload-Offset": "0"}
    )
    assert (replayed.status, replayed.code) == (403, "denied")


def test_it_dies_with_the_rights_of_whoever_signed_it(owner: Caller, ann: Caller, url: str):
    owner.put_version("local/p/m", {"x": b"theirs"})
    owner.put("/api/v1/namespaces/local/members/ann", {"role": "reader"}).expect(200)
    theirs = ann.post("/api/v1/collections/local/p/m/versions/1/sign", {"path": "x"}).expect(200)["url"]
    assert owner.with_key("").get(theirs).content == b"theirs"
    owner.delete("/api/v1/namespaces/local/members/ann").expect(204)
    assert owner.with_key("").get(theirs).code == "missing"
    assert owner.with_key("").get(url).status == 200
    owner.patch("/api/v1/users/ann", {"disabled": True}).expect(200)
    answer = owner.with_key("").get(url)
    assert (answer.status, answer.code) == (403, "denied")


def test_a_key_that_may_only_read_signs_no_more_than_that(owner: Caller, ann: Caller):
    key = ann.post("/api/v1/users/ann/keys", {"name": "r", "role": "reader"}).expect(201)["key"]
    reader = ann.with_key(key)
    url = reader.post(f"{FILES}/prod/sign", {"path": "other"}).expect(200)["url"]
    assert "role=reader" in url
    assert reader.with_key("").get(url).content == b"2"
    upload = ann.post("/api/v1/uploads", {"namespace": "ann"}).expect(201)["id"]
    assert reader.post(f"/api/v1/uploads/{upload}/sign").status in (403, 404)


def test_what_may_not_be_read_is_not_signed(owner: Caller, ann: Caller):
    owner.put_version("local/p/m", {"x": b"theirs"})
    assert ann.post("/api/v1/collections/local/p/m/versions/1/sign", {"path": "x"}).code == "missing"
    assert ann.post(f"{FILES}/prod/sign", {"path": "none"}).code == "missing"


def test_a_signed_upload(ann: Caller):
    upload = ann.post("/api/v1/uploads", {"namespace": "ann", "size": 5}).expect(201)["id"]
    url = ann.post(f"/api/v1/uploads/{upload}/sign").expect(200)["url"]
    nobody = ann.with_key("")
    assert nobody.call("HEAD", url).headers["Upload-Offset"] == "0"
    assert nobody.patch(url, content=b"abc", headers={"Upload-Offset": "0"}).headers["Upload-Offset"] == "3"
    assert nobody.patch(url, content=b"de", headers={"Upload-Offset": "3"}).status == 204
    assert nobody.post(f"/api/v1/uploads/{upload}/finish").status == 401
    assert ann.post(f"/api/v1/uploads/{upload}/finish").expect(200)["size"] == 5


def test_the_log_has_no_signature(
    ann: Caller, url: str, background: Callable[..., Background], tmp_path: Path
):
    path = tmp_path / "access.log"
    logged = background(auth="on", log_format="json", log_file=str(path))
    assert Caller(logged.url).get(url).status == 200
    logged.close()
    text = path.read_text()
    assert "/api/v1/signed/files/ann/p/m/1/folder" in text
    assert "signature" not in text


def test_the_methods_and_the_role_are_signed_too(server: Background):
    assert server.worker is not None
    signer, ctx = server.worker.core.signer, Context(Principal("local", 1, True, "reader"))
    path = "/api/v1/signed/files/a/b"
    fields = dict(parse_qsl(urlsplit(signer.sign(ctx, ("HEAD",), path, 60)).query))
    given = msgspec.convert(fields, Signature, strict=False)
    segments = path[1:].split("/")
    found = signer.principal("HEAD", segments, given)
    assert (found.name, found.role) == ("local", "reader")
    with pytest.raises(Denied, match="HEAD only"):
        signer.principal("GET", segments, given)
    for change in ({"role": ""}, {"methods": "GET"}, {"by": "other"}):
        with pytest.raises(Denied, match="does not fit"):
            signer.principal("HEAD", segments, msgspec.structs.replace(given, **change))
