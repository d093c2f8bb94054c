"""The files of the web application, as they are sent: compressed once, under addresses that change with their content.

All files lie under one address that holds a digest of all of them, so that every answer may be kept for ever. What a page needs is sent as
three: the page with what is known of its reader, all styles (``styles.css``), and its modules (``bundles/pages/….js``, see
:mod:`runstone.server.bundles`). A page that is gone to later is ``parts/pages/….js``, the modules that it needs beside those of the entry.
Nothing is read before the first page is asked for.
"""

from __future__ import annotations

import gzip
import re
from hashlib import sha256
from pathlib import Path

import msgspec

import runstone
from runstone.server import bundles
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
LOADER = "loader.js"
SHELL = "index.html"
ROUTES = "routes.js"
#: All styles, in their order; that of charts is uPlot's own.
STYLES = ("theme", "base", "components", "workspace", "run", "artifacts", "compare", "reports")
CHART_STYLE = "vendor/uplot/uPlot.min.css"
_ROUTE = re.compile(r"""pattern: "([^"]+)".*?import\("\./([^"]+)"\)""")
_STATIC = re.compile(r"""(?:^|[;}\n])\s*(?:import|export)\b(?:[^'"();]*?\bfrom)?\s*["']([^"']+)["']""")


class Asset(msgspec.Struct, frozen=True):
    """A file as it is sent."""

    content: bytes
    packed: bytes
    media_type: str
    tag: str


class Page(msgspec.Struct, frozen=True):
    """A page in two parts, between which stands who is signed in."""

    head: bytes
    tail: bytes


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
        self._modules: dict[str, str] = {}
        self._pages: dict[str, Page] = {}
        routes = _ROUTE.findall(self._content[ROUTES].decode())
        self._routes = [(_pattern(pattern), module) for pattern, module in routes]
        self._page_modules = {module for _, module in routes}

    @property
    def current(self) -> bool:
        """Whether the files are still those that were read: one who edits them need not start again."""
        return self._stamp == stamp(self.root)

    def get(self, name: str) -> Asset | None:
        """A file by its path, or several in one, made ready when it is first asked for."""
        made = self._made.get(name)
        if made is None and (content := self._content_of(name)) is not None:
            made = self._made[name] = _asset(content, Path(name).suffix)
        return made

    def _content_of(self, name: str) -> bytes | None:
        kind, _, module = name.partition("/")
        if name == "styles.css":
            return (
                b"".join(self._content[f"styles/{each}.css"] for each in STYLES) + self._content[CHART_STYLE]
            )
        if kind == "bundles" and (module == ENTRY or module in self._page_modules):
            pages = [module] if module != ENTRY else []
            start = self._content[LOADER].decode().replace("{base}", self.base)
            return (start + self._bundle(self.initial(*pages), ENTRY)).encode()
        if kind == "parts" and module in self._content and module.endswith(".js"):
            first = set(self.initial())
            return self._bundle([each for each in self.closure(module) if each not in first]).encode()
        return self._content.get(name) if name != SHELL else None

    def _bundle(self, names: list[str], entry: str = "") -> str:
        for name in names:
            if name not in self._modules:
                source = self._content[name].decode()
                self._modules[name] = bundles.module(
                    name, source, resolved, lambda target: not target.startswith("vendor/")
                )
        return bundles.bundle(names, self._modules, entry)

    def page_at(self, path: str, reader: bytes) -> bytes:
        """The page for an address and its reader, who is JSON."""
        module = next((name for pattern, name in self._routes if pattern.fullmatch(path)), ENTRY)
        made = self._pages.get(module)
        if made is None:
            page = self._content[SHELL].decode().replace("{base}", self.base).replace("{module}", module)
            head, tail = page.encode().split(b"{reader}")
            made = self._pages[module] = Page(head, tail)
        # The element's text ends where a tag begins, and JSON has another way to write that.
        return made.head + reader.replace(b"<", b"\\u003c") + made.tail

    def initial(self, *pages: str) -> list[str]:
        """The modules that the entry, and pages, load before they run; the entry first."""
        return self.closure(ENTRY, *pages)

    def closure(self, *names: str) -> list[str]:
        """Modules and all that they import."""
        found: list[str] = []
        waiting = list(names)
        while waiting:
            name = waiting.pop(0)
            if name not in found:
                found.append(name)
                waiting += imported(name, self._content[name].decode())
        return found


def imported(name: str, source: str) -> list[str]:
    """The files that a module imports statically."""
    return [resolved(name, target) for target in _STATIC.findall(source)]


def resolved(name: str, target: str) -> str:
    """The file that a module means by a name."""
    if not target.startswith("."):
        return IMPORTS[target]
    parts = Path(name).parent.parts
    for part in target.split("/"):
        parts = parts[:-1] if part == ".." else parts if part == "." else (*parts, part)
    return "/".join(parts)


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


#: What the page may load and run: what comes from here.
POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
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
