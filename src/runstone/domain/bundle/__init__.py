"""The open bundle: a whole project as plain files that need nothing of ours to be read, and back.

``docs/format/bundle.md`` has the files. Parquet needs ``runstone[sql]``; nothing here is loaded before it is used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from runstone.domain.bundle.exporting import export_project
    from runstone.domain.bundle.importing import import_project
    from runstone.domain.bundle.state import state_of_project

__all__ = ["export_project", "import_project", "state_of_project"]

_MODULES = {"export_project": "exporting", "import_project": "importing", "state_of_project": "state"}


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
