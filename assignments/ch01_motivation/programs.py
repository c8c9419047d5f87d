"""What runs in the sandbox in the tests of parameters.py, flops.py and training_time.py."""

from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from course_env import rank_programs

REFUSED = {
    nn.Module: "the count itself, from the sizes in cfg: no model is made",
    FlopCounterMode: "the count itself, from the sizes in cfg",
}


def call_each(student, *, function, calls):
    """Call one of the student's functions once per dict of arguments, where no model can be made and no counter runs.

    It reports what the `call_each` of all chapters does.
    """
    return rank_programs.call_each(student, function=function, calls=calls)
