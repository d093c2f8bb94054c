from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

import pytest
from hubkit import Hub, safetensors

from runstone.config import ServerOptions
from runstone.domain import keys
from runstone.domain.context import Context
from runstone.library import Library
from runstone.server.background import Background


@pytest.fixture(scope="session")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hub]:
    data = tmp_path_factory.mktemp("hub") / "data"
    with Background(ServerOptions(data=str(data), port=0, log_format="off", auth="on")) as server:
        library = Library(server.store, Context())
        found = Hub(server, library)
        for name in ("ann", "max", "ria", "eve"):
            library.create_user(name)
            found.tokens[name] = keys.create(server.store, Context(), name, "test").key
        library.create_user("root", admin=True)
        found.tokens["root"] = keys.create(server.store, Context(), "root", "test").key
        found.tokens["ann-reads"] = keys.create(server.store, Context(), "ann", "reads", role="reader").key
        library.create_namespace("lab")
        library.set_member("lab", "ann", "owner")
        library.set_member("lab", "max", "member")
        library.set_member("lab", "ria", "reader")
        yield found


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Every test has a cache of its own."""
    from huggingface_hub import constants

    cache = tmp_path / "hf"
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(cache / "hub"))
    monkeypatch.setattr(constants, "HF_HOME", str(cache))
    monkeypatch.setattr(constants, "HF_XET_CACHE", str(cache / "xet"))
    return cache


@pytest.fixture
def files() -> dict[str, bytes]:
    """The files of a small model."""
    noise = random.Random(11)
    return {
        "README.md": b"---\nlicense: mit\n---\n# A model\n",
        "config.json": b'{"layers": 2}',
        "empty": b"",
        "model.safetensors": safetensors(noise.randbytes(3_000_000)),
        "tokenizer/vocab.txt": b"a\nb\n",
        "tokenizer/deep/\u00e4 b.txt": b"composed",
        "tokenizer-old/x": b"x",
    }
