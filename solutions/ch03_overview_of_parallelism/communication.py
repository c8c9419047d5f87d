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

    Collectives run on rings and are priced as in the lesson's section 6; a message costs its sender its size. A micro-batch has
    micro_batch sequences of cfg.max_seq tokens, and d_model values for each token. Bytes are exact: ints or Fractions.

    dp: zero 0 all-reduces the gradients once a step. zero 1 gives each rank its piece of the averaged gradients, and all ranks the
        updated parameters, once a step. zero 2 does the same, but keeps no whole gradients from one micro-batch to the next.
        zero 3 keeps no whole parameters either, from one pass to the next: a micro-batch has a forward and a backward pass.
    tp: each block has two pairs of split layers: attention, and up and down. Behind each pair the ranks' outputs are summed, and in
        the backward pass the gradients of the pair's input are. With sp both lie cut along the sequence: the input is gathered
        before the pair, and the sum leaves each rank its part; backward has the mirror image of that. There a pair also gathers its
        input again, because it kept only its part. recompute="full" does the whole forward pass of every block once more.
    pp: for each micro-batch the activations go to the next stage, and their gradient to the stage before, if there is one; with sp
        each rank sends only its 1/tp of them.

    Embeddings and the head send nothing. A kind of parallelism with one rank sends 0 bytes.

    Raises: ValueError if pp does not divide n_layer, or for a stage outside 0 to pp - 1.
    Source: Narayanan et al. 2021, Efficient Large-Scale Language Model Training on GPU Clusters Using Megatron-LM, arXiv:2104.04473, section 3
    """
    ### BEGIN SOLUTION
    if cfg.n_layer % layout.pp or not 0 <= stage < layout.pp:
        raise ValueError(f"pp must divide n_layer, and stage be one of pp: {layout.pp}, {cfg.n_layer}, {stage}.")
    m = layout.n_micro
    activations = layout.micro_batch * cfg.max_seq * cfg.d_model * bytes_per_value
    gathers = {0: 2, 1: 2, 2: m + 1, 3: 3 * m}[layout.zero]  # an all-reduce is as much as two of them
    # of a block: two gathers and two scatters a pass, and what sp gathers again in the backward pass
    passes = 4 * (2 + (layout.recompute == "full")) + 2 * layout.sp
    neighbours = (stage > 0) + (stage < layout.pp - 1)
    return {
        "dp": gathers * _gather(layout.dp, n_params * bytes_per_value),
        "tp": m * cfg.n_layer // layout.pp * passes * _gather(layout.tp, activations),
        "pp": Fraction(m * neighbours * activations, layout.tp if layout.sp else 1),
    }
    ### END SOLUTION


### BEGIN SOLUTION
def _gather(ranks: int, num_bytes: int) -> Fraction:
    return Fraction(ranks - 1, ranks) * num_bytes


### END SOLUTION
