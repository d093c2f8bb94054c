"""A live server with a private and a public project, and the tools that pull from it."""

from __future__ import annotations

import json
import os
import re
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2

from runstone.library import Library
from runstone.server.background import Background


@dataclass
class Registry:
    """``ria`` reads the team ``lab``, ``eve`` is a stranger."""

    server: Background
    library: Library
    tokens: dict[str, str] = field(default_factory=dict)

    @property
    def url(self) -> str:
        return self.server.url

    @property
    def host(self) -> str:
        return self.url.removeprefix("http://")

    def put(self, path: str, files: dict[str, bytes], tmp: Path, **more: Any) -> Any:
        source = tmp / f"put-{path.replace('/', '-')}-{len(list(tmp.iterdir()))}"
        for name, content in files.items():
            (source / name).parent.mkdir(parents=True, exist_ok=True)
            (source / name).write_bytes(content)
        self.library.create_collection(path, type=more.pop("type", "model"), exist_ok=True)
        return self.library.put(path, source, **more)

    def skopeo(self, *args: str, who: str = "ria") -> str:
        command, *rest = args
        options = [f"--creds={who}:{self.tokens[who]}"] if who and command != "copy" else []
        if command == "copy":
            options = ["--src-tls-verify=false", *([f"--src-creds={who}:{self.tokens[who]}"] if who else [])]
        else:
            options.append("--tls-verify=false")
        alone = {**os.environ, "REGISTRY_AUTH_FILE": "/nowhere", "DOCKER_CONFIG": "/nowhere"}
        done = subprocess.run(
            ["skopeo", command, *options, *rest], capture_output=True, text=True, timeout=120, env=alone
        )
        if done.returncode:
            raise RuntimeError(done.stderr)
        return done.stdout

    def token(self, name: str, who: str) -> str:
        """A token for a repository, for somebody or, with an empty name, for nobody."""
        auth = (who, self.tokens[who]) if who else None
        told = httpx2.get(f"{self.url}/v2/token", params={"scope": f"repository:{name}:pull"}, auth=auth)
        assert told.status_code == 200, told.text
        return told.json()["token"]

    def get(self, path: str, who: str = "ria", **headers: str) -> httpx2.Response:
        """A request under a repository's name, with a token for it."""
        name = re.split("/(?:manifests|blobs|tags|referrers)/", path)[0]
        given = {"Authorization": f"Bearer {self.token(name, who)}"}
        return httpx2.get(f"{self.url}/v2/{path}", headers=given | headers)


def layers(folder: Path) -> tuple[dict[str, Any], dict[str, Path]]:
    """The manifest and the blobs of an OCI layout or ``dir:`` that skopeo wrote."""
    manifest = json.loads((folder / "manifest.json").read_text())
    return manifest, {
        layer["digest"]: folder / layer["digest"].removeprefix("sha256:")
        for layer in [*manifest["layers"], manifest["config"]]
    }
