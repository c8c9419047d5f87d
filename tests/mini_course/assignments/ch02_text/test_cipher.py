"""What a student sees of the grading of cipher.py."""

from grader.harness import exercise


@exercise("caesar", aspect="equivalence")
def test_every_letter_moves_by_the_key(student):
    """Each letter is replaced by the one that stands `key` places after it."""
    assert student.encrypt("abc", 3) == "def"


@exercise("caesar", aspect="robustness")
def test_the_alphabet_goes_round(student):
    """After z comes a."""
    assert student.encrypt("xyz", 3) == "abc"
