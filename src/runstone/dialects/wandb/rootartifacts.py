"""What a document can begin with of artifacts and their collections."""

from __future__ import annotations

from runstone.dialects.wandb.fields import Fields

#: What works of it, of what the SDK asks after.
FEATURES: dict[str, bool] = {}


class ArtifactFields(Fields):
    """Fields of Query and Mutation."""
