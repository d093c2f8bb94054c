"""Wire protocols in front of the engine: each a folder that turns requests into domain calls, and holds no rule.

The ones that ship with runstone are named here. Others are found by the entry point group ``runstone.dialects``, whose entries are
classes like those below. Their classes are small; what answers for them is loaded when it is first asked for.
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


def shipped() -> list[Dialect]:
    """The dialects that ship with runstone, the native one first."""
    return [_load(target) for target in BUILT_IN.values()]


def brought() -> list[Dialect]:
    """Those that other packages bring."""
    from importlib.metadata import entry_points

    return [entry.load()() for entry in entry_points(group=GROUP) if entry.name not in BUILT_IN]


def _load(target: str) -> Dialect:
    module, _, name = target.partition(":")
    made: Dialect = getattr(import_module(module), name)()
    return made
