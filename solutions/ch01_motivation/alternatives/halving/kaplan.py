"""The tokens that are needed are looked for: the loss falls with them, so the interval that holds them is halved again and again."""


def kaplan_loss(n=None, d=None):
    """Return the loss."""
    if (n is None and d is None) or (n is not None and n <= 0) or (d is not None and d <= 0):
        raise ValueError("sizes must be given, and positive")
    if d is None:
        return (n / 8.8e13) ** -0.076
    if n is None:
        return (d / 5.4e13) ** -0.095
    return ((8.8e13 / n) ** 0.8 + 5.4e13 / d) ** 0.095


def tokens_needed(n, slack):
    """Return the tokens."""
    if not (n > 0 and slack > 0):
        raise ValueError("n and slack must be positive")
    goal = (1 + slack) * kaplan_loss(n)
    few, many = 1e-30, 1e40
    for _ in range(300):
        middle = (few * many) ** 0.5
        few, many = (few, middle) if kaplan_loss(n, middle) < goal else (middle, many)
    return (few * many) ** 0.5


def compute_multipliers(c_ratio):
    """Return the factors."""
    if not c_ratio > 0:
        raise ValueError("no budget")
    return (c_ratio**0.73, c_ratio**0.24, c_ratio ** (1 - 0.73 - 0.24))
