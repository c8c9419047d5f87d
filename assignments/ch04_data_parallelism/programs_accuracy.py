"""What runs on every rank in the tests of accuracy.py."""

from functools import partial

from course_env.rank_programs import WriteWatch, attempt, group_among


def accuracy(student, *, pred, label, valid_mask, groups=None):
    """Call distributed_accuracy in this rank's group."""
    arguments = [pred, label, valid_mask]
    watch = WriteWatch(arguments)
    value = student.distributed_accuracy(*arguments, group_among(groups))
    return {"accuracy": value, "changed": watch.written()}


def failing_accuracy(student, *, pred, label, valid_mask):
    """Return the ValueError that distributed_accuracy raises."""
    return {"error": attempt(partial(student.distributed_accuracy, pred, label, valid_mask))[1]}
