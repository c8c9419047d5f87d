"""All triples of sizes tried, refusing a memory below 1 as well."""

from collections.abc import Callable
from itertools import product

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
    """Return every layout that can run, the fastest first."""
    if min(n_gpus, gpus_per_node, mem_bytes, global_batch) < 1:
        raise ValueError("sizes must be at least 1")
    found = []
    for tp, pp, dp in product(range(1, n_gpus + 1), repeat=3):
        cut = any(size % tp for size in (cfg.n_head, cfg.n_kv_head, cfg.d_ff, gpus_per_node))
        if tp * pp * dp != n_gpus or cut or cfg.n_layer % pp or global_batch % dp:
            continue
        for n_micro in range(1, global_batch // dp + 1):
            if global_batch // dp % n_micro:
                continue
            for zero in range(min(2, dp)):
                size = global_batch // dp // n_micro
                layout = Layout(tp=tp, pp=pp, dp=dp, zero=zero, micro_batch=size, n_micro=n_micro)
                if memory(layout) <= mem_bytes:
                    found.append((seconds(layout), tp, pp, zero, size, layout))
    return [row[-1] for row in sorted(found, key=lambda row: row[:-1])]
