"""What a run's handle offers to read and change: config and summary, as mappings of this process's view."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, MutableMapping
from copy import deepcopy
from typing import Any, ClassVar

from runstone.client.runs import values

Change = Callable[[dict[str, Any]], None]


class _Fields(MutableMapping[str, Any]):
    """Values under text keys; each change of them goes to the store. What is read is a copy: change a nested value by assigning its whole key."""

    _part: ClassVar[str]

    def __init__(self, given: Mapping[str, Any], change: Change) -> None:
        self._held = values.checked(given, self._part)
        self._change = change

    def __getitem__(self, key: str) -> Any:
        return deepcopy(self._held[key])

    def __setitem__(self, key: str, value: Any) -> None:
        self.update({key: value})

    def __iter__(self) -> Iterator[str]:
        return iter(dict(self._held))

    def __len__(self) -> int:
        return len(self._held)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._held!r})"

    def update(self, *given: Any, **more: Any) -> None:
        """Changes several keys at once."""
        found = values.checked(dict(*given, **more), self._part)
        if found:
            self._change({self._part: found})
            self._held |= found


class Config(_Fields):
    """A run's config: nested values under text keys. A change is one of a top-level key, and its history is kept by the store."""

    _part = "config"

    def __delitem__(self, key: str) -> None:
        del self._held[key]
        self._change({"removed": (key,)})


class Summary(_Fields):
    """Values that stand for a run as a whole, set by hand; those that follow from its series are the store's to keep."""

    _part = "summary"

    def __init__(self, change: Change) -> None:
        super().__init__({}, change)

    def __delitem__(self, key: str) -> None:
        del self._held[key]
        self._change({"summary": {key: None}})
