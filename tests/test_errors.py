"""The tree of errors is the one that is drawn, and all of it is in one place."""

import re
from pathlib import Path

from runstone import errors
from runstone.errors import RunstoneError, by_code

SRC = Path(errors.__file__).parent


def drawn():
    """Each class of the drawing with its parent and status."""
    found, above = {"RunstoneError": ("", 500)}, ["RunstoneError"]
    for line in errors.__doc__.splitlines():
        if row := re.match(r"    ([│ ├└─]+)(\w+) +(\d{3})  \S", line):
            depth = (len(row[1])) // 4
            found[row[2]] = (above[depth - 1], int(row[3]))
            above[depth:] = [row[2]]
    return found


def test_the_drawing_is_the_tree():
    tree = {
        cls.__name__: ("" if cls is RunstoneError else cls.__mro__[1].__name__, cls.status)
        for cls in by_code().values()
        if cls.__module__.startswith("runstone.")
    }
    assert drawn() == tree


def test_a_class_has_a_code_and_a_title_of_its_own():
    classes = list(by_code().values())
    assert len({cls.code for cls in classes}) == len({cls.title for cls in classes}) == len(classes)
    assert all("code" in vars(cls) and "title" in vars(cls) for cls in classes)


def test_no_error_is_defined_anywhere_else():
    """A client knows every code that a server of its release answers, whatever it has loaded."""
    names = "|".join(cls.__name__ for cls in by_code().values())
    for path in SRC.rglob("*.py"):
        if path != SRC / "errors.py":
            assert not re.search(rf"^class \w+\((?:{names})\b", path.read_text(), re.MULTILINE), path
