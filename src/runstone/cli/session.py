"""One run of the command line: which store it is about, and how it answers."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from runstone.cli import output
from runstone.errors import Invalid, Missing

if TYPE_CHECKING:
    from runstone.client.remote import Remote
    from runstone.library import Library

    Store = Library | Remote


def is_url(store: str) -> bool:
    """Whether a store is named as a server, and not as a directory."""
    return store.lower().startswith(("http://", "https://"))


@dataclass(slots=True)
class Session:
    """What the options that all commands take have set."""

    store: str = ""
    key: str = ""
    json: bool = False

    @property
    def target(self) -> str:
        """The directory or URL of the store: as given, or as the environment says, or the default directory."""
        named = self.store or os.environ.get("RUNSTONE_STORE") or os.environ.get("RUNSTONE_URL")
        if named:
            return named
        from runstone.config import default_data

        return os.environ.get("RUNSTONE_DATA") or default_data()

    def url(self) -> str:
        """The URL of the store, or nothing when it is a directory."""
        return self.target if is_url(self.target) else ""

    def directory(self, doing: str) -> Path:
        """The directory of the store; raises :class:`Invalid` when it is a server, which cannot be asked for this."""
        if self.url():
            raise Invalid(
                f"{doing} works on a directory and not over HTTP: run it where the data is, with --store DIR"
            )
        return Path(self.target)

    def existing(self, doing: str) -> Path:
        """Like :meth:`directory`, for what needs a store to be there already."""
        path = self.directory(doing)
        if not path.exists() or (path.is_dir() and not any(path.iterdir())):
            raise Missing(
                f"there is no store at {path}; 'runstone put' or 'runstone up' makes one, --store names another"
            )
        return path

    def open(self, *, create: bool = False) -> Store:
        """The store, open; only what writes may ``create`` a directory."""
        import runstone

        url = self.url()
        if url:
            return runstone.connect(url, key=self.key or None)
        path = self.directory("this") if create else self.existing("this")
        output.follow("runstone.columns", shown=not self.json)
        return runstone.open(path, create=create)

    def answer(self, value: Any, lines: output.Lines) -> None:
        """Prints a value as JSON if that was asked for, or else the lines."""
        if self.json:
            output.document(value)
        else:
            output.lines(lines())
