"""What a document can begin with of organisations and registries."""

from __future__ import annotations

from runstone.dialects.wandb.fields import Fields

#: What works of it, of what the SDK asks after.
FEATURES: dict[str, bool] = {}


class RegistryFields(Fields):
    """Fields of Query and Mutation."""

    def organization(self, name: str) -> None:
        """Nothing: there are none."""
