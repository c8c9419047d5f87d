"""What runs on every rank in the tests of pipeline_runner.py."""

from functools import partial

import torch
import torch.distributed as dist
from torch import nn
from torch.autograd.function import once_differentiable

from course_env.gpt_config import GPTConfig
from course_env.marks import PassMarks
from course_env.meters import LiveActivations
from course_env.rank_programs import WriteWatch, attempt, make_group, stands_aside
from course_env.tiny_gpt import TinyGPT
from course_env.toy_models import MLP, gradients_of, load_tensors, loss_of


class Marked(nn.Module):
    """A stage whose output and gradients depend on when its forward and backward passes run.

    `clock` counts the passes of all stages of one rank. Each pass multiplies what it hands on by the clock's next factor,
    and the gradient of `shift` is multiplied by the factor of the moment at which it is computed.
    """

    def __init__(self, inner, width, clock):
        super().__init__()
        self.inner = inner
        self.shift = nn.Parameter(torch.zeros(width, dtype=torch.float64))
        self.clock, self.name = clock, ""

    def forward(self, x):
        """Return the output of the inner module plus the shift, times a factor."""
        return _Pass.apply(self.inner(x) + _Moment.apply(self.shift, self.clock), self.clock, self.name)


class Clock:
    """Counts the passes of a rank, and has a factor for each."""

    def __init__(self, factors):
        self._factors = factors
        self.passes = []
        self.backward_in_w = False

    def tick(self, name):
        """Count one more pass; return its factor."""
        self.passes.append(name)
        return self.factor()

    def factor(self):
        """Return the factor of the latest pass."""
        return self._factors[len(self.passes) % len(self._factors)]


class _Pass(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, clock, name):
        ctx.clock, ctx.name, ctx.factor = clock, name, None
        return x * clock.tick(f"F{name}")

    @staticmethod
    @once_differentiable
    def backward(ctx, gradient):
        if ctx.factor is None:  # with split backward it may run twice, in B and in W
            counts = not (ctx.clock.backward_in_w and ctx.name == " of stage 0")
            ctx.factor = ctx.clock.tick(f"B{ctx.name}") if counts else 1.0
        return gradient * ctx.factor, None, None


class _Moment(torch.autograd.Function):
    @staticmethod
    def forward(ctx, parameter, clock):
        ctx.clock = clock
        return parameter.clone()

    @staticmethod
    @once_differentiable
    def backward(ctx, gradient):
        return gradient * ctx.clock.factor(), None


class GPTStage(nn.Module):
    """Some blocks of a TinyGPT; the first stage has its embeddings, too, and the last its norm and head."""

    def __init__(self, gpt, number, num_stages):
        super().__init__()
        blocks = len(gpt.blocks)
        self.blocks = nn.ModuleList(gpt.blocks[number * blocks // num_stages : (number + 1) * blocks // num_stages])
        self.embeddings = nn.ModuleList([gpt.token_embedding, gpt.position_embedding] if number == 0 else [])
        self.head = nn.ModuleList([gpt.final_norm, gpt.head] if number == num_stages - 1 else [])

    def forward(self, x):
        """Return hidden states, or on the last stage logits; x: tokens on the first stage, else hidden states."""
        if len(self.embeddings):
            tokens, positions = self.embeddings
            x = tokens(x) + positions(torch.arange(x.shape[1]))
        for block in self.blocks:
            x = block(x)
        for module in self.head:
            x = module(x)
        return x


def make_stage(model, number, clock=None):
    """Return one stage of a model in float64.

    model: for each stage the widths of an MLP, as (4, 7, 4), where (4,) has no parameters; or (config of a GPT, stages)
    """
    if isinstance(model[0], GPTConfig):
        return GPTStage(TinyGPT(model[0]).double(), number, model[1])
    inner = MLP(model[number]).double()
    if clock is None:
        return inner
    stage = Marked(inner, model[number][-1], clock)
    stage.name = f" of stage {number}"
    return stage


def pipeline(student, *, model, values, runs, act_shape, factors=None, members=None, frozen=(), float32=False):
    """Run schedules with the student's PipelineRunner in the group of `members` (None: all ranks).

    values: for each stage the values of its parameters
    runs: dicts of schedule, inputs, targets, and whether the gradients are cleared first
    factors: of a Clock, on this rank; with them the model's stages are Marked
    Returns for each run the losses, and the gradients by the number of the stage. Observed are the passes in their order,
    and the most forward passes in memory at one time.
    """
    group = make_group(members)
    if stands_aside(group):
        return {"losses": None, "grads": None}
    p, device = dist.get_world_size(group), dist.get_rank(group)
    clock = None if factors is None else Clock(factors)
    chunks = {number: make_stage(model, number, clock) for number in range(device, len(values), p)}
    for number, chunk in chunks.items():
        load_tensors(chunk, values[number])
        chunk.requires_grad_(number not in frozen)
        chunk.to(torch.float32 if float32 else torch.float64)
    memory = _Memory(list(chunks.values()))
    marked = dict(enumerate(chunks.values()))
    runner = student.PipelineRunner(
        list(chunks.values()), loss_of, act_shape, torch.float32 if float32 else torch.float64, group
    )
    losses, grads, written, has_graph = [], [], [], []
    with memory:
        for run in runs:
            if run.get("clear", True):
                for chunk in chunks.values():
                    chunk.zero_grad()
            is_split = any(kind == "W" for actions in run["schedule"] for kind, _, _ in actions)
            if clock is not None:
                clock.backward_in_w = is_split
            inputs = run["inputs"] if device == 0 else None
            targets = run["targets"] if device == p - 1 else None
            watch = WriteWatch([*(inputs or ()), *(targets or ())])
            with PassMarks(marked, frozenset([0]) if is_split and device == 0 else frozenset()):
                returned = runner.run(run["schedule"], inputs, targets)
            written += watch.written()
            has_graph += [loss.requires_grad for loss in returned]
            losses.append([loss.detach().clone() for loss in returned])
            grads.append({str(number): gradients_of(chunk) for number, chunk in chunks.items()})
    return {
        "losses": losses,
        "grads": grads,
        "observed": {
            "passes": [] if clock is None else clock.passes,
            "peak": memory.peak,
            "written": [any(written)],
            "has_graph": any(has_graph),
        },
    }


class _Memory:
    """Counts the forward passes whose activations are in memory, of several modules together."""

    def __init__(self, modules):
        self._meters = [LiveActivations(module) for module in modules]
        self._modules = modules
        self.peak = 0

    def __enter__(self):
        for meter in self._meters:
            meter.__enter__()
        self._handles = [module.register_forward_hook(self._look) for module in self._modules]

    def __exit__(self, *error):
        for one in self._handles:
            one.remove()
        for meter in self._meters:
            meter.__exit__(*error)

    def _look(self, *_):
        self.peak = max(self.peak, sum(meter.passes for meter in self._meters))


def refuse(student, *, schedules, num_chunks):
    """Run schedules that are not this pipeline's; return the ValueErrors, and then run one that is."""
    chunks = [nn.Linear(2, 2).double() for _ in range(num_chunks)]
    runner = student.PipelineRunner(chunks, loss_of, (1, 2), torch.float64)
    data = [torch.ones(1, 2, dtype=torch.float64)] * 4
    return {"errors": [attempt(partial(runner.run, schedule, data, data))[1] for schedule in schedules]}
