"""What a document can begin with of teams, users and keys."""

from __future__ import annotations

from typing import Any

from runstone.dialects.wandb import teams
from runstone.dialects.wandb.fields import Fields


class TeamFields(Fields):
    """Fields of Query and Mutation."""

    def users(self, query: str | None = None) -> dict[str, Any]:
        """Users by name or address of mail."""
        return teams.search(self._call, query)

    def create_team(self, input: dict[str, Any]) -> dict[str, Any]:
        """Makes a team."""
        return teams.create(self._call, input)

    def create_invite(self, input: dict[str, Any]) -> dict[str, Any]:
        """Makes a user a member of a team."""
        return teams.invite(self._call, input)

    def delete_invite(self, input: dict[str, Any]) -> dict[str, Any]:
        """Takes a member out of a team."""
        return teams.dismiss(self._call, input)

    def create_service_account(self, input: dict[str, Any]) -> dict[str, Any]:
        """Makes a service account of a team."""
        return teams.create_service_account(self._call, input)

    def create_user(self, input: dict[str, Any]) -> dict[str, Any]:
        """Makes a user."""
        return teams.create_user(self._call, input)

    def generate_api_key(self, input: dict[str, Any]) -> dict[str, Any]:
        """Makes a key."""
        return teams.generate_key(self._call, input)

    def delete_api_key(self, input: dict[str, Any]) -> dict[str, Any]:
        """Ends a key."""
        return teams.delete_key(self._call, input)
