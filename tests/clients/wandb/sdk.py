"""Programs that use the real SDK, each in a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

#: A key of the right shape; a server in local mode takes it for its owner's.
ANY_KEY = "hf_" + "k" * 48
#: The older version of the SDK that all tests run with, if any; that of tests of an older one: the oldest minor version that is supported.
OLDER_SDK = os.environ.get("RUNSTONE_WANDB_SDK", "")
OLDER = OLDER_SDK or "0.28.0"
#: For what tests do that the oldest has not yet.
since_newer = pytest.mark.skipif(
    bool(OLDER_SDK), reason="the oldest SDK that is supported has no such function"
)


class Sdk:
    """Runs programs against a server; ``say(value)`` in them is what :meth:`run` answers, as JSON."""

    def __init__(self, url: str, key: str, folder: Path, packages: Path | None = None) -> None:
        """``packages`` is a folder of packages that go before those of this environment: another version of the SDK."""
        self.url, self.key, self.folder, self.packages = url, key, folder, packages
        folder.mkdir(parents=True, exist_ok=True)

    def environment(self, **more: str) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith("WANDB")}
        return kept | {
            "WANDB_MODE": "online",
            "WANDB_BASE_URL": self.url,
            "WANDB_API_KEY": self.key,
            "WANDB_DIR": str(self.folder),
            "WANDB_CACHE_DIR": str(self.folder / "cache"),
            "WANDB_CONFIG_DIR": str(self.folder / "config"),
            "WANDB_DATA_DIR": str(self.folder / "data"),
            "WANDB_ERROR_REPORTING": "false",
            "WANDB_SILENT": "true",
            "WANDB__DISABLE_STATS": "true",
            "WANDB_DISABLE_GIT": "true",
            "HOME": str(self.folder),
            "TMPDIR": str(self.folder),
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            **({"PYTHONPATH": str(self.packages)} if self.packages else {}),
            **more,
        }

    def start(self, program: str, **environment: str) -> subprocess.Popen[str]:
        head = "import json, wandb\ndef say(value): print('SAID ' + json.dumps(value, default=lambda each: dict(each.items())), flush=True)\n"
        return subprocess.Popen(
            [sys.executable, "-c", head + textwrap.dedent(program)],
            cwd=self.folder,
            env=self.environment(**environment),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def run(self, program: str, *, fails: bool = False, timeout: float = 100, **environment: str) -> list:
        process = self.start(program, **environment)
        out, _ = process.communicate(timeout=timeout)
        assert (process.returncode != 0) == fails, out
        self.output = out
        return [json.loads(line[5:]) for line in out.splitlines() if line.startswith("SAID ")]

    def command(self, *arguments: str, timeout: float = 100) -> str:
        done = subprocess.run(
            [sys.executable, "-m", "wandb", *arguments],
            cwd=self.folder,
            env=self.environment(WANDB_SILENT="false"),
            capture_output=True,
            text=True,
            timeout=timeout,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout + done.stderr
