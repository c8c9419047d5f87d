"""A zygote, and ranks for the harness's own tests."""

import pytest

from grader.harness.launch.zygote_handle import ZygoteHandle
from grader.harness.protocol.wall import Wall
from tests.harness.ranks import Ranks


@pytest.fixture(scope="session")
def zygote():
    """One zygote with torch preloaded for all tests that do not kill it."""
    with ZygoteHandle(wall=Wall.NONE, preload=["torch"]) as running:
        yield running


@pytest.fixture
def ranks(zygote, tmp_path):
    """Launches of student code that the test writes."""
    return Ranks(zygote, tmp_path)


@pytest.fixture
def seed():
    """Every test draws the same numbers each time."""
    import torch

    torch.manual_seed(0)
