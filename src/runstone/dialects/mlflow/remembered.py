"""Answers that are remembered as they are sent, until the next commit: for questions that clients ask over and over.

What takes longer than a few lookups is made in a thread once, and told from memory on the server's hot lane after that.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import msgspec

from runstone.dialects.mlflow import ids
from runstone.dialects.routing import JSON, Call, Raw
from runstone.domain.store import Store

MAX_BYTES = 32 << 20
MAX_ANSWER = 64 << 10
_encode = msgspec.json.Encoder().encode


class Answers:
    """Encoded answers of one state of the index."""

    def __init__(self, store: Store) -> None:
        self._last_commit = store.index.last_commit
        self._lock = threading.Lock()
        #: The commit, and the answers that hold until the next: in one, so that a reader needs no lock.
        self._of: tuple[int, dict[Any, Raw]] = (-1, {})
        self._bytes = 0

    def get(self, key: Any) -> Raw | None:
        """The answer to a question, if nothing was committed since it was made."""
        commit, held = self._of
        return held.get(key) if commit == self._last_commit() else None

    def make(self, key: Any, handler: Callable[[], Any]) -> Raw:
        """The answer to a question, remembered if it is short."""
        found = self.get(key)
        if found is not None:
            return found
        commit = self._last_commit()  # seen before it is made: a commit in between makes it stale early
        answer = Raw(_encode(handler()), JSON)
        if len(answer.content) <= MAX_ANSWER:
            self._keep(commit, key, answer)
        return answer

    def _keep(self, commit: int, key: Any, answer: Raw) -> None:
        with self._lock:
            if commit < self._of[0]:
                return
            if commit > self._of[0] or self._bytes > MAX_BYTES:
                self._of, self._bytes = (commit, {}), 0
            self._of[1][key] = answer
            self._bytes += len(answer.content) + 512


def answers(store: Store) -> Answers:
    """Those of a store."""
    return store.part("mlflow answers", Answers)


def question(call: Call, path: str) -> Any:
    """What an answer depends on beside the index: who asks, what for, and what."""
    ctx = call.ctx
    return (path, ctx.asker, ids.workspace(call), call.query)
