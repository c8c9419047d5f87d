"""What a student sees of the grading of tally.py."""

from grader.harness import exercise

from assignments.ch01_arithmetic import programs


@exercise("tally", aspect="equivalence")
def test_each_rank_counts_its_own_words(launch):
    """A rank's tally holds the words of that rank and no other's."""
    words = [["a", "b", "a"], ["c"]]
    run = launch(programs.tally_words, 2, per_rank={"words": words}, process_group=False)
    assert list(run["counts"]) == [{"a": 2, "b": 1}, {"c": 1}]
