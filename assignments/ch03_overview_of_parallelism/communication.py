"""How many bytes one rank sends in a training step, by the kind of parallelism that they are for."""

from fractions import Fraction

from course_env.gpt_config import GPTConfig
from course_env.layout import Layout


def comm_bytes_per_step(
    cfg: GPTConfig, layout: Layout, *, n_params: int, stage: int = 0, bytes_per_value: int = 2
) -> dict[str, Fraction]:
    """Return the bytes that one rank of a pipeline stage sends in one step, under the keys "dp", "tp" and "pp".

    n_params: parameters that this rank has a share in before ZeRO shares them out: those of its stage, and of them its
        tensor-parallel share
    bytes_per_value: of each parameter, gradient and activation on the wire

    Collectives run on rings: of S bytes an all-reduce on N ranks costs each 2 (N - 1) / N S, a reduce-scatter and an all-gather
    (N - 1) / N S, where S is the whole tensor. A message costs its sender its size. A micro-batch has micro_batch sequences of
    cfg.max_seq tokens, so its activations are A = micro_batch * max_seq * d_model values.

    dp: zero 0 all-reduces the gradients once a step. zero 1 reduce-scatters them and all-gathers the updated parameters, once a
        step. zero 2 cannot keep whole gradients and reduce-scatters after every micro-batch; parameters are gathered once.
        zero 3 gathers parameters for every forward and again for every backward pass, and reduce-scatters, for every micro-batch.
    tp: every block all-reduces A twice forward and twice backward, for each micro-batch; with recompute="full" twice more, since
        forward is done again. With sp each all-reduce becomes a reduce-scatter and an all-gather, which cost the same.
    pp: for each micro-batch A goes to the next stage, and the gradient of A to the stage before, unless there is none; with sp
        each rank sends only its 1/tp of it.

    Sequences are whole: a key whose parallelism has one rank is 0.

    Raises: ValueError if pp does not divide n_layer, or for a stage outside 0 to pp - 1.
    Source: Narayanan et al. 2021, Efficient Large-Scale Language Model Training on GPU Clusters Using Megatron-LM, arXiv:2104.04473, section 3
    """
    # TODO(communication): write this part, and delete the line below.
    raise NotImplementedError("TODO(communication)")
