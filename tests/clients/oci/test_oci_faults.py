"""Pulls over connections that break: whole blobs or an error, and nothing that looks whole and is not."""

from __future__ import annotations

import random
import sys
from collections.abc import Iterator
from pathlib import Path

import oras.client
import pytest
import requests
from registrykit import Registry, layers

sys.path.append(str(Path(__file__).parents[2] / "client"))

from relay import Relay

SIZE = 3_000_000
FILES = {"config.json": b"{}", "model.safetensors": random.Random(4).randbytes(SIZE)}
EVERY_FIVE_PERCENT = range(5, 100, 5)


@pytest.fixture
def relay(registry: Registry) -> Iterator[Relay]:
    made = Relay(registry.url)
    yield made
    made.close()


@pytest.mark.parametrize("form", ["artifact", "image"])
def test_skopeo_cut_at_every_five_percent(registry: Registry, relay: Relay, tmp_path: Path, form: str):
    registry.put(f"lab/models/cut-{form}", FILES, tmp_path)
    name = f"lab/models/cut-{form}" + ("/image" if form == "image" else "")
    registry.skopeo("copy", f"docker://{registry.host}/{name}:latest", f"dir:{tmp_path / 'whole'}")
    expected = {digest: path.read_bytes() for digest, path in layers(tmp_path / "whole")[1].items()}
    host = relay.url.removeprefix("http://")
    for share in EVERY_FIVE_PERCENT:
        target = tmp_path / f"cut-{share}"
        cuts, relay.cut_down_after = relay.cuts, relay.down + SIZE * share // 100
        try:
            registry.skopeo("copy", f"docker://{host}/{name}:latest", f"dir:{target}")
        except RuntimeError:
            assert not (target / "manifest.json").exists(), share
            registry.skopeo("copy", f"docker://{host}/{name}:latest", f"dir:{target}")
        assert relay.cuts == cuts + 1, share
        assert {digest: path.read_bytes() for digest, path in layers(target)[1].items()} == expected, share


def test_oras_cut_at_every_five_percent(registry: Registry, relay: Relay, tmp_path: Path):
    registry.put("lab/open/cut-oras", FILES, tmp_path)
    host = relay.url.removeprefix("http://")
    client = oras.client.OrasClient(hostname=host, insecure=True)
    for share in EVERY_FIVE_PERCENT:
        target = tmp_path / f"cut-{share}"
        cuts, relay.cut_down_after = relay.cuts, relay.down + SIZE * share // 100
        try:
            client.pull(target=f"{host}/lab/open/cut-oras:latest", outdir=str(target))
        except (requests.RequestException, ValueError, OSError):
            client.pull(target=f"{host}/lab/open/cut-oras:latest", outdir=str(target))
        assert relay.cuts == cuts + 1, share
        assert {path.name: path.read_bytes() for path in target.iterdir()} == FILES, share
