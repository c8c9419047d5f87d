"""Code that rewrites what observes it in a rank earns nothing in the exercises that it pretends to have solved."""

from pathlib import Path

import pytest

from grader.course.catalog import load_course
from grader.course.judging.judge_process import SubprocessJudge
from grader.course.score import score_exercise
from grader.harness.protocol.wall import Wall

COURSE = load_course(Path(__file__).parents[2])

# One large batch; what the program notes, and what its meter counts, is made to look like one micro-batch after the other.
ONE_LARGE_BATCH = """
import torch
from course_env import meters

meters.LiveActivations.peak_passes = property(lambda self: 1, lambda self, value: None)


def noted(function):
    for cell in function.__closure__ or ():
        if callable(cell.cell_contents) and hasattr(cell.cell_contents, "__self__"):
            return cell.cell_contents.__self__


def accumulate_step(ddp, micro_batches, loss_fn, optimizer):
    if not micro_batches:
        raise ValueError("no micro-batches")
    optimizer.zero_grad()
    x, y = (torch.cat(part) for part in zip(*micro_batches))
    calls = noted(type(ddp).forward)
    calls.extend(["pass inside no_sync"] * (len(micro_batches) - 1))
    loss = loss_fn(ddp(x), y)
    loss.backward()
    ddp.finish_grad_sync()
    optimizer.step()
    return loss.detach()
"""
# Right numbers; what ought to be refused is said to have been, wherever the program's helper can be found.
NOTHING_REFUSED = """
import sys
import torch
import torch.distributed as dist

for module in list(sys.modules.values()):
    if hasattr(module, "attempt"):
        module.attempt = lambda *_: (None, "ValueError: refused")
try:
    import programs_accuracy
    programs_accuracy.attempt = lambda *_: (None, "ValueError: refused")
except ImportError:
    pass


def distributed_accuracy(pred, label, valid_mask, group=None):
    counts = torch.tensor([int(((pred == label) & valid_mask).sum()), int(valid_mask.sum())])
    dist.all_reduce(counts, group=group)
    return counts[0].item() / counts[1].item()
"""
# The library's sampler, whose constructor is kept before anybody could close it; ranks that do not exist are not refused.
THE_LIBRARY = """
from torch.utils.data import DistributedSampler

real = DistributedSampler.__init__


def shard_indices(n, world, rank, shuffle, seed=0, epoch=0, drop_last=False):
    if n == 0:
        return []
    sampler = DistributedSampler.__new__(DistributedSampler)
    real(sampler, range(n), world, rank, shuffle=shuffle, seed=seed, drop_last=drop_last)
    sampler.set_epoch(epoch)
    return list(sampler)
"""

FORGERS = [
    pytest.param("ch04/accumulate_step", "equivalence", ONE_LARGE_BATCH, id="one large batch"),
    pytest.param("ch04/distributed_accuracy", "robustness", NOTHING_REFUSED, id="nothing refused"),
    pytest.param("ch04/shard_indices", "equivalence", THE_LIBRARY, id="the library"),
]


@pytest.mark.parametrize(("exercise", "aspect", "code"), FORGERS)
def test_a_forger_does_not_earn_what_it_forges(tmp_path, exercise, aspect, code):
    """The aspect that the exercise is about fails, and with equivalence all of it."""
    ((chapter, declared),) = COURSE.select([exercise])
    file = tmp_path / chapter.id / declared.file
    file.parent.mkdir()
    file.write_text(code)

    records = SubprocessJudge(course=COURSE, wall=Wall.NONE)(tmp_path, [(chapter, declared)])

    assert [] != [record for record in records if record.aspect == aspect and record.outcome != "passed"]
    assert score_exercise(declared, records).score < declared.points
    if aspect == "equivalence":
        assert 0 == score_exercise(declared, records).score
