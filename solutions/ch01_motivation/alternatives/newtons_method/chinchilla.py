"""The best size by Newton's method on the logarithm of n; lines by torch's mean and covariance."""

import math

import torch


def chinchilla_loss(n, d, fit):
    """Return the loss."""
    return math.fsum((fit.irreducible, fit.a * n**-fit.alpha, fit.b * d**-fit.beta))


def compute_optimal(c, fit):
    """Return the best sizes: those at which both terms, weighted by their exponents, have the same logarithm."""
    if c <= 0:
        raise ValueError("no budget")
    log_n = 0.5 * math.log(c / 6)
    for _ in range(5):  # the equation is linear, so one step would do
        of_model = math.log(fit.alpha * fit.a) - fit.alpha * log_n
        of_data = math.log(fit.beta * fit.b) - fit.beta * (math.log(c / 6) - log_n)
        log_n += (of_model - of_data) / (fit.alpha + fit.beta)
    n = math.exp(log_n)
    return n, c / (6 * n)


def tokens_for_loss(loss, n, fit):
    """Return the tokens."""
    floor = fit.irreducible + fit.a / n**fit.alpha
    if loss <= floor:
        raise ValueError(f"{n} parameters stay above {floor}")
    return math.exp((math.log(fit.b) - math.log(loss - floor)) / fit.beta)


def fit_power_law(x, y):
    """Return factor and exponent."""
    if len(x) != len(y) or len(x) < 2 or min(x.min(), y.min()) <= 0:
        raise ValueError("no line goes through these")
    points = torch.stack((x, y)).log()
    covariance = torch.cov(points)
    slope = covariance[0, 1] / covariance[0, 0]
    x_mean, y_mean = points.mean(dim=1)
    return math.exp(y_mean - slope * x_mean), float(slope)
