from __future__ import annotations

from collections.abc import Iterator

import pytest
from registrykit import Registry

from runstone.config import ServerOptions
from runstone.domain import keys
from runstone.domain.context import Context
from runstone.library import Library
from runstone.server.background import Background


@pytest.fixture(scope="session")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registry]:
    data = tmp_path_factory.mktemp("oci") / "data"
    with Background(ServerOptions(data=str(data), port=0, log_format="off", auth="on")) as server:
        library = Library(server.store, Context())
        found = Registry(server, library)
        for name in ("ria", "eve"):
            library.create_user(name)
            found.tokens[name] = keys.create(server.store, Context(), name, "test").key
        library.create_namespace("lab")
        library.set_member("lab", "ria", "reader")
        library.create_project("lab/models")
        library.create_project("lab/open", visibility="public")
        yield found
