"""The scaling laws of 2020: how the loss falls with model and data size, and how to spend a larger budget, by Kaplan et al."""

### BEGIN SOLUTION
ALPHA_N, N_C = 0.076, 8.8e13
ALPHA_D, D_C = 0.095, 5.4e13


### END SOLUTION
def kaplan_loss(n: float | None = None, d: float | None = None) -> float:
    """Return the test loss in nats per token of a model with `n` parameters trained on `d` tokens.

    n: parameters without embeddings; None: as many as you like
    d: training tokens; None: as many as you like

    With one size given the loss is a power law of that size alone, a straight line between logarithms. Its slope is -0.076 for
    parameters and -0.095 for tokens; it is 1 nat at 8.8e13 parameters, and at 5.4e13 tokens. With both given it is the joint
    law of section 6 with the same four constants: a power of the sum of two terms, one for each size, which becomes the law
    of one size where the other grows without end.

    Raises: ValueError if neither is given, or one is not positive.
    Source: Kaplan et al. 2020, Scaling Laws for Neural Language Models, arXiv:2001.08361, equations 1.1, 1.2 and 1.5
    """
    ### BEGIN SOLUTION
    if n is None and d is None:
        raise ValueError("kaplan_loss needs n or d, or both.")
    if any(size is not None and size <= 0 for size in (n, d)):
        raise ValueError(f"n and d must be positive, not {n} and {d}.")
    of_model = 0.0 if n is None else (N_C / n) ** (ALPHA_N / ALPHA_D)
    of_data = 0.0 if d is None else D_C / d
    return (of_model + of_data) ** ALPHA_D
    ### END SOLUTION


def tokens_needed(n: float, slack: float) -> float:
    """Return the tokens with which a model of `n` parameters comes within `slack` of the loss that unlimited data would give it.

    slack: a share of that loss: with 0.02 the joint law gives 1.02 times the law of parameters alone.

    Raises: ValueError if n or slack is not positive.
    """
    ### BEGIN SOLUTION
    if n <= 0 or slack <= 0:
        raise ValueError(f"n and slack must be positive, not {n} and {slack}.")
    of_model = (N_C / n) ** (ALPHA_N / ALPHA_D)
    return D_C / (of_model * ((1 + slack) ** (1 / ALPHA_D) - 1))
    ### END SOLUTION


def compute_multipliers(c_ratio: float) -> tuple[float, float, float]:
    """Return by which factors model size, batch size and serial steps grow if compute grows by the factor `c_ratio`.

    Each is a power of c_ratio: 0.73 is the exponent of the model size and 0.24 that of the batch size. Compute is
    proportional to the product of all three, and the budget is spent whole.

    Raises: ValueError if c_ratio is not positive.
    """
    ### BEGIN SOLUTION
    if c_ratio <= 0:
        raise ValueError(f"c_ratio must be positive, not {c_ratio}.")
    return c_ratio**0.73, c_ratio**0.24, c_ratio**0.03
    ### END SOLUTION
