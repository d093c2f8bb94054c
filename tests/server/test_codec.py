from __future__ import annotations

import contextlib

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from runstone.errors import Invalid, Malformed, NotAcceptable, RunstoneError, TooLarge, UnsupportedMedia
from runstone.server import codec


class Wanted(msgspec.Struct, forbid_unknown_fields=True):
    name: str
    count: int = 0
    flag: bool = False
    anything: object = None


@pytest.mark.parametrize(
    ("accept", "packed"),
    [
        ("*/*", False),
        ("application/json", False),
        ("application/msgpack", True),
        ("application/x-msgpack", True),
        ("application/vnd.msgpack;q=0.5", True),
        ("application/msgpack, application/json;q=0.5", True),
        ("application/msgpack;q=0.5, application/json", False),
        ("application/msgpack, application/json", False),
        ("text/html, application/*;q=0.2", False),
        ("text/html, */*;q=0.1", False),
        ("application/json;q=0, */*", True),
        ("application/msgpack;q=0.1, */*;q=0.9", False),
        ("APPLICATION/MSGPACK", True),
    ],
)
def test_accept(accept: str, packed: bool):
    assert codec.wants_packed(accept) is packed


@pytest.mark.parametrize(
    "accept", ["text/html", "image/*", "application/json;q=0", "*/*;q=0", "", "application/xml"]
)
def test_what_cannot_be_accepted(accept: str):
    with pytest.raises(NotAcceptable):
        codec.wants_packed(accept)


@given(st.text(max_size=60))
def test_any_accept_is_decided(accept: str):
    with contextlib.suppress(NotAcceptable):
        assert codec.wants_packed(accept) in (True, False)


@pytest.mark.parametrize(
    ("content_type", "packed"),
    [
        ("application/json", False),
        ("application/json; charset=utf-8", False),
        ("application/merge-patch+json", False),
        ("Application/Msgpack", True),
    ],
)
def test_content_type(content_type: str, packed: bool):
    assert codec.is_packed(content_type) is packed


@pytest.mark.parametrize(
    "content_type", ["", "text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x"]
)
def test_what_a_web_form_can_send_is_refused(content_type: str):
    with pytest.raises(UnsupportedMedia):
        codec.is_packed(content_type)


@pytest.mark.parametrize(
    ("content", "error"),
    [
        (b'{"name": "a", "other": 1}', Invalid),
        (b'{"name": 1}', Invalid),
        (b'{"name": null}', Invalid),
        (b'{"count": 1}', Invalid),
        (b'{"name": "a", "count": 1.5}', Invalid),
        (b'{"name": "a", "count": true}', Invalid),
        (b'{"name": "a", "flag": 1}', Invalid),
        (b"[]", Invalid),
        (b"", Malformed),
        (b'{"name": "a"', Malformed),
        (b'{"name": "a"} x', Malformed),
        (b'{"name": "\xff"}', Malformed),
        (b'{"name": "\\ud800"}', Malformed),
        (b'{"name": "a", "anything": NaN}', Malformed),
        (b'{"name": "a", "anything": Infinity}', Malformed),
        (b'{"name": "a", "anything": 1e999}', Invalid),
        (b'\xef\xbb\xbf{"name": "a"}', Malformed),
        (b'{"name": "a", "anything": ' + b"[" * 100_000, TooLarge),
        (b'{"name": "a", "anything": ' + b"[" * 100_000 + b"]" * 100_000 + b"}", TooLarge),
        (b'{"name": "a", "anything": ' + b'{"a":' * 100_000 + b"1" + b"}" * 100_001, TooLarge),
    ],
)
def test_bad_json(content: bytes, error: type[RunstoneError]):
    with pytest.raises(error) as caught:
        codec.decode_body(content, False, Wanted)
    assert type(caught.value) is error


@pytest.mark.parametrize(
    ("content", "error"),
    [
        (b"\x81\xa4name\x01", Invalid),
        (b"\x81\xa4name\xa1\xff", Malformed),
        (b"\x81\xa4name", Malformed),
        (b"\xc1", Malformed),
        (b"\x82\xa4name\xa1a\xa8anything" + b"\x91" * 100_000, TooLarge),
    ],
)
def test_bad_msgpack(content: bytes, error: type[RunstoneError]):
    with pytest.raises(error) as caught:
        codec.decode_body(content, True, Wanted)
    assert type(caught.value) is error


@given(st.binary(max_size=200), st.booleans())
def test_any_body_is_a_value_or_an_error_of_ours(content: bytes, packed: bool):
    with contextlib.suppress(Invalid, Malformed, TooLarge):
        assert isinstance(codec.decode_body(content, packed, Wanted), Wanted)


def test_queries():
    found = codec.decode_query("name=a%20b+c%E2%82%AC&count=7&flag=true", Wanted)
    assert (found.name, found.count, found.flag) == ("a b c€", 7, True)


def test_a_parameter_that_is_a_tuple_comes_any_number_of_times():
    class Several(msgspec.Struct):
        word: tuple[str, ...] = ("none",)

    assert codec.decode_query("word=a&w%6frd=b", Several).word == ("a", "b")
    assert codec.decode_query("", Several).word == ("none",)


@pytest.mark.parametrize(
    ("query", "error"),
    [
        ("name=a&name=b", Invalid),
        ("name=a&n%61me=b", Invalid),
        ("name=a&other=1", Invalid),
        ("name=a&count=x", Invalid),
        ("count=1", Invalid),
        ("name=%ff", Malformed),
        ("name=a&%c3=1", Malformed),
    ],
)
def test_bad_queries(query: str, error: type[RunstoneError]):
    with pytest.raises(error) as caught:
        codec.decode_query(query, Wanted)
    assert type(caught.value) is error


@given(st.text(alphabet=st.characters(codec="utf-8"), max_size=60))
def test_any_query_is_a_value_or_an_error_of_ours(query: str):
    with contextlib.suppress(Invalid, Malformed):
        assert isinstance(codec.decode_query(query, Wanted), Wanted)
