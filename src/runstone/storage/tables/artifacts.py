"""What a client says of a version beside its files, and versions that are not committed yet."""

from __future__ import annotations

from runstone.storage.tables.table import Record, state_table


class DraftManifest(Record, frozen=True):
    """A manifest that was sent for a draft: ``full``, ``incremental`` on the version ``base``, or a ``patch`` to the others."""

    part: str
    kind: str
    sha256: bytes
    base: int = 0


class Draft(Record, frozen=True):
    """An artifact under way: what it shall be, and its manifests so far. Of a committed one only ``version`` is left.

    ``digest`` is the MD5 that its manifest must have; ``run`` is the run that makes it, or 0; ``ttl`` is in seconds.
    """

    id: int
    collection: int = 0
    created: int = 0
    by: str = ""
    digest: bytes = b""
    metadata: bytes = b"\x80"
    description: str = ""
    tags: tuple[str, ...] = ()
    aliases: tuple[str, ...] = ()
    ttl: int = 0
    step: int | None = None
    run: int = 0
    distributed: str = ""
    manifests: tuple[DraftManifest, ...] = ()
    version: int = 0


class Artifact(Record, frozen=True):
    """What is known of a version beside its row.

    ``digest`` is the MD5 of its manifest as wandb takes it; ``step`` is the step of the run that logged it; ``source`` is the version that
    it is a link to, or 0; ``metadata`` is what took the place of the committed metadata since, if anything did.
    """

    digest: bytes = b""
    step: int | None = None
    source: int = 0
    metadata: bytes = b""


DRAFTS = state_table(105, "drafts", "id:u64", Draft)
ARTIFACTS = state_table(106, "artifacts", "version:u64", Artifact)
ARTIFACT_KEYS = state_table(107, "artifact_keys", "scope:u64 kind:text key:text", int)
VERSION_LINKS = state_table(108, "version_links", "source:u64 target:u64", int)
