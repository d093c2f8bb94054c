"""The JSON that a version is described by: manifest and configuration, in both forms. The same version gives the same bytes always."""

from __future__ import annotations

from datetime import UTC, datetime
from hashlib import sha256
from typing import Any, NamedTuple

import msgspec

from runstone.dialects.oci.repository import IMAGE, Repository
from runstone.dialects.routing import Call
from runstone.domain import archives, versions
from runstone.types import FileEntry, VersionInfo

MANIFEST = "application/vnd.oci.image.manifest.v1+json"
INDEX = "application/vnd.oci.image.index.v1+json"
_MODEL = "application/vnd.cncf.model"
_IMAGE_CONFIG = "application/vnd.oci.image.config.v1+json"
_LAYER = "application/vnd.oci.image.layer.v1.tar"
_WEIGHTS = (
    ".safetensors",
    ".bin",
    ".gguf",
    ".pt",
    ".pth",
    ".onnx",
    ".h5",
    ".msgpack",
    ".npz",
    ".npy",
    ".pkl",
    ".tflite",
)
_CODE = (".py", ".sh", ".ipynb", ".js", ".c", ".cpp", ".rs", ".go")
_DOCS = (".md", ".txt", ".rst", ".pdf", ".html")


class Documents(NamedTuple):
    """A version's manifest and configuration, and for an image the SHA-256 of its layer."""

    version: VersionInfo
    manifest: bytes
    config: bytes
    config_type: str
    layer: str = ""


def digest_of(content: bytes) -> str:
    """The SHA-256 of content."""
    return sha256(content).hexdigest()


def of_version(call: Call, found: Repository, reference: str) -> Documents:
    """The documents about a version by tag; what they are is remembered, so that they are found by digest."""
    name = f"{found.collection}@{reference}"
    archives.require_held(call.store, call.ctx, name)
    version = versions.get(call.store, call.ctx, name)
    exact = f"{found.collection}@v{version.number}"
    made = _image(call, exact, version) if found.form == IMAGE else _artifact(call, exact, version)
    known = {
        digest_of(made.manifest): f"{found.form} manifest",
        digest_of(made.config): f"{found.form} config",
    }
    if made.layer:
        known[made.layer] = "image layer"
    archives.note_described(call.store, call.ctx, exact, known)
    return made


def _artifact(call: Call, name: str, version: VersionInfo) -> Documents:
    files = versions.files(call.store, call.ctx, name)
    config = _encoded(
        {
            "descriptor": _descriptor(version),
            "config": {},
            "modelfs": {"type": "layers", "diffIds": [f"sha256:{file.sha256}" for file in files]},
        }
    )
    config_type = f"{_MODEL}.config.v1+json"
    manifest = {
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "artifactType": f"{_MODEL}.manifest.v1+json",
        "config": _named(config_type, digest_of(config), len(config)),
        "layers": [_layer(version, file) for file in files],
        "annotations": _annotations(version),
    }
    return Documents(version, _encoded(manifest), config, config_type)


def _image(call: Call, name: str, version: VersionInfo) -> Documents:
    layer = archives.archive(call.store, call.ctx, name)
    config = _encoded(
        {
            "created": _moment(version),
            "architecture": "amd64",
            "os": "linux",
            "config": {"Labels": _annotations(version)},
            "rootfs": {"type": "layers", "diff_ids": [f"sha256:{layer.sha256}"]},
            "history": [{"created": _moment(version), "created_by": "runstone"}],
        }
    )
    manifest = {
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": _named(_IMAGE_CONFIG, digest_of(config), len(config)),
        "layers": [_named(_LAYER, layer.sha256, layer.size)],
        "annotations": _annotations(version),
    }
    return Documents(version, _encoded(manifest), config, _IMAGE_CONFIG, layer.sha256)


def _layer(version: VersionInfo, file: FileEntry) -> dict[str, Any]:
    names = {"org.cncf.model.filepath": file.path, "org.opencontainers.image.title": file.path}
    return _named(_kind(version, file.path), file.sha256, file.size) | {"annotations": names}


def _kind(version: VersionInfo, path: str) -> str:
    name = path.rpartition("/")[2].lower()
    if version.type == "dataset":
        return f"{_MODEL}.dataset.v1.raw"
    if name.endswith(_WEIGHTS):
        return f"{_MODEL}.weight.v1.raw"
    if name.endswith(_CODE):
        return f"{_MODEL}.code.v1.raw"
    if name.endswith(_DOCS) or name.startswith(("license", "readme")):
        return f"{_MODEL}.doc.v1.raw"
    return f"{_MODEL}.weight.config.v1.raw"


def _named(media_type: str, digest: str, size: int) -> dict[str, Any]:
    return {"mediaType": media_type, "digest": f"sha256:{digest}", "size": size}


def _descriptor(version: VersionInfo) -> dict[str, Any]:
    return {"name": version.collection, "version": f"v{version.number}", "createdAt": _moment(version)}


def _annotations(version: VersionInfo) -> dict[str, str]:
    return {
        "org.opencontainers.image.created": _moment(version),
        "org.opencontainers.image.title": version.collection,
        "org.opencontainers.image.version": f"v{version.number}",
    }


def _moment(version: VersionInfo) -> str:
    return (
        datetime.fromtimestamp(version.created / 1e6, UTC)
        .isoformat(timespec="seconds")
        .replace("+00:00", "Z")
    )


def _encoded(value: Any) -> bytes:
    return msgspec.json.encode(value)
