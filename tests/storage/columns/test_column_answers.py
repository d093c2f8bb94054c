"""The engine against the plain model: filters, orders, groups, cursors, hidden fields, errors."""

import math

import column_model as model
import column_strategies as strategies
import pytest
import re2
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from runstone.errors import Invalid, TooLarge
from runstone.query import Aggregate, And, Compare, Exists, Ids, In, IsNull, Match, Not, Order, Query
from runstone.storage.columns import bitmaps, encode, engine, filtering, patterns
from runstone.storage.columns import rows as rowwise
from runstone.storage.columns.table import ColumnTable


def table_of(folder, rows, sealed=True, **limits):
    source = model.Rows()
    for row_id, row in rows.items():
        source.put(row_id, row)
    table = ColumnTable(folder, source, **limits)
    table.refresh()
    if sealed:
        table.seal()
    return source, table


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """A new folder each time it is called: hypothesis runs many examples in one test."""
    return lambda: tmp_path_factory.mktemp("columns")


SETTINGS = settings(max_examples=80, deadline=None)
documents = st.dictionaries(strategies.ids, strategies.rows, max_size=25)


@SETTINGS
@given(
    held=documents, query=strategies.questions, sealed=st.booleans(), hidden=st.sampled_from(["", "a", "b"])
)
def test_filters_and_orders(folders, held, query, sealed, hidden):
    _, table = table_of(folders(), held, sealed)
    found = table.execute(query, lambda field: field != hidden)
    expected = model.answer(held, query, lambda field: field != hidden)
    assert found.ids == expected
    assert found.total == len(expected)


@SETTINGS
@given(held=documents, query=strategies.questions)
def test_single_rows(held, query):
    found = [row_id for row_id, row in held.items() if rowwise.matches(query.filter, row, row_id)]
    found.sort(reverse=True)
    found = rowwise.ordered(found, query.order, held.__getitem__)
    assert found == model.answer(held, query)


@SETTINGS
@given(
    held=documents, query=strategies.questions, later=documents, size=st.integers(1, 5), sealed=st.booleans()
)
def test_pages(folders, held, query, later, size, sealed):
    """Pages join to the whole, and rows that do not change are in it once whatever else changes between two pages."""
    source, table = table_of(folders(), held, sealed)
    changes = list(later.items())
    seen, after = [], ""
    for _ in range(200):
        page = table.execute(Query(filter=query.filter, order=query.order, limit=size, after=after))
        assert len(page.ids) <= size
        if not page.ids:
            break
        seen += page.ids
        after = page.place(len(page.ids) - 1)
        if changes:
            source.put(*changes.pop())
            table.refresh()
    else:
        raise AssertionError("the pages never end")
    steady = [row_id for row_id in model.answer(held, query) if row_id not in later]
    assert [row_id for row_id in seen if row_id not in later] == steady


@SETTINGS
@given(
    held=documents,
    query=strategies.questions,
    skip=st.integers(0, 30),
    size=st.integers(0, 9),
    sealed=st.booleans(),
    far=st.sampled_from([0, 4096]),
)
def test_rows_behind_others(folders, held, query, skip, size, sealed, far):
    _, table = table_of(folders(), held, sealed)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(engine, "FAR", far)
        found = table.execute(replace(query, skip=skip, limit=size))
    expected = model.answer(held, query)
    assert found.ids == expected[skip : skip + size]
    assert found.total == len(expected)
    if found.ids:
        behind = table.execute(replace(query, after=found.place(len(found.ids) - 1)))
        assert behind.ids == expected[skip + size :]


