"""Talks while it works."""

import logging
import sys
import warnings

print("imported")
warnings.warn("careful", stacklevel=1)


def total(values):
    print("adding", values)
    print("progress: 50%\r", end="", file=sys.stderr)
    warnings.warn("numbers ahead", DeprecationWarning, stacklevel=2)
    logging.getLogger().error("no error at all")
    return sum(values)


def greatest(values):
    """Solved honestly."""
    return max(values)
