"""What a bundle carries beside runs, collections and versions: there and back, once, and nothing of it from a hostile bundle."""

import base64
import hashlib
import json
import math
import shutil

import msgspec
import pytest
from tests.conftest import make_folder
from tests.domain.bundle.test_bundle import (
    in_manifest,
    lines_of,
    manifest_of,
    rewrite,
    set_first,
    sign,
    state,
    take,
)

import runstone
from runstone.domain import artifacts, assembling, beside, content, digested, drafts, gates, links
from runstone.domain.bundle import export_project
from runstone.domain.digested import DigestedFile
from runstone.domain.entities import keeping
from runstone.domain.runs import alerts, inputs
from runstone.domain.runs.inputs import ModelUse, Used
from runstone.domain.sweeps import agents, restoring
from runstone.domain.sweeps import lifecycle as sweeps
from runstone.domain.sweeps.commands import StopSweepRun
from runstone.domain.traces import opinions, recording, spans
from runstone.domain.traces import restoring as traces
from runstone.domain.traces.judging import Judgement
from runstone.domain.traces.spans import Span, Told
from runstone.domain.webhooks import events
from runstone.errors import Exists, Invalid, Missing

PARTS = [
    "extras",
    "artifacts",
    "datasets",
    "inputs",
    "sweeps",
    "sweep_runs",
    "alerts",
    "traces",
    "spans",
    "entities",
    "entity_items",
    "gates",
]


def make_project(library, folder):
    """A project with something of every part."""
    library.create_project("p")
    make_artifacts(library, folder)
    make_inputs(library)
    make_sweeps(library)
    make_alerts(library)
    make_traces(library, folder)
    make_kept(library)


def log_artifact(library, path, metadata, step):
    """An artifact as the wandb SDK logs one: its manifest refers to bytes here and elsewhere."""
    store, ctx = library.store, library.ctx
    digest = base64.b64encode(hashlib.md5(path.read_bytes()).digest()).decode()
    files = [
        DigestedFile("here", digest, path.stat().st_size, ref="file:///my/own path", extra={"$k": [1, None]}, held=True),
        DigestedFile("there", "etag", 9, ref="s3://bucket/with space"),
    ]  # fmt: skip
    library.create_run("p/maker")
    number, _ = drafts.create(
        store, ctx, "p/logged", digest=digested.digest_of(files), metadata=metadata, step=step, run="p/maker"
    )
    drafts.put_manifest(store, ctx, number, "m", "full", content.put_files(store, ctx, "local", [("", path)])[0].sha256)  # fmt: skip
    return assembling.commit(store, ctx, number, lambda _: files)


def make_artifacts(library, folder):
    store, ctx = library.store, library.ctx
    first = library.put("p/m", folder)
    library.put("elsewhere/m", folder)
    artifacts.contents(store, ctx, first.id)  # which makes their MD5s known
    path = min(path for path in folder.iterdir() if path.is_file())
    library.create_collection("p/logged", type="model")
    logged = log_artifact(library, path, {"by": "sdk"}, 12)
    links.link(store, ctx, logged, "p/chosen", ("best",))
    links.link(store, ctx, first.id, "p/chosen")
    links.link(store, ctx, library.version("elsewhere/m:v1").id, "p/chosen")
    artifacts.amend(store, ctx, logged, {"amended": {"$": 0.5}})
    artifacts.amend(store, ctx, first.id, None)
    library.delete_version("p/m:v1", with_aliases=True)


def make_inputs(library):
    store, ctx = library.store, library.ctx
    for run in ("a", "b", "gone"):
        library.create_run(f"p/{run}")
    train = Used(
        "train", "d1", "local", "{}", '[{"n": 1}]', '{"rows": 3}', {"mlflow.data.context": "training"}
    )
    inputs.note(store, ctx, "p/gone", [Used("only", "d0", source="gone")])
    inputs.note(store, ctx, "p/b", [Used("test", "d0"), train], [ModelUse("m-1"), ModelUse("m-2", True, 7)])
    inputs.note(store, ctx, "p/a", [Used("train", "d1", "other", labels={"k": ""}), Used("train", "d2")])
    inputs.note(store, ctx, "p/a", [Used(f"many {number}", "d") for number in range(990)])
    inputs.note(store, ctx, "p/a", [Used(f"more {number}", "d") for number in range(20)])
    library.finish_run("p/b")
    library.delete_run("p/gone")


