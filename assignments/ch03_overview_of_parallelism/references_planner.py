"""Tables and assertions that the public and the hidden tests of planner.py share."""

from itertools import pairwise

import torch

from assignments.ch03_overview_of_parallelism import programs
from course_env.gpt_config import GPTConfig
from course_env.layout import Layout
from grader.harness.mistake import Mistake

CFG = GPTConfig(vocab_size=40, n_layer=6, n_head=4, n_kv_head=2, d_model=16, max_seq=8)
WIDE = GPTConfig(vocab_size=40, n_layer=4, n_head=8, d_model=16, max_seq=8)
SIX = GPTConfig(vocab_size=40, n_layer=2, n_head=6, d_model=24, max_seq=8)

ENOUGH = 1000

# For some (model, accelerators, accelerators per node, sequences): every possible (tp, pp, dp) with its sizes of micro-batches.
TABLES = {
    (CFG, 1, 1, 4): {(1, 1, 1): (1, 2, 4)},
    (CFG, 2, 2, 2): {(1, 1, 2): (1,), (1, 2, 1): (1, 2), (2, 1, 1): (1, 2)},
    (CFG, 4, 4, 4): {(1, 1, 4): (1,), (1, 2, 2): (1, 2), (2, 1, 2): (1, 2), (2, 2, 1): (1, 2, 4)},
    (CFG, 4, 4, 8): {(1, 1, 4): (1, 2), (1, 2, 2): (1, 2, 4), (2, 1, 2): (1, 2, 4), (2, 2, 1): (1, 2, 4, 8)},
    (CFG, 6, 3, 6): {(1, 1, 6): (1,), (1, 2, 3): (1, 2), (1, 3, 2): (1, 3), (1, 6, 1): (1, 2, 3, 6)},
    (SIX, 6, 3, 6): {(1, 1, 6): (1,), (1, 2, 3): (1, 2), (3, 1, 2): (1, 3), (3, 2, 1): (1, 2, 3, 6)},
    (CFG, 8, 2, 24): {
        (1, 1, 8): (1, 3),
        (1, 2, 4): (1, 2, 3, 6),
        (2, 1, 4): (1, 2, 3, 6),
        (2, 2, 2): (1, 2, 3, 4, 6, 12),
    },
    (CFG, 12, 4, 12): {
        (1, 1, 12): (1,),
        (1, 2, 6): (1, 2),
        (1, 3, 4): (1, 3),
        (1, 6, 2): (1, 2, 3, 6),
        (2, 1, 6): (1, 2),
        (2, 2, 3): (1, 2, 4),
        (2, 3, 2): (1, 2, 3, 6),
        (2, 6, 1): (1, 2, 3, 4, 6, 12),
    },
    (WIDE, 8, 2, 8): {
        (1, 1, 8): (1,),
        (1, 2, 4): (1, 2),
        (1, 4, 2): (1, 2, 4),
        (2, 1, 4): (1, 2),
        (2, 2, 2): (1, 2, 4),
        (2, 4, 1): (1, 2, 4, 8),
    },
}


