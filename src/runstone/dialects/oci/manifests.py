"""Manifests by tag or digest, and what refers to them."""

from __future__ import annotations

import re
from functools import partial

import msgspec

from runstone.dialects.oci import documents
from runstone.dialects.oci.documents import INDEX, MANIFEST, Documents, digest_of
from runstone.dialects.oci.problem import MANIFEST as MANIFEST_UNKNOWN
from runstone.dialects.oci.problem import VERSION
from runstone.dialects.oci.repository import FORMS, Repository, attributed, repository, unknown
from runstone.dialects.routing import Call, Raw, Route
from runstone.domain import archives, versions
from runstone.errors import Gone, Invalid, Missing, Quarantined

DIGEST = re.compile(r"sha256:([0-9a-f]{64})\Z")
#: Versions looked through for a manifest that nobody has asked for by tag here.
_SEARCHED = 200


class Anything(msgspec.Struct):
    """A query whose parameters make no difference here."""


def manifest(form: str, call: Call) -> Raw:
    """Answers ``GET`` and ``HEAD …/manifests/{reference}``."""
    found = repository(call, form)
    try:
        made = _documents(call, found, call.path["reference"])
    except (Missing, Gone, Quarantined, Invalid) as error:
        raise unknown(call, found.name, MANIFEST_UNKNOWN, error.message) from None
    if call.method == "GET":
        call.services.fetched(attributed(call), made.version.id)
    digest = f"sha256:{digest_of(made.manifest)}"
    headers = {**VERSION, "Docker-Content-Digest": digest, "ETag": f'"{digest}"'}
    return Raw(made.manifest, MANIFEST, headers=headers)


def _documents(call: Call, found: Repository, reference: str) -> Documents:
    asked = DIGEST.match(reference)
    if asked is None:
        if ":" in reference or "/" in reference:
            raise Invalid(f"{reference!r:.200} is neither a tag nor a sha256 digest")
        return documents.of_version(call, found, reference)
    known = archives.described(call.store, call.ctx, found.collection, asked[1])
    if known is not None and known[1] == f"{found.form} manifest":
        made = documents.of_version(call, found, f"v{known[0]}")
        if digest_of(made.manifest) == asked[1]:
            return made
    for version in versions.list_versions(call.store, call.ctx, found.collection, limit=_SEARCHED):
        if version.state == "live" and found.form == "artifact":
            made = documents.of_version(call, found, f"v{version.number}")
            if digest_of(made.manifest) == asked[1]:
                return made
    raise Missing(f"{found.name} has no manifest {reference}; pull it by its tag once")


def referrers(form: str, call: Call) -> Raw:
    """Answers ``GET …/referrers/{digest}``: nothing refers to a manifest here."""
    found = repository(call, form)
    if not DIGEST.match(call.path["digest"]):
        raise Invalid(f"{call.path['digest']!r:.200} is no sha256 digest of {found.name}")
    index = {"schemaVersion": 2, "mediaType": INDEX, "manifests": []}
    return Raw(msgspec.json.encode(index), INDEX, headers=VERSION)


ROUTES = tuple(
    Route(
        "GET",
        f"/v2/{{ns}}/{{project}}/{{name}}{path}/{what}",
        partial(handler, form),
        summary,
        query=Anything,
        blocking=True,
        token=True,
        anonymous=True,
        media_type=media_type,
    )
    for form, path in FORMS.items()
    for what, handler, summary, media_type in (
        ("manifests/{reference}", manifest, "A version's manifest.", MANIFEST),
        ("referrers/{digest}", referrers, "What refers to a manifest.", INDEX),
    )
)
