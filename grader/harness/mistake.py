"""The kinds of mistake that a graded test can tell apart: a closed list of phrases.

A student may learn the kind even where the explanation is secret, as that of a hidden test is. So no phrase holds an input,
a value, a name or a text of anybody's code, and code passes on members of this list, never a composed text.
"""

from enum import StrEnum


class Mistake(StrEnum):
    """The kind of a mistake, in words that complete "Kind of mistake: ..."."""

    VALUES = "wrong values"
    NOT_FINITE = "nan or inf where finite numbers are due"
    ZEROS = "zeros where other numbers are due"
    SIGN = "a flipped sign"
    SUM_FOR_MEAN = "a sum where a mean is due"
    MEAN_FOR_SUM = "a mean where a sum is due, or one division too many"
    TWICE = "twice what is due"
    HALF = "half of what is due"
    WORLD_SIZE = "the world size on the wrong side of a division"
    OTHER_GROUP = "all ranks counted where a group's are due, or the reverse"
    ROOT = "a root on the wrong side of a reduction"
    SCALE = "a wrong scale"
    SCALE_HERE = "a scale that is right for other values, and wrong for these"
    SCALE_PER_SLICE = "a wrong scale, another one in each slice"
    SCALE_DIGITS = "a scale of which only the first digits are right"
    OFFSET = "a constant too much or too little"
    STALE = "values from before the step"
    STALE_COUNTED = "values from before the step counted in or left out"
    FRACTION_LOST = "an integer dtype on the way"
    DIGITS_LOST = "a narrower dtype on the way"

    OTHER_RANK = "values of another rank"
    NOT_REDUCED = "values that were never reduced over the ranks"
    REDUCED = "values reduced over the ranks where each rank keeps its own"
    NOT_GATHERED = "each rank right only in its own block"
    ONE_BLOCK = "one block right, or one block wrong"
    ONE_RANK = "right on one rank only"

    TRANSPOSED = "dims exchanged"
    SHIFTED = "an index that is off"
    ORDER = "the right numbers in the wrong order"

    TYPE = "a value of another type"
    DTYPE = "a wrong dtype"
    SHAPE = "a wrong shape"
    WHOLE_FOR_SHARD = "the whole where a shard is due"
    SHARD_FOR_WHOLE = "a shard where the whole is due"
    LENGTH = "a wrong number of entries"
    KEYS = "missing or unexpected keys"

    WROTE_TO_ARGUMENT = "a write to what the caller passed"
    SHARES_MEMORY = "a result that shares memory with what the caller passed"
    NOT_CONTIGUOUS = "a result that is not contiguous"

    DID_NOT_RAISE = "no error where one is due"
    OTHER_ERROR = "another error than the one that is due"
    ERRORS = "a missing error, or another than the one that is due"

    CHECK = "a check that does not hold"
    COMMUNICATION = "other communication than what is asked for"
    MORE_COMMUNICATION = "more communication than needed"
    FOREIGN_CALL = "communication by a call that is not allowed here"
    NEVER_WAITED = "a communication that nobody waits for"
    IN_TURN = "messages one after the other that could travel side by side"
    MEMORY = "more memory than needed"
    UNUSABLE = "a result that the test cannot use"

    NOT_ATTEMPTED = "not attempted yet"
    IMPORT = "a file that cannot be imported"
    MISSING_NAME = "a name of the stub that is missing"
    EXCEPTION = "raises an exception"
    EXIT = "leaves with sys.exit()"
    NOT_DATA = "returns something that cannot be judged"
    HOLDS_JUDGE = "a result that keeps the judge computing"
    UNREADABLE = "leaves a result that cannot be read"
    CRASHED = "crashed"
    FLOODED = "prints without end"
    KILLED = "ends processes that it did not start"
    PEER = "communication with itself, or with a rank outside the group"
    LIBRARY = "a library's class that does the exercise's work"
    NO_GRAPH = "a value without its graph, so that backward cannot run"
    STRIDES = "memory with strides where it must be contiguous"
    INPLACE = "a write to what backward still needs"
    NOT_RUN = "not run, because tests before it took too long"
    DEADLINE = "not done by its deadline"
    DEADLOCK = "a deadlock, or a communication that never completes"
    MISMATCH = "communications that do not fit together"
    RECORD_INCOMPLETE = "a record of its communication that is not complete"
    OBSERVER_CHANGED = "a change to what observes it"
    UNRECORDED_TRAFFIC = "traffic that the record does not account for"


OF_THE_FILE = frozenset({Mistake.IMPORT, Mistake.MISSING_NAME, Mistake.NOT_ATTEMPTED})
"""What is wrong with a student's file, whichever test looks at it. It is told once."""


def named_mistake(message: str) -> Mistake | None:
    """Return the kind that the first line of an assertion's message names, as in `assert x, "a wrong scale"`; else None."""
    first = message.partition("\n")[0]
    return next((mistake for mistake in Mistake if mistake == first), None)
