"""The laws as straight lines between logarithms; the law of both sizes as a smooth maximum of the two lines."""

import math


def _line(size, at_one_nat, slope):
    return slope * (math.log(at_one_nat) - math.log(size))


def kaplan_loss(n=None, d=None):
    """Return the loss."""
    lines = []
    for size, at_one_nat, slope in ((n, 8.8e13, 0.076), (d, 5.4e13, 0.095)):
        if size is None:
            continue
        if size <= 0:
            raise ValueError(f"{size} is not positive")
        lines.append(_line(size, at_one_nat, slope))
    if not lines:
        raise ValueError("neither n nor d")
    return math.exp(0.095 * math.log(sum(math.exp(line / 0.095) for line in lines)))


def tokens_needed(n, slack):
    """Return the tokens for which the smooth maximum is log(1 + slack) above the model's line."""
    if n <= 0 or slack <= 0:
        raise ValueError("n and slack must be positive")
    line = _line(n, 8.8e13, 0.076) / 0.095
    of_data = line + math.log(math.expm1(math.log1p(slack) / 0.095))
    return 5.4e13 / math.exp(of_data)


def compute_multipliers(c_ratio):
    """Return the factors."""
    if c_ratio <= 0:
        raise ValueError("no budget")
    model, batch = (math.exp(power * math.log(c_ratio)) for power in (0.73, 0.24))
    return model, batch, c_ratio / model / batch
