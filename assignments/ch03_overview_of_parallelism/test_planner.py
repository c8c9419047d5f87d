"""Public tests of exercise `planner`."""

import pytest

from assignments.ch03_overview_of_parallelism import programs
from assignments.ch03_overview_of_parallelism.references_planner import (
    CFG,
    SIX,
    WIDE,
    assert_plans,
    listed,
    plan,
    with_costs,
)
from course_env.gpt_config import GPTConfig
from grader.harness import assert_each_raises, exercise


@exercise("planner", aspect="equivalence")
@pytest.mark.parametrize(
    ("n_gpus", "gpus_per_node", "global_batch"), [(1, 1, 4), (4, 4, 8), (6, 3, 6), (12, 4, 12), (8, 2, 24)]
)
def test_all_layouts_that_can_run_are_found(launch, n_gpus, gpus_per_node, global_batch):
    """Every possible layout that fits is there once, the fastest first."""
    costs = with_costs(listed(CFG, n_gpus, gpus_per_node, global_batch), speeds=10**6, seed=n_gpus)
    run = plan(launch, costs, n_gpus=n_gpus, gpus_per_node=gpus_per_node, global_batch=global_batch, mem_bytes=600)
    assert_plans(run, costs, 600)


@exercise("planner", aspect="equivalence")
def test_one_layout_fits(launch):
    """If one layout fits, it is the only plan; if none fits, there is no plan."""
    costs = with_costs(listed(CFG, 4, 4, 4), seed=4)
    costs = [(layout, 2 + size, seconds) for layout, size, seconds in costs]
    costs[5] = (costs[5][0], 1, 1.0)
    assert_plans(plan(launch, costs, n_gpus=4, gpus_per_node=4, global_batch=4, mem_bytes=1), costs, 1)
    costs[5] = (costs[5][0], 2, 1.0)
    assert_plans(plan(launch, costs, n_gpus=4, gpus_per_node=4, global_batch=4, mem_bytes=1), costs, 1)


@exercise("planner", aspect="property")
def test_tensor_parallelism_stays_in_a_node(launch):
    """With two accelerators per node, no layout has a tp of 4, even if the model allows it."""
    costs = with_costs(listed(WIDE, 8, 2, 8), seed=8)
    assert_plans(plan(launch, costs, cfg=WIDE, n_gpus=8, gpus_per_node=2, global_batch=8), costs)


@exercise("planner", aspect="property")
def test_equally_fast_layouts_have_an_order(launch):
    """Among equally fast layouts tp, pp, zero and micro_batch decide, in this order, the smaller first."""
    costs = [(layout, 1, 1.0) for layout in listed(CFG, 12, 4, 12)]
    assert_plans(plan(launch, costs, n_gpus=12, gpus_per_node=4, global_batch=12), costs, ties=True)


@exercise("planner", aspect="property")
def test_costs_are_asked_for_possible_layouts_only(launch):
    """Memory and seconds are asked for layouts that are possible, and for each only once."""
    costs = with_costs(listed(SIX, 6, 3, 6), seed=6)
    run = plan(launch, costs, cfg=SIX, n_gpus=6, gpus_per_node=3, global_batch=6, strict=True)
    (unknown,), (twice,) = run.observed("unknown"), run.observed("twice")
    if unknown:
        raise AssertionError(f"{len(unknown)} questions were about layouts that are not possible, such as {unknown[0]}")
    for name, number in twice.items():
        if number:
            raise AssertionError(f"{name} was asked {number} times about a layout that it had been asked about before")
    assert_plans(run, costs)


@exercise("planner", aspect="robustness")
def test_a_cluster_of_nothing_is_refused(launch):
    """Zero accelerators, accelerators per node or sequences raise ValueError. A batch that is too small has no layout."""
    good = {"n_gpus": 2, "gpus_per_node": 2, "global_batch": 2}
    calls = [good | {name: number} for name in good for number in (0, -1)] + [good]
    run = launch(programs.refused_plans, 1, shared={"cfg": CFG, "calls": calls}, process_group=False)
    assert_each_raises(run, "plan_layouts", calls, ["ValueError"] * 6 + [""])
    odd = GPTConfig(vocab_size=40, n_layer=1, n_head=1, d_model=5, d_ff=7, max_seq=8)
    assert_plans(plan(launch, [], cfg=odd, n_gpus=4, gpus_per_node=4, global_batch=2), [])
