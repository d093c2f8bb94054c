"""What a document can begin with: the fields of Query and Mutation, which lie in a class for each part of the SDK."""

from __future__ import annotations

from typing import Any

from runstone.dialects.wandb import (
    rootartifacts,
    rootautomations,
    rootlaunch,
    rootregistry,
    rootruns,
    rootsweeps,
    rootteams,
    rootviews,
)

#: What the SDK asks after, and whether it works here; any other is off.
FEATURES = (
    rootruns.FEATURES
    | rootartifacts.FEATURES
    | rootregistry.FEATURES
    | rootsweeps.FEATURES
    | rootautomations.FEATURES
)
#: The least and greatest version of the SDK, for ``wandb verify``.
VERSIONS = {"min_cli_version": "0.28.0", "max_cli_version": "0.31.99"}


class Root(
    rootruns.RunFields,
    rootartifacts.ArtifactFields,
    rootregistry.RegistryFields,
    rootsweeps.SweepFields,
    rootteams.TeamFields,
    rootviews.ViewFields,
    rootautomations.AutomationFields,
    rootlaunch.LaunchFields,
):
    """The root of one request."""

    def server_info(self) -> dict[str, Any]:
        """What this server can do."""
        features = [{"name": name, "isEnabled": on} for name, on in FEATURES.items()]
        return {"features": features, "cliVersionInfo": VERSIONS, "latestLocalVersionInfo": None}
