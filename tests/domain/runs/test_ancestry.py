"""Questions by lineage: the same runs in every language that can ask."""

import pytest

from runstone.errors import Invalid, Missing
from runstone.query import And, Compare, In, Not
from runstone.types import FileEntry


@pytest.fixture
def project(library):
    for version in ("a", "b"):
        library.put("p/data", files=[FileEntry(path=version, size=1, url="s3://b/k", etag=version)])
    library.put("p/net", files=[FileEntry(path="n", size=1, url="s3://b/k", etag="n")], aliases=["best"])
    for number in range(4):
        library.create_run(f"p/r{number}", config={"n": number})
    for source, relation, target in [
        ("p/data@v1", "used_by", "run:local/p/r0"),
        ("p/data@v2", "used_by", "run:local/p/r1"),
        ("p/data@v2", "used_by", "run:local/p/r2"),
        ("p/data@v2", "used_by", "consumer:local/somebody"),
        ("run:local/p/r2", "produced", "p/net@v1"),
    ]:
        library.link(source, relation, target)
    return library


def found(library, filter):
    return sorted(run.name for run in library.runs("p", filter).items)


GOLDEN = [
    ('lineage.used = "p/data@v1"', {"lineage.used": "p/data@v1"}, ["r0"]),
    ('lineage.used = "local/p/data"', {"lineage.used": {"$eq": "local/p/data"}}, ["r0", "r1", "r2"]),
    ('lineage.produced = "p/net@best"', {"lineage.produced": "p/net@best"}, ["r2"]),
    (
        'lineage.used in ("p/data@v1", "p/net")',
        {"lineage.used": {"$in": ["p/data@v1", "p/net"]}},
        ["r0"],
    ),
    ('not lineage.used = "p/data@v2"', {"$not": {"lineage.used": "p/data@v2"}}, ["r0", "r3"]),
    (
        'lineage.used = "p/data@v2" and config.n < 2',
        {"lineage.used": "p/data@v2", "config.n": {"$lt": 2}},
        ["r1"],
    ),
    ('lineage.produced = "p/data"', {"lineage.produced": "p/data"}, []),
]


@pytest.mark.parametrize(("text", "document", "names"), GOLDEN)
def test_the_same_runs_in_text_and_as_a_document(project, text, document, names):
    assert found(project, text) == names
    assert found(project, document) == names
    groups = project.group_runs("p", ["id"], filter=text).items
    assert sorted(group.key[0] for group in groups) == names


@pytest.mark.parametrize(
    ("end", "relation", "other", "source", "names"),
    [
        ("target", "used_by", "source", "%/data%v1", ["r0"]),
        ("target", "used_by", "source", "%/data%", ["r0", "r1", "r2"]),
        ("source", "produced", "target", "%/net%v1", ["r2"]),
    ],
)
def test_sql_finds_them_in_its_table(project, end, relation, other, source, names):
    lineage = f"SELECT {end} FROM lineage WHERE relation = '{relation}' AND {other} LIKE '{source}'"
    table = project.sql("p", f"SELECT id FROM runs WHERE 'run:local/p/' || id IN ({lineage}) ORDER BY id")
    assert table.column("id").to_pylist() == names


def test_the_tree_asks_too(project):
    condition = And((In("lineage.used", ("p/data",)), Not(Compare("lineage.produced", "=", "p/net"))))
    assert found(project, condition) == ["r0", "r1"]


@pytest.mark.parametrize(
    ("filter", "error"),
    [
        ('lineage.used = "p/data@v9"', Missing),
        ('lineage.used = "p/none"', Missing),
        ("lineage.used = 3", Invalid),
        ('lineage.used != "p/data"', Invalid),
        ('lineage.used like "p/%"', Invalid),
        ('text(lineage.used) = "p/data"', Invalid),
        ("lineage.used exists", Invalid),
        ('lineage.fetched = "p/data"', Invalid),
        ({"lineage.fetched": "p/data"}, Invalid),
        ({"lineage.used": {"$regex": "data"}}, Invalid),
    ],
)
def test_what_cannot_be_asked_is_refused(project, filter, error):
    with pytest.raises(error, match=r"lineage|v9|none"):
        found(project, filter)


def test_a_stranger_learns_nothing_by_lineage(people):
    people.ann.put("lab/secret/data", files=[FileEntry(path="a", size=1, url="s3://b/k", etag="a")])
    people.eve.create_run("eve/p/r")
    with pytest.raises(Missing):
        people.eve.runs("eve/p", 'lineage.used = "lab/secret/data@v1"')
