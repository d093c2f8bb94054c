"""Names as people write them, as the server's own URLs; the rules about them are the server's."""

from __future__ import annotations

from typing import NamedTuple

from runstone.client.origin import quote
from runstone.errors import Invalid


class Name(NamedTuple):
    """A parsed name; ``namespace`` is empty for one's own, ``version`` for none."""

    namespace: str
    project: str
    collection: str
    version: str

    def __str__(self) -> str:
        path = "/".join(part for part in self[:3] if part)
        return f"{path}@{self.version}" if self.version else path


def parse(text: str) -> Name:
    """``[namespace/]project/collection``, with ``@alias`` or ``:v3`` for a version; raises :class:`Invalid`."""
    path, separator, version = text.partition("@")
    if not separator:
        path, separator, version = text.partition(":")
    parts = path.split("/")
    if len(parts) == 2:
        parts.insert(0, "")
    if len(parts) != 3 or not all(parts[1:]) or (separator and not version):
        raise Invalid(
            f"{text!r:.200} is not a name: use namespace/project/collection, with @alias or :v3 for a version"
        )
    return Name(parts[0], parts[1], parts[2], version)


def collection_url(name: Name) -> str:
    """The path of a collection in the API."""
    return f"/api/v1/collections/{quote(name.namespace)}/{quote(name.project)}/{quote(name.collection)}"


def version_url(name: Name) -> str:
    """The path of a version in the API; without one, of the latest."""
    return f"{collection_url(name)}/versions/{quote(name.version or 'latest')}"
