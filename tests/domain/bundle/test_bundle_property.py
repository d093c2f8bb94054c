"""Random projects through a bundle: export, import, equal state."""

import math
import tempfile
from pathlib import Path

import msgspec
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import runstone
from runstone.domain import artifacts, labels, links
from runstone.domain.bundle import export_project, import_project, state_of_project
from runstone.domain.entities import keeping
from runstone.domain.runs import alerts, inputs
from runstone.domain.runs.inputs import ModelUse, Used
from runstone.domain.sweeps import lifecycle as sweeps
from runstone.domain.traces import recording, spans
from runstone.domain.traces.judging import Judgement
from runstone.domain.traces.spans import Span, Told
from runstone.errors import RunstoneError
from runstone.types import FileEntry

NAMES = st.sampled_from(["a", "b", "c d", "ä.1"])
KEYS = st.sampled_from(["loss", "x/y", "ünï", "n"])
TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=8)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats() | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=5,
)
DOCUMENTS = st.dictionaries(st.sampled_from(["lr", "$float", "$", "deep"]), JSON, max_size=3)
VALUES = (
    st.floats()
    | st.integers(-(2**63), 2**63 - 1)
    | st.none()
    | st.booleans()
    | TEXT
    | st.lists(JSON, max_size=2)
)
ROWS = st.lists(
    st.tuples(st.integers(-3, 12), st.integers(0, 50), st.dictionaries(KEYS, VALUES, min_size=1, max_size=3)),
    min_size=1,
    max_size=5,
)
LINES = st.lists(
    st.tuples(st.integers(0, 99), st.sampled_from(["stdout", "stderr"]), TEXT, TEXT), min_size=1, max_size=4
)
FILES = st.dictionaries(
    st.sampled_from(["f", "d/g", "h.txt"]), st.binary(max_size=40), min_size=1, max_size=3
)
ALIASES = st.sampled_from(["prod", "stage/1"])
STATES = st.sampled_from(["finished", "failed", "crashed", "killed", "preempted"])
FAR = FileEntry(path="far/away", size=5, url="s3://bucket/key", etag="e")
OPERATIONS = st.one_of(
    st.tuples(st.just("run"), NAMES, DOCUMENTS, st.dictionaries(KEYS, st.sampled_from(["min", "max"]))),
    st.tuples(st.just("fork"), NAMES, NAMES, st.integers(0, 12)),
    st.tuples(st.just("log"), NAMES, ROWS),
    st.tuples(st.just("log"), NAMES, ROWS),
    st.tuples(st.just("rewind"), NAMES, st.integers(0, 12)),
    st.tuples(st.just("undo"), NAMES),
    st.tuples(st.just("delete"), NAMES),
    st.tuples(st.just("purge"), NAMES),
    st.tuples(st.just("update"), NAMES, DOCUMENTS, st.dictionaries(st.sampled_from(["t", "u"]), TEXT)),
    st.tuples(st.just("state"), NAMES, STATES, st.integers(1, 1 << 50)),
    st.tuples(st.just("lines"), NAMES, LINES, st.none() | st.integers(0, 20)),
    st.tuples(st.just("files"), NAMES, FILES),
    st.tuples(st.just("put"), NAMES, FILES, st.lists(ALIASES, max_size=2)),
    st.tuples(st.just("alias"), NAMES, st.integers(1, 3), ALIASES, st.none() | st.booleans(), TEXT),
    st.tuples(st.just("unalias"), NAMES, ALIASES, TEXT),
    st.tuples(st.just("drop"), NAMES, st.integers(1, 3), TEXT),
    st.tuples(st.just("link"), NAMES, st.integers(1, 3), st.sampled_from(["used_by", "fetched_by"]), NAMES),
    st.tuples(st.just("label"), NAMES, st.integers(0, 3), st.sampled_from(["tag", "property"]), TEXT, TEXT),
    st.tuples(
        st.just("document"), st.sampled_from(["view", "report"]), st.sampled_from(["a", "b"]), JSON, TEXT
    ),
    st.tuples(st.just("amend"), NAMES, st.integers(1, 3), JSON, NAMES),
    st.tuples(
        st.just("inputs"), NAMES, KEYS, TEXT, st.dictionaries(KEYS, TEXT, max_size=2), st.integers(0, 9)
    ),
    st.tuples(st.just("alert"), NAMES, TEXT, st.integers(0, 9)),
    st.tuples(st.just("trace"), NAMES, TEXT, st.integers(-5, 5), st.integers(1, 3), JSON),
    st.tuples(st.just("entity"), st.sampled_from(keeping.KINDS), NAMES, JSON, st.booleans()),
    st.tuples(st.just("sweep"), NAMES, JSON),
    st.tuples(st.just("class"), st.sampled_from(["config.lr", "notes"]), st.sampled_from(["pii", "secret"])),
)