GRID = {"method": "grid", "parameters": {"lr": {"values": [1, 2, 3]}, "$x": {"value": 0.5}}, "run_cap": 9}


def make_sweeps(library):
    store, ctx = library.store, library.ctx
    grid = sweeps.create(store, ctx, "p", GRID, display_name="the grid", priors="name = 'a'")
    agent = agents.join(store, ctx, grid.path, "host")
    (order,) = agents.heartbeat(store, ctx, agent, ())
    library.create_run(f"p/{order.run}", sweep=grid.name)
    store.submit(ctx, StopSweepRun(actor="x", sweep=grid.id, run=order.run))
    sweeps.enqueue(store, ctx, grid.path, {"lr": 7})
    other = sweeps.create(store, ctx, "p", GRID | {"method": "random"})
    sweeps.update(store, ctx, other.path, state="canceled")
    sweeps.create(store, ctx, "p", GRID)


def make_alerts(library):
    store, ctx = library.store, library.ctx
    alerts.raise_alert(store, ctx, "p/a", "low", "the loss\nis low", severity="warn")
    alerts.raise_alert(store, ctx, "p/a", "low", "again", wait=1000)
    alerts.raise_alert(store, ctx, "p/b", "end", "")


def span(number, **more):
    begun = 10**18 + number
    content = json.dumps({"name": f"s{number}", "attributes": {}})
    parent = "" if number == 1 else f"{1:016x}"
    return Span(f"{number:016x}", parent, f"s{number}", "LLM", "OK", begun, begun + 10**6, content, **more)


def judgement(name, value, **more):
    return Judgement(name, "correct", "feedback", "HUMAN", "ann", 5, 6, value, **more)


def make_traces(library, folder):
    store, ctx = library.store, library.ctx
    spans.log(
        store,
        ctx,
        "p",
        [
            Told(
                "tr-1",
                [span(1), span(2, usage={"input_tokens": math.nan}, cost={"x": 0.5})],
                "title",
                metadata={"k": "v"},
            )
        ],
    )
    spans.log(
        store,
        ctx,
        "p",
        [Told("tr-1", [span(2), span(3, model="m", usage={"input_tokens": 3, "total_tokens": 3})])],
    )
    told = {
        "time": 10**12,
        "state": "ERROR",
        "duration": None,
        "tags": {"t": "", "ü": "\0x"},
        "metadata": {},
        "request": "?",
        "cost": {"total_cost": 1.5},
    }
    recording.start(
        store, ctx, "p", "tr-2", told, [judgement("a-1", "true"), judgement("a-2", '{"$float": 1}', span="x")]
    )
    opinions.add(
        store,
        ctx,
        "tr-2",
        judgement("a-3", "false", overrides="a-1", rationale="why", error='{"error_code": "E"}'),
    )
    recording.link(store, ctx, ["tr-2"], runs=["a", "elsewhere"], prompts=["p/1"])
    library.put("elsewhere/files", folder)
    file = next(iter(library.files("elsewhere/files")))
    recording.put_file(store, ctx, "tr-2", msgspec.structs.replace(file, path="attachments/f"))
    recording.start(store, ctx, "p", "tr-0", told | {"time": 10**12, "state": "IN_PROGRESS"})
    recording.start(store, ctx, "p", "gone", told)
    recording.delete(store, ctx, "p", named=["gone"])


def make_kept(library):
    store, ctx = library.store, library.ctx
    items = {f"i{number}": {"n": number, "$": math.nan} for number in range(1200, 0, -1)}
    keeping.make(store, ctx, "scorer", "s-1", {"code": "x", "$a": None}, project="p", name="ünï", unique=True)
    keeping.make(store, ctx, "scorer", "s-2", {}, project="p", name="ünï")
    keeping.make(store, ctx, "review-queue", "q-1", {"of": "s-1"}, project="p", items=items)
    keeping.make(store, ctx, "dataset", "d-1", {}, namespace="local")
    keeping.make(store, ctx, "issue", "gone", {}, project="p")
    keeping.remove(store, ctx, "issue", "gone")
    gates.set_mode(store, ctx, "p/chosen", "manual")


@pytest.fixture
def full(library, folder):
    make_project(library, folder)
    return library


@pytest.fixture
def bundle(full, tmp_path):
    export_project(full.store, full.ctx, "p", tmp_path / "bundle")
    return tmp_path / "bundle"


