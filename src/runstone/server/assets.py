"""The files of the web application, as they are sent: compressed once, under addresses that change with their content.

All files lie under one address that holds a digest of all of them, so that modules name each other by relative paths and every answer
may be kept for ever. Nothing is read before the first page is asked for.
"""

from __future__ import annotations

import base64
import gzip
import re
from hashlib import sha256
from pathlib import Path

import msgspec

import runstone
from runstone.server.pages import PREFIX

ROOT = Path(runstone.__file__).parent / "ui"
TYPES = {
    ".js": "text/javascript; charset=utf-8",
    ".mjs": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".svg": "image/svg+xml",
    ".html": "text/html; charset=utf-8",
}
#: Bare names that modules import, and the files that they stand for.
IMPORTS = {
    "preact": "vendor/preact/preact.mjs",
    "preact/hooks": "vendor/preact/hooks.mjs",
    "@preact/signals": "vendor/signals/signals.mjs",
    "@preact/signals-core": "vendor/signals-core/signals-core.mjs",
    "htm": "vendor/htm/htm.mjs",
    "dagre": "vendor/dagre/dagre.esm.js",
    "marked": "vendor/marked/marked.js",
    "dompurify": "vendor/dompurify/purify.mjs",
}
ENTRY = "app.js"
SHELL = "index.html"
ROUTES = "routes.js"
_ROUTE = re.compile(r"""pattern: "([^"]+)".*?import\("\./([^"]+)"\)""")
_STATIC = re.compile(r"""(?:^|[;}\n])\s*(?:import|export)\b(?:[^'"();]*?\bfrom)?\s*["']([^"']+)["']""")


class Asset(msgspec.Struct, frozen=True):
    """A file as it is sent."""

    content: bytes
    packed: bytes
    media_type: str
    tag: str


class Assets:
    """Every file of the application, and the page that loads them."""

    def __init__(self, root: Path = ROOT) -> None:
        self.root = root
        self._stamp = stamp(root)
        self._content = {
            path.relative_to(root).as_posix(): path.read_bytes()
            for path in sorted(root.rglob("*"))
            if path.suffix in TYPES and path.is_file()
        }
        whole = sha256()
        for name, content in self._content.items():
            whole.update(f"{name}\0{len(content)}\0".encode() + content)
        self.version = whole.hexdigest()[:16]
        self.base = f"{PREFIX}/{self.version}/"
        self._made: dict[str, Asset] = {}
        self._import_map = msgspec.json.encode({"imports": {k: self.base + v for k, v in IMPORTS.items()}})
        self._pages: dict[str, Asset] = {}
        self._routes = [
            (_pattern(pattern), module) for pattern, module in _ROUTE.findall(self._content[ROUTES].decode())
        ]
        self.policy = _policy(base64.b64encode(sha256(self._import_map).digest()).decode())

    @property
    def current(self) -> bool:
        """Whether the files are still those that were read: one who edits them need not start again."""
        return self._stamp == stamp(self.root)

    def get(self, name: str) -> Asset | None:
        """A file by its path, made ready when it is first asked for."""
        made = self._made.get(name)
        if made is None and name in self._content and name != SHELL:
            made = self._made[name] = _asset(self._content[name], Path(name).suffix)
        return made

    def page_at(self, path: str) -> Asset:
        """The page for an address: it tells the browser at once of all modules that will be needed there."""
        module = next((name for pattern, name in self._routes if pattern.fullmatch(path)), "")
        made = self._pages.get(module)
        if made is None:
            names = self.initial(*([module] if module in self._content else []))
            links = "".join(f'<link rel="modulepreload" href="{self.base}{name}">' for name in names)
            page = self._content[SHELL].decode().replace("{base}", self.base).replace("{modules}", links)
            page = page.replace("{imports}", self._import_map.decode())
            made = self._pages[module] = _asset(page.encode(), ".html")
        return made

    def initial(self, *pages: str) -> list[str]:
        """The modules that the entry, and pages, load before they run; the entry first."""
        found: list[str] = []
        waiting = [ENTRY, *pages]
        while waiting:
            name = waiting.pop(0)
            if name not in found:
                found.append(name)
                waiting += imported(name, self._content[name].decode())
        return found


def imported(name: str, source: str) -> list[str]:
    """The files that a module imports statically."""
    found = []
    for target in _STATIC.findall(source):
        if target.startswith("."):
            parts = Path(name).parent.parts
            for part in target.split("/"):
                parts = parts[:-1] if part == ".." else parts if part == "." else (*parts, part)
            found.append("/".join(parts))
        else:
            found.append(IMPORTS[target])
    return found


def _pattern(written: str) -> re.Pattern[str]:
    """A route's pattern: ``:name`` is one part, ``:name?`` perhaps one, ``*`` all that is left."""
    parts = written.strip("/").split("/") if written.strip("/") else []
    made = "".join(
        "(/.*)?"
        if part == "*"
        else "(/[^/]+)?"
        if part.endswith("?")
        else "/[^/]+"
        if part[0] == ":"
        else f"/{re.escape(part)}"
        for part in parts
    )
    return re.compile(made + "/?")


def stamp(root: Path) -> int:
    """A number that changes when a file does."""
    entries = ((path, path.stat()) for path in root.rglob("*") if path.suffix in TYPES)
    return hash(frozenset((str(path), found.st_mtime_ns, found.st_size) for path, found in entries))


def _asset(content: bytes, suffix: str) -> Asset:
    packed = gzip.compress(content, 9, mtime=0)
    return Asset(content, packed, TYPES[suffix], f'"{sha256(content).hexdigest()[:32]}"')


def _policy(digest: str) -> str:
    """What the page may load and run: what comes from here, and the import map, which has to be inline."""
    return "; ".join(
        (
            "default-src 'none'",
            f"script-src 'self' 'sha256-{digest}'",
            "style-src 'self'",
            "img-src 'self' data: blob:",
            "media-src 'self'",
            "connect-src 'self'",
            "frame-src 'self'",
            "form-action 'none'",
            "base-uri 'none'",
            "frame-ancestors 'none'",
        )
    )
