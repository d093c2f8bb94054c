"""What a document can begin with of people, projects, runs and their files."""

from __future__ import annotations

from typing import Any

from runstone.dialects.wandb import changes, naming, people, projects, runfiles, wire
from runstone.dialects.wandb.fields import Fields
from runstone.dialects.wandb.people import EntityNode, UserNode
from runstone.dialects.wandb.projects import ProjectNode
from runstone.domain.runs import finding

#: What works of runs and their files, of what the SDK asks after.
FEATURES = {"STRUCTURED_CONSOLE_LOGS": True, "MARK_RUN_FILES_UPLOADED": True, "FILESTREAM_GZIP": True}


class RunFields(Fields):
    """Fields of Query and Mutation."""

    def viewer(self) -> UserNode | None:
        """Who asks."""
        name = self._call.ctx.principal.name
        return UserNode(self._call, name) if name else None

    def entity(self, name: str | None = None) -> EntityNode | None:
        """A namespace."""
        return people.entity(self._call, name)

    def project(self, name: str | None = None, entity_name: str | None = None) -> ProjectNode | None:
        """A project."""
        return projects.project(self._call, name, entity_name)

    model = project

    def models(
        self, entity_name: str | None = None, after: str | None = None, first: int | None = None
    ) -> dict[str, Any]:
        """The projects of an entity."""
        return projects.listed(self._call, entity_name, after, first)

    def upsert_bucket(self, input: dict[str, Any]) -> dict[str, Any]:
        """Makes or changes a run."""
        return changes.upsert_run(self._call, input)

    def upsert_model(self, input: dict[str, Any]) -> dict[str, Any]:
        """Makes or changes a project."""
        return changes.upsert_project(self._call, input)

    def rewind_run(self, input: dict[str, Any]) -> dict[str, Any]:
        """Takes a run back to a step."""
        return changes.rewind(self._call, input)

    def delete_run(self, input: dict[str, Any]) -> dict[str, Any]:
        """Deletes a run."""
        return changes.delete(self._call, input)

    def stop_run(self, input: dict[str, Any]) -> dict[str, Any]:
        """Asks a run to stop."""
        return changes.stop(self._call, input)

    def update_run_state(self, input: dict[str, Any]) -> dict[str, Any]:
        """Puts a run into a state."""
        return changes.set_state(self._call, input)

    def create_run_files(self, input: dict[str, Any]) -> dict[str, Any]:
        """Addresses for a run's files."""
        run = naming.run(self._call, input["entityName"], input["projectName"], input["runName"])
        with self._call.store.index.read() as view:
            number = finding.find(self._call.store, view, self._call.ctx, run, "write").run.id
        made = runfiles.create(self._call, run, input["files"])
        return {"runID": wire.make_id("Run", number), "uploadHeaders": [], "files": made}

    def mark_run_files_uploaded(self, input: dict[str, Any]) -> dict[str, Any]:
        """Says that files are there, which the end of their upload said already."""
        return {"success": True}

    def delete_files(self, input: dict[str, Any]) -> dict[str, Any]:
        """Takes files of runs away."""
        runfiles.delete(self._call, input["files"])
        return {"success": True}
