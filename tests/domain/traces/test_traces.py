"""Traces in the domain: spans in parts and again, what is masked from whom, what is freed, and that a log gives them all back."""

import json
import os
import random

import pytest

from runstone.domain import maintenance, projects
from runstone.domain.context import Context
from runstone.domain.entities import keeping
from runstone.domain.traces import finding, grammar, opinions, recording, searching, spans
from runstone.domain.traces.judging import Judgement
from runstone.domain.traces.spans import Span, Told
from runstone.errors import Conflict, Denied, Exists, Invalid, Missing, TooLarge
from runstone.storage.tables import BLOB_VERSIONS, ENTITY_ITEMS, TRACE_MARKS, TRACE_SPANS, TRACE_TIMES

OWNER = Context()
SPANS = int(os.environ.get("RUNSTONE_TRACE_SPANS", "3000"))


@pytest.fixture
def store(library):
    projects.create(library.store, OWNER, "local/p")
    return library.store


def span(number, parent=0, name="", at=None, **more):
    begun = 10**18 + number if at is None else at
    content = json.dumps({"name": name, **more.pop("attributes", {})})
    parent_id = f"{parent:016x}" if parent else ""
    return Span(
        f"{number:016x}", parent_id, name or f"s{number}", "LLM", "OK", begun, begun + 10**6, content, **more
    )


def log(store, name, *batch, ctx=OWNER, project="local/p", **told):
    spans.log(store, ctx, project, [Told(name, batch, **told)])


def found(store, text="", ctx=OWNER, project="local/p", order_by=()):
    with store.index.read() as view:
        from runstone.domain import names

        try:
            number = names.find_project(store, view, ctx, names.parse_project(ctx, project))[1].id
        except Missing:
            return []
    search = searching.Search(store, ctx, [number], grammar.parse(text))
    return [each.trace.name for each in search.page(grammar.orders(order_by), 0, 100)]


def count(store, table):
    with store.index.read() as view:
        return view.count(table)


def told(time=1000, **more):
    return {"time": time, "state": "OK", "duration": 5, "tags": {}, "metadata": {}, **more}


