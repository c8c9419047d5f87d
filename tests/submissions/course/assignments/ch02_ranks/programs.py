"""What runs on every rank in the tests of this chapter."""


def sum_over_ranks(student, *, x):
    """Sum x over the ranks; return the sum, and x as it was left."""
    return {"y": student.sum_over_ranks(x), "x": x}
