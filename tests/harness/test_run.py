"""A Run knows whether a test looked at the values or only at the communication."""

from grader.harness.run import Run
from tests.harness.recorded_ranks import Recorded, log


def run_of(*values: dict) -> Run:
    """Return the Run of ranks that returned these values and communicated nothing."""
    comm = log(*(Recorded(len(values)) for _ in values))
    return Run(_values=values, _comm=comm, log=("",) * len(values), orphans=0, max_rss_kb=(0,) * len(values))


def test_communication_alone_is_half_of_a_judgement():
    """A test that looks at `comm` only would pass ranks that just send; one that looks at values too would not."""
    run = run_of({"sum": 1}, {"sum": 2})
    assert not run.is_half_judged

    assert run.comm.count() == 0
    assert run.is_half_judged

    assert run["sum"] == (1, 2)
    assert not run.is_half_judged


def test_without_values_communication_is_all_there_is_to_judge():
    """Ranks that return nothing are judged by what they communicate."""
    run = run_of({}, {})

    assert run.comm.count() == 0
    assert not run.is_half_judged


def test_printing_a_run_is_not_looking_at_it():
    """The text of a Run in a failed assertion names it, shows none of its values, and counts as no look at them."""
    run = run_of({"sum": 1})

    assert run.comm.count() == 0
    assert repr(run) == "<Run of 1 ranks>"
    assert run.is_half_judged
