"""Every document that the SDK can send of artifacts and registries asks for what the schema has."""

from __future__ import annotations

import importlib.util
import runpy
from pathlib import Path

from graphql import parse, validate

from runstone.dialects.wandb.execution import schema


def test_every_document_of_artifacts_is_known():
    found = importlib.util.find_spec("wandb")
    assert found is not None and found.origin is not None
    path = Path(found.origin).parent / "sdk" / "artifacts" / "_generated" / "operations.py"
    documents = {name: text for name, text in runpy.run_path(str(path)).items() if name.endswith("_GQL")}
    assert len(documents) > 40
    wrong = {
        name: [each.message for each in problems]
        for name, text in documents.items()
        if (problems := validate(schema(), parse(text)))
    }
    assert wrong == {}
