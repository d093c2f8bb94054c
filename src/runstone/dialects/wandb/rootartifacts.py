"""What a document can begin with of artifacts and their collections."""

from __future__ import annotations

from typing import Any

from runstone.dialects.wandb import artifactnodes, artifacts, collections, parts, wire
from runstone.dialects.wandb.fields import Fields
from runstone.domain import drafts

#: What works of it, of what the SDK asks after.
FEATURES = {
    "USE_ARTIFACT_WITH_ENTITY_AND_PROJECT_INFORMATION": True,
    "ARTIFACT_COLLECTIONS_FILTERING_SORTING": True,
    "ARTIFACT_MEMBERSHIP_IN_LINK_ARTIFACT_RESPONSE": True,
    "ARTIFACT_V2_DOWNLOAD_HANDLER_SUPPORTS_ARTIFACT_ID": True,
    "TOTAL_COUNT_IN_FILE_CONNECTION": True,
    "PROJECT_ARTIFACT_COLLECTION_MEMBERSHIP": True,
    "ARTIFACT_COLLECTION_MEMBERSHIP_FILES": True,
    "ARTIFACT_COLLECTION_MEMBERSHIP_FILE_DOWNLOAD_HANDLER": True,
    "ARTIFACT_TAGS": True,
    "CLIENT_IDS": True,
}


class ArtifactFields(Fields):
    """Fields of Query and Mutation."""

    def artifact(self, id: str) -> Any:
        """An artifact by id."""
        return artifacts.by_id(self._call, id)

    def artifact_collection(self, id: str) -> Any:
        """A collection by id."""
        return collections.by_id(self._call, id)

    def client_idmapping(self, client_id: str) -> dict[str, Any] | None:
        """The id of what a client gave a name before it had one."""
        number = drafts.resolved(self._call.store, client_id)
        return None if number is None else {"serverID": wire.make_id("Artifact", number)}

    def create_artifact(self, input: dict[str, Any]) -> dict[str, Any]:
        """Begins an artifact."""
        return artifacts.create(self._call, input)

    def create_artifact_manifest(self, input: dict[str, Any]) -> dict[str, Any]:
        """Where a manifest is put to."""
        return artifacts.create_manifest(self._call, input)

    def update_artifact_manifest(self, input: dict[str, Any]) -> dict[str, Any]:
        """Where a part of a manifest is put to."""
        return artifacts.update_manifest(self._call, input)

    def create_artifact_files(self, input: dict[str, Any]) -> dict[str, Any]:
        """Where files are put to."""
        return artifacts.create_files(self._call, input["artifactFiles"])

    def complete_multipart_upload_artifact(self, input: dict[str, Any]) -> dict[str, Any]:
        """Ends the upload of a large file."""
        return parts.complete(self._call, input)

    def commit_artifact(self, input: dict[str, Any]) -> dict[str, Any]:
        """Makes a version of a draft."""
        return artifacts.commit(self._call, input)

    def use_artifact(self, input: dict[str, Any]) -> dict[str, Any]:
        """Notes that a run used an artifact."""
        return artifacts.use(self._call, input)

    def update_artifact(self, input: dict[str, Any]) -> dict[str, Any]:
        """Changes what is said of an artifact."""
        return artifacts.update(self._call, input)

    def delete_artifact(self, input: dict[str, Any]) -> dict[str, Any]:
        """Deletes an artifact."""
        return artifacts.delete(self._call, input)

    def add_aliases(self, input: dict[str, Any]) -> dict[str, Any]:
        """Gives an artifact aliases."""
        return artifacts.set_aliases(self._call, input, add=True)

    def delete_aliases(self, input: dict[str, Any]) -> dict[str, Any]:
        """Takes aliases of an artifact away."""
        return artifacts.set_aliases(self._call, input, add=False)

    def update_artifact_sequence(self, input: dict[str, Any]) -> dict[str, Any]:
        """Renames or describes a collection."""
        return collections.update(self._call, input)

    update_artifact_portfolio = update_artifact_sequence

    def move_artifact_sequence(self, input: dict[str, Any]) -> dict[str, Any]:
        """Gives a collection another type."""
        return collections.change_type(self._call, input)

    def delete_artifact_sequence(self, input: dict[str, Any]) -> dict[str, Any]:
        """Deletes a collection with its versions."""
        return collections.delete(self._call, input["artifactSequenceID"])

    def delete_artifact_portfolio(self, input: dict[str, Any]) -> dict[str, Any]:
        """Deletes a collection of links."""
        return collections.delete(self._call, input["artifactPortfolioID"])

    def create_artifact_collection_tag_assignments(self, input: dict[str, Any]) -> dict[str, Any]:
        """Adds tags to a collection."""
        return {
            "tags": [artifactnodes.tag(each) for each in collections.set_tags(self._call, input, add=True)]
        }

    def delete_artifact_collection_tag_assignments(self, input: dict[str, Any]) -> dict[str, Any]:
        """Takes tags of a collection away."""
        collections.set_tags(self._call, input, add=False)
        return {"success": True}

    def link_artifact(self, input: dict[str, Any]) -> dict[str, Any]:
        """Links an artifact into a collection."""
        return artifacts.link(self._call, input)

    def unlink_artifact(self, input: dict[str, Any]) -> dict[str, Any]:
        """Takes a link away."""
        return artifacts.unlink(self._call, input)