@pytest.fixture
def other(tmp_path):
    with runstone.open(tmp_path / "other") as opened:
        yield opened


def test_all_parts_come_back_equal_and_once(full, bundle, other):
    before = state(full)
    assert all(before[part] for part in PARTS)
    take(other, bundle)
    assert state(other) == before
    size = other.store.log.head().size
    take(other, bundle)
    assert other.store.log.head().size == size


BREAKING = [
    (beside, "put_extras"),
    (beside, "put_artifact"),
    (inputs, "describe"),
    (inputs, "note"),
    (restoring, "put_runs"),
    (alerts, "keep"),
    (traces, "start"),
    (traces, "put_files"),
    (traces, "add_spans"),
    (keeping, "add_items"),
    (gates, "set_mode"),
]


def test_an_import_that_breaks_off_in_every_part_goes_on(full, bundle, other):
    for module, name in BREAKING:
        with pytest.MonkeyPatch.context() as patched:
            patched.setattr(module, name, breaking_after_one(getattr(module, name)))
            with pytest.raises(KeyboardInterrupt):
                take(other, bundle)
    take(other, bundle)
    assert state(other) == state(full)


def breaking_after_one(true):
    """A function that does its work and never tells, as when a process is ended."""

    def broken(*arguments, **options):
        true(*arguments, **options)
        raise KeyboardInterrupt

    return broken


@pytest.mark.parametrize("what", ["dataset", "sweep", "trace", "scorer"])
def test_a_project_that_has_any_of_it_takes_no_bundle(bundle, other, what):
    store, ctx = other.store, other.ctx
    other.create_project("q")
    make = {
        "dataset": lambda: inputs.describe(store, ctx, "q", Used("d", "1")),
        "sweep": lambda: sweeps.create(store, ctx, "q", GRID),
        "trace": lambda: spans.log(store, ctx, "q", [Told("tr-1", [span(1)])]),
        "scorer": lambda: keeping.make(store, ctx, "scorer", "s", {}, project="q"),
    }
    make[what]()
    with pytest.raises(Exists, match="not empty"):
        take(other, bundle, "q")


def test_a_bundle_from_before_there_were_parts_is_taken(bundle, other):
    manifest = manifest_of(bundle)
    for part in PARTS:
        del manifest["files"][f"{part}.jsonl"], manifest["counts"][part]
    (bundle / "manifest.json").write_text(json.dumps(manifest))
    take(other, bundle)
    found = state(other)
    assert found["versions"] and not any(found[part] for part in PARTS)


def test_artifacts_are_what_they_were(full, bundle, other):
    take(other, bundle)
    for name in ("p/logged:v1", "p/chosen:v1", "p/chosen:v2", "p/chosen:v3"):
        mine, theirs = (artifacts.get(each.store, each.ctx, name) for each in (full, other))
        assert (mine.step, mine.metadata, mine.version.metadata) == (theirs.step, theirs.metadata, theirs.version.metadata)  # fmt: skip
        told = [
            (artifacts.digest(each.store, each.ctx, info.version.id), artifacts.contents(each.store, each.ctx, info.version.id))
            for each, info in ((full, mine), (other, theirs))
        ]  # fmt: skip
        assert told[0] == told[1]
    logged = artifacts.get(other.store, other.ctx, "p/logged:v1")
    found = [each.name for each in artifacts.links_of(other.store, other.ctx, logged.version.id)]
    assert found == ["local/p/chosen@v1"]
    digest = bytes.fromhex(artifacts.digest(other.store, other.ctx, logged.version.id))
    again = drafts.create(other.store, other.ctx, "p/logged", digest=digest)
    assert again == (logged.version.id, True)
    records = {record["version"]: record for record in lines_of(bundle, "artifacts.jsonl")}
    assert [records[f"chosen@v{number}"]["source"] for number in (1, 2, 3)] == ["logged@v1", "m@v1", ""]
    assert records["chosen@v3"]["outside"] is True and "elsewhere" not in json.dumps(records)


def test_a_digest_that_is_not_of_the_files_finds_nothing(bundle, other):
    set_first("artifacts.jsonl", digest="0" * 32)(bundle)
    take(other, bundle)
    name = lines_of(bundle, "artifacts.jsonl")[0]["version"].partition("@")[0]
    assert drafts.create(other.store, other.ctx, f"p/{name}", digest=bytes(16))[1] is False


