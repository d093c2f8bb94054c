"""Wire protocols in front of the engine: each a folder that turns requests into domain calls, and holds no rule.

The ones that ship with runstone are named here. Others are found by the entry point group ``runstone.dialects``, whose entries are
classes like those below. A server starts with the native one; the rest are loaded when a request comes that it does not know.
"""

from __future__ import annotations

from importlib import import_module

from runstone.dialects.routing import Dialect

BUILT_IN = {
    "native": "runstone.dialects.native:Native",
    "hub": "runstone.dialects.hub:Hub",
    "oci": "runstone.dialects.oci:Oci",
    "wandb": "runstone.dialects.wandb:Wandb",
    "mlflow": "runstone.dialects.mlflow:Mlflow",
}
GROUP = "runstone.dialects"


def first() -> Dialect:
    """The dialect that every server speaks from its start."""
    return _load(BUILT_IN["native"])


def others() -> list[Dialect]:
    """The other dialects: those that ship with runstone, and those that other packages bring."""
    from importlib.metadata import entry_points

    shipped = [_load(target) for name, target in BUILT_IN.items() if name != "native"]
    return shipped + [entry.load()() for entry in entry_points(group=GROUP) if entry.name not in BUILT_IN]


def _load(target: str) -> Dialect:
    module, _, name = target.partition(":")
    made: Dialect = getattr(import_module(module), name)()
    return made
