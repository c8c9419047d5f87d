"""Public tests of exercise `planner`."""

import pytest
import torch

from assignments.ch03_overview_of_parallelism import programs
from course_env.gpt_config import GPTConfig
from course_env.layout import Layout
from course_env.rank_programs import error_types
from grader.harness import exercise

CFG = GPTConfig(vocab_size=40, n_layer=6, n_head=4, n_kv_head=2, d_model=16, max_seq=8)
ENOUGH = 1000


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


def with_costs(layouts, *, speeds=9):
    """Return each layout with drawn bytes and seconds; with few speeds many are equally fast."""
    sizes, seconds = (torch.randint(1, most, (len(layouts),)).tolist() for most in (ENOUGH, speeds))
    return [(layout, size, float(second)) for layout, size, second in zip(layouts, sizes, seconds, strict=True)]


def ranked(costs, mem_bytes):
    """Return the layouts that fit, fastest first."""
    fitting = [
        (seconds, one.tp, one.pp, one.zero, one.micro_batch, one) for one, size, seconds in costs if size <= mem_bytes
    ]
    return [key[-1] for key in sorted(fitting, key=lambda key: key[:-1])]


def plan(launch, costs, *, cfg=CFG, n_gpus, gpus_per_node, global_batch, mem_bytes=ENOUGH):
    """Run the student's planner on a table of costs."""
    shared = {"cfg": cfg, "n_gpus": n_gpus, "gpus_per_node": gpus_per_node, "global_batch": global_batch}
    return launch(programs.plan, 1, shared=shared | {"costs": costs, "mem_bytes": mem_bytes}, process_group=False)


def assert_plans(run, expected):
    """Check that the plans are the expected ones, in order."""
    (found,) = run["plans"]
    missing = [layout for layout in expected if layout not in found]
    surplus = [layout for layout in found if layout not in expected]
    assert not missing, f"{len(missing)} layouts that can run are missing, such as {missing[0]}"
    assert not surplus, f"{len(surplus)} layouts cannot run, such as {surplus[0]}"
    for place, (one, other) in enumerate(zip(found, expected, strict=True)):
        assert one == other, f"place {place} is {other}'s, and not {one}'s"


@exercise("planner", aspect="equivalence")
@pytest.mark.parametrize(("n_gpus", "gpus_per_node", "global_batch"), [(1, 1, 4), (4, 4, 8), (12, 4, 12), (8, 2, 24)])
def test_all_layouts_that_can_run_are_found(launch, n_gpus, gpus_per_node, global_batch):
    """Every possible layout that fits is there once, the fastest first."""
    costs = with_costs(possible(CFG, n_gpus, gpus_per_node, global_batch), speeds=10**6)
    run = plan(launch, costs, n_gpus=n_gpus, gpus_per_node=gpus_per_node, global_batch=global_batch, mem_bytes=600)
    assert_plans(run, ranked(costs, 600))


@exercise("planner", aspect="equivalence")
def test_one_layout_fits(launch):
    """Where only one layout fits, it is the plan; where none does, there is none."""
    costs = with_costs(possible(CFG, 4, 4, 4))
    costs[5] = (costs[5][0], 0, 1.0)
    run = plan(launch, costs, n_gpus=4, gpus_per_node=4, global_batch=4, mem_bytes=0)
    assert_plans(run, [costs[5][0]])
    costs[5] = (costs[5][0], 1, 1.0)
    assert_plans(plan(launch, costs, n_gpus=4, gpus_per_node=4, global_batch=4, mem_bytes=0), [])


@exercise("planner", aspect="property")
def test_tensor_parallelism_stays_in_a_node(launch):
    """With two accelerators a node no layout has a tp of 4, whatever the model allows."""
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
    assert run["unknown"] == (0,), f"{run['unknown'][0]} questions were about layouts that are not possible"
    assert run["twice"] == (0,), f"{run['twice'][0]} questions were asked twice"


@exercise("planner", aspect="robustness")
def test_a_cluster_of_nothing_is_refused(launch):
    """No accelerators, no nodes and no sequences raise ValueError; a batch too small for the ranks has no layout."""
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
