"""Several modules of the web application as one file, so that a page is one request and not fifty.

A module becomes a function that is run when another first needs it; nothing else of its text changes. Only the forms of ``import`` and
``export`` that the application uses are known: names in braces, a default, and a file that is loaded later. A module's exports are what its
names stand for when it has run, so a name that is given another value afterwards cannot be exported, and modules cannot need each other in a
circle; a test holds both.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping

_IMPORT = re.compile(r"""^import ?(?:(\w+)|\{([^}]*)\}) ?from ?"([^"]+)";?""", re.MULTILINE)
#: Minified modules have all of theirs in their first line.
_NEXT_IMPORT = re.compile(r"""(?<=;)import\{([^}]*)\}from"([^"]+)";?""")
_EXPORT_FROM = re.compile(r"""(?:^|(?<=;))export ?\{([^}]*)\} ?from ?"([^"]+)";?""", re.MULTILINE)
_EXPORT_NAMES = re.compile(r"""(?:^|(?<=[;}]))export ?\{([^}]*)\};?""", re.MULTILINE)
_EXPORT_DEFAULT = re.compile(r"^export default (?:function (\w+))?|(?<=;)export default ", re.MULTILINE)
_EXPORT_MADE = re.compile(r"^export ((?:async )?function|class|const) (\w+)", re.MULTILINE)
_LATER = re.compile(r"""import\("([^"]+)"\)""")
_SOURCE_MAP = re.compile(r"//# sourceMappingURL=\S+\s*$")


def module(name: str, source: str, path: Callable[[str, str], str], later: Callable[[str], bool]) -> str:
    """A module as a call that defines it.

    ``path`` says which file a name means that a module imports, and ``later`` whether a file that is loaded later is one of ours, and not
    one that stays a module of its own.
    """
    needed: list[str] = []
    exported: dict[str, str] = {}

    def required(names: str, target: str) -> str:
        return f'const {{ {_renamed(names)} }} = $.need("{path(name, target)}");'

    def imported(found: re.Match[str]) -> str:
        default, names, target = found.groups()
        needed.append(required(f"default as {default}" if default else names, target))
        return ""

    def imported_next(found: re.Match[str]) -> str:
        needed.append(required(*found.groups()))
        return ""

    def passed_on(found: re.Match[str]) -> str:
        names, target = found.groups()
        for inner, outer in _pairs(names):
            exported[outer] = f'$.need("{path(name, target)}").{inner}'
        return ""

    def named(found: re.Match[str]) -> str:
        exported.update({outer: inner for inner, outer in _pairs(found[1])})
        return ""

    def made(found: re.Match[str]) -> str:
        exported[found[2]] = found[2]
        return found[0].removeprefix("export ")

    def default(found: re.Match[str]) -> str:
        exported["default"] = found[1] or "$default"
        return f"function {found[1]}" if found[1] else "const $default = "

    def loaded(found: re.Match[str]) -> str:
        target = path(name, found[1])
        return f'$.load("{target}")' if later(target) else f'import($.at("{target}"))'

    text = _SOURCE_MAP.sub("", source)
    text = _EXPORT_FROM.sub(passed_on, text)
    text = _IMPORT.sub(imported, _NEXT_IMPORT.sub(imported_next, text))
    text = _EXPORT_DEFAULT.sub(default, _EXPORT_NAMES.sub(named, text))
    text = _EXPORT_MADE.sub(made, text)
    text = _LATER.sub(loaded, text).replace("import.meta.url", f'$.at("{name}")')
    answer = ", ".join(f"{outer}: {inner}" for outer, inner in exported.items())
    return f'$.define("{name}", () => {{\n{"".join(needed)}\n{text.strip()}\nreturn {{ {answer} }};\n}});\n'


def bundle(names: Iterable[str], sources: Mapping[str, str], entry: str = "") -> str:
    """Modules, made by :func:`module`, as a file that defines them, and runs ``entry`` where one is named."""
    parts = ["const $ = globalThis.modules;\n", *(sources[name] for name in names)]
    return "".join([*parts, f'$.need("{entry}");\n'] if entry else parts)


def _pairs(names: str) -> list[tuple[str, str]]:
    """What is imported or exported, and under which name."""
    found = []
    for each in names.split(","):
        if each.strip():
            inner, _, outer = (part.strip() for part in each.strip().partition(" as "))
            found.append((inner, outer or inner))
    return found


def _renamed(names: str) -> str:
    return ", ".join(inner if inner == outer else f"{inner}: {outer}" for inner, outer in _pairs(names))
