"""Files that come in parts, in any order: each part is taken in as bytes of its own, and in the end they are put together."""

from __future__ import annotations

from collections.abc import Sequence

from runstone.domain import content, limits, names, versions
from runstone.domain.context import Context
from runstone.domain.store import Store
from runstone.errors import Missing
from runstone.types import UploadedFile

PIECE = 4 << 20
MAX_PARTS = 10_000


def join(store: Store, ctx: Context, namespace: str, parts: Sequence[str]) -> UploadedFile:
    """One file of parts (SHA-256 each) that the principal has taken in, in that order; durable when it returns.

    What the parts hold is not stored again, but for the chunks at their seams: the parts are nobody's afterwards, and are collected.
    """
    digests = [limits.digest(part) for part in parts]
    with store.index.read() as view:
        held = names.find_namespace(store, view, ctx, namespace, "write")
        for part, digest in zip(parts, digests, strict=True):
            if not versions.may_use(store, view, ctx, held.domain, digest):
                raise Missing(
                    f"there is no part {part}; it was never here, or has expired: begin the upload again"
                )
    upload = content.begin_upload(store, ctx, namespace)
    try:
        at = 0
        for digest in digests:
            reader = store.blobs.open(held.domain, digest)
            try:
                size = reader.size
                for start in range(0, size, PIECE):
                    piece = reader.read(start, min(start + PIECE, size))
                    at = content.write_upload(store, ctx, upload.id, at, piece)
            finally:
                reader.close()
        return content.finish_upload(store, ctx, upload.id)
    except BaseException:
        content.abort_upload(store, ctx, upload.id)
        raise
