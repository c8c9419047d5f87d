"""Baselines and assertions that the public and the hidden tests of planner.py share."""

import torch

from assignments.ch03_overview_of_parallelism import programs
from course_env.gpt_config import GPTConfig
from course_env.layout import Layout

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
