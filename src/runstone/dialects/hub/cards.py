"""Model cards: the YAML at the head of a ``README.md``, which says of a repo what people search by.

Aliases are refused: a few lines of them stand for gigabytes.
"""

from __future__ import annotations

import contextlib
import re
from typing import Any

from runstone.dialects.hub import revisions
from runstone.dialects.hub.changes import README
from runstone.dialects.hub.naming import Repo
from runstone.dialects.hub.revisions import Commit
from runstone.dialects.routing import Call
from runstone.domain import content, limits
from runstone.errors import Gated, Invalid, RunstoneError

MAX_HEAD = 64 << 10
MAX_CARD = 1 << 20
_HEAD = re.compile(r"\A\ufeff?---[ \t]*\r?\n(.*?\n)---[ \t]*(?:\r?\n|\Z)", re.DOTALL)
#: Fields that are also tags, and what they are prefixed with.
_TAGS = {
    "license": "license:",
    "datasets": "dataset:",
    "language": "",
    "library_name": "",
    "pipeline_tag": "",
    "tags": "",
}


def head_of(text: str) -> dict[str, Any]:
    """The fields of a card; raises :class:`Invalid` for what is no YAML of plain values."""
    found = _HEAD.match(text)
    if found is None:
        return {}
    if len(found[1]) > MAX_HEAD:
        raise Invalid(f"the head of the card has over {MAX_HEAD} characters, the limit")
    value = _parsed(found[1])
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise Invalid("the head of the card must be fields, each a name and a value")
    limits.json_value(value, "the head of the card")
    return value


def _parsed(text: str) -> Any:
    import yaml

    class Plain(yaml.SafeLoader):  # type: ignore[misc]
        """Text, numbers, lists and fields: dates stay text, and nothing stands for something else."""

        def compose_node(self, parent: Any, index: Any) -> Any:
            if self.check_event(yaml.AliasEvent):
                raise Invalid("the head of the card may not use aliases")
            return super().compose_node(parent, index)

    Plain.yaml_implicit_resolvers = {
        first: [pair for pair in pairs if pair[0] != "tag:yaml.org,2002:timestamp"]
        for first, pairs in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }
    try:
        return yaml.load(text, Loader=Plain)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise Invalid(f"the head of the card is not YAML: {error}") from None


def of_commit(call: Call, repo: Repo, commit: Commit) -> dict[str, Any]:
    """The fields of the card of a commit, none if it has no card or one that does not parse."""
    try:
        found = revisions.files(call.store, call.ctx, repo, commit, prefix=README, limit=1)
    except Gated:
        return {}
    if not found or found[0].path != README or not found[0].sha256 or found[0].size > MAX_CARD:
        return {}
    key = ("hub card", found[0].sha256, call.ctx.principal)
    return call.store.cached(key, lambda: _read(call, f"{repo.path}@v{commit.number}"))


def _read(call: Call, name: str) -> dict[str, Any]:
    with (
        contextlib.suppress(RunstoneError, UnicodeError),
        content.open_file(call.store, call.ctx, name, README) as file,
    ):
        return head_of(file.read().decode())
    return {}


def tags_of(card: dict[str, Any]) -> list[str]:
    """What a card says, as tags."""
    found = []
    for field, prefix in _TAGS.items():
        value = card.get(field)
        for one in value if isinstance(value, list) else [value]:
            if isinstance(one, str) and one:
                found.append(prefix + one)
    return found
