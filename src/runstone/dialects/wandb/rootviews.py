"""What a document can begin with of saved views, reports and alerts."""

from __future__ import annotations

from typing import Any

from runstone.dialects.wandb import alerts, views
from runstone.dialects.wandb.fields import Fields
from runstone.dialects.wandb.views import ViewNode


class ViewFields(Fields):
    """Fields of Query and Mutation."""

    def view(self, id: str) -> ViewNode | None:
        """A saved workspace or report."""
        return views.view(self._call, id)

    def upsert_view(self, input: dict[str, Any]) -> dict[str, Any]:
        """Makes or changes a view."""
        return views.upsert(self._call, input)

    def delete_view(self, input: dict[str, Any]) -> dict[str, Any]:
        """Removes a view."""
        return views.delete(self._call, input)

    def notify_scriptable_run_alert(self, input: dict[str, Any]) -> dict[str, Any]:
        """Keeps an alert of a run."""
        return alerts.notify(self._call, input)
