"""Rank programs that only hidden tests use."""


def tally_twice(student, words):
    """Change what counts() gave, and ask again."""
    tally = student.Tally()
    for word in words:
        tally.add(word)
    tally.counts().clear()
    return {"counts": tally.counts()}
