"""``import runstone`` and the embedded library load no web stack and no numpy."""

import subprocess
import sys

import pytest

from runstone.domain.restoring import Restored
from runstone.library import open_library
from runstone.types import FileEntry

HEAVY = ("numpy", "aiohttp", "uvloop", "cryptography", "cedarpy", "rich", "click", "asyncio", "duckdb")
#: What opening a store and resolving an alias does without: each is some milliseconds of a short-lived process.
NOT_NEEDED = (
    "hashlib",
    "shutil",
    "tempfile",
    "mimetypes",
    "secrets",
    "dataclasses",
    "runstone.storage.blobs",
    "runstone.storage.recovery",
    "runstone.domain.accounts",
    "runstone.domain.audit",
    "runstone.domain.content",
    "runstone.domain.maintenance",
)


def loaded(code: str) -> set[str]:
    script = f"{code}\nimport sys\nprint(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


@pytest.mark.parametrize("code", ["import runstone", "import runstone.library", "import runstone.client"])
def test_no_heavy_module_is_loaded(code):
    modules = loaded(code)
    assert "runstone" in modules
    assert not modules & set(HEAVY)


@pytest.fixture
def data(tmp_path):
    with open_library(tmp_path / "data") as library:
        entry = FileEntry(path="a", size=1, url="https://example.org/a", etag="1")
        library.put("p/m", files=[entry], aliases=["prod"])
        library.create_key("local", "first")
        library.store.log.submit(Restored(actor="local", store="another", size=1, root=bytes(32)))
    return str(tmp_path / "data")


def test_opening_and_resolving_loads_what_it_needs(data):
    code = f"""
import runstone
with runstone.open({data!r}) as store:
    assert store.resolve("p/m@prod").version == 1
"""
    modules = loaded(code)
    assert "runstone.domain.versions" in modules
    assert not modules & {*HEAVY, *NOT_NEEDED}


def test_a_fresh_process_reads_every_kind_of_change(data):
    code = f"""
import runstone
with runstone.open({data!r}) as store:
    for record in store.log():
        assert record.command is not None, record
        print(record.kind)
"""
    kinds = {"create_user", "create_project", "create_collection", "commit_version", "create_key", "restored"}
    assert kinds <= loaded(code)


def test_public_names():
    import runstone

    ours = {"connect", "errors", "fetch", "follow", "load", "open", "pin", "pins", "unpin"}
    assert set(runstone.__all__) == {"RunstoneError", "__version__"} | ours
    for name in runstone.__all__:
        assert getattr(runstone, name) is not None