class Builder:
    """Does to a project what it is told; what the store refuses has not happened."""

    def __init__(self, library, root: Path) -> None:
        self.library, self.root, self.count = library, root, 0

    def folder(self, files):
        self.count += 1
        for path, content in files.items():
            target = self.root / f"folder{self.count}" / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(content)
        return self.root / f"folder{self.count}"

    def do(self, kind, *given):
        getattr(self, f"_{kind}")(*given)

    def _run(self, name, config, goals):
        self.library.create_run(f"p/{name}", config=config, goals=goals)

    def _fork(self, name, parent, step):
        self.library.create_run(f"p/{name} fork", fork=f"p/{parent}", step=step)

    def _log(self, name, rows):
        self.library.log_rows(f"p/{name}", rows)
        self.library.log_rows(f"p/{name} fork", rows[::-1])

    def _rewind(self, name, step):
        self.library.rewind_run(f"p/{name}", step)
        self.library.rewind_run(f"p/{name} fork", step // 2)

    def _undo(self, name):
        self.library.undo_rewind(f"p/{name}")

    def _delete(self, name):
        self.library.delete_run(f"p/{name}")

    def _purge(self, name):
        self.library.purge_run(f"p/{name}")

    def _update(self, name, summary, tags):
        self.library.update_run(f"p/{name}", summary=summary, tags=tags, info=summary)

    def _state(self, name, state, finished):
        self.library.finish_run(f"p/{name}", state, finished=finished)

    def _lines(self, name, lines, first):
        self.library.log_lines(f"p/{name}", lines, first=first)

    def _files(self, name, files):
        self.library.save_run_files(f"p/{name}", self.folder(files), files=[FAR])

    def _put(self, name, files, aliases):
        self.library.put(f"p/{name}", self.folder(files), aliases=aliases, files=[FAR], reuse=False)

    def _alias(self, name, number, alias, fallback, reason):
        self.library.set_alias(f"p/{name}:v{number}", alias, fallback=fallback, reason=reason)

    def _unalias(self, name, alias, reason):
        self.library.delete_alias(f"p/{name}", alias, reason=reason)

    def _drop(self, name, number, reason):
        self.library.delete_version(f"p/{name}:v{number}", with_aliases=True, reason=reason)

    def _link(self, name, number, relation, run):
        self.library.link(f"p/{name}:v{number}", relation, f"run:local/p/{run}")
        self.library.link(f"p/{name}:v{number}", relation, f"consumer:{run}")

    def _label(self, name, number, kind, key, text):
        store, ctx = self.library.store, self.library.ctx
        labels.label_project(store, ctx, "p", {key: text}, kind=kind)
        labels.label_collection(store, ctx, f"p/{name}", {key: text}, kind=kind)
        labels.label_version(store, ctx, f"p/{name}:v{number}", {key: text}, kind=kind)

    def _document(self, kind, name, spec, title):
        self.library.create_document("p", kind, name, spec, title=title, private=kind == "view")
        self.library.update_document("p", kind, name, title=f"{title}.")

    def _amend(self, name, number, metadata, target):
        store, ctx = self.library.store, self.library.ctx
        version = self.library.version(f"p/{name}:v{number}").id
        artifacts.amend(store, ctx, version, metadata)
        links.link(store, ctx, version, f"p/{target} links")

    def _inputs(self, run, name, source, texts, step):
        used, model = Used(name, "d", source=source, labels=texts), ModelUse(name, step > 4, step)
        inputs.note(self.library.store, self.library.ctx, f"p/{run}", [used], [model])

    def _alert(self, run, text, wait):
        alerts.raise_alert(self.library.store, self.library.ctx, f"p/{run}", "title", text, wait=wait)

    def _trace(self, name, text, time, number, value):
        store, ctx = self.library.store, self.library.ctx
        content = msgspec.json.encode({"value": text}).decode()
        usage = {"input_tokens": value}
        held = [Span(str(each), "", text, None, "OK", each, 0, content, usage) for each in range(number)]
        spans.log(store, ctx, "p", [Told(name, held, session=text)])
        told = {"time": time, "state": "OK", "tags": {name: text}, "title": text, "usage": {"n": number}}
        judged = Judgement(name, text, "feedback", "HUMAN", "", 1, number, content)
        recording.start(store, ctx, "p", name, told, [judged])
        recording.link(store, ctx, [name], runs=[name])

    def _entity(self, kind, name, value, unique):
        store, ctx, held = self.library.store, self.library.ctx, {name: value}
        keeping.make(
            store, ctx, kind, name, held, project="p", name=name, unique=unique, items={"b": held, "a": {}}
        )

    def _sweep(self, name, value):
        store, ctx = self.library.store, self.library.ctx
        config = {"method": "random", "parameters": {"x": {"value": 1}}, "name": name}
        sweep = sweeps.create(store, ctx, "p", config, priors="state = 'finished'")
        sweeps.enqueue(store, ctx, sweep.path, {name: value})

    def _class(self, field, name):
        self.library.set_field_class("p", field, name)


@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(OPERATIONS, max_size=40), st.sampled_from([7, 100_000]))
def test_a_random_project_comes_back_equal(operations, group):
    from runstone.domain.bundle import parquet

    held, parquet.GROUP_ROWS = parquet.GROUP_ROWS, group
    try:
        _there_and_back(operations)
    finally:
        parquet.GROUP_ROWS = held


def _there_and_back(operations):
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        with runstone.open(root / "one") as one, runstone.open(root / "two") as two:
            one.create_project("p")
            builder = Builder(one, root)
            for operation in [("run", "a", {"lr": math.nan}, {}), *operations]:
                try:
                    builder.do(*operation)
                except RunstoneError:
                    continue
            before = state_of_project(one.store, one.ctx, "p")
            export_project(one.store, one.ctx, "p", root / "bundle")
            import_project(two.store, two.ctx, root / "bundle", "q")
            assert state_of_project(two.store, two.ctx, "q") == before
            assert {name: two.get_run(f"q/{name}").tags for name in before["runs"]} == {
                name: run["tags"] for name, run in before["runs"].items()
            }
