"""What tests of runs have at hand: the parts of an open library that the domain's functions take."""

import pytest


@pytest.fixture
def store(library):
    return library.store


@pytest.fixture
def ctx(library):
    return library.ctx
