"""The data's side first: d in closed form, n from the budget; lines by the standard library."""

import math
import statistics


def chinchilla_loss(n, d, fit):
    """Return the loss."""
    loss = fit.irreducible
    for size, factor, exponent in ((n, fit.a, fit.alpha), (d, fit.b, fit.beta)):
        loss += factor * math.exp(-exponent * math.log(size))
    return loss


def compute_optimal(c, fit):
    """Return the best sizes."""
    if not c > 0:
        raise ValueError(f"a budget of {c}")
    pairs = c / 6
    d = (fit.beta * fit.b * pairs**fit.alpha / (fit.alpha * fit.a)) ** (1 / (fit.alpha + fit.beta))
    return pairs / d, d


def tokens_for_loss(loss, n, fit):
    """Return the tokens."""
    for_data = loss - fit.irreducible - fit.a * n**-fit.alpha
    if for_data <= 0:
        raise ValueError("out of reach")
    return (for_data / fit.b) ** (-1 / fit.beta)


def fit_power_law(x, y):
    """Return factor and exponent."""
    xs, ys = x.tolist(), y.tolist()
    if len(xs) != len(ys) or len(xs) < 2 or any(number <= 0 for number in xs + ys):
        raise ValueError("no line goes through these")
    line = statistics.linear_regression([math.log(number) for number in xs], [math.log(number) for number in ys])
    return math.exp(line.intercept), line.slope
