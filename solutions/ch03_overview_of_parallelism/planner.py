"""Which layouts are possible on a cluster, and which is fastest."""

from collections.abc import Callable

from course_env.gpt_config import GPTConfig
from course_env.layout import Layout


def plan_layouts(
    cfg: GPTConfig,
    n_gpus: int,
    gpus_per_node: int,
    mem_bytes: int,
    global_batch: int,
    *,
    memory: Callable[[Layout], int],
    seconds: Callable[[Layout], float],
) -> list[Layout]:
    """Return every layout that can run, the fastest first.

    n_gpus, gpus_per_node: accelerators in all, and in each node; global_batch: sequences of a step
    mem_bytes: what one accelerator has, at least 1
    memory: what the fullest accelerator holds under a layout; asked for possible layouts only, for each once
    seconds: how long a step takes, as a trial run would show; asked only for layouts that can run, for each once. For one that
        does not fit it raises.

    A layout is possible if
    * tp * pp * dp = n_gpus,
    * tp divides n_head, n_kv_head and d_ff, and is at most gpus_per_node and divides it: tensor parallelism stays in a node,
    * pp divides n_layer,
    * dp * micro_batch * n_micro = global_batch, for any micro_batch,
    * zero is 0 or 1; it is 0 where dp is 1, because there is nobody to share with.
    Everything else stays as `Layout` has it: schedule 1f1b, no sp, no recompute. It can run if memory(layout) <= mem_bytes.

    Among equally fast ones the one with the smaller tp comes first, then the smaller pp, the smaller zero, and the smaller
    micro_batch. Nothing possible is an empty list.

    Raises: ValueError for n_gpus, gpus_per_node or global_batch < 1.
    Source: Narayanan et al. 2021, Efficient Large-Scale Language Model Training on GPU Clusters Using Megatron-LM, arXiv:2104.04473, section 3
    """
    ### BEGIN SOLUTION
    if min(n_gpus, gpus_per_node, global_batch) < 1:
        raise ValueError(
            f"n_gpus, gpus_per_node and global_batch must be at least 1: {n_gpus}, {gpus_per_node}, {global_batch}."
        )
    layouts = [
        Layout(tp=tp, pp=pp, dp=n_gpus // tp // pp, zero=zero, micro_batch=micro_batch, n_micro=n_micro)
        for tp in _divisors(n_gpus)
        if gpus_per_node % tp == 0 and not any(size % tp for size in (cfg.n_head, cfg.n_kv_head, cfg.d_ff))
        for pp in _divisors(n_gpus // tp)
        if cfg.n_layer % pp == 0 and global_batch % (n_gpus // tp // pp) == 0
        for micro_batch in _divisors(global_batch // (n_gpus // tp // pp))
        for n_micro in [global_batch // (n_gpus // tp // pp) // micro_batch]
        for zero in ((0, 1) if n_gpus > tp * pp else (0,))
    ]
    timed = [(seconds(layout), layout) for layout in layouts if memory(layout) <= mem_bytes]
    timed.sort(key=lambda pair: (pair[0], pair[1].tp, pair[1].pp, pair[1].zero, pair[1].micro_batch))
    return [layout for _, layout in timed]
    ### END SOLUTION


### BEGIN SOLUTION
def _divisors(n: int) -> list[int]:
    return [d for d in range(1, n + 1) if n % d == 0]


### END SOLUTION
