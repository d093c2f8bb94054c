"""Manifests of artifacts as JSON, of version 1, the only one that there is."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec

from runstone.dialects.wandb import wire
from runstone.domain.digested import DigestedFile
from runstone.errors import Invalid

#: What a reference to a file of another artifact begins with; its id in hexadecimal digits follows.
ARTIFACT = "wandb-artifact://"
POLICY = "wandb-storage-policy-v1"


class _Entry(msgspec.Struct, rename={"birth": "birthArtifactID"}, omit_defaults=True):
    digest: str
    size: int | None = None
    ref: str | None = None
    extra: dict[str, Any] | None = None
    birth: str | None = None


class _Manifest(msgspec.Struct, rename="camel"):
    version: int
    contents: dict[str, _Entry]
    storage_policy: str = POLICY
    storage_policy_config: dict[str, Any] = msgspec.field(default_factory=lambda: {"storageLayout": "V2"})


_decode = msgspec.json.Decoder(_Manifest).decode
_encode = msgspec.json.Encoder().encode


def parsed(content: bytes) -> list[DigestedFile]:
    """The files of a manifest; raises :class:`Invalid` for one that is not of this shape."""
    try:
        found = _decode(content)
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        raise Invalid(f"the artifact's manifest is not one of version 1: {error}") from None
    if found.version != 1:
        raise Invalid(f"the artifact's manifest is of version {found.version}, and only version 1 is known")
    return [_file(path, entry) for path, entry in found.contents.items()]


def _file(path: str, entry: _Entry) -> DigestedFile:
    artifact, source = 0, ""
    if entry.ref and entry.ref.startswith(ARTIFACT):
        held, _, source = entry.ref.removeprefix(ARTIFACT).partition("/")
        artifact = wire.number_of_hex("Artifact", held)
    return DigestedFile(
        path, entry.digest, entry.size or 0, entry.ref or "", entry.extra or {}, artifact, source
    )


def written(files: Iterable[DigestedFile], artifact: int) -> bytes:
    """The manifest of an artifact."""
    birth = wire.make_id("Artifact", artifact)
    contents = {
        file.path: _Entry(file.digest, file.size, file.ref or None, file.extra or None, birth)
        for file in files
    }
    return _encode(_Manifest(1, contents))
