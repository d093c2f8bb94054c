"""A store against a model of it in memory: whatever is done, in whatever order, what resolves is what was put."""

import hashlib
import random
import shutil
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

import runstone
from runstone.domain import content as files
from runstone.domain import maintenance
from runstone.domain.context import Context
from runstone.errors import AliasMoved, Conflict, Gone, Missing
from runstone.storage.pages import check
from runstone.types import FileEntry

from .programs import count

STEPS = count("RUNSTONE_STEPS", 50)
COLLECTIONS = ("machine/a", "machine/b")
HOUR = 3600 * 1_000_000
#: How long an upload is kept for which no version has been made; the grace that collections here are given.
KEPT, GRACE = 24 * HOUR, 2 * HOUR
#: Rules that ran, over all examples; the test below says which of them must have.
RAN: dict[str, int] = {}


def data_of(seed: int) -> bytes:
    """Small files, some empty; every third is large and differs from the others of its kind in a few bytes only."""
    if seed % 3:
        return random.Random(seed).randbytes(seed * 211 % 3000)
    shared = bytearray(random.Random(0).randbytes(300_000))
    shared[seed * 9000 : seed * 9000 + 4] = b"%04d" % seed
    return bytes(shared)


@dataclass
class Version:
    files: dict[str, int]
    metadata: int
    state: str = "live"
    expires: int = 0
    hold: str = ""


@dataclass
class Collection:
    versions: list[Version] = field(default_factory=list)
    aliases: dict[str, int] = field(default_factory=dict)
    steps: dict[str, list[int]] = field(default_factory=dict)

    def point(self, alias: str, number: int) -> None:
        self.aliases[alias] = number
        self.steps.setdefault(alias, []).append(number)

    def remove(self, number: int) -> None:
        self.versions[number - 1].state = "deleted"
        for alias in [alias for alias, held in self.aliases.items() if held == number]:
            del self.aliases[alias]
            self.steps[alias].append(0)


names = st.sampled_from(COLLECTIONS)
seeds = st.integers(1, 12)
contents = st.dictionaries(st.sampled_from(["a", "b/c", "b/d"]), seeds, min_size=1)
aliases = st.sampled_from(["prod", "next"])


