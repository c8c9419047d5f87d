"""What runs on every rank in the tests of accuracy.py."""

from functools import partial

from course_env.rank_programs import WriteWatch, attempt, group_among


def accuracy(student, *, pred, label, valid_mask, groups=None):
    """Call distributed_accuracy in this rank's group."""
    arguments = [pred, label, valid_mask]
    watch = WriteWatch(arguments)
    value = student.distributed_accuracy(*arguments, group_among(groups))
    return {"accuracy": value, "observed": {"written": watch.written()}}


def failing_accuracy(student, *, bad, good):
    """Call distributed_accuracy on `bad` arguments, then on `good` ones: pred, label and valid_mask each.

    Return the ValueError of the first call, and what the second returned.
    """
    error = attempt(partial(student.distributed_accuracy, *bad))[1]
    return {"error": error, "accuracy": student.distributed_accuracy(*good)}