def test_runs_read_what_they_read(full, bundle, other):
    take(other, bundle)

    def uses(library, run):
        found = inputs.of(library.store, library.ctx, run)
        described = {
            (
                each.name,
                each.digest,
                each.source_type,
                each.source,
                each.schema,
                each.profile,
                tuple(labels.items()),
            )
            for each, labels in found.datasets
        }
        return described, found.models

    for run in ("p/a", "p/b"):
        assert uses(full, run) == uses(other, run)
    assert len(uses(other, "p/a")[0]) == 1012
    assert len(lines_of(bundle, "inputs.jsonl")) == 4
    assert other.get_run("p/b").state == "finished"
    inputs.note(other.store, other.ctx, "p/b", [Used("only", "d0", source="later")])
    assert ("only", "d0", "", "gone", "", "", ()) in uses(other, "p/b")[0]


def test_a_sweep_goes_on_where_it_was(full, bundle, other):
    take(other, bundle)
    there = {
        name: sweeps.listed(each.store, each.ctx, "p") for name, each in (("mine", full), ("theirs", other))
    }
    assert [
        (each.name, each.state, each.runs) for each in sorted(there["mine"], key=lambda each: each.name)
    ] == [(each.name, each.state, each.runs) for each in sorted(there["theirs"], key=lambda each: each.name)]
    grid = next(each for each in there["theirs"] if each.display_name == "the grid")
    assert grid.runs == 3
    agent = agents.join(other.store, other.ctx, grid.path, "another host")
    found = [agents.heartbeat(other.store, other.ctx, agent, ())[0].params["lr"] for _ in range(3)]
    assert found == [7, 2, 3]


def test_nobody_is_told_of_an_old_alert(full, bundle, other):
    take(other, bundle)
    with other.store.index.read() as view:
        told = events.read(view, 0, other.store.log.head().size, frozenset({"run.alert"}))
        assert not list(told)
    mine, theirs = (alerts.listed(each.store, each.ctx, "p/a") for each in (full, other))
    assert [each.told for each in theirs] == [True, False]
    assert [(each.title, each.text, each.severity, each.time, each.told) for each in mine] == [
        (each.title, each.text, each.severity, each.time, each.told) for each in theirs
    ]


def test_traces_are_what_they_were(full, bundle, other):
    take(other, bundle)
    for name in ("tr-0", "tr-1", "tr-2"):
        seen = []
        for each in (full, other):
            found, judged = recording.described(each.store, each.ctx, name)
            row = msgspec.structs.replace(found.trace, id=0, project=0, created=0)
            files = recording.files(each.store, each.ctx, name)
            held = [msgspec.structs.replace(one, order=0) for one in judged]
            seen.append((row, held, spans.read(each.store, found), files))
        assert repr(seen[0]) == repr(seen[1])
    assert [each.id for each in recording.described(other.store, other.ctx, "tr-2")[1] if each.valid] == [
        "a-2",
        "a-3",
    ]
    with recording.open_file(other.store, other.ctx, "tr-2", "attachments/f") as stored:
        assert (
            hashlib.sha256(stored.read()).hexdigest()
            == recording.files(other.store, other.ctx, "tr-2")[0].sha256
        )
    opinions.remove(other.store, other.ctx, "tr-2", "a-3")
    assert opinions.get(other.store, other.ctx, "tr-2", "a-1").valid


def test_a_project_is_imported_beside_itself(full, bundle):
    """Names that are unique in a project only stay with the project that has them."""
    before = state(full)
    done = take(full, bundle, "beside")
    # The ids of some things are one's alone in a store: these are told of, and left out.
    assert done.left_out == ("review-queue q-1", "scorer s-1", "scorer s-2")
    assert (
        state(full)
        == before
        == state(full, "beside") | {part: before[part] for part in ("entities", "entity_items")}
    )
    size = full.store.log.head().size
    assert take(full, bundle, "beside") == done
    assert full.store.log.head().size == size


def test_what_clients_keep_is_what_it_was(full, bundle, other):
    assert not take(other, bundle).left_out
    for library in (full, other):
        queue = keeping.get(library.store, library.ctx, "review-queue", "q-1")
        assert [each.key for each in keeping.items(library.store, queue)] == [
            f"i{number}" for number in range(1200, 0, -1)
        ]
        assert keeping.named(library.store, library.ctx, "scorer", "p", "ünï").id == "s-1"
    with pytest.raises(Missing):
        keeping.get(other.store, other.ctx, "dataset", "d-1")
    chosen = other.collection("p/chosen").id
    assert gates.mode_of(other.store, chosen) == "manual"