@SETTINGS
@given(
    held=documents,
    tree=strategies.trees,
    group=st.lists(strategies.fields, max_size=3, unique=True).map(tuple),
    aggregates=strategies.aggregates,
    sealed=st.booleans(),
    data=st.data(),
)
def test_groups(folders, held, tree, group, aggregates, sealed, data):
    _, table = table_of(folders(), held, sealed)
    names = [*group, *(each.name for each in aggregates)]
    order = tuple(data.draw(st.lists(st.builds(Order, st.sampled_from(names), st.booleans()), max_size=2)))
    query = Query(filter=tree, group=group, aggregates=aggregates, order=order, limit=1000, total=True)
    found = table.execute(query)
    expected = model.groups(held, query)
    assert found.total == len(expected)
    shown = {
        tuple(model.group_value(v) if v != () else () for v in each.key): each.figures
        for each in found.groups
    }
    assert set(shown) == set(expected)
    for key, figures in expected.items():
        for ours, theirs in zip(shown[key], figures, strict=True):
            same = ours == theirs or (None not in (ours, theirs) and math.isclose(ours, theirs, rel_tol=1e-9))
            assert same or (ours != ours and theirs != theirs), (key, shown[key], figures)
    for one, two in zip(found.groups, found.groups[1:], strict=False):
        pairs = [
            (
                dict(zip(names, (*one.key, *one.figures), strict=False)),
                dict(zip(names, (*two.key, *two.figures), strict=False)),
            )
        ]
        signs = [model.in_order(a[o.field], b[o.field], o.descending) for a, b in pairs for o in order]
        assert next((sign for sign in signs if sign), -1) < 0
    paged, after = [], ""
    while page := table.execute(
        Query(filter=tree, group=group, aggregates=aggregates, order=order, limit=2, after=after)
    ).groups:
        paged += [each.key for each in page]
        after = page[-1].place
        assert len(paged) <= len(found.groups)
    assert repr(paged) == repr([each.key for each in found.groups])


@SETTINGS
@given(held=documents, later=documents, prefix=st.sampled_from(["", "a", "config", "r"]))
def test_fields(folders, held, later, prefix):
    source, table = table_of(folders(), held)
    for row_id, row in later.items():
        source.put(row_id, row)
    table.refresh()
    live = source.live().values()
    expected = {name: sum(name in row for row in live) for name in {n for row in live for n in row}}
    every = sorted((name, count) for name, count in expected.items() if name.startswith(prefix))
    expected = [each for each in every if each[0] != "b"]
    assert table.fields(prefix, matches=lambda name: name != "b") == (expected, "")
    for most in (1, 3, 1000):
        paged, piece = [], table.fields(prefix, "", 2, lambda name: name != "b", most=most)
        while piece.next:
            paged += piece.found
            piece = table.fields(prefix, piece.next, 2, lambda name: name != "b", most=most)
        assert paged + piece.found == expected
    for word in ("o", "fig.a"):
        found = table.fields(
            prefix, matches=lambda name, word=word: word in name.lower(), having=word.encode()
        )
        assert found.found == [each for each in every if word in each[0].lower()]
    foremost = sorted(expected, key=lambda each: (-each[1], each[0]))
    assert table.frequent(prefix, 2, lambda name: name != "b") == foremost[:2]


def test_pages_of_names_are_passed_over(tmp_path):
    """More names than a page has, some of which have a word that none of another page has."""
    row = {f"summary.k{number:05}{'Word' if number % 700 == 5 else ''}": number for number in range(3000)}
    row |= {f"summary.z{number:05}": number for number in range(3000)}
    source, table = table_of(tmp_path, {1: row, 2: {"summary.k00007": 1, "summary.z00009": 1}})
    table.seal()
    words = [f"summary.k{number:05}Word" for number in range(5, 3000, 700)]
    assert table.fields("summary.", matches=lambda name: "Word" in name, having=b"word").found == [
        (name, 1) for name in words
    ]
    short = table.fields("summary.", matches=lambda name: "Word" in name, having=b"word", most=90)
    assert 0 < len(short.found) < len(words) and short.next
    rest = table.fields("summary.", short.next, matches=lambda name: "Word" in name, having=b"word")
    assert [name for name, _ in (*short.found, *rest.found)] == words
    assert table.frequent("summary.", 3) == [
        ("summary.k00007", 2),
        ("summary.z00009", 2),
        ("summary.k00000", 1),
    ]
    source.put(2, {"summary.z00009": 1})
    table.refresh()
    assert table.frequent("summary.", 2) == [("summary.z00009", 2), ("summary.k00000", 1)]


