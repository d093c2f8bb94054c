"""Every GraphQL operation that the installed SDK has: it is answered, or it is one that the documentation names as not supported."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest
import wandb
from graphql import GraphQLError, OperationDefinitionNode, parse, validate

from runstone.dialects.wandb import execution

SDK = Path(wandb.__file__).parent
DOCS = Path(__file__).parents[3] / "docs" / "wandb.md"
_BEGINS = re.compile(r"\b(?:query|mutation)\s+(\w+)")
#: Parts that the SDK puts into its documents when it sends them.
_PARTS = re.compile(r"_PROJECT_QUERY_|%s")


def python_documents(folder: Path = SDK):
    """The documents in the SDK's Python sources, or in those of a folder of it."""
    for path in folder.rglob("*.py"):
        source = path.read_text()
        if "vendor" in path.parts or not _BEGINS.search(source):
            continue
        for node in ast.walk(ast.parse(source)):
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and _BEGINS.search(node.value):
                yield node.value


def core_documents():
    """The documents in the SDK's core program: text that lies in it between other text, with the fragments behind it."""
    binary = (SDK / "bin" / "wandb-core").read_bytes()
    for found in re.finditer(rb"\n(?:query|mutation) \w+ ?[({]", binary):
        text = binary[found.start() : found.start() + 20_000].decode("utf-8", "replace")
        end = closed(text)
        while end and (more := re.match(r"\s*fragment \w+ on \w+ \{", text[end:])) is not None:
            behind = closed(text[end:])
            if not behind:
                break
            assert more
            end += behind
        if end:
            yield text[:end]


def closed(text: str) -> int:
    """Where the first block of a text ends; 0 if it does not."""
    depth = 0
    for at, letter in enumerate(text, 1):
        depth += {"{": 1, "}": -1}.get(letter, 0)
        if letter == "}" and depth == 0:
            return at
    return 0


def operations(documents):
    """Names of operations with what is wrong with them here."""
    found: dict[str, set[str]] = {}
    for text in documents:
        try:
            document = parse(_PARTS.sub("", text))
        except GraphQLError:
            continue
        wrong = validate(execution.schema(), document)
        if any("Unknown fragment" in problem.message for problem in wrong):
            continue  # the SDK puts it together when it sends it
        for each in document.definitions:
            if isinstance(each, OperationDefinitionNode) and each.name:
                found.setdefault(each.name.value, set()).update(problem.message for problem in wrong)
    return found


def test_each_operation_is_answered_or_named_as_not_supported():
    found = operations([*python_documents(), *core_documents()])
    assert len(found) > 110
    assert {"UpsertBucket", "CreateArtifact", "RunResumeStatus", "UpsertSweep", "CreateAutomation"} <= set(
        found
    )
    unknown = {name: sorted(problems) for name, problems in found.items() if problems}
    documented = set(
        re.findall(r"^\| `(\w+)` \|", DOCS.read_text().partition("## What is not supported")[2], re.M)
    )
    assert set(unknown) <= documented, {name: unknown[name] for name in set(unknown) - documented}
    if wandb.__version__.startswith("0.31."):
        assert documented <= set(unknown), "these are supported now"


def test_each_operation_of_artifacts_and_registries_is_answered():
    found = operations(python_documents(SDK / "sdk" / "artifacts"))
    assert len(found) > 40
    assert {name: problems for name, problems in found.items() if problems} == {}


@pytest.mark.parametrize("name", ["CreateCustomChart", "GetOrgAutomations"])
def test_what_is_not_supported_is_named(name):
    with pytest.raises(GraphQLError, match=name):
        execution._prepared(f"query {name} {{ nothing }}")
