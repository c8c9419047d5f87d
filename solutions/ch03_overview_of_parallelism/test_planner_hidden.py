"""Hidden tests of exercise `planner`."""

import pytest
import torch

from assignments.ch03_overview_of_parallelism.references_planner import (
    CFG,
    TABLES,
    assert_plans,
    plan,
    with_costs,
)
from course_env.gpt_config import GPTConfig
from course_env.layout import Layout
from grader.harness import exercise


def possible(cfg, n_gpus, gpus_per_node, global_batch):
    """Return all possible layouts, by trying every number up to the number of accelerators or sequences."""
    found = []
    for tp in range(1, n_gpus + 1):
        for pp in range(1, n_gpus + 1):
            for micro_batch in range(1, global_batch + 1):
                dp, rest = divmod(n_gpus, tp * pp)
                n_micro, left = divmod(global_batch, max(dp, 1) * micro_batch)
                splits = [cfg.n_head % tp, cfg.n_kv_head % tp, cfg.d_ff % tp, gpus_per_node % tp, cfg.n_layer % pp]
                if rest or left or not dp or not n_micro or any(splits):
                    continue
                zeros = (0, 1) if dp > 1 else (0,)
                found += [
                    Layout(tp=tp, pp=pp, dp=dp, zero=zero, micro_batch=micro_batch, n_micro=n_micro) for zero in zeros
                ]
    return found


@exercise("planner", aspect="equivalence")
@pytest.mark.parametrize(
    ("n_gpus", "gpus_per_node", "global_batch"), [(16, 8, 32), (9, 3, 18), (6, 4, 10), (24, 8, 24)]
)
def test_other_clusters(launch, n_gpus, gpus_per_node, global_batch):
    """On clusters of other sizes, every layout that can run is found and ranked."""
    cfg = GPTConfig(vocab_size=40, n_layer=12, n_head=12, n_kv_head=6, d_model=24, d_ff=60, max_seq=8)
    costs = with_costs(possible(cfg, n_gpus, gpus_per_node, global_batch), speeds=50)
    limit = int(torch.randint(300, 900, ()))
    run = plan(
        launch, costs, cfg=cfg, n_gpus=n_gpus, gpus_per_node=gpus_per_node, global_batch=global_batch, mem_bytes=limit
    )
    assert_plans(run, costs, limit)


@exercise("planner", aspect="equivalence")
def test_known_clusters_with_other_costs(launch):
    """On the clusters of the public tests, trying all numbers finds the same layouts."""
    for cfg, n_gpus, gpus_per_node, global_batch in TABLES:
        costs = with_costs(possible(cfg, n_gpus, gpus_per_node, global_batch), speeds=10**6)
        sizes = {"n_gpus": n_gpus, "gpus_per_node": gpus_per_node, "global_batch": global_batch}
        assert_plans(plan(launch, costs, cfg=cfg, **sizes), costs)


@exercise("planner", aspect="property")
def test_heads_inner_dimensions_and_layers_are_never_cut(launch):
    """Each size of the model alone limits the layouts."""
    for cfg in (
        GPTConfig(vocab_size=40, n_layer=5, n_head=8, d_model=16, max_seq=8),
        GPTConfig(vocab_size=40, n_layer=4, n_head=8, n_kv_head=1, d_model=16, max_seq=8),
        GPTConfig(vocab_size=40, n_layer=4, n_head=8, d_model=16, d_ff=6, max_seq=8),
        GPTConfig(vocab_size=40, n_layer=4, n_head=3, d_model=12, max_seq=8),
    ):
        costs = with_costs(possible(cfg, 8, 8, 8))
        assert_plans(plan(launch, costs, cfg=cfg, n_gpus=8, gpus_per_node=8, global_batch=8), costs)


@exercise("planner", aspect="property")
def test_a_few_equally_fast_layouts(launch):
    """Where some of the layouts are equally fast, these are in order, and nothing else moves."""
    costs = with_costs(possible(CFG, 12, 4, 12), speeds=4)
    assert_plans(plan(launch, costs, n_gpus=12, gpus_per_node=4, global_batch=12), costs, ties=True)


@exercise("planner", aspect="robustness")
def test_exactly_enough_memory_is_enough(launch):
    """A layout that takes all memory there is can run."""
    costs = [(layout, 77, 1.0) for layout in possible(CFG, 2, 2, 2)]
    assert_plans(plan(launch, costs, n_gpus=2, gpus_per_node=2, global_batch=2, mem_bytes=77), costs, 77)
    assert_plans(plan(launch, costs, n_gpus=2, gpus_per_node=2, global_batch=2, mem_bytes=76), costs, 76)