def test_a_hidden_field_cannot_be_inferred(tmp_path):
    rows = {1: {"secret": 3, "open": 1}, 2: {"open": 1}, 3: {"secret": "x", "open": 1}}
    _, table = table_of(tmp_path, rows)
    without = {row_id: {"open": 1} for row_id in rows}
    conditions = [
        Exists("secret"),
        IsNull("secret"),
        Compare("secret", "!=", 4),
        Not(Compare("secret", "=", 3)),
        In("secret", (3,)),
    ]
    for condition in [*conditions, Match("secret", "regex", ".*", True)]:
        for query in (
            Query(filter=condition, order=(Order("secret"),)),
            Query(filter=condition, group=("secret",)),
        ):
            found = table.execute(query, lambda field: field != "secret")
            assert found.ids == ([] if query.group else model.answer(without, query))
            assert [each.key for each in found.groups] == list(
                model.groups(without, query) and {(None,): 0}
            ) * bool(query.group)
    assert table.fields(matches=lambda field: field != "secret").found == [("open", 3)]
    page = table.execute(Query(order=(Order("secret"),), limit=1), lambda field: field != "secret")
    assert page.place(0) == table_of(tmp_path / "other", without)[1].execute(
        Query(order=(Order("secret"),), limit=1)
    ).place(0)


@pytest.mark.parametrize(
    ("query", "error"),
    [
        (Query(after="nonsense!"), Invalid),
        (Query(after="AAAA"), Invalid),
        (Query(limit=-1), TooLarge),
        (Query(limit=100_001), TooLarge),
        (Query(filter=Match("a", "regex", "(")), Invalid),
        (Query(filter=Match("a", "regex", "(?=a)")), Invalid),
        (Query(filter=Match("a", "regex", "((a{100}){100}){100}")), Invalid),
        (Query(filter=Match("a", "contains", "a" * 5000)), Invalid),
        (Query(filter=Match("a", "like", "a" * 5000)), Invalid),
        (Query(filter=Match("a", "regex", "\ud800")), Invalid),
        (Query(filter=And(tuple(Exists("a") for _ in range(1000)))), TooLarge),
        (Query(group=("a",), order=(Order("b"),)), Invalid),
        (Query(group=("a", "a")), Invalid),
    ],
)
def test_what_cannot_be_answered_is_refused(tmp_path, query, error):
    _, table = table_of(tmp_path, {1: {"a": "x"}})
    with pytest.raises(error):
        table.execute(query)


def test_deep_trees_are_refused(tmp_path):
    _, table = table_of(tmp_path, {1: {"a": "x"}})
    tree = Ids((1,))
    for _ in range(63):
        tree = Not(tree)
    assert table.execute(Query(filter=tree)).ids == []
    with pytest.raises(TooLarge):
        table.execute(Query(filter=Not(tree)))


def test_a_cursor_is_for_one_order(tmp_path):
    _, table = table_of(tmp_path, {1: {"a": 1}, 2: {"a": 2}})
    place = table.execute(Query(order=(Order("a"),), limit=1)).place(0)
    assert table.execute(Query(order=(Order("a"),), after=place)).ids == [2]
    with pytest.raises(Invalid, match="another query"):
        table.execute(Query(order=(Order("a", True),), after=place))


def test_lone_surrogates_are_text_like_any_other(tmp_path):
    _, table = table_of(tmp_path, {1: {"a": "\ud800x", "\udfff": 1}, 2: {"a": "\ue000"}})
    found = table.execute(Query(filter=Compare("a", "<", "\ue000"), order=(Order("a"),)))
    assert found.ids == [1]
    assert table.execute(Query(order=(Order("a"),), after=found.place(0))).ids == [2]
    assert table.fields().found == [("a", 2), ("\udfff", 1)]


@settings(max_examples=300, deadline=None)
@given(
    expression=st.lists(
        st.sampled_from(
            [
                "a",
                "b",
                "ab",
                "^",
                "$",
                ".",
                "*",
                "?",
                "+",
                "{2}",
                "{1,2}",
                "|",
                "(a)",
                "(?:ab|b)",
                "[ab]",
                "[^a]",
                "\\.",
                "\\d",
                "\\b",
                "(?i)",
                "\\x61",
                "\\Aa",
                "é",
                "(a",
                "{",
                "-",
            ]
        ),
        max_size=7,
    ).map("".join),
    held=st.lists(st.text(alphabet="abAB.é-{1", max_size=8), min_size=1, max_size=30),
)
def test_what_a_match_must_have_rules_out_no_match(expression, held):
    """Whatever is looked for before RE2 is asked, the answer is RE2's."""
    try:
        compiled = re2.compile(expression)
    except re2.error:
        return
    lane = encode.column_of(encode.field_data(list(range(len(held))), held), len(held)).texts
    pattern = patterns.compile_match(Match("a", "regex", expression))
    expected = [compiled.search(text) is not None for text in held]
    for batch in (filtering.BATCH, 1):  # one by one, and all at once by Arrow's RE2
        with pytest.MonkeyPatch.context() as patched:
            patched.setattr(filtering, "BATCH", batch)
            found = filtering.match_texts(lane, pattern, bitmaps.every(len(held)))
        assert bitmaps.unpack(found, len(held)).tolist() == expected