def of(file, **wanted):
    """The first record of a file that has some values, to be changed."""

    def find(records):
        return next(each for each in records if wanted.items() <= each.items())

    return lambda **values: rewrite(file, lambda records: find(records).update(values))


logged, chosen = of("artifacts.jsonl", version="logged@v1"), of("artifacts.jsonl", version="chosen@v1")
traced = of("traces.jsonl", name="tr-2")


def spanned(**values):
    return rewrite("spans.jsonl", lambda records: records[0]["spans"][0].update(values))


HOSTILE = {
    "count": in_manifest(lambda manifest: manifest["counts"].update(artifacts=9)),
    "artifact of no version": logged(version="logged@v9"),
    "artifact of a deleted version": logged(version="m@v1"),
    "artifact twice": rewrite("artifacts.jsonl", lambda records: records.append(records[0])),
    "artifact digest": logged(digest="../x"),
    "artifact step": logged(step=1 << 63),
    "link to nothing": chosen(source="logged@v9"),
    "link to itself": chosen(source="chosen@v1"),
    "link outside the project": chosen(source="../elsewhere/m@v1"),
    "link to other files": chosen(source="chosen@v3"),
    "metadata depth": logged(metadata=json.loads("[" * 90 + "]" * 90)),
    "metadata that is none": logged(amended=False),
    "extras of no version": set_first("extras.jsonl", version="m@v1"),
    "extras twice": rewrite("extras.jsonl", lambda records: records.append(records[0])),
    "extras page": set_first("extras.jsonl", page=-1),
    "extras path": set_first("extras.jsonl", extras={"../x": {"ref": "x"}}),
    "extras of another kind": set_first("extras.jsonl", extras={"x": {"sha256": "x"}}),
    "extras reference": set_first("extras.jsonl", extras={"x": {"ref": 7}}),
    "extras map": set_first("extras.jsonl", extras={"x": {"extra": {"k": "v" * 70_000}}}),
    "dataset twice": rewrite("datasets.jsonl", lambda records: records.append(records[0])),
    "dataset name": set_first("datasets.jsonl", name="n" * 600),
    "dataset text": set_first("datasets.jsonl", source="a\0b"),
    "inputs of no run": of("inputs.jsonl", run="b")(run="gone"),
    "input that is no dataset": of("inputs.jsonl", run="b")(datasets=[{"name": "x", "digest": "y", "labels": {}}]),
    "input labels": of("inputs.jsonl", run="b")(datasets=[{"name": "train", "digest": "d1", "labels": {"": "x"}}]),
    "model name": of("inputs.jsonl", run="b")(models=[{"model": "m" * 600, "output": True, "step": 0}]),
    "model step": of("inputs.jsonl", run="b")(models=[{"model": "m", "output": True, "step": -1}]),
    "too many inputs": of("inputs.jsonl", run="b")(models=[{"model": "m", "output": True, "step": step} for step in range(1001)]),
    "sweep twice": rewrite("sweeps.jsonl", lambda records: records.append(records[0])),
    "sweep name": set_first("sweeps.jsonl", name="../x"),
    "sweep state": set_first("sweeps.jsonl", state="done"),
    "sweep method": set_first("sweeps.jsonl", config={"method": "magic"}),
    "sweep number": set_first("sweeps.jsonl", drawn=-1),
    "run of no sweep": set_first("sweep_runs.jsonl", sweep="nothing"),
    "runs of a sweep out of order": set_first("sweep_runs.jsonl", first=1),
    "run of a sweep twice": rewrite("sweep_runs.jsonl", lambda records: records[0]["runs"].append(records[0]["runs"][0])),
    "name of a run of a sweep": rewrite("sweep_runs.jsonl", lambda records: records[0]["runs"][0].update(run="../x")),
    "time of a run of a sweep": rewrite("sweep_runs.jsonl", lambda records: records[0]["runs"][0].update(stopped=-1)),
    "parameters": rewrite("sweep_runs.jsonl", lambda records: records[0]["runs"][0].update(params={"": 1})),
    "alert of no run": set_first("alerts.jsonl", run="gone"),
    "alert severity": set_first("alerts.jsonl", severity="panic"),
    "alert title": set_first("alerts.jsonl", title=""),
    "alert text": set_first("alerts.jsonl", text="a\0b"),
    "alert time": set_first("alerts.jsonl", time=-1),
    "trace twice": rewrite("traces.jsonl", lambda records: records.append(records[0])),
    "trace name": traced(name="n" * 300),
    "trace state": traced(state=""),
    "trace time": traced(time=1 << 63),
    "trace tags": traced(tags={"t": "x" * 300_000}),
    "trace usage": traced(usage={"x": 1 << 63}),
    "trace cost": traced(cost={"x": "much"}),
    "trace link": traced(runs=[""]),
    "trace file path": rewrite("traces.jsonl", lambda records: records[-1]["files"][0].update(path="../x")),
    "trace file unknown": rewrite("traces.jsonl", lambda records: records[-1]["files"][0].update(sha256="0" * 64)),
    "assessment twice": rewrite("traces.jsonl", lambda records: records[-1]["assessments"].append(records[-1]["assessments"][0])),
    "assessment kind": rewrite("traces.jsonl", lambda records: records[-1]["assessments"][0].update(kind="x")),
    "assessment value": rewrite("traces.jsonl", lambda records: records[-1]["assessments"][0].update(value="{")),
    "spans missing": set_first("traces.jsonl", spans=9),
    "spans of no trace": set_first("spans.jsonl", trace="gone"),
    "spans too many": rewrite("spans.jsonl", lambda records: records.append(records[0])),
    "span twice": rewrite("spans.jsonl", lambda records: records[0]["spans"].__setitem__(1, records[0]["spans"][0])),
    "span status": spanned(status="FINE"),
    "span time": spanned(start=-1),
    "span content": spanned(content="[]"),
    "span content that is deep": spanned(content="[" * 100_000),
    "span usage": spanned(usage=json.loads('{"a":' * 90 + "1" + "}" * 90)),
    "entity twice": rewrite("entities.jsonl", lambda records: records.append(records[0])),
    "entity kind": set_first("entities.jsonl", kind="spell"),
    "entity id": set_first("entities.jsonl", id="x" * 300),
    "entity name taken": of("entities.jsonl", id="s-2")(unique=True),
    "entity depth": set_first("entities.jsonl", fields=json.loads('{"a":' * 90 + "1" + "}" * 90)),
    "parts of nothing": set_first("entity_items.jsonl", id="gone"),
    "parts twice": rewrite("entity_items.jsonl", lambda records: records[1]["items"].append(records[0]["items"][0])),
    "part key": rewrite("entity_items.jsonl", lambda records: records[0]["items"][0].update(key="k" * 600)),
    "gate of no collection": set_first("gates.jsonl", collection="nothing"),
    "gate mode": set_first("gates.jsonl", mode="open"),
}  # fmt: skip


