"""What tests of blobs have at hand: a clock to turn, and a store that goes by it."""

import pytest
from blobkit import MIB, Clock, open_blobs


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def blobs(tmp_path, clock):
    with open_blobs(tmp_path, clock=clock, checkpoint=2 * MIB) as opened:
        yield opened