def test_a_pattern_that_takes_too_long_is_refused(monkeypatch):
    monkeypatch.setattr(filtering, "SECONDS", -1)
    lane = encode.column_of(encode.field_data([0, 1], ["ab", "cd"]), 2).texts
    with pytest.raises(TooLarge, match="letters in it"):
        filtering.match_texts(lane, patterns.compile_match(Match("a", "regex", "[ab]")), bitmaps.every(2))


def test_the_same_question_is_answered_anew_when_its_values_differ_in_type_or_the_rows_changed(tmp_path):
    source, table = table_of(tmp_path, {1: {"a": 1}, 2: {"a": True}, 3: {"a": "1"}})
    for value, expected in ((1, [1]), (True, [2]), (1.0, [1]), ("1", [3])):
        assert table.execute(Query(filter=Compare("a", "=", value))).ids == expected
    grouped = Query(group=("a",), aggregates=(Aggregate("count"),))
    for _ in range(2):  # what is remembered of a part is not added to
        assert sorted(group.figures[0] for group in table.execute(grouped).groups) == [1, 1, 1]
    assert table.execute(Query(filter=Compare("a", "=", 1)), lambda field: False).ids == []
    source.put(1, {"a": 2})
    table.refresh()
    assert table.execute(Query(filter=Compare("a", "=", 1))).ids == []
    assert table.fields().found == [("a", 3)]
    source.put(1, {"b": 2})
    table.refresh()
    assert table.fields().found == [("a", 2), ("b", 1)]


@pytest.mark.parametrize(
    ("expression", "runs", "prefix"),
    [
        ("^run-.*7-(a|b)c+", ["run-", "7-", "c"], "run-"),
        ("ab*c", ["a", "c"], ""),
        ("a|b", [], ""),
        ("(?i)abc", [], ""),
        ("x{2}y", ["y"], ""),
        ("\\Afoo\\.bar", ["foo.bar"], "foo.bar"),
        ("[[:alpha:]]z", ["z"], ""),
    ],
)
def test_what_is_required(expression, runs, prefix):
    found, begins = patterns.required(expression)
    assert ([run for run in found if run], begins) == (runs, prefix)


@pytest.mark.parametrize("sealed", [False, True])
def test_missing_null_nan_and_types_that_differ(tmp_path, sealed):
    nan = float("nan")
    rows = {
        1: {"a": None},
        2: {},
        3: {"a": nan},
        4: {"a": 1},
        5: {"a": "1"},
        6: {"a": True},
        7: {"a": [1]},
        8: {"a": 1.0},
    }
    _, table = table_of(tmp_path, rows, sealed)
    expected = [
        (Exists("a"), {1, 3, 4, 5, 6, 7, 8}),
        (IsNull("a"), {1, 2}),
        (Not(IsNull("a")), {3, 4, 5, 6, 7, 8}),
        (Compare("a", "=", 1), {4, 8}),
        (Compare("a", "=", "1"), {5}),
        (Compare("a", "=", True), {6}),
        (Compare("a", "!=", 2), {3, 4, 8}),
        (Compare("a", "!=", nan), {4, 8}),
        (Compare("a", "=", nan), {3}),
        (Compare("a", "<=", nan), set()),
        (Compare("a", ">", 0), {4, 8}),
        (Compare("a", "=", "1", True), {4, 5}),
        (Compare("a", "=", 1, True), {4, 5}),
        (Compare("a", "=", None), set()),
        (In("a", (True, "1", nan)), {3, 5, 6}),
        (Match("a", "contains", "1"), {5}),
        (Match("a", "regex", "^1", True), {4, 5, 8}),
        (Not(Compare("a", "=", 1)), {1, 2, 3, 5, 6, 7}),
    ]
    for condition, ids in expected:
        assert set(table.execute(Query(filter=condition)).ids) == ids, condition
    assert table.execute(Query(order=(Order("a"),))).ids == [6, 8, 4, 5, 3, 7, 2, 1]
    assert table.execute(Query(order=(Order("a", True),))).ids == [5, 8, 4, 6, 3, 7, 2, 1]
