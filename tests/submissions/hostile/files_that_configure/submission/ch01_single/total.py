"""The work is done by the files beside this one."""

import json
import random


def total(values):
    return len(json.dumps(values)) + random.randrange(1, 2)


def greatest(values):
    """Solved honestly."""
    return max(values)