class StoreMachine(RuleBasedStateMachine):
    """The model: collections with their versions and aliases, and a clock that only this machine moves."""

    uploads = Bundle("uploads")

    def __init__(self):
        super().__init__()
        self.home = Path(tempfile.mkdtemp(prefix="runstone-machine-"))
        self.data = self.home / "data"
        self.later = 0
        self.steps_since = 0
        self.collections = {name: Collection() for name in COLLECTIONS}
        self.library = None
        self.open()
        for name in COLLECTIONS:
            self.library.create_project("machine", exist_ok=True)
            self.library.create_collection(name)

    @initialize(first=contents, second=contents, third=contents)
    def begin(self, first, second, third):
        for name in COLLECTIONS:
            for number, put in enumerate((first, second, third)):
                self.put(name, put, number, False, None)

    def open(self):
        self.library = runstone.open(self.data)
        blobs, real = self.library.store.blobs, self.library.store.blobs.clock
        self.clock = lambda: real() + self.later
        for part in (blobs, blobs.uploads, blobs.batches, blobs.collector, blobs.reader, blobs.scrubber):
            for name in ("clock", "_clock"):
                if hasattr(part, name):
                    setattr(part, name, self.clock)

    def teardown(self):
        self.library.verify()
        report = self.library.scrub(deep=True)
        assert not report["damages"] and not report["index"]
        self.library.close()
        assert check(self.data / "index" / "data.mdb").tables["versions"] == sum(
            len(collection.versions) for collection in self.collections.values()
        )
        shutil.rmtree(self.home)

    def ran(self, what):
        RAN[what] = RAN.get(what, 0) + 1

    def number(self, name, choice):
        """One of the versions that there ever were."""
        return choice % len(self.collections[name].versions) + 1

    def rested(self):
        """What takes long is not done again at once."""
        return self.steps_since > 4

    # What is put

    @rule(
        name=names, put=contents, metadata=st.integers(0, 2), reuse=st.booleans(), alias=st.none() | aliases
    )
    def put(self, name, put, metadata, reuse, alias):
        folder = Path(tempfile.mkdtemp(dir=self.home))
        for path, seed in put.items():
            (folder / path).parent.mkdir(exist_ok=True)
            (folder / path).write_bytes(data_of(seed))
        made = self.library.put(
            name, folder, metadata={"n": metadata}, reuse=reuse, aliases=[alias] if alias else []
        )
        shutil.rmtree(folder)
        self.committed(name, made.number, put, metadata, reuse, alias)

    def committed(self, name, number, put, metadata, reuse, alias):
        collection = self.collections[name]
        same = [
            n for n, v in enumerate(collection.versions, 1)
            if v.state == "live" and v.metadata == metadata and self.digests(v.files) == self.digests(put)
        ]  # fmt: skip
        if reuse and same:
            assert number == same[-1]
            self.ran("reused")
            if alias and collection.aliases.get(alias) != number:
                collection.point(alias, number)
            return
        collection.versions.append(Version(dict(put), metadata))
        assert number == len(collection.versions)
        self.ran("made")
        if alias:
            collection.point(alias, number)

    def digests(self, held):
        return {path: hashlib.sha256(data_of(seed)).digest() for path, seed in held.items()}

    @rule(target=uploads, seed=seeds, cut=st.integers(0, 300_000))
    def begin_upload(self, seed, cut):
        store, data = self.library.store, data_of(seed)
        upload = files.begin_upload(store, Context(), "local").id
        at = files.write_upload(store, Context(), upload, 0, data[:cut])
        assert files.pause_upload(store, Context(), upload) == at == min(cut, len(data))
        return upload, seed, self.clock() + KEPT

    @rule(upload=consumes(uploads), name=names, metadata=st.integers(0, 2), reuse=st.booleans())
    def finish_upload(self, upload, name, metadata, reuse):
        key, seed, until = upload
        store, data = self.library.store, data_of(seed)
        try:
            at = files.upload_state(store, Context(), key).offset
            files.write_upload(store, Context(), key, at, data[at:])
            made = files.finish_upload(store, Context(), key)
        except (Gone, Missing):
            assert self.clock() >= until
            self.ran("expired uploads")
            return
        assert (made.size, made.sha256) == (len(data), hashlib.sha256(data).hexdigest())
        entry = FileEntry(path="a", size=made.size, sha256=made.sha256)
        found = self.library.commit(name, [entry], metadata={"n": metadata}, reuse=reuse)
        self.ran("resumed uploads")
        self.committed(name, found.number, {"a": seed}, metadata, reuse, None)

    @rule(source=names, choice=st.integers(0, 50), name=names, metadata=st.integers(0, 2), alias=aliases)
    def commit_what_another_version_has(self, source, choice, name, metadata, alias):
        number = self.number(source, choice)
        version = self.collections[source].versions[number - 1]
        if version.state == "live":
            entries = self.library.files(f"{source}@v{number}")
            made = self.library.commit(name, entries, metadata={"n": metadata}, aliases=[alias], reuse=True)
            self.committed(name, made.number, version.files, metadata, True, alias)

    @rule(name=names, seed=seeds)
    def commit_bytes_by_their_digest_alone(self, name, seed):
        """They are there, or the commit is refused: a version without its bytes is never made."""
        data = data_of(seed)
        entry = FileEntry(path="a", size=len(data), sha256=hashlib.sha256(data).hexdigest())
        try:
            made = self.library.commit(name, [entry], metadata={"n": 0}, reuse=True)
        except Missing:
            self.ran("refused without bytes")
            assert not any(
                seed in version.files.values()
                for collection in self.collections.values() for version in collection.versions if version.state == "live"
            )  # fmt: skip
        else:
            self.committed(name, made.number, {"a": seed}, 0, True, None)

    # What points at it

    @rule(name=names, choice=st.integers(0, 50), alias=aliases, expected=st.none() | st.integers(0, 3))
    def move_alias(self, name, choice, alias, expected):
        collection, number = self.collections[name], self.number(name, choice)
        gone = collection.versions[number - 1].state != "live"
        lost = expected is not None and expected != collection.aliases.get(alias, 0)
        try:
            self.library.set_alias(f"{name}@v{number}", alias, expected=expected)
        except AliasMoved:
            assert lost
            self.ran("lost moves")
        except (Gone, Missing):
            assert gone
        else:
            assert not gone and not lost
            collection.point(alias, number)
            self.ran("moves")

    @rule(name=names, alias=aliases)
    def delete_alias(self, name, alias):
        collection = self.collections[name]
        try:
            self.library.delete_alias(name, alias)
        except Missing:
            assert alias not in collection.aliases
        else:
            del collection.aliases[alias]
            collection.steps[alias].append(0)

    # What takes it away

    @rule(name=names, choice=st.integers(0, 50), with_aliases=st.booleans())
    def delete(self, name, choice, with_aliases):
        collection, number = self.collections[name], self.number(name, choice)
        version = collection.versions[number - 1]
        held = number in collection.aliases.values() and not with_aliases
        try:
            self.library.delete_version(f"{name}@v{number}", with_aliases=with_aliases)
        except Conflict:
            assert held or version.hold
        except (Missing, Gone):
            assert version.state == "deleted"
        else:
            assert version.state == "live" and not held and not version.hold
            collection.remove(number)
            self.ran("deleted")

    @rule(name=names, choice=st.integers(0, 50))
    def delete_and_collect(self, name, choice):
        self.delete(name, choice, True)
        self.collect(30)
        self.collect(3)

    @rule(name=names, choice=st.integers(0, 50))
    def expire_and_collect(self, name, choice):
        self.let_expire(name, choice, True, "")
        self.collect(30)
        self.collect(3)

    @rule(name=names, choice=st.integers(0, 50), past=st.booleans(), hold=st.sampled_from(["", "case 7"]))
    def let_expire(self, name, choice, past, hold):
        number = self.number(name, choice)
        version = self.collections[name].versions[number - 1]
        if version.state == "live":
            expires = 1 if past else 1 << 52
            self.library.update_version(f"{name}@v{number}", expires=expires, hold=hold)
            version.expires, version.hold = expires, hold

    @rule(hours=st.sampled_from([0, 1, 3, 30]))
    def collect(self, hours):
        self.later += hours * HOUR
        maintenance.expire(self.library.store)
        for collection in self.collections.values():
            for number, version in enumerate(collection.versions, 1):
                if version.state == "live" and version.expires == 1 and not version.hold:
                    collection.remove(number)
                    self.ran("expired")
        report = self.library.store.blobs.collect(grace_seconds=GRACE / 1e6)
        assert not report.failures
        RAN["collected"] = RAN.get("collected", 0) + report.deleted
        RAN["freed"] = RAN.get("freed", 0) + report.bytes_freed

    # What it must all outlive

    @rule()
    def reopen(self):
        self.library.close()
        self.open()
        self.ran("reopened")

    @precondition(rested)
    @rule()
    def rebuild(self):
        self.steps_since = 0
        before = self.library.store.log.head()
        self.library.close()
        after = maintenance.rebuild(self.data)
        assert (after.size, after.root, after.state) == (before.size, before.root, before.state)
        self.open()
        self.ran("rebuilt")

    @precondition(rested)
    @rule()
    def back_up_and_restore(self):
        self.steps_since = 0
        self.library.backup(self.home / "backup")
        maintenance.restore(self.home / "backup", self.home / "restored")
        with runstone.open(self.home / "restored") as restored:
            self.check(restored)
        shutil.rmtree(self.home / "restored")
        self.ran("restored")

    @invariant()
    def is_as_the_model_says(self):
        self.steps_since += 1
        self.check(self.library)

    @rule()
    def verify(self):
        self.library.verify()
        assert not self.library.damages()

    def check(self, library):
        for name, collection in self.collections.items():
            assert {alias.alias: alias.version for alias in library.aliases(name)} == collection.aliases
            for alias, steps in collection.steps.items():
                assert [step.version for step in library.alias_history(name, alias)] == steps
            states = {info.number: info.state for info in library.versions(name, limit=1000)}
            assert states == {n: version.state for n, version in enumerate(collection.versions, 1)}
            for number, version in enumerate(collection.versions, 1):
                if version.state == "live":
                    self.check_version(library, f"{name}@v{number}", version)
                else:
                    try:
                        library.resolve(f"{name}@v{number}")
                    except Gone:
                        continue
                    raise AssertionError(f"{name}@v{number} was deleted, and resolves")

    def check_version(self, library, name, version):
        assert library.version(name).metadata == {"n": version.metadata}
        assert {file.path for file in library.files(name)} == set(version.files)
        for path, seed in version.files.items():
            with library.open_file(name, path) as file:
                assert file.read() == data_of(seed)


def test_a_store_does_what_its_model_says():
    RAN.clear()
    run_state_machine_as_test(
        StoreMachine,
        settings=settings(
            max_examples=max(2, STEPS * 2 // 3),
            stateful_step_count=STEPS,
            deadline=None,
            derandomize=True,
            # A failure prints its steps; making them fewer would take minutes.
            phases=[Phase.generate],
            database=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
    print(RAN)
    wanted = {
        "made",
        "reused",
        "moves",
        "lost moves",
        "deleted",
        "expired",
        "collected",
        "reopened",
        "rebuilt",
        "restored",
    }
    assert wanted | {"resumed uploads", "refused without bytes"} <= RAN.keys()
    assert RAN["collected"] > 10 and RAN["freed"] > 0
