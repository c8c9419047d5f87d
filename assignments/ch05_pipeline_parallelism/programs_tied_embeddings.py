"""What runs on every rank in the tests of tied_embeddings.py."""

from functools import partial

import torch
import torch.distributed as dist
from torch import nn
from torch.nn import functional

from course_env.rank_programs import attempt
from course_env.toy_models import LR, MOMENTUM, load_tensors, loss_of


class Embed(nn.Module):
    """The first stage: looks tokens up."""

    def __init__(self, vocab, width):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(vocab, width, dtype=torch.float64))

    def forward(self, x):
        """Return the tokens' rows."""
        return functional.embedding(x, self.weight)


class Head(nn.Module):
    """The last stage: compares with every row."""

    def __init__(self, vocab, width):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(vocab, width, dtype=torch.float64))

    def forward(self, x):
        """Return logits."""
        return torch.tanh(x) @ self.weight.T


class Both(nn.Module):
    """A pipeline of one stage: embedding and head with one weight."""

    def __init__(self, vocab, width):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(vocab, width, dtype=torch.float64))

    def forward(self, x):
        """Return logits."""
        return torch.tanh(functional.embedding(x, self.weight)) @ self.weight.T


def make_stage(number, num_stages, vocab, width):
    """Return a stage of the model."""
    if num_stages == 1:
        return Both(vocab, width)
    if number in {0, num_stages - 1}:
        return (Embed if number == 0 else Head)(vocab, width)
    return nn.Sequential(nn.Linear(width, width), nn.Tanh()).double()


def train(student, *, pipelines, vocab, width, values, steps, without_grad=()):
    """Train the pipeline of this rank, one batch at a time, with the student's TiedEmbedding.

    values: of this rank's stage; steps: of this rank's pipeline, of tokens and targets; both None for a rank in no pipeline
    without_grad: numbers of stages that lose the gradient of their copy before it is synchronised
    Returns: the stage's parameters at the start and after each step, and the gradients after each sync_grad.
    """
    mine = next((ranks for ranks in pipelines if dist.get_rank() in ranks), None)
    if mine is None:
        student.TiedEmbedding(None, pipelines)
        return {"at_start": None, "grads": None, "after": None, "same_parameter": True}
    number = mine.index(dist.get_rank())
    stage = make_stage(number, len(mine), vocab, width)
    load_tensors(stage, values)
    weight = getattr(stage, "weight", None)
    optimizer = torch.optim.SGD(stage.parameters(), lr=LR, momentum=MOMENTUM)
    tied = student.TiedEmbedding(weight, pipelines)
    at_start, grads, after = _copies(stage), [], []
    for tokens, targets in steps:
        optimizer.zero_grad()
        _pass(stage, number, mine, (tokens, targets), width)
        if number in without_grad:
            weight.grad = None
        tied.sync_grad()
        grads.append({name: None if p.grad is None else p.grad.clone() for name, p in stage.named_parameters()})
        optimizer.step()
        after.append(_copies(stage))
    same = weight is None or any(parameter is weight for parameter in stage.parameters())
    return {"at_start": at_start, "grads": grads, "after": after, "same_parameter": same}


def _pass(stage, number, ranks, batch, width):
    """Run forward and backward of one batch on one stage, with blocking messages to its neighbours."""
    tokens, targets = batch
    x = tokens
    if number > 0:
        x = torch.empty(*tokens.shape, width, dtype=torch.float64)
        dist.recv(x, src=ranks[number - 1])
        x.requires_grad_()
    output, gradient = stage(x), None
    if number == len(ranks) - 1:
        output = loss_of(output, targets)
    else:
        dist.send(output.detach(), dst=ranks[number + 1])
        gradient = torch.empty_like(output)
        dist.recv(gradient, src=ranks[number + 1])
    torch.autograd.backward(output, gradient)
    if number > 0:
        dist.send(x.grad, dst=ranks[number - 1])


def _copies(stage):
    return {name: parameter.detach().clone() for name, parameter in stage.named_parameters()}


def refuse(student, *, tables):
    """Make the object with each of these pipelines; return the ValueErrors."""
    weight = nn.Parameter(torch.ones(2, 2, dtype=torch.float64))
    return {"errors": [attempt(partial(student.TiedEmbedding, weight, pipelines))[1] for pipelines in tables]}