def listed(cfg, n_gpus, gpus_per_node, global_batch):
    """Return the possible layouts that stand in the table."""
    return [
        Layout(tp=tp, pp=pp, dp=dp, zero=zero, micro_batch=size, n_micro=global_batch // dp // size)
        for (tp, pp, dp), sizes in TABLES[cfg, n_gpus, gpus_per_node, global_batch].items()
        for size in sizes
        for zero in range(min(dp, 2))
    ]


def with_costs(layouts, *, speeds=9, seed=None):
    """Return each layout with drawn bytes and seconds, with a seed always the same; with few speeds many are equally fast."""
    source = None if seed is None else torch.Generator().manual_seed(seed)
    sizes, seconds = (torch.randint(1, most, (len(layouts),), generator=source).tolist() for most in (ENOUGH, speeds))
    return [(layout, size, float(second)) for layout, size, second in zip(layouts, sizes, seconds, strict=True)]


def plan(launch, costs, *, cfg=CFG, n_gpus, gpus_per_node, global_batch, mem_bytes=ENOUGH, strict=False):
    """Run the student's planner on a table of costs. strict: who asks what need not be asked gets wrong answers from then on."""
    shared = {"cfg": cfg, "n_gpus": n_gpus, "gpus_per_node": gpus_per_node, "global_batch": global_batch}
    shared |= {"costs": costs, "mem_bytes": mem_bytes, "strict": strict}
    return launch(programs.plan, 1, shared=shared, process_group=False)


def assert_plans(run, costs, mem_bytes=ENOUGH, *, ties=False):
    """Check that the plans are the layouts of the table that fit, the fastest first; with `ties` equally fast ones in order, too."""
    (found,) = run["plans"]
    kind, problem = wrong_with(found, costs, mem_bytes, ties=ties)
    if problem:
        raise AssertionError(f"{kind}\n{problem}")


def wrong_with(found, costs, mem_bytes, *, ties):
    """Return the kind of mistake of these plans and what is wrong with them, or twice ""."""
    if not isinstance(found, list) or not all(isinstance(one, Layout) for one in found):
        return Mistake.TYPE, f"plan_layouts returned {found!r}, where a list of Layouts is due"
    size, seconds = ({one: row[number] for one, *row in costs} for number in (0, 1))
    for one in found:
        if one not in size:
            return Mistake.VALUES, f"{_text(one)} is not possible here{_odd(one, size)}"
        if size[one] > mem_bytes:
            return Mistake.VALUES, f"{_text(one)} takes {size[one]} bytes, and there are {mem_bytes}"
        if found.count(one) > 1:
            return Mistake.LENGTH, f"{_text(one)} is listed {found.count(one)} times"
    missing = [one for one in size if size[one] <= mem_bytes and one not in found]
    if missing:
        return (
            Mistake.LENGTH,
            f"{len(missing)} layouts that can run are missing, such as {_lost(missing[0], found, size, mem_bytes)}",
        )
    disorders = (_disorder(one, after, seconds, ties=ties) for one, after in pairwise(found))
    return Mistake.ORDER, next(filter(None, disorders), "")


NAMES = ("tp", "pp", "dp", "zero", "micro_batch", "n_micro")


def _text(layout):
    return f"Layout({', '.join(f'{name}={getattr(layout, name)}' for name in NAMES)})"


def _odd(one, possible):
    """Return which of the numbers of a layout, taken in their order, no possible layout has."""
    like = list(possible)
    for name in NAMES:
        like = [other for other in like if getattr(other, name) == getattr(one, name)]
        if not like:
            return f": no possible layout has {name}={getattr(one, name)}" + (" beside that" if name != "tp" else "")
    return ": possible ones leave schedule, sp and recompute as they are"


def _lost(one, found, size, mem_bytes):
    """Return a layout that is missing, what it takes, and which of its numbers none of those found has."""
    none = next((name for name in NAMES if all(getattr(other, name) != getattr(one, name) for other in found)), None)
    more = f"; none of yours has {none}={getattr(one, none)}" if found and none else ""
    return f"{_text(one)}, which takes {size[one]} of {mem_bytes} bytes{more}"


def _disorder(one, after, seconds, *, ties):
    """Return why a layout may not come before another, or ""."""
    told = f"{_text(one)} comes before {_text(after)}"
    if seconds[one] > seconds[after]:
        return f"{told}, and takes {seconds[one]:g} s where that takes {seconds[after]:g} s"
    for name in ("tp", "pp", "zero", "micro_batch"):
        less, more = getattr(one, name), getattr(after, name)
        if ties and seconds[one] == seconds[after] and less != more:
            return f"{told}, is as fast, and its {name} is larger" if less > more else ""
    return ""
