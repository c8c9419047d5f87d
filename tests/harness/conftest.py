"""A zygote, and ranks for the harness's own tests."""

import pytest

from grader.harness.launch.zygote_handle import ZygoteHandle
from grader.harness.protocol.wall import Wall
from grader.harness.trials.walls import problem
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


@pytest.fixture(scope="module")
def zygotes():
    """Zygotes by wall, each started at its first use."""
    started: dict[Wall, ZygoteHandle] = {}
    yield started
    for zygote in started.values():
        zygote.close()


@pytest.fixture(scope="module")
def counting_zygote():
    """A zygote that gives each launch a separate network, whose traffic the kernel counts."""
    if (reason := problem(Wall.NESTED)) is not None:
        pytest.skip(f"This machine has no wall that counts: {reason}")
    with ZygoteHandle(wall=Wall.NESTED, preload=["torch"]) as running:
        yield running


@pytest.fixture
def counted_ranks(counting_zygote, tmp_path):
    """Launches of student code whose traffic the kernel counts."""
    return Ranks(counting_zygote, tmp_path)


@pytest.fixture
def seed():
    """Every test draws the same numbers each time."""
    import torch

    torch.manual_seed(0)
