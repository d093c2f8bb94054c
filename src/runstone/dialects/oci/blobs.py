"""Blobs by digest: files as they are stored, the layer that an image has, and configurations."""

from __future__ import annotations

from functools import partial

from runstone.dialects.oci import documents
from runstone.dialects.oci.manifests import DIGEST, Anything
from runstone.dialects.oci.problem import BLOB, VERSION
from runstone.dialects.oci.repository import FORMS, Repository, attributed, repository, unknown
from runstone.dialects.routing import BYTES, Call, Download, Raw, Route
from runstone.domain import archives
from runstone.errors import Gone, Invalid, Missing, Quarantined


def blob(form: str, call: Call) -> Download | Raw:
    """Answers ``GET`` and ``HEAD …/blobs/{digest}``, with ranges."""
    found = repository(call, form)
    asked = DIGEST.match(call.path["digest"])
    if asked is None:
        raise Invalid(f"{call.path['digest']!r:.200} is no sha256 digest")
    headers = {**VERSION, "Docker-Content-Digest": asked[0]}
    try:
        return _blob(call, found, asked[1], headers)
    except (Missing, Gone, Quarantined) as error:
        raise unknown(call, found.name, BLOB, error.message) from None


def _blob(call: Call, found: Repository, digest: str, headers: dict[str, str]) -> Download | Raw:
    known = archives.described(call.store, call.ctx, found.collection, digest)
    number, what = known or (0, "")
    name = f"{found.collection}@v{number}"
    if what == "image layer":
        packed = archives.open_archive(call.store, call.ctx, name)
        if call.method == "GET":
            call.services.fetched(attributed(call), packed.version_id)
        return Download(packed, headers)
    if what == f"{found.form} config":
        made = documents.of_version(call, found, f"v{number}")
        if documents.digest_of(made.config) == digest:
            return Raw(made.config, BYTES, headers=headers)
    return Download(archives.open_held(call.store, call.ctx, found.collection, digest), headers)


ROUTES = tuple(
    Route(
        "GET",
        f"/v2/{{ns}}/{{project}}/{{name}}{path}/blobs/{{digest}}",
        partial(blob, form),
        "A file, layer or configuration.",
        query=Anything,
        blocking=True,
        token=True,
        anonymous=True,
        media_type=BYTES,
        also=(206, 304),
    )
    for form, path in FORMS.items()
)
