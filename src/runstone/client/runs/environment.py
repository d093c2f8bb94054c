"""What a run was started with: command, host, Python, packages, and the state of the git repository around it."""

from __future__ import annotations

import os
import platform
import re
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from runstone.client.runs.status import logger
from runstone.errors import RunstoneError

GIT_SECONDS = 10.0
#: The most bytes of a diff that are kept.
MAX_DIFF = 512 << 10
_MAX_WORDS, _MAX_WORD = 256, 1024
_SECRET = re.compile(r"(?<=://)[^/@\s]+@")
_SECRET_OPTION = re.compile(r"-{1,2}[\w-]*(key|token|password|passwd|secret|credentials?)", re.IGNORECASE)
_HIDDEN = "***"


def capture(directory: str | os.PathLike[str] | None = None) -> dict[str, Any]:
    """Everything below, as plain data; ``directory`` is where git is asked (the current one). Takes as long as git does."""
    return {
        "command": command(),
        "host": host(),
        "python": {
            "version": platform.python_version(),
            "implementation": platform.python_implementation(),
            "executable": sys.executable,
        },
        "packages": packages(),
        "git": git(Path(directory) if directory is not None else Path.cwd()),
    }


def command() -> list[str]:
    """The command line of this process, cut to 256 words of 1,024 characters, without what is secret by its name or in a URL."""
    found: list[str] = []
    hidden = False
    for word in (sys.orig_argv or sys.argv)[:_MAX_WORDS]:
        name, equals, _ = word.partition("=")
        if hidden and not word.startswith("-"):
            word = _HIDDEN
        hidden = bool(_SECRET_OPTION.fullmatch(name))
        if hidden and equals:
            word, hidden = f"{name}={_HIDDEN}", False
        found.append(_SECRET.sub("", word[:_MAX_WORD]))
    return found


def host() -> dict[str, Any]:
    """The machine."""
    found: dict[str, Any] = {
        "name": platform.node(),
        "system": platform.system(),
        "release": platform.release(),
        "machine": platform.machine(),
        "cpus": os.cpu_count(),
        "pid": os.getpid(),
    }
    if hasattr(os, "sched_getaffinity"):
        found["usable_cpus"] = len(os.sched_getaffinity(0))
    if "SC_PHYS_PAGES" in os.sysconf_names:
        found["memory"] = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return found


def packages() -> dict[str, str]:
    """Installed packages and their versions, from the names of their metadata directories: nothing is opened."""
    found: dict[str, str] = {}
    for place in dict.fromkeys(sys.path):
        try:
            names = [path.name for path in Path(place or ".").iterdir()]
        except OSError:
            continue
        for name in names:
            if name.endswith((".dist-info", ".egg-info")):
                project, _, version = name.rpartition(".")[0].partition("-")
                found.setdefault(project.replace("_", "-").lower(), version.partition("-")[0])
    return dict(sorted(found.items()))


def git(directory: Path) -> dict[str, Any] | None:
    """Commit, branch, remote and what is not committed of the repository around a directory; None outside of one."""
    root = _git(directory, "rev-parse", "--show-toplevel")
    if not root:
        return None
    top = Path(root.strip())
    diff = _git(top, "diff", "HEAD", "--no-ext-diff", "--no-textconv", "--no-color") or ""
    kept = diff.encode("utf-8", "replace")[:MAX_DIFF].decode("utf-8", "ignore")
    return {
        "root": str(top),
        "commit": (_git(top, "rev-parse", "--verify", "-q", "HEAD") or "").strip(),
        "branch": (_git(top, "symbolic-ref", "--short", "-q", "HEAD") or "").strip(),
        "remote": _SECRET.sub("", (_git(top, "config", "--get", "remote.origin.url") or "").strip()),
        "dirty": bool(diff),
        "diff": kept,
        "diff_truncated": len(kept) < len(diff),
    }


def _git(directory: Path, *words: str) -> str | None:
    """What git says, little more than :data:`MAX_DIFF` of it, or None when there is no git, it refuses, or it takes too long."""
    import subprocess  # a training that captures nothing need not load it

    # What is asked changes nothing, and runs nothing that the repository names.
    settings = ("--no-optional-locks", "-c", "core.fsmonitor=false", "-c", "core.hooksPath=/dev/null")
    try:
        process = subprocess.Popen(
            ["git", *settings, *words],
            cwd=directory,
            env={**os.environ, "GIT_TERMINAL_PROMPT": "0"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
    except OSError:
        return None
    timer = threading.Timer(GIT_SECONDS, process.kill)
    timer.start()
    with process:
        assert process.stdout is not None
        said = process.stdout.read(MAX_DIFF + 1)
        is_cut = len(said) > MAX_DIFF
        if is_cut:
            process.kill()
    timer.cancel()
    return said.decode("utf-8", "replace") if is_cut or process.returncode == 0 else None


class Capture:
    """A thread that captures once, beside the training, and gives what it found to ``take``."""

    def __init__(self, take: Callable[[dict[str, Any]], None]) -> None:
        self._take = take
        self._directory = Path.cwd()
        self._stopped = False
        self._thread = threading.Thread(target=self._run, name="runstone-environment", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Waits for it, as long as git may take."""
        self._thread.join(GIT_SECONDS)
        self._stopped = True

    def _run(self) -> None:
        try:
            found = capture(self._directory)
            if not self._stopped:
                self._take(found)
        except (OSError, ValueError, RuntimeError, RunstoneError) as error:
            logger().warning("what the run was started with is not recorded: %s", error)
