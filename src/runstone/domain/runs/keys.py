"""The dictionary of a project's series keys: every name that was ever logged has a number, given once."""

from __future__ import annotations

from collections.abc import Iterable

from runstone.domain.store import Store
from runstone.errors import TooLarge
from runstone.storage.index import View
from runstone.storage.state import State
from runstone.storage.tables import KEY_IDS, KEY_NAMES

MAX_KEYS = 1_000_000
#: The row of KEY_NAMES that says how many there are; no key is called so.
_COUNT = ""
_REMEMBERED = 1 << 18


def number(state: State, project: int, wanted: Iterable[str]) -> dict[str, int]:
    """The numbers of keys, in ``apply``; new names get the next ones, in the order given."""
    found: dict[str, int] = {}
    held = count = state.get(KEY_NAMES, project, _COUNT) or 0
    for name in wanted:
        key = state.get(KEY_NAMES, project, name)
        if key is None:
            key, count = count, count + 1
            if count > MAX_KEYS:
                raise TooLarge(
                    f"the project has {MAX_KEYS} keys, and may have no more; {name!r} is one too many"
                )
            state.put(KEY_NAMES, project, name, key)
            state.put(KEY_IDS, project, key, name)
        found[name] = key
    if count != held:
        state.put(KEY_NAMES, project, _COUNT, count)
    return found


def find(view: View, project: int, wanted: Iterable[str]) -> dict[str, int]:
    """The numbers of those names that were ever logged."""
    found = ((name, view.get(KEY_NAMES, project, name)) for name in wanted if name)
    return {name: key for name, key in found if key is not None}


class Names:
    """The names of keys by number, remembered: a number never means another name."""

    def __init__(self, store: Store) -> None:
        self._names: dict[tuple[int, int], str] = {}

    def of(self, view: View, project: int, key: int) -> str:
        """The name of a key."""
        name = self._names.get((project, key))
        if name is None:
            name = view.get(KEY_IDS, project, key) or f"key {key}"
            if len(self._names) >= _REMEMBERED:
                self._names.clear()
            self._names[project, key] = name
        return name


def names(store: Store) -> Names:
    """The names of a store's keys."""
    return store.part("keys", Names)


def listed(view: View, project: int, prefix: str = "", after: str = "", limit: int = 1000) -> list[str]:
    """Names by code point that begin with ``prefix``, from just past ``after``."""
    found: list[str] = []
    start = (project, max(after, prefix)) if after or prefix else (project, _COUNT)
    if prefix > after and view.get(KEY_NAMES, project, prefix) is not None:
        found.append(prefix)
    for (_, name), _ in view.scan(KEY_NAMES, project, after=start):
        if len(found) >= limit or not name.startswith(prefix):
            break
        found.append(name)
    return found
