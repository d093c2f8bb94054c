"""``import runstone`` and the embedded library load no web stack and no numpy."""

import subprocess
import sys

import pytest

HEAVY = ("numpy", "aiohttp", "uvloop", "cryptography", "cedarpy", "rich", "click", "asyncio", "duckdb")


def loaded(code: str) -> set[str]:
    script = f"{code}\nimport sys\nprint(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


@pytest.mark.parametrize("code", ["import runstone", "import runstone.library", "import runstone.client"])
def test_no_heavy_module_is_loaded(code):
    modules = loaded(code)
    assert "runstone" in modules
    assert not modules & set(HEAVY)


def test_opening_and_resolving_loads_no_heavy_module(tmp_path):
    code = f"""
import runstone
from runstone.types import FileEntry
with runstone.open({str(tmp_path / "data")!r}) as store:
    store.put("p/m", files=[FileEntry(path="a", size=1, url="https://example.org/a", etag="1")], aliases=["prod"])
    assert store.resolve("p/m@prod").version == 1
"""
    assert not loaded(code) & set(HEAVY)


def test_public_names():
    import runstone

    assert sorted(runstone.__all__) == ["RunstoneError", "__version__", "connect", "errors", "fetch", "open"]
    for name in runstone.__all__:
        assert getattr(runstone, name) is not None
