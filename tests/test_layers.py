"""Imports point down: ``_native <- storage <- domain <- dialects <- server <- cli``. One test holds it."""

import ast
from pathlib import Path

import pytest

SRC = Path(__file__).parents[1] / "src" / "runstone"
BASE = {"errors", "types", "query", "_native"}
BELOW = {
    "_native": set(),
    "storage": BASE | {"storage"},
    "domain": BASE | {"storage", "domain", "folders"},
    "dialects": BASE | {"domain", "dialects"},
    "server": BASE | {"domain", "dialects", "server", "config", "__init__"},
    "library": BASE | {"storage", "domain", "client", "library"},
    "client": BASE | {"client", "config", "folders", "verifier", "__init__"},
    "cli": BASE
    | {
        "storage",
        "domain",
        "dialects",
        "server",
        "client",
        "cli",
        "config",
        "library",
        "verifier",
        "__init__",
    },
    "testing": BASE | {"storage", "domain", "client", "server", "library", "testing", "__init__"},
}
ALONE = {
    "errors": set(),
    "verifier": set(),
    "types": {"errors"},
    "query": {"errors", "types"},
    "config": {"errors", "types"},
    "folders": {"errors"},
    "__init__": {"errors", "library", "client"},
    "__main__": {"cli"},
}
FORBIDDEN = {
    "dialects": {"lmdb"},
    "client": {"aiohttp", "uvloop", "numpy", "lmdb", "requests", "httpx"},
    "domain": {"lmdb", "aiohttp", "uvloop", "numpy"},
    "storage": {"aiohttp", "uvloop", "numpy"},
}
#: Folders that are loaded on demand only, and what their layer must not import but they may.
ON_DEMAND = {
    ("storage", "columns"): {"numpy"},
    ("storage", "series"): {"numpy"},
    ("client", "tensors"): {"numpy"},
    ("domain", "analysis"): {"numpy"},
}
MODULES = sorted(path.relative_to(SRC) for path in SRC.rglob("*.py"))


def imports(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse((SRC / path).read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: imports are absolute"
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def layer(path: Path) -> str:
    return path.parts[0] if len(path.parts) > 1 else path.stem


@pytest.mark.parametrize("path", MODULES, ids=str)
def test_imports_point_down(path):
    allowed = BELOW[layer(path)] if len(path.parts) > 1 else ALONE[layer(path)]
    for name in imports(path):
        parts = name.split(".")
        if parts[0] == "runstone":
            target = (
                parts[1]
                if len(parts) > 1 and ((SRC / parts[1]).is_dir() or (SRC / f"{parts[1]}.py").exists())
                else "__init__"
            )
            assert target in allowed, f"{path} must not import {name}"
            if layer(path) == "dialects" and target == "dialects" and len(path.parts) > 2:
                other = parts[2]
                assert other == path.parts[1] or not (SRC / "dialects" / other).is_dir(), (
                    f"{path} imports another dialect"
                )
        else:
            forbidden = FORBIDDEN.get(layer(path), set()) - ON_DEMAND.get(path.parts[:2], set())
            assert parts[0] not in forbidden, f"{path} must not import {name}"
