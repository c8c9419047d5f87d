"""The scaling laws of 2020: how the loss falls with model and data size, and how to spend a larger budget, by Kaplan et al."""


def kaplan_loss(n: float | None = None, d: float | None = None) -> float:
    """Return the test loss in nats per token of a model with `n` parameters trained on `d` tokens.

    n: parameters without embeddings; None: as many as you like
    d: training tokens; None: as many as you like

    One of them given: L(N) = (8.8e13 / N)^0.076 and L(D) = (5.4e13 / D)^0.095. Both given: with the same four constants
    L(N, D) = ((Nc / N)^(alpha_N / alpha_D) + Dc / D)^alpha_D, which turns into the other two where D or N grows without end.

    Raises: ValueError if neither is given, or one is not positive.
    Source: Kaplan et al. 2020, Scaling Laws for Neural Language Models, arXiv:2001.08361, equations 1.1, 1.2 and 1.5
    """
    # TODO(kaplan): write this part, and delete the line below.
    raise NotImplementedError("TODO(kaplan)")


def compute_multipliers(c_ratio: float) -> tuple[float, float, float]:
    """Return by which factors model size, batch size and serial steps grow if compute grows by the factor `c_ratio`.

    The exponents are 0.73, 0.24 and 0.03. They add up to 1, so the product of the three is c_ratio again.
    """
    # TODO(kaplan): write this part, and delete the line below.
    raise NotImplementedError("TODO(kaplan)")
