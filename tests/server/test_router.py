from __future__ import annotations

from collections.abc import Iterator

import pytest

from runstone.dialects.routing import Raw, Route
from runstone.errors import Malformed
from runstone.server.router import Match, Router, segments_of


class Few:
    name, prefixes = "few", ("/",)
    paths = (
        "/a",
        "/a/{x}",
        "/a/{x}/b",
        "/a/fixed",
        "/a/{x}/rest/{path...}",
        "/a/{x}/rest",
        "/c/{x}/d",
        "/{y}/e/f",
        "/r/{x}/{y}/go/{z}",
    )

    def routes(self) -> Iterator[Route]:
        yield from (Route("GET", path, print, "") for path in self.paths)
        yield Route("PUT", "/a/{x}", print, "")
        yield Route("GET", "/r/{y}/go/{z...}", print, "", behind=True)
        yield Route("GET", "/c/{y}/d", print, "", behind=True)
        yield Route("HEAD", "/a/{x}/b", repr, "")

    def problem(self, error: object, request_id: str) -> Raw:
        return Raw()


@pytest.fixture
def router() -> Router:
    made = Router()
    made.add(Few(), Few().routes())
    return made


def path_of(match: Match | None) -> str | None:
    return None if match is None else match.endpoints["GET"].route.path


@pytest.mark.parametrize(
    ("asked", "path", "names"),
    [
        ("/a", "/a", {}),
        ("/a/fixed", "/a/fixed", {}),
        ("/a/1", "/a/{x}", {"x": "1"}),
        ("/a/fixed/b", "/a/{x}/b", {"x": "fixed"}),
        ("/a/1/rest", "/a/{x}/rest", {"x": "1"}),
        ("/a/1/rest/p/q.bin", "/a/{x}/rest/{path...}", {"x": "1", "path": "p/q.bin"}),
        ("/a/1/rest/p//q", "/a/{x}/rest/{path...}", {"x": "1", "path": "p//q"}),
        ("/a/e/f", "/{y}/e/f", {"y": "a"}),
        ("/c/x%2Fy/d", "/c/{x}/d", {"x": "x/y"}),
        ("/c/%E2%82%AC/d", "/c/{x}/d", {"x": "€"}),
        ("/c/a+b/d", "/c/{x}/d", {"x": "a+b"}),
        ("/r/1/2/go/3", "/r/{x}/{y}/go/{z}", {"x": "1", "y": "2", "z": "3"}),
        ("/r/1/go/go/3", "/r/{x}/{y}/go/{z}", {"x": "1", "y": "go", "z": "3"}),
        ("/r/1/go/2", "/r/{y}/go/{z...}", {"y": "1", "z": "2"}),
        ("/r/go/go/go", "/r/{y}/go/{z...}", {"y": "go", "z": "go"}),
        ("/", None, {}),
        ("/a/", None, {}),
        ("/b", None, {}),
        ("/a/1/c", None, {}),
        ("/c//d", None, {}),
    ],
)
def test_paths(router: Router, asked: str, path: str | None, names: dict[str, str]):
    match = router.find(segments_of(asked))
    assert path_of(match) == path
    assert match is None or match.names == names


def test_methods_of_a_path_are_told_apart(router: Router):
    match = router.find(["a", "1"])
    assert match is not None
    assert set(match.endpoints) == {"GET", "HEAD", "PUT"}
    assert match.endpoints["HEAD"] is match.endpoints["GET"]


def test_a_head_of_its_own_goes_before_that_of_get(router: Router):
    match = router.find(["a", "1", "b"])
    assert match is not None
    assert match.endpoints["HEAD"].route.handler is repr
    assert match.endpoints["GET"].route.handler is print


def test_two_routes_of_one_name_are_a_defect(router: Router):
    with pytest.raises(ValueError, match="two routes for GET /a"):
        router.add(Few(), Few().routes())


@pytest.mark.parametrize("path", ["/c/%ff/d", "/c/%C3/d", "/c/\udcff/d"])
def test_what_is_not_utf8_is_refused(path: str):
    with pytest.raises(Malformed):
        segments_of(path)
