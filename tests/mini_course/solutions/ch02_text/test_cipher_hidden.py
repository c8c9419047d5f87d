"""What only staff see of the grading of cipher.py."""

from grader.harness import exercise


@exercise("caesar", aspect="property")
def test_only_small_letters_are_moved(student):
    """Blanks, digits and capitals stay as they are."""
    assert student.encrypt("Veni 3 z", 27) == "Vfoj 3 a"
