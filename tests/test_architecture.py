"""The map of the code names every folder and kernel that there is, and no other."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SRC = ROOT / "src" / "runstone"
MAP = (ROOT / "docs" / "architecture.md").read_text()
NAMED = set(re.findall(r"`(\w[\w./*]*/[\w./*]*)`", MAP))


def written(folder: Path) -> str:
    inside = folder.relative_to(SRC)
    return f"{inside}/" if len(inside.parts) > 1 else f"src/runstone/{inside}/"


@pytest.mark.parametrize(
    "place",
    [
        *(
            written(path.parent)
            for path in SRC.rglob("__init__.py")
            if 1 <= len(path.parent.relative_to(SRC).parts) <= 2
        ),
        *(f"ui/{path.name}/" for path in (SRC / "ui").iterdir() if path.is_dir()),
        *(f"ext/{path.name}" for path in (ROOT / "ext").glob("*.pyx")),
    ],
)
def test_a_folder_or_kernel_is_on_the_map(place):
    assert place in NAMED


def test_what_is_on_the_map_is_there():
    assert len(NAMED) > 40
    missing = [place for place in NAMED if not (any(ROOT.glob(place)) or any(SRC.glob(place)))]
    assert missing == []


def test_the_modules_of_the_index_and_the_log_are_there():
    storage = MAP.partition("## Storage")[2].partition("## Domain")[0]
    names = set(re.findall(r"`([a-z]+)(?:\.py)?`", storage))
    assert len(names) > 15
    assert [name for name in names if not any((SRC / "storage").rglob(f"{name}.py"))] == []
