"""The scaling laws of 2020: how the loss falls with model and data size, and how to spend a larger budget, by Kaplan et al."""


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
    # TODO(kaplan): write this part, and delete the line below.
    raise NotImplementedError("TODO(kaplan)")


def tokens_needed(n: float, slack: float) -> float:
    """Return the tokens with which a model of `n` parameters comes within `slack` of the loss that unlimited data would give it.

    slack: a share of that loss: with 0.02 the joint law gives 1.02 times the law of parameters alone.

    Raises: ValueError if n or slack is not positive.
    """
    # TODO(kaplan): write this part, and delete the line below.
    raise NotImplementedError("TODO(kaplan)")


def compute_multipliers(c_ratio: float) -> tuple[float, float, float]:
    """Return by which factors model size, batch size and serial steps grow if compute grows by the factor `c_ratio`.

    Each is a power of c_ratio: 0.73 is the exponent of the model size and 0.24 that of the batch size. Compute is
    proportional to the product of all three, and the budget is spent whole.

    Raises: ValueError if c_ratio is not positive.
    """
    # TODO(kaplan): write this part, and delete the line below.
    raise NotImplementedError("TODO(kaplan)")
