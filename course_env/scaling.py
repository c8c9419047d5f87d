"""The constants of a fitted loss, as a function of the sizes of model and data. Loads no torch."""

from dataclasses import dataclass

from course_env.value_types import value_type


@value_type
@dataclass(frozen=True, slots=True, kw_only=True)
class LossFit:
    """The constants of L(N, D) = irreducible + a / N^alpha + b / D^beta, in nats per token.

    N counts parameters, D training tokens.
    """

    irreducible: float
    """The loss that remains however large model and data are."""

    a: float
    b: float
    alpha: float
    beta: float


# Hoffmann et al. 2022, Training Compute-Optimal Large Language Models, arXiv:2203.15556, section D.3 (approach 3), as rounded there
CHINCHILLA = LossFit(irreducible=1.69, a=406.4, b=410.7, alpha=0.34, beta=0.28)
# Besiroglu et al. 2024, Chinchilla Scaling: A replication attempt, arXiv:2404.10102: the same data, fitted again
CHINCHILLA_REPLICATED = LossFit(irreducible=1.8172, a=482.01, b=2085.43, alpha=0.3478, beta=0.3658)