@pytest.fixture(scope="module")
def pristine(tmp_path_factory):
    """One bundle that the hostile ones are made of."""
    root = tmp_path_factory.mktemp("pristine")
    folder = make_folder(root / "folder", {"a": b"a" * 1000, "b/c": b"c"})
    with runstone.open(root / "data") as library:
        make_project(library, folder)
        export_project(library.store, library.ctx, "p", root / "bundle")
    return root / "bundle"


@pytest.fixture(scope="module")
def empty(tmp_path_factory):
    """A store that no hostile bundle gets anything into."""
    with runstone.open(tmp_path_factory.mktemp("empty") / "data") as library:
        yield library


@pytest.mark.parametrize("how", HOSTILE)
def test_nothing_is_made_of_a_hostile_part(pristine, empty, tmp_path, how):
    shutil.copytree(pristine, tmp_path / "bundle")
    HOSTILE[how](tmp_path / "bundle")
    size = empty.store.log.head().size
    with pytest.raises(Invalid) as caught:
        take(empty, tmp_path / "bundle")
    assert empty.store.log.head().size == size
    assert caught.value.message


def test_the_parts_that_hostile_ones_are_made_of_are_good(pristine, other, tmp_path):
    shutil.copytree(pristine, tmp_path / "bundle")
    sign(tmp_path / "bundle")
    take(other, tmp_path / "bundle")
    assert all(state(other)[part] for part in PARTS)
