"""Public tests of exercise `planner`."""

import pytest

from assignments.ch03_overview_of_parallelism import programs
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
from course_env.rank_programs import error_types
from grader.harness import exercise


@exercise("planner", aspect="equivalence")
@pytest.mark.parametrize(("n_gpus", "gpus_per_node", "global_batch"), [(1, 1, 4), (4, 4, 8), (12, 4, 12), (8, 2, 24)])
def test_all_layouts_that_can_run_are_found(launch, n_gpus, gpus_per_node, global_batch):
    """Every possible layout that fits is there once, the fastest first."""
    costs = with_costs(possible(CFG, n_gpus, gpus_per_node, global_batch), speeds=10**6)
    run = plan(launch, costs, n_gpus=n_gpus, gpus_per_node=gpus_per_node, global_batch=global_batch, mem_bytes=600)
    assert_plans(run, ranked(costs, 600))


@exercise("planner", aspect="equivalence")
def test_one_layout_fits(launch):
    """If one layout fits, it is the only plan; if none fits, there is no plan."""
    costs = with_costs(possible(CFG, 4, 4, 4))
    costs[5] = (costs[5][0], 0, 1.0)
    run = plan(launch, costs, n_gpus=4, gpus_per_node=4, global_batch=4, mem_bytes=0)
    assert_plans(run, [costs[5][0]])
    costs[5] = (costs[5][0], 1, 1.0)
    assert_plans(plan(launch, costs, n_gpus=4, gpus_per_node=4, global_batch=4, mem_bytes=0), [])


@exercise("planner", aspect="property")
def test_tensor_parallelism_stays_in_a_node(launch):
    """With two accelerators per node, no layout has a tp of 4, even if the model allows it."""
    cfg = GPTConfig(vocab_size=40, n_layer=4, n_head=8, d_model=16, max_seq=8)
    costs = with_costs(possible(cfg, 8, 2, 8))
    run = plan(launch, costs, cfg=cfg, n_gpus=8, gpus_per_node=2, global_batch=8)
    assert_plans(run, ranked(costs, ENOUGH))
    assert max(layout.tp for layout in run["plans"][0]) == 2


@exercise("planner", aspect="property")
def test_equally_fast_layouts_have_an_order(launch):
    """Among equally fast layouts tp, pp, zero and micro_batch decide, in this order, the smaller first."""
    costs = [(layout, 1, 1.0) for layout in possible(CFG, 12, 4, 12)]
    assert_plans(plan(launch, costs, n_gpus=12, gpus_per_node=4, global_batch=12), ranked(costs, 1))


@exercise("planner", aspect="property")
def test_costs_are_asked_for_possible_layouts_only(launch):
    """Memory and seconds are asked for layouts that are possible, and for each only once."""
    costs = with_costs(possible(CFG, 6, 3, 6))
    run = plan(launch, costs, n_gpus=6, gpus_per_node=3, global_batch=6)
    assert_plans(run, ranked(costs, ENOUGH))
    (unknown,), (twice,) = run.observed("unknown"), run.observed("twice")
    assert unknown == 0, f"{unknown} questions were about layouts that are not possible"
    assert twice == 0, f"{twice} questions were asked twice"


@exercise("planner", aspect="robustness")
def test_a_cluster_of_nothing_is_refused(launch):
    """Zero accelerators, accelerators per node or sequences raise ValueError. A batch that is too small has no layout."""
    good = {"n_gpus": 2, "gpus_per_node": 2, "global_batch": 2}
    run = launch(
        programs.refused_plans,
        1,
        shared={"cfg": CFG, "calls": [good | {name: 0} for name in good]},
        process_group=False,
    )
    assert error_types(run["errors"][0]) == ["ValueError"] * 3
    odd = GPTConfig(vocab_size=40, n_layer=1, n_head=1, d_model=5, d_ff=7, max_seq=8)
    assert_plans(plan(launch, [], cfg=odd, n_gpus=4, gpus_per_node=4, global_batch=2), [])
