"""What a bundle has of versions as artifacts: facts beside them, links between them, and what is kept beside their files."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import msgspec

from runstone.domain import beside, limits
from runstone.domain.bundle.parts import Known, Part, Taker
from runstone.domain.bundle.records import ArtifactRecord, ExtrasRecord, plain, restored
from runstone.domain.bundle.source import Source
from runstone.errors import Invalid
from runstone.storage.tables import ARTIFACTS, ENTRY_EXTRAS, VERSIONS, Artifact

_decode = msgspec.msgpack.Decoder().decode


def _live(source: Source) -> Iterator[tuple[str, int]]:
    """The live versions of a project: name and id."""
    for collection in source.collections():
        for (_, number), row in source.view.scan(VERSIONS, collection.id):
            source.ctx.check_deadline()
            if row.state == "live":
                yield f"{collection.name}@v{number}", row.id


def _facts(source: Source) -> Iterator[ArtifactRecord]:
    for name, number in _live(source):
        row = source.view.get(ARTIFACTS, number) or Artifact()
        if row == Artifact():
            continue
        origin = source.end(row.source) if row.source else None
        inside = origin is not None and origin.kind == "version"
        yield ArtifactRecord(
            version=name,
            digest=row.digest.hex(),
            step=row.step,
            source=origin.name if origin and inside else "",
            outside=origin is not None and not inside,
            amended=bool(row.metadata),
            metadata=plain(_decode(row.metadata)) if row.metadata else None,
        )


def _check_facts(known: Known) -> Callable[[ArtifactRecord], None]:
    found = set()

    def check(record: ArtifactRecord) -> None:
        name = record.version
        if not known.digest(name) or name in found:
            raise Invalid(
                f"the bundle has no version {name!r:.200} for an artifact to be, or two artifacts are it"
            )
        found.add(name)
        if record.digest and (len(record.digest) != 32 or set(record.digest) - set("0123456789abcdef")):
            raise Invalid(f"{record.digest!r:.80} is not the MD5 of the manifest of {name}")
        if record.step is not None and not -(1 << 63) <= record.step < 1 << 63:
            raise Invalid(f"{name} cannot have been logged at step {record.step}")
        if record.source:
            origin = known.digest(record.source)
            if origin is None or record.source == name or record.outside:
                raise Invalid(f"{name} cannot be a link to {record.source!r:.200}")
            if origin and origin != known.digest(name):
                raise Invalid(f"{name} is a link to {record.source} and has other files")
        if record.metadata is not None and not record.amended:
            raise Invalid(f"{name} has metadata that did not take the place of what it was committed with")
        limits.metadata(restored(record.metadata))

    return check


def _make_facts(taker: Taker, item: str, record: ArtifactRecord) -> None:
    taker.once(
        item,
        beside.put_artifact,
        f"{taker.name}/{record.version}",
        digest=bytes.fromhex(record.digest),
        step=record.step,
        source=f"{taker.name}/{record.source}" if record.source else "",
        metadata=restored(record.metadata),
        amended=record.amended,
    )


def _state(record: ArtifactRecord) -> Any:
    """A record without what an import cannot make so: a link out of the project."""
    found = msgspec.to_builtins(msgspec.structs.replace(record, outside=False))
    return (
        found
        if any(value not in (None, "", False) for key, value in found.items() if key != "version")
        else None
    )


def _extras(source: Source) -> Iterator[ExtrasRecord]:
    for name, number in _live(source):
        for (_, page), packed in source.view.scan(ENTRY_EXTRAS, number):
            yield ExtrasRecord(version=name, page=page, extras=plain(_decode(packed)))


def _check_extras(known: Known) -> Callable[[ExtrasRecord], None]:
    found = set()

    def check(record: ExtrasRecord) -> None:
        place = record.version, record.page
        if not known.digest(record.version) or place in found:
            raise Invalid(
                f"page {record.page} of extras is of no version, or is there twice: {record.version!r:.200}"
            )
        found.add(place)
        beside.checked_extras(record.page, restored(record.extras))

    return check


def _make_extras(taker: Taker, item: str, record: ExtrasRecord) -> None:
    name = f"{taker.name}/{record.version}"
    taker.once(item, beside.put_extras, name, record.page, restored(record.extras))


PARTS = (
    Part("extras", ExtrasRecord, _extras, _check_extras, _make_extras),
    Part("artifacts", ArtifactRecord, _facts, _check_facts, _make_facts, _state),
)
