"""What a test may need of the machine: each need is met or answered by what to do, and a mistyped one is the author's mistake."""

import importlib.util

import pytest

from course_env.errors import CatalogError
from grader.judge.needs import missing_need


def test_an_unknown_need_is_the_courses_fault() -> None:
    """A need that does not exist is an error that lists the known ones and suggests the nearest."""
    with pytest.raises(CatalogError) as error:
        missing_need("deepsped")

    assert "Unknown need 'deepsped'. Known: children, deepspeed, gpu, torch. Did you mean 'deepspeed'?" == str(
        error.value
    )


@pytest.mark.parametrize(
    ("need", "answer"),
    [
        ("torch", "PyTorch is not installed: run `pip install -c course_env/constraints.txt torch -e .`."),
        ("gpu", "PyTorch is not installed: run `pip install -c course_env/constraints.txt torch -e .`."),
        (
            "deepspeed",
            "DeepSpeed is not installed: run `pip install -c course_env/constraints.txt -e '.[deepspeed]'`.",
        ),
    ],
)
def test_a_missing_package_is_answered_by_how_to_install_it(
    monkeypatch: pytest.MonkeyPatch, need: str, answer: str
) -> None:
    """A need that a package would meet names a command that installs it in the repository and in a student's copy."""
    monkeypatch.setattr(importlib.util, "find_spec", lambda _name: None)

    assert answer == missing_need(need)


def test_every_machine_can_start_processes() -> None:
    """The need for child processes is met everywhere."""
    assert missing_need("children") is None
