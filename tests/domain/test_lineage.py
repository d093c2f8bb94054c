import pytest

from runstone.errors import Invalid, Missing
from runstone.types import FileEntry


def put(library, name):
    return library.put(name, files=[FileEntry(path=name.replace("/", "-"), size=1, url="s3://b/k", etag="e")])


def names(graph):
    return {node.name for node in graph.nodes}


def test_closure_goes_both_ways(library):
    for name in ("p/data", "p/base", "p/tuned", "p/served"):
        put(library, name)
    library.link("p/data", "used_by", "run:train")
    library.link("p/base", "used_by", "run:train")
    library.link("run:train", "produced", "p/tuned")
    library.link("p/tuned", "derived_to", "p/served")
    library.link("p/served", "fetched_by", "consumer:fleet")
    library.link("p/served", "fetched_by", "consumer:fleet")
    up = library.lineage("p/tuned", direction="upstream")
    assert names(up) == {"local/p/tuned:v1", "local/train", "local/p/data:v1", "local/p/base:v1"}
    down = library.lineage("p/tuned", direction="downstream")
    assert names(down) == {"local/p/tuned:v1", "local/p/served:v1", "local/fleet"}
    both = library.lineage("p/tuned")
    assert names(both) == names(up) | names(down) and len(both.edges) == 5
    assert next(e.count for e in both.edges if e.relation == "fetched_by") == 2
    near = library.lineage("p/tuned", depth=1)
    assert names(near) == {"local/p/tuned:v1", "local/train", "local/p/served:v1"} and near.truncated
    assert names(library.lineage("run:train", direction="upstream")) >= {"local/p/data:v1"}


def test_a_cycle_ends(library):
    put(library, "p/a")
    put(library, "p/b")
    library.link("p/a", "derived_to", "p/b")
    library.link("p/b", "derived_to", "p/a")
    assert len(library.lineage("p/a").edges) == 2


def test_a_wide_graph_is_cut_and_says_so(library):
    put(library, "p/a")
    for n in range(30):
        library.link("p/a", "fetched_by", f"consumer:c{n}")
    graph = library.lineage("p/a", limit=10)
    assert len(graph.nodes) == 10 and graph.truncated


def test_bad_edges_are_refused(library):
    put(library, "p/a")
    with pytest.raises(Invalid):
        library.link("p/a", "likes", "run:x")
    with pytest.raises(Invalid):
        library.link("p/a", "derived_to", "p/a@v1")
    with pytest.raises(Missing):
        library.link("p/nope", "used_by", "run:x")
    with pytest.raises(Missing):
        library.lineage("run:never")
    with pytest.raises(Invalid):
        library.lineage("p/a", direction="sideways")


def test_what_may_not_be_read_is_left_out(people):
    people.ann.create_namespace("open")
    put(people.ann, "open/p/pub")
    put(people.ann, "lab/p/priv")
    people.ann.update_project("open/p", visibility="public")
    people.ann.link("lab/p/priv", "derived_to", "open/p/pub")
    assert names(people.ann.lineage("open/p/pub")) == {"lab/p/priv:v1", "open/p/pub:v1"}
    seen = people.eve.lineage("open/p/pub")
    assert names(seen) == {"open/p/pub:v1"} and not seen.edges
