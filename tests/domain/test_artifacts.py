"""Artifacts in the domain: MD5s of bytes that came without one, drafts, links, and files that arrive together."""

import hashlib
from concurrent.futures import wait

import pytest

from runstone.domain import (
    abandoned,
    artifacts,
    collections,
    digested,
    drafts,
    gathering,
    lineage,
    links,
    projects,
    versions,
)
from runstone.domain.context import Context
from runstone.domain.webhooks import events
from runstone.errors import Conflict, DigestMismatch, Invalid, Missing
from runstone.storage.tables import ARTIFACT_KEYS, DRAFTS, MD5S, PINS

CTX = Context()


@pytest.fixture
def put(library, folder):
    library.create_project("local/p")
    library.create_collection("local/p/model")
    return library.put("local/p/model", folder)


def test_an_md5_is_worked_out_once_and_goes_with_its_blob(library, folder, put):
    store = library.store
    found = artifacts.contents(store, CTX, put.id)
    by_path = {file.path: file.digest for file in found}
    expected = {
        str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()
    }
    assert by_path == {
        path: digested.written(hashlib.md5(content).digest()) for path, content in expected.items()
    }
    lines = "".join(f"{path}:{by_path[path]}\n" for path in sorted(by_path))
    digest = hashlib.md5(b"wandb-artifact-manifest-v1\n" + lines.encode()).hexdigest()
    assert artifacts.digest(store, CTX, put.id) == digest
    with store.index.read() as view:
        assert view.count(MD5S) == len(expected)
    versions.delete(store, CTX, "local/p/model@v1")
    store.blobs.collect(grace_seconds=0, now=store.blobs.clock() + 10**12)
    store.blobs.collect(grace_seconds=0, now=store.blobs.clock() + 2 * 10**12)
    with store.index.read() as view:
        assert view.count(MD5S) == 0


def test_small_files_are_stored_together_and_a_wrong_one_alone_is_refused(library):
    gatherer = gathering.of(library.store)
    contents = [b"file %d" % number for number in range(300)]
    sent = [gatherer.put(CTX, "local", each, hashlib.md5(each).hexdigest()) for each in contents]
    wrong = gatherer.put(CTX, "local", b"other", hashlib.md5(b"announced").hexdigest())
    nowhere = gatherer.put(CTX, "nobody", b"x", hashlib.md5(b"x").hexdigest())
    wait([*sent, wrong, nowhere], timeout=60)
    assert [each.exception() for each in sent] == [None] * 300
    assert isinstance(wrong.exception(), DigestMismatch)
    assert isinstance(nowhere.exception(), Missing)
    keys = {("local", hashlib.md5(each).digest()) for each in contents}
    assert digested.held(library.store, CTX, keys | {("local", hashlib.md5(b"other").digest())}) == keys


def test_a_link_has_the_same_files_and_remembers_its_source(library, put):
    store = library.store
    projects.create(store, CTX, "local/shop", kind="registry")
    made = links.link(store, CTX, put.id, "local/shop/Net", ("prod",))
    info = artifacts.by_id(store, CTX, made)
    assert (info.version.digest, info.source, info.portfolio) == (put.digest, put.id, True)
    wanted = frozenset({"version.created", "alias.set"})
    with store.index.read() as view:
        told = list(events.read(view, 0, store.log.head().size, wanted))[-2:]
    assert [(each.kind, each.version, each.detail.get("alias")) for each in told] == [
        ("version.created", 1, None),
        ("alias.set", 1, "prod"),
    ]
    assert links.link(store, CTX, put.id, "local/shop/Net", ("other",)) == made
    assert links.link(store, CTX, made, "local/shop/Net") == made
    assert versions.get(store, CTX, "local/shop/Net@other").number == 1
    assert [each.version.id for each in artifacts.links_of(store, CTX, put.id)] == [made]
    graph = lineage.closure(store, CTX, "local/shop/Net@v1", direction="upstream")
    assert [node.name for node in graph.nodes if node.id == put.id] == ["local/p/model:v1"]
    with pytest.raises(Conflict, match="no links"):
        links.link(store, CTX, put.id, "local/p/model")
    collections.create(store, CTX, "local/shop/Data", type="dataset")
    with pytest.raises(Invalid, match="holds datasets"):
        links.link(store, CTX, put.id, "local/shop/Data")
    versions.delete(store, CTX, "local/p/model@v1")
    assert library.files("local/shop/Net@v1")
    links.unlink(store, CTX, made, "local/shop/Net")
    with pytest.raises(Missing):
        artifacts.by_id(store, CTX, made)


