"""A development cluster, one for all tests that leave it as it was."""

import shutil
import tempfile
from contextlib import contextmanager
from pathlib import Path

import pytest

from grader.cli.grade import __main__ as grade
from slurm.dev_cluster.cluster import HOW_TO_GET, DevCluster, missing_programs
from tests.slurm.commands import Cluster
from tests.slurm.small_class import Class


@pytest.fixture(scope="session")
def cluster():
    """Return a cluster of two nodes that runs; skip where Slurm is not installed."""
    with _running() as running:
        yield running


@pytest.fixture
def own_cluster():
    """Return a cluster that the test may damage."""
    with _running() as running:
        yield running


@contextmanager
def _running():
    if missing := missing_programs():
        pytest.skip(f"needs {', '.join(missing)}: {HOW_TO_GET}")
    folder = Path(tempfile.mkdtemp(prefix="slurm-"))  # short: a socket's path has room for 107 bytes
    try:
        DevCluster(folder).up(nodes=2, cpus=8, gpus=4)
        yield Cluster(folder)
    finally:
        DevCluster(folder).down()
        shutil.rmtree(folder)


@pytest.fixture
def class_(tmp_path, monkeypatch):
    """Return a class that nobody has graded yet."""
    made = Class(tmp_path)
    monkeypatch.chdir(made.course)
    return made


@pytest.fixture(scope="session")
def expected(tmp_path_factory):
    """Return the results of this machine."""
    made = Class(tmp_path_factory.mktemp("local"))
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(made.course)
        assert 1 == grade.main(made.command())
    return made.results()
