"""All that a bundle carries of a project, as one document: equal for two projects that are equal, wherever they lie.

Left out is what the bundle tells of the store that it came from and an import cannot make so: ids, log entries, who made a thing and when,
how often a lineage edge was seen; and what it does not carry: deleted runs, and what a rewind has set aside.
"""

from __future__ import annotations

import hashlib
import struct
from typing import Any

import msgspec

from runstone._native import points
from runstone.domain.bundle.exporting import SECONDS
from runstone.domain.bundle.parts import Part, all_parts
from runstone.domain.bundle.records import End
from runstone.domain.bundle.source import Source, objects
from runstone.domain.context import Context
from runstone.domain.store import Store
from runstone.storage.tables import Run

_PROVENANCE = ("created", "updated", "by", "origin", "points", "lines")
_MODULUS = 1 << 256


def state_of_project(store: Store, ctx: Context, project: str) -> dict[str, Any]:
    """The document; JSON values. Points and lines are in it as digests over every single one, so memory does not grow with them."""
    with store.index.read(SECONDS) as view:
        source = Source(store, view, ctx, project)
        collections = list(source.collections())
        return {
            "project": _kept(source.about()),
            "field_classes": source.field_classes(),
            "runs": {run.name: _run(source, run) for run in source.runs()},
            "collections": {row.name: _kept(source.collection(row)) for row in collections},
            "versions": [_kept(version) for row in collections for version in source.versions(row)],
            "aliases": [_alias(alias) for row in collections for alias in source.aliases(row)],
            "labels": [msgspec.to_builtins(record) for record in source.labels()],
            "documents": [_kept(source.document(row)) for row in source.documents()],
            **{part.name: _part(source, part) for part in all_parts()},
            "lineage": sorted(
                f"{_end(edge.source)} {edge.relation} {_end(edge.target)}"
                for edge in source.edges()
                if "outside" not in (edge.source.kind, edge.target.kind)
            ),
        }


def _kept(record: msgspec.Struct) -> dict[str, Any]:
    found: dict[str, Any] = msgspec.to_builtins(record)
    return {name: value for name, value in found.items() if name not in _PROVENANCE}


def _part(source: Source, part: Part) -> list[Any]:
    found = [(part.state or _kept)(record) for record in part.read(source)]
    return [record for record in found if record is not None]


def _alias(record: msgspec.Struct) -> dict[str, Any]:
    found = _kept(record)
    found["history"] = [[step["version"], step["previous"], step["reason"]] for step in found["history"]]
    return found


def _end(end: End) -> str:
    return f"{end.kind}:{end.name}"


def _run(source: Source, run: Run) -> dict[str, Any]:
    lines, printed = hashlib.sha256(), 0
    for line in source.lines(run):
        lines.update(msgspec.msgpack.encode([line.number, line.time, line.stream, line.level, line.text]))
        printed += 1
    logged, digest = _history(source, run)
    return _kept(source.run(run, 0, 0)) | {
        "points": {"count": logged, "digest": digest},
        "lines": {"count": printed, "digest": lines.hexdigest()},
    }


def _history(source: Source, run: Run) -> tuple[int, str]:
    """How many points a run's history has, and the sum of the SHA-256 of each, in whatever order they arrived."""
    count = total = 0
    for steps, times, columns in source.history(run):
        places = list(zip(steps.tolist(), times.tolist(), strict=True))
        for name, kind, values in columns:
            packed = objects(values) if kind == points.OBJECT else _eights(values.tobytes())
            key = msgspec.msgpack.encode(name)
            for (step, time), value in zip(places, packed, strict=True):
                point = key + struct.pack("<qqB", step, time, kind) + value
                total = (total + int.from_bytes(hashlib.sha256(point).digest(), "little")) % _MODULUS
                count += 1
    return count, f"{total:064x}"


def _eights(data: bytes) -> list[bytes]:
    return [data[place : place + 8] for place in range(0, len(data), 8)]
