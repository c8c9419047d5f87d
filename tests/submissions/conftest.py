"""The corpus, graded once for each user who may grade: root, where the tests run as root, and somebody ordinary."""

import os
import shutil
import tempfile
from pathlib import Path

import pytest

from grader.harness.protocol.wall import Wall
from grader.harness.trials.walls import problem
from tests.submissions.attack import Aftermath, grade_corpus
from tests.submissions.case import load_cases

USERS = ("root", "ordinary user") if os.geteuid() == 0 else ("ordinary user",)
FIRST_FREE_ID = 62_000  # nobody's: above the ids of people, below those that systemd lends to services


@pytest.fixture(scope="session", params=USERS)
def aftermath(request: pytest.FixtureRequest) -> Aftermath:
    """Return what is left when the corpus has been graded behind the strongest wall."""
    if (reason := problem(Wall.NESTED)) is not None:
        pytest.skip(f"The corpus needs the wall 'nested'. {reason}")
    becomes = FIRST_FREE_ID + os.getpid() % 1000 if (request.param, USERS[0]) == ("ordinary user", "root") else None
    # Not in pytest's own folder, which only its owner may enter.
    base = Path(tempfile.mkdtemp(prefix="corpus-"))
    try:
        return grade_corpus(base, load_cases(), becomes)
    finally:
        shutil.rmtree(base)
