"""When a launch that does not end is cut, and how long each side then waits for the other. All in seconds.

deadline                    every rank writes its stack
+ CUT_AFTER_S               the judge tells the supervisor to stop all ranks and then end them
+ PART_LATER_S              an agent does the same with its part of a launch, if the judge has not
+ SECONDS_TO_END            what has not ended by then is killed
"""

CUT_AFTER_S = 0.3
"""Ranks write their stacks at the deadline itself; the cut must come after that, and soon."""

PART_LATER_S = 3.0
"""The judge cuts all parts of a launch together; an agent cuts its part only if the judge no longer can."""

SECONDS_TO_END = 5.0
"""For a process that was told to end."""

GRACE_AFTER_FAILURE_S = 2.0
"""How long other ranks may go on after one has failed: enough for gloo to report the broken connection."""