def test_spans_that_come_one_by_one_are_read_as_one_and_kept_in_few_batches(store):
    order = list(range(1, 121))
    random.Random(5).shuffle(order)
    for number in order:
        log(store, "t", span(number, parent=number // 2))
    log(store, "t", span(7, parent=3, name="again"))
    held = recording.get(store, OWNER, "t")
    read = spans.read(store, held)
    assert [each.id for each in read] == [f"{number:016x}" for number in range(1, 121)]
    assert [each.name for each in read if each.name == "again"] == ["again"]
    assert count(store, TRACE_SPANS) < 32
    assert count(store, BLOB_VERSIONS) == count(store, TRACE_SPANS)
    assert found(store, "span.name = 'again'") == ["t"] and found(store, "span.name = 's7'") == []


def test_a_trace_of_many_spans_is_taken_in_read_and_asked(store):
    batch = 500
    for first in range(0, SPANS, batch):
        log(store, "big", *(span(number + 1, parent=number and 1) for number in range(first, first + batch)))
    read = spans.read(store, recording.get(store, OWNER, "big"))
    assert len(read) == SPANS and read[0].parent == ""
    assert found(store, f"span.name = 's{SPANS}'") == ["big"]
    assert found(store, "span.name = 'none'") == []


def test_usage_is_reckoned_over_all_batches_and_not_twice(store):
    def used(count):
        return {"input_tokens": count, "total_tokens": count}

    log(store, "t", span(2, 1, usage=used(5), cost={"total_cost": 0.5}))
    log(store, "t", span(3, 1, usage=used(6)))
    assert recording.get(store, OWNER, "t").trace.usage["input_tokens"] == 11
    log(store, "t", span(3, 1, usage=used(7)))
    assert recording.get(store, OWNER, "t").trace.usage["input_tokens"] == 12
    log(store, "t", span(1, usage=used(100)))
    trace = recording.get(store, OWNER, "t").trace
    assert (trace.usage["input_tokens"], trace.cost["total_cost"]) == (100, 0.5)
    recording.start(store, OWNER, "local/p", "u", told(usage={"input_tokens": 1}))
    log(store, "u", span(1, usage=used(9)))
    assert recording.get(store, OWNER, "u").trace.usage == {"input_tokens": 1}


def test_deleting_traces_frees_all_that_they_had(store):
    before = {table: count(store, table) for table in (BLOB_VERSIONS, TRACE_SPANS, TRACE_MARKS, TRACE_TIMES)}
    for at in range(5):
        name = f"t{at}"
        recording.start(store, OWNER, "local/p", name, told(time=at, session="s", client_request="c"))
        log(store, name, span(at + 1, attributes={"x": os.urandom(50).hex()}))
        opinions.add(
            store,
            OWNER,
            name,
            Judgement("a", "good", "feedback", "CODE", "", 1, 1, metadata={"mlflow.trace.session": "s"}),
        )
        recording.link(store, OWNER, [name], runs=("r",), prompts=("p/1",))
    assert recording.delete(store, OWNER, "local/p", until=1) == 2
    assert found(store) == ["t4", "t3", "t2"]
    assert recording.delete(store, OWNER, "local/p", named=["t2", "none"]) == 1
    assert recording.delete(store, OWNER, "local/p", until=10, limit=1) == 1
    assert recording.delete(store, OWNER, "local/p", until=10) == 1
    assert {table: count(store, table) for table in before} == before
    reports = [store.blobs.collect(grace_seconds=0) for _ in range(2)]
    assert sum(report.deleted for report in reports) == 5
    with pytest.raises(Missing):
        recording.get(store, OWNER, "t4")


def test_a_trace_moves_between_projects_with_all_that_it_has(store):
    projects.create(store, OWNER, "local/q")
    recording.start(store, OWNER, "local/p", "t", told(session="s"))
    log(store, "t", span(1))
    opinions.add(
        store,
        OWNER,
        "t",
        Judgement("a", "good", "feedback", "CODE", "", 1, 1, metadata={"mlflow.trace.session": "s"}),
    )
    recording.start(store, OWNER, "local/q", "t", told(time=77))
    assert (found(store), found(store, project="local/q")) == ([], ["t"])
    assert found(store, "metadata.`mlflow.trace.session` = 's'", project="local/q") == ["t"]
    assert found(store, "feedback.good IS NOT NULL", project="local/q") == ["t"]
    recording.delete(store, OWNER, "local/q", named=["t"])
    assert count(store, TRACE_MARKS) == count(store, TRACE_TIMES) == 0


def test_what_a_log_holds_of_traces_gives_the_same_index(library, tmp_path):
    store = library.store
    projects.create(store, OWNER, "local/p")
    for number in range(40):
        log(store, "t", span(number + 1, usage={"input_tokens": number}))
    recording.start(store, OWNER, "local/p", "t", told(tags={"a": "b"}))
    recording.tag(store, OWNER, "t", {"c": "d"}, remove=["a"], title="named")
    held = Judgement("a", "good", "feedback", "CODE", "", 1, 1, "true")
    opinions.add(store, OWNER, "t", held)
    keeping.make(
        store, OWNER, "scorer", "s", {"x": 1}, project="local/p", name="n", unique=True, items={"1": {"v": 1}}
    )
    keeping.change(store, OWNER, "scorer", "s", lambda kept: ({"x": 2}, {"1": None, "2": {"v": 2}}))
    path, head = store.path, store.log.head()
    library.close()
    rebuilt = maintenance.rebuild(path)
    assert (rebuilt.size, rebuilt.state) == (head.size, head.state)


def test_who_may_not_read_a_project_sees_none_of_its_traces(people):
    store = people.root.store
    people.ann.create_project("lab/p")
    log(store, "t", span(1), ctx=people.max.ctx, project="lab/p")
    assert found(store, ctx=people.ria.ctx, project="lab/p") == ["t"]
    with pytest.raises(Denied):
        log(store, "t", span(2), ctx=people.ria.ctx, project="lab/p")
    for change in (
        lambda ctx: recording.tag(store, ctx, "t", {"a": "b"}),
        lambda ctx: recording.link(store, ctx, ["t"], runs=("r",)),
        lambda ctx: recording.delete(store, ctx, "lab/p", named=["t"]),
        lambda ctx: opinions.add(store, ctx, "t", Judgement("a", "n", "feedback", "CODE", "", 1, 1)),
    ):
        with pytest.raises(Denied):
            change(people.ria.ctx)
    for stranger in (people.eve.ctx, people.nobody.ctx):
        assert found(store, ctx=stranger, project="lab/p") == []
        assert recording.several(store, stranger, ["t"]) == []
        for look in (
            lambda ctx: recording.get(store, ctx, "t"),
            lambda ctx: recording.tag(store, ctx, "t", {"a": "b"}),
            lambda ctx: recording.files(store, ctx, "t"),
            lambda ctx: opinions.get(store, ctx, "t", "a"),
        ):
            with pytest.raises(Missing):
                look(stranger)
    # A stranger's own trace of that name is another.
    people.eve.create_project("eve/p")
    log(store, "t", span(9), ctx=people.eve.ctx, project="eve/p")
    assert [each.id for each in spans.read(store, recording.get(store, people.eve.ctx, "t"))] == [f"{9:016x}"]


def test_a_masked_field_of_a_trace_is_not_there_and_cannot_be_asked_about(people):
    store = people.root.store
    people.ann.create_project("lab/p")
    more = {
        "tags": {"user": "bob", "team": "a"},
        "metadata": {"m": "n"},
        "request": "secret",
        "session": "s",
        "final": False,
    }
    recording.start(store, people.ann.ctx, "lab/p", "t", told(**more))
    log(store, "t", span(1, name="hidden"), ctx=people.ann.ctx, project="lab/p")
    opinions.add(store, people.ann.ctx, "t", Judgement("a", "good", "feedback", "CODE", "", 1, 1, "true"))
    for field in ("tags.user", "metadata.m", "request", "session", "spans", "assessments.good"):
        people.ann.set_field_class("lab/p", f"traces.{field}", "secret")
    questions = (
        "tags.user = 'bob'", "tags.user IS NOT NULL", "metadata.m != 'x'", "metadata.`mlflow.trace.session` = 's'", "span.name = 'hidden'",
        "trace.text LIKE '%'", "feedback.good = 'true'",
    )  # fmt: skip
    for text in questions:
        assert found(store, text, ctx=people.ann.ctx, project="lab/p") == ["t"], text
        assert found(store, text, ctx=people.max.ctx, project="lab/p") == [], text
    assert found(store, "tags.team = 'a'", ctx=people.max.ctx, project="lab/p") == ["t"]
    held, judged = recording.described(store, people.max.ctx, "t")
    assert (held.trace.tags, held.trace.metadata, held.trace.request, held.trace.session) == (
        {"team": "a"},
        {},
        None,
        None,
    )
    assert (spans.read(store, held), judged, recording.files(store, people.max.ctx, "t")) == ([], [], [])
    with pytest.raises(Denied):
        recording.tag(store, people.max.ctx, "t", {"user": "eve"})
    with pytest.raises(Missing):
        opinions.get(store, people.max.ctx, "t", "a")
    assert len(spans.read(store, recording.get(store, people.ann.ctx, "t"))) == 1


@pytest.mark.parametrize("name", ["", "x" * 256, "a\0b", "\ud800"])
def test_a_name_that_is_none_is_refused(store, name):
    with pytest.raises(Invalid):
        recording.start(store, OWNER, "local/p", name, told())
    with pytest.raises(Missing):
        recording.get(store, OWNER, name)


def test_limits_of_traces(store):
    with pytest.raises(TooLarge):
        recording.start(
            store, OWNER, "local/p", "t", told(tags={f"k{at}": "" for at in range(recording.MAX_TAGS + 1)})
        )
    with pytest.raises(TooLarge):
        recording.start(store, OWNER, "local/p", "t", told(metadata={"k": "x" * (recording.MAX_TEXT + 1)}))
    with pytest.raises(Invalid):
        recording.start(store, OWNER, "local/p", "t", told(tags={"k": "\ud800"}))
    with pytest.raises(Missing):
        recording.get(store, OWNER, "t")
    with pytest.raises(Invalid, match="limit"):
        grammar.parse(" AND ".join(["tags.a = 'b'"] * (grammar.MAX_CLAUSES + 1)))
    # Time linear in the text, whatever the pattern.
    log(store, "t", span(1, attributes={"x": "a" * 20_000}))
    assert found(store, "trace.text LIKE '%" + "a%" * 200 + "b%'") == []
    assert found(store, "span.attributes.x RLIKE '^(a+)+b$'") == []
    assert finding.fits("t")


def test_entities_are_changed_by_one_at_a_time_and_named_once(store):
    keeping.make(store, OWNER, "issue", "i", {"n": 0}, project="local/p", name="same", unique=True)
    with pytest.raises(Exists):
        keeping.make(store, OWNER, "issue", "j", {}, project="local/p", name="same", unique=True)
    with pytest.raises(Conflict):
        keeping.make(store, OWNER, "issue", "i", {}, project="local/p", name="other")
    interfering = iter([True, False])

    def changed(held):
        if next(interfering):  # another comes between the look and the change
            keeping.change(
                store, OWNER, "issue", "i", lambda now: ({"n": now.fields["n"] + 1}, {"part": {"a": 1}})
            )
        return {"n": held.fields["n"] + 1}, {}

    assert keeping.change(store, OWNER, "issue", "i", changed, name="new", unique=True).fields == {"n": 2}
    assert keeping.named(store, OWNER, "issue", "local/p", "same") is None
    assert keeping.named(store, OWNER, "issue", "local/p", "new").id == "i"
    assert [item.key for item in keeping.items(store, keeping.get(store, OWNER, "issue", "i"))] == ["part"]
    keeping.remove(store, OWNER, "issue", "i")
    assert count(store, ENTITY_ITEMS) == 0 and keeping.of_project(store, OWNER, "issue", "local/p") == []
