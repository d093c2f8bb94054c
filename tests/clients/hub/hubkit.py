"""A live server with people, and what tests of the Hub dialect compare."""

from __future__ import annotations

import contextlib
import os
import random
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2
import msgspec

# Before huggingface_hub is imported anywhere: it reads these once.
os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"
os.environ["HF_HUB_DISABLE_PROGRESS_BARS"] = "1"

from huggingface_hub import HfApi

from runstone.library import Library
from runstone.server.background import Background


@dataclass
class Hub:
    """A live server with people: ann owns the team ``lab``, max is a member of it, ria a reader, eve a stranger."""

    server: Background
    library: Library
    tokens: dict[str, str] = field(default_factory=dict)

    @property
    def url(self) -> str:
        return self.server.url

    def api(self, who: str = "ann") -> HfApi:
        return HfApi(endpoint=self.url, token=self.tokens[who])

    @property
    def data(self) -> Path:
        return Path(self.server.options.data)

    def received(self) -> int:
        """Bytes of uploads that the server has taken in."""
        return self._counted("runstone_received_bytes", "")

    def asked(self, route: str) -> int:
        """Requests that were answered on routes with a text in their path."""
        return self._counted("runstone_requests", route)

    def _counted(self, name: str, within: str) -> int:
        page = httpx2.get(f"{self.url}/metrics", headers={"Authorization": f"Bearer {self.tokens['root']}"})
        lines = [line for line in page.text.splitlines() if line.startswith(name) and within in line]
        return sum(int(float(line.split()[-1])) for line in lines)

    @contextlib.contextmanager
    def announcing_xet(self) -> Iterator[None]:
        """A server that was started with RUNSTONE_XET_READS."""
        core = self.server.worker.core
        before, core.options = core.options, msgspec.structs.replace(core.options, xet_reads=True)
        try:
            yield
        finally:
            core.options = before

    def put(self, path: str, files: dict[str, bytes], tmp: Path, **more: Any) -> Any:
        """Stores a folder as runstone's own library does."""
        namespace, project, _ = path.split("/")
        self.library.create_project(f"{namespace}/{project}", exist_ok=True)
        self.library.create_collection(path, type=more.pop("type", "model"), exist_ok=True)
        source = tmp / f"put-{random.randrange(1 << 60)}"
        for file, content in files.items():
            (source / file).parent.mkdir(parents=True, exist_ok=True)
            (source / file).write_bytes(content)
        return self.library.put(path, source, **more)


def safetensors(content: bytes) -> bytes:
    header = msgspec.json.encode(
        {"weight": {"dtype": "U8", "shape": [len(content)], "data_offsets": [0, len(content)]}}
    )
    return struct.pack("<Q", len(header)) + header + content


def contents(folder: Path) -> dict[str, bytes]:
    """Every file of a folder but the client's own."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and ".cache" not in path.relative_to(folder).parts
    }
