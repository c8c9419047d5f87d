"""Hidden tests of exercise `planner`."""

import pytest
import torch

from assignments.ch03_overview_of_parallelism.references_planner import (
    CFG,
    ENOUGH,
    assert_plans,
    plan,
    possible,
    ranked,
    with_costs,
)
from course_env.gpt_config import GPTConfig
from grader.harness import exercise


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
    assert_plans(run, ranked(costs, limit))


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
        run = plan(launch, costs, cfg=cfg, n_gpus=8, gpus_per_node=8, global_batch=8)
        assert_plans(run, ranked(costs, ENOUGH))


@exercise("planner", aspect="robustness")
def test_exactly_enough_memory_is_enough(launch):
    """A layout that takes all memory there is can run."""
    costs = [(layout, 77, 1.0) for layout in possible(CFG, 2, 2, 2)]
    assert_plans(plan(launch, costs, n_gpus=2, gpus_per_node=2, global_batch=2, mem_bytes=77), ranked(costs, 77))
    assert_plans(plan(launch, costs, n_gpus=2, gpus_per_node=2, global_batch=2, mem_bytes=76), [])
