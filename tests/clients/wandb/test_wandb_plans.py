"""Plans of documents answer what the general executor answers: over what the real SDK asks, and over what goes wrong."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Iterator

import pytest
from graphql import build_schema, execute_sync, parse

from runstone.dialects.wandb import execution, plans
from runstone.dialects.wandb.plans import Document, Kept
from runstone.errors import Invalid, Missing

_NAME = re.compile(r"\b(?:query|mutation)\s+(\w+)")
_SIGNED = re.compile(r"\?[^\"]*")


@pytest.fixture
def recorded(served, monkeypatch) -> Iterator[list]:
    """Requests that arrive while a test runs: text, variables, operation, and the root with what its fields answered."""
    found: list = []
    held = plans.Kept

    def kept(root):
        made = held(root)
        found[-1].append(made)
        return made

    def run(root, text, variables, operation, ask=execution.run):
        found.append([text, variables, operation])
        return ask(root, text, variables, operation)

    lock = threading.Lock()

    def one_at_a_time(*asked):
        with lock:
            return run(*asked)

    monkeypatch.setattr(execution, "Kept", kept)
    monkeypatch.setattr(execution, "run", one_at_a_time)
    yield found


def told(answer) -> str:
    """An answer without the signatures of addresses, which hold a time."""
    return _SIGNED.sub("", json.dumps(answer))


def test_what_the_sdk_asks_is_answered_as_the_general_executor_does(served, sdk, recorded):
    sdk.run("""
        api = wandb.Api()
        registry = api.create_registry("planned", visibility="organization", artifact_types=["model"])
        with wandb.init(project="plans", id="a", config={"lr": 1}, tags=["t"]) as run:
            for step in range(3): run.log({"x": step, "nan": float("nan"), "page": wandb.Html("<b>x</b>")})
            artifact = wandb.Artifact("net", type="model", metadata={"a": [1]})
            for number in range(30):
                with artifact.new_file(f"deep/{number}") as file: file.write(str(number))
            run.log_artifact(artifact, aliases=["latest", "best"], tags=["good"]).wait()
            run.link_artifact(artifact, "wandb-registry-planned/Net")
        with wandb.init(project="plans", id="a", resume="must") as run: run.log({"x": 3})
        with wandb.init(project="plans", id="b") as run: run.use_artifact("wandb-registry-planned/Net:latest")
        api = wandb.Api()
        for lazy in (True, False): list(api.runs("plans", order="-summary_metrics.x", lazy=lazy))
        run = api.run("plans/a")
        [list(run.scan_history()), run.history(pandas=False), run.history(keys=["x"], pandas=False), run.history(stream="system", pandas=False)]
        [list(run.files()), run.logged_artifacts(), run.summary, run.user, api.viewer, api.projects(), run.lastHistoryStep]
        artifact = api.artifact("plans/net:v0"); artifact.download(root="got")
        [list(artifact.files()), artifact.used_by(), artifact.logged_by(), artifact.linked_artifacts, artifact.collection.aliases]
        [[each.name for each in kind.collections()] for kind in api.artifact_types("plans")]
        registry = api.registry("planned")
        [list(registry.collections()), list(registry.versions()), registry.user_members(), registry.team_members(), list(api.registries())]
        name = wandb.sweep({"method": "grid", "parameters": {"x": {"values": [1, 2]}}}, project="plans")
        [list(api.project("plans", "local").sweeps()), api.sweep(f"plans/{name}").config, list(api.automations(entity="local"))]
        api.run("plans/b").delete()
    """)
    seen, compared = set(), 0
    for text, variables, operation, *kept in recorded:
        if not kept or "errors" in (general := execute(text, variables, operation, kept[0])):
            continue
        planned = execution._prepared(text).fill(kept[0], variables, operation or None)
        assert told({"data": planned}) == told(general), text
        seen.update(_NAME.findall(text))
        compared += 1
    assert compared > 60
    assert len(seen) > 45, sorted(seen)
    assert {
        "UpsertBucket",
        "CreateArtifactFiles",
        "GetArtifactMembershipFileUrls",
        "Runs",
        "FetchRegistries",
    } <= seen


def execute(text, variables, operation, kept):
    return execution.execute(execution._prepared(text).parsed, kept, variables, operation)


SCHEMA = build_schema("""
    type Query { plain: String! list: [Int!] nested: Thing things(first: Int = 2, of: Kind): [Thing] any: [Any!] broken: String }
    type Mutation { change(input: Change!): Thing }
    input Change { name: String! more: [Int] }
    enum Kind { A B }
    union Any = Thing | Other
    type Thing { id: ID! name(long: Boolean): String number: Int odd: Float inner: Thing kind: Kind }
    type Other { what: String }
