"""The shape of a GPT, and the published shapes for which the course works out numbers. Loads no torch."""

from dataclasses import dataclass

from course_env.value_types import value_type


@value_type
@dataclass(frozen=True, slots=True, kw_only=True)
class GPTConfig:
    """The shape of a decoder-only transformer: pre-LayerNorm, learned positions, a feed-forward block with one GELU.

    Raises: ValueError if no such model exists.
    """

    vocab_size: int
    """Rows of the token embedding."""

    n_layer: int
    """Transformer blocks."""

    n_head: int
    """Query heads; each has d_model / n_head dimensions."""

    d_model: int
    """Width of the residual stream."""

    max_seq: int
    """Rows of the position embedding, which is the length of the longest sequence."""

    d_ff: int = 0
    """Width of the feed-forward block; 4 * d_model unless given."""

    n_kv_head: int = 0
    """Key and value heads, each shared by n_head / n_kv_head query heads; n_head unless given."""

    tie_embeddings: bool = True
    """Whether the output head is the token embedding itself, and so adds no parameter."""

    bias: bool = True
    """Whether linear layers of the blocks have biases; LayerNorms always have one, the output head never."""

    dropout: float = 0.0
    """Its probability, on the embedding, the attention's weights and the two outputs of each block."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "d_ff", self.d_ff or 4 * self.d_model)
        object.__setattr__(self, "n_kv_head", self.n_kv_head or self.n_head)
        for name in ("vocab_size", "n_layer", "n_head", "d_model", "max_seq", "d_ff", "n_kv_head"):
            if getattr(self, name) < 1:
                raise ValueError(f"GPTConfig: {name} must be at least 1, not {getattr(self, name)}.")
        _must_divide("n_head", self.n_head, "d_model", self.d_model)
        _must_divide("n_kv_head", self.n_kv_head, "n_head", self.n_head)
        if not 0.0 <= self.dropout < 1.0:
            raise ValueError(f"GPTConfig: dropout must be in [0, 1), not {self.dropout}.")

    @property
    def head_dim(self) -> int:
        """Dimensions of one head."""
        return self.d_model // self.n_head


def _must_divide(name: str, divisor: int, of: str, dividend: int) -> None:
    if dividend % divisor:
        raise ValueError(f"GPTConfig: {name} must divide {of}, and {divisor} does not divide {dividend}.")


# Radford et al. 2019, Language Models are Unsupervised Multitask Learners, table 2 (the sizes that were released)
GPT2_SMALL = GPTConfig(vocab_size=50257, n_layer=12, n_head=12, d_model=768, max_seq=1024)
GPT2_MEDIUM_345M = GPTConfig(vocab_size=50257, n_layer=24, n_head=16, d_model=1024, max_seq=1024)
# Brown et al. 2020, Language Models are Few-Shot Learners, table 2.1
GPT3_175B = GPTConfig(vocab_size=50257, n_layer=96, n_head=96, d_model=12288, max_seq=2048)
