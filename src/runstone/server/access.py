"""The access log: one line a request, written by a thread of its own so that a full pipe holds nobody up."""

from __future__ import annotations

import os
import queue
import sys
import threading
import time
from pathlib import Path
from typing import Any

import msgspec

MAX_WAITING = 10_000
_STOP = object()


class AccessLog:
    """Writes lines to standard error or a file. When nobody takes them they are dropped, and counted."""

    def __init__(self, form: str, path: str = "") -> None:
        self.enabled = form != "off"
        self.dropped = 0
        self._form = form
        self._path = path
        self._lines: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self._second, self._stamp = -1, ""

    def write(self, moment: float = 0.0, **fields: Any) -> None:
        """Takes a line in; ``time`` is added (of now, or of a Unix time), and fields that are empty are left out."""
        if not self.enabled:
            return
        if self._lines.qsize() >= MAX_WAITING:
            self.dropped += 1
            return
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="access log", daemon=True)
            self._thread.start()
        self._lines.put((moment or time.time(), fields))

    def close(self) -> None:
        """Writes what is waiting; gives up on whoever does not take it."""
        self.enabled = False
        if self._thread is not None:
            self._lines.put(_STOP)
            self._thread.join(2)

    def _run(self) -> None:
        handle = self._open()
        try:
            while True:
                batch, going = self._batch()
                text = b"".join(self._line(moment, fields) for moment, fields in batch)
                while text:
                    text = text[os.write(handle, text) :]
                if not going:
                    return
        except OSError:
            self.enabled = False
        finally:
            if self._path:
                os.close(handle)

    def _open(self) -> int:
        if not self._path:
            return sys.stderr.fileno()
        Path(self._path).parent.mkdir(parents=True, exist_ok=True)
        return os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o640)

    def _batch(self) -> tuple[list[Any], bool]:
        batch = [self._lines.get()]
        while len(batch) < 1000 and not self._lines.empty():
            batch.append(self._lines.get())
        if batch[-1] is _STOP:
            return batch[:-1], False
        return batch, True

    def _line(self, moment: float, fields: dict[str, Any]) -> bytes:
        second = int(moment)
        if second != self._second:
            self._second, self._stamp = second, time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second))
        stamp = f"{self._stamp}.{int(moment % 1 * 1e6):06}Z"
        shown = {name: value for name, value in fields.items() if value != "" and value is not None}
        if self._form == "json":
            return msgspec.json.encode({"time": stamp, **shown}) + b"\n"
        words = " ".join(f"{name}={_word(value)}" for name, value in shown.items())
        return f"{stamp} {words}\n".encode("utf-8", "backslashreplace")


def _word(value: Any) -> str:
    text = str(value)
    return text if text.isprintable() and " " not in text and '"' not in text else repr(text)