""")


class Thing:
    __typename = "Thing"
    id, number, odd, kind, inner = 7, True, 1, "A", None

    def name(self, long: bool | None = None) -> str:
        return "a long name" if long else "name"


class Root:
    """Fields that answer, and count how often they were asked."""

    plain = "text"
    list = (1, 2.0, "3")

    def __init__(self):
        self.asked = []

    def nested(self):
        return {"id": "x", "inner": Thing(), "name": None}

    def things(self, first, of=None):
        self.asked.append((first, of))
        return [Thing() for _ in range(first)]

    def any(self):
        return [Thing(), {"__typename": "Other", "what": 3}]

    def broken(self):
        self.asked.append("broken")
        raise Missing("nothing here")

    def change(self, input):
        self.asked.append(input)
        if input["name"] == "bad":
            raise Invalid("bad name")
        return {"id": None} if input["name"] == "null" else Thing()


SWITCHED = """query Q($on: Boolean!) { plain @include(if: $on) list @skip(if: $on)
    any { __typename ... on Thing @include(if: $on) { id } ... on Other { what } } }"""
GOOD = [
    ("{ plain list again: plain __typename nested { id name inner { id name n: name(long: true) number odd kind __typename } } }", {}),
    ("query Q($n: Int, $k: Kind) { things(first: $n, of: $k) { id } }", {"n": 3, "k": "B"}),
    ("query Q($n: Int) { things(first: $n) { id ...F } } fragment F on Thing { id name kind }", {}),
    (SWITCHED, {"on": True}),
    (SWITCHED, {"on": False}),
    ("query Q($on: Boolean = true) { plain @skip(if: $on) list }", {}),
    ("mutation M($i: Change!) { change(input: $i) { id } second: change(input: {name: \"b\", more: [1]}) { name } }", {"i": {"name": "a"}}),
]  # fmt: skip
WRONG = [
    ("{ plain broken nested { id } }", {}),
    ("mutation M($i: Change!) { change(input: $i) { id } after: change(input: {name: \"b\"}) { id } }", {"i": {"name": "bad"}}),
    ("mutation M($i: Change!) { change(input: $i) { id } }", {"i": {"name": "null"}}),
    ("mutation M($i: Change!) { change(input: $i) { id } }", {"i": {"more": 1}}),
    ("mutation M($i: Change!) { change(input: $i) { id } }", {}),
    ("query Q($n: Int) { things(first: $n) { id } }", {"n": "three"}),
    ("query Q($on: Boolean!) { plain @include(if: $on) }", {}),
    ("query A { plain } query B { list }", {}),
]  # fmt: skip


@pytest.mark.parametrize(("text", "variables"), GOOD)
def test_a_plan_answers_alike(text, variables):
    document = Document(SCHEMA, parse(text), 1)
    expected = execute_sync(SCHEMA, parse(text), Root(), None, variables, field_resolver=plans.resolve)
    assert not expected.errors
    for _ in range(2):
        assert json.dumps(document.fill(Kept(Root()), variables, None)) == json.dumps(expected.data)


@pytest.mark.parametrize(("text", "variables"), WRONG)
def test_what_goes_wrong_is_told_by_the_executor_and_done_once(text, variables, monkeypatch):
    monkeypatch.setattr(execution, "schema", lambda: SCHEMA)
    monkeypatch.setattr(execution, "_known", type(execution._known)())
    alone, root = Root(), Root()
    expected = execute_sync(SCHEMA, parse(text), alone, None, variables, field_resolver=plans.resolve)
    assert expected.errors
    found = execution.run(root, text, variables, None)
    assert found["data"] == expected.data
    assert [each["message"] for each in found["errors"]] == [
        execution._told(each)["message"] for each in expected.errors
    ]
    assert root.asked == alone.asked