def test_a_draft_is_nobodys_version(library, put):
    number, known = drafts.create(
        library.store, CTX, "local/p/model", digest=b"d" * 16, client="c1", aliases=("latest",)
    )
    assert not known and drafts.resolved(library.store, "c1") == number
    assert [each.number for each in versions.list_versions(library.store, CTX, "local/p/model")] == [1]
    assert isinstance(artifacts.by_id(library.store, CTX, number), artifacts.DraftInfo)
    with pytest.raises(Missing):
        artifacts.name_of(library.store, CTX, number)


def test_abandoned_drafts_are_purged_and_their_bytes_freed(library, put):
    store = library.store
    make = {"digest": b"d" * 16, "aliases": ("latest",)}
    given_up, _ = drafts.create(store, CTX, "local/p/model", client="c1", distributed="d1", **make)
    assert drafts.create(store, CTX, "local/p/model", client="c2", distributed="d1", **make)[0] == given_up
    going_on, _ = drafts.create(store, CTX, "local/p/model", client="c3", **make)
    with store.index.read() as view:
        assert view.count(PINS) == 0
    sent = gathering.of(store).put(
        CTX, "local", b"never committed", hashlib.md5(b"never committed").hexdigest()
    )
    sent.result(timeout=60)
    key = {("local", hashlib.md5(b"never committed").digest())}
    week, began = int(abandoned.PATIENCE * 1e6), store.blobs.clock()
    assert abandoned.purge(store) == 0
    drafts.put_manifest(
        store, CTX, going_on, "m", "full", versions.files(store, CTX, "local/p/model@v1")[0].sha256
    )
    with store.index.read() as view:
        late = abandoned._abandoned(store, began + week)
    assert {number for number, _ in late} == {given_up, going_on}
    # Something came for one of them after it was looked at.
    stale = abandoned.PurgeDrafts(
        actor="a", drafts=((going_on, late[1][1] - 1), (given_up, late[0][1])), clients=("c1", "c2", "c3")
    )
    assert store.submit(CTX, stale).result == 1
    assert [drafts.resolved(store, name) for name in ("c1", "c2", "c3")] == [None, None, going_on]
    with pytest.raises(Missing):
        drafts.put_manifest(store, CTX, given_up, "m", "full", "0" * 64)
    again, _ = drafts.create(store, CTX, "local/p/model", client="c1", distributed="d1", **make)
    assert again not in (given_up, going_on)
    store.blobs.clock, held = (lambda: began + 2 * week), store.blobs.clock
    try:
        assert abandoned.purge(store) == 2
        assert abandoned.purge(store) == 0
        store.blobs.uploads.sweep(store.blobs.clock())
    finally:
        store.blobs.clock = held
    with store.index.read() as view:
        assert (view.count(DRAFTS), list(view.scan(ARTIFACT_KEYS, 0, drafts.CLIENT))) == (0, [])
    assert digested.held(store, CTX, key) == key
    store.blobs.collect(grace_seconds=0, now=began + 3 * week)
    store.blobs.collect(grace_seconds=0, now=began + 4 * week)
    assert digested.held(store, CTX, key) == set()
    assert library.files("local/p/model@v1")
    with store.index.read() as view:
        assert view.count(PINS) == 0
