"""A program that does as it is told: ``python -m reliability.driven DATA SCRATCH``.

Each line of standard input is a request, a JSON object; each line of standard output an answer: ``{"answer": …}``, or
``{"error": code, "message": …}`` for an error of ours, or ``{"failed": traceback}`` for any other. Requests are the operations of a
workload, and ``open``, ``close``, ``read`` (a version's files, which answers their seeds' digests), ``verify`` and ``backup``.
"""

from __future__ import annotations

import hashlib
import json
import sys
import traceback
from pathlib import Path
from typing import Any

import runstone
from runstone.errors import RunstoneError
from runstone.library import Library

from .embedded import Embedded
from .workload import Lane


class Driven:
    """A store that is opened and closed on request."""

    def __init__(self, data: Path, scratch: Path) -> None:
        self._data, self._scratch = data, scratch
        self._library: Library | None = None

    def open(self) -> None:
        """Opens the store, again if it is open."""
        self.close()
        self._library = runstone.open(self._data)

    def close(self) -> None:
        """Closes the store if it is open."""
        if self._library is not None:
            self._library.close()
            self._library = None

    def answer(self, request: dict[str, Any]) -> Any:
        """Does what is asked."""
        if request["do"] in ("open", "close"):
            return getattr(self, request["do"])()
        assert self._library is not None
        if request["do"] == "verify":
            return self._library.verify()["entries"]
        if request["do"] == "backup":
            return self._library.backup(request["target"])["size"]
        if request["do"] == "read":
            return self._read(self._library, f"{Lane(request['lane']).name}@v{request['version']}")
        return Embedded(self._library, self._scratch)(request)

    def _read(self, library: Library, name: str) -> dict[str, str]:
        found = {}
        for file in library.files(name):
            with library.open_file(name, file.path) as stored:
                found[file.path] = hashlib.sha256(stored.read()).hexdigest()
        return found


def main() -> None:
    """Answers requests until the input ends."""
    driven = Driven(Path(sys.argv[1]), Path(sys.argv[2]))
    for line in sys.stdin:
        try:
            answer: Any = {"answer": driven.answer(json.loads(line))}
        except RunstoneError as error:
            answer = {"error": error.code, "message": error.message}
        except Exception:
            answer = {"failed": traceback.format_exc()}
        print(json.dumps(answer), flush=True)
    driven.close()


if __name__ == "__main__":
    main()
