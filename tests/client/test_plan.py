"""A plan is hostile until checked."""

import os

import pytest
from hostile import Origin, answer, chunks_of, plan_body, planned
from hypothesis import given
from hypothesis import strategies as st

from runstone.client import plan as plans
from runstone.client.fetch import fetch
from runstone.errors import Broken, Corrupt, RunstoneError, Unreachable
from runstone.testing.store_contract import read

GOOD = b"content" * 1000


@pytest.mark.parametrize(
    "path",
    ["", ".", "..", "/etc/passwd", "../up", "a/../../up", "a//b", "a/", "a/./b", "nul\0byte", "new\nline", "back\\slash",
     "\x1b[2J", ".git/hooks/post-checkout", "a/.GIT/x", "x" * 256, "y/" * 3000 + "z"],
)  # fmt: skip
def test_hostile_paths(path):
    with pytest.raises(Corrupt, match="not safe"):
        plans.read(plan_body(planned("fine", b"1"), planned(path, GOOD)))


@pytest.mark.parametrize(
    "files",
    [
        (planned("a", GOOD), planned("a", b"other")),
        (planned("a", GOOD), planned("a/b", b"other")),
        (planned("a/b/c", GOOD), planned("a", b"other")),
        (planned("a", GOOD, size=len(GOOD) + 1),),
        (planned("a", GOOD, size=-1),),
        (planned("a", GOOD, size=0, chunks=b"x" * 44),),
        (planned("a", GOOD, chunks=b""),),
        (planned("a", GOOD, chunks=chunks_of(GOOD)[:-1]),),
        (planned("a", GOOD, chunks=chunks_of(GOOD) * 2),),
        (planned("a", b"", chunks=bytes(44)),),
        (planned("a", GOOD, size=1 << 20, chunks=bytes(40) + (1 << 20).to_bytes(4, "little")),),
    ],
)
def test_plans_that_do_not_add_up(files):
    with pytest.raises(Corrupt, match="plan"):
        plans.read(plan_body(*files))


@given(st.binary(max_size=200))
def test_bytes_that_are_no_plan(content):
    with pytest.raises(Corrupt):
        plans.read(content)


@given(st.data())
def test_a_damaged_plan_is_refused_or_still_adds_up(data):
    body = bytearray(plan_body(planned("a/b", GOOD), planned("c", b"")))
    at = data.draw(st.integers(0, len(body) - 1))
    body[at] ^= 1 << data.draw(st.integers(0, 7))
    try:
        plan = plans.read(bytes(body))
    except Corrupt:
        return
    for file in plan.files:
        assert plans.is_safe(file.path)
        assert plans.content_of(file).offsets()[-1] == (file.size if not file.url else 0)


@pytest.mark.parametrize(
    "path",
    [
        "a",
        "a/b c",
        "ünï/ß.txt",
        "..a",
        "a..",
        ".hidden",
        "a:b",
        "emoji \U0001f468\u200d\U0001f469",
        "x" * 255,
    ],
)
def test_paths_that_are_fine(path):
    assert plans.is_safe(path)


def serving(plan, files):
    def script(target, headers):
        if target.endswith("/plan"):
            return answer(200, plan)
        content = files[target.partition("/files/")[2]]
        if "range" not in headers:
            return answer(200, content)
        first, last = map(int, headers["range"].removeprefix("bytes=").split("-"))
        span = f"bytes {first}-{last}/{len(content)}"
        return answer(206, content[first : last + 1], Content_Range=span)

    return script


def test_a_hostile_plan_writes_nothing(tmp_path):
    target = tmp_path / "in" / "out"
    with Origin(serving(plan_body(planned("ok", GOOD), planned("../../escaped", GOOD)), {})) as served:
        with pytest.raises(Corrupt):
            fetch("n/p/c@x", target, url=served.url, cache=tmp_path / "cache", retries=0)
        assert len(served.requests) == 1
    assert read(tmp_path / "in") == {} and not (tmp_path / "escaped").exists()
    assert not list((tmp_path / "cache" / "v1" / "files").rglob("*"))


def test_one_server_cannot_fill_anothers_place(tmp_path):
    """A server that gives other bytes the name of known ones gets a place of its own in the cache."""
    options = {"cache": tmp_path / "cache", "retries": 0}
    evil = b"poison!" * 1000
    claimed = {"sha256": "aa" * 32}
    with Origin(serving(plan_body(planned("f", evil, **claimed)), {"f": evil})) as served:
        assert (fetch("n/p/c@x", url=served.url, **options).path / "f").read_bytes() == evil
    with Origin(serving(plan_body(planned("f", GOOD, **claimed)), {"f": GOOD})) as served:
        found = fetch("n/p/c@x", url=served.url, **options)
    assert (found.path / "f").read_bytes() == GOOD and found.bytes_fetched == len(GOOD)


WRONG = {
    "short": (Broken, lambda content, first, last: answer(206, content[first:last], Content_Range=span(content, first, last))),
    "long": (Broken, lambda content, first, last: answer(206, content[first : last + 2], Content_Range=span(content, first, last))),
    "empty": (Broken, lambda content, first, last: answer(206, Content_Range=span(content, first, last))),
    "of another range": (Broken, lambda content, first, last: answer(206, content[first : last + 1], Content_Range="bytes 0-1/2")),
    "whole": (Broken, lambda content, first, last: answer(200, content)),
    "other bytes": (Corrupt, lambda content, first, last: answer(206, bytes(last + 1 - first), Content_Range=span(content, first, last))),
    "an error": (RunstoneError, lambda content, first, last: answer(500, b"oops")),
    "nothing": (Unreachable, lambda content, first, last: None),
}  # fmt: skip


def span(content, first, last):
    return f"bytes {first}-{last}/{len(content)}"


@pytest.mark.parametrize("wrong", WRONG)
def test_answers_that_are_not_what_was_asked_for(tmp_path, wrong):
    content = os.urandom(12 << 20)
    error, make = WRONG[wrong]

    def script(target, headers):
        if target.endswith("/plan"):
            return answer(200, plan_body(planned("f", content)))
        if target.endswith("/damage"):
            return answer(200, b'{"whole":true}', Content_Type="application/json")
        first, last = map(int, headers["range"].removeprefix("bytes=").split("-"))
        return make(content, first, last)

    with Origin(script) as served, pytest.raises(error):
        fetch("n/p/c@x", tmp_path / "out", url=served.url, cache=tmp_path / "cache", retries=0, timeout=0.5)
    assert read(tmp_path / "out") == {}
