"""Baselines and assertions that the public and the hidden tests of pipeline_runner.py share."""

from collections import Counter
from dataclasses import dataclass

import torch

from assignments.ch05_pipeline_parallelism import programs_pipeline_runner as programs
from assignments.ch05_pipeline_parallelism.references import in_flight
from course_env.toy_models import gradients_of, load_tensors, loss_of, tensors_of
from grader.harness import PerRank, assert_matches
from grader.harness.comm.picture.chart import order_picture
from grader.harness.mistake import Mistake

MEMORY_MARGIN_KB = 15 << 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What one run comes to, and what it comes to with some mistakes.

    losses: of each micro-batch
    grads: of each stage by name; last_grads: those of the last micro-batch alone
    with_other_targets: the losses, each with the target of the micro-batch before
    """

    losses: list
    grads: list
    last_grads: list
    with_other_targets: list


class Preset:
    """A clock for one pass of one stage in one process: it knows the factors of the moments at which a rank would run it."""

    def __init__(self, factors):
        self._factors = factors
        self.backward_in_w = False

    def tick(self, name):
        """Return the factor of the forward or of the backward pass."""
        return self._factors[name[0]]

    def factor(self):
        """Return the factor of the moment of the weights' gradient."""
        return self._factors["W"]


def data_for(m, rows, width):
    """Return m inputs and targets of an MLP."""
    return [[torch.randn(rows, width, dtype=torch.float64) for _ in range(m)] for _ in range(2)]


def values_for(model, num_stages, clock=None):
    """Return random values for each stage of a model, with which gradients neither vanish nor explode."""
    stages = [tensors_of(programs.make_stage(model, number, clock)) for number in range(num_stages)]
    return [
        {name: torch.randn_like(tensor) / max(2.0, tensor.shape[-1] ** 0.5) for name, tensor in stage.items()}
        for stage in stages
    ]


def moments(runs, factors):
    """Return, for each run, micro-batch and stage, the factors of its passes: of F, of B and of the weights' gradients."""
    counts, found = [0] * len(factors), []
    for run in runs:
        p, here = len(run["schedule"]), {}
        is_split = any(kind == "W" for actions in run["schedule"] for kind, _, _ in actions)
        for d, actions in enumerate(run["schedule"]):
            for kind, i, chunk in actions:
                stage = chunk * p + d
                ticks = kind == "F" or (kind == "B" and not (is_split and stage == 0))
                counts[d] += ticks
                factor = factors[d][counts[d] % len(factors[d])]
                here.setdefault((i, stage), {})[kind] = factor if ticks or kind == "W" else 1.0
                if kind == "B" and not is_split:
                    here[i, stage]["W"] = factor
        found.append(here)
    return found


def one_process(model, values, runs, *, factors=None, frozen=(), dtype=torch.float64):
    """Run the whole model in one process; return what each run comes to."""
    clock = None if factors is None else Preset({})
    stages = [programs.make_stage(model, number, clock) for number in range(len(values))]
    for number, (stage, tensors) in enumerate(zip(stages, values, strict=True)):
        load_tensors(stage, tensors)
        stage.requires_grad_(number not in frozen)
        stage.to(dtype)
    results = []
    for number, run in enumerate(runs):
        if run.get("clear", True):
            for stage in stages:
                stage.zero_grad()
        losses, outputs, before = [], [], None
        for i, (x, y) in enumerate(zip(run["inputs"], run["targets"], strict=True)):
            output = x
            for s, stage in enumerate(stages):
                if factors is not None:
                    stage.clock = Preset(moments(runs, factors)[number][i, s])
                output = stage(output)
            losses.append(loss_of(output, y))
            outputs.append(output.detach())
            before = [gradients_of(stage) for stage in stages]
            (losses[-1] / len(run["inputs"])).backward()
        grads = [gradients_of(stage) for stage in stages]
        result = Result(
            losses=[loss.detach() for loss in losses],
            grads=grads,
            last_grads=_less(grads, before),
            with_other_targets=[loss_of(output, run["targets"][i - 1]) for i, output in enumerate(outputs)],
        )
        results.append(result)
    return results


def factors_for(num_ranks):
    """Return factors between 1/2 and 3/2 for the passes of each rank."""
    return (0.5 + torch.rand(num_ranks, 97, dtype=torch.float64)).tolist()


def launch_runs(launch, model, schedules, *, m, rows=2, marked=False, members=None, clear=True, ideal=(), **options):
    """Run schedules one after the other in one launch; return the run, what they were, and what one process computes.

    ideal: how the schedule looks on a time axis, if there is one: for `course show`
    """
    p = len(schedules[0])
    factors = factors_for(p) if marked else None
    values = values_for(model, len(model), programs.Clock([1.0]) if marked else None)
    runs = []
    for schedule in schedules:
        inputs, targets = data_for(m, rows, model[0][0])
        runs.append({"schedule": schedule, "inputs": inputs, "targets": targets, "clear": clear})
    shared = {
        "model": model,
        "values": values,
        "runs": runs,
        "act_shape": [rows, model[0][0]],
        "members": members,
        **options,
    }
    per_rank = {"factors": factors} if marked else None
    world_size = p if members is None else 1 + max(members)
    run = launch(programs.pipeline, world_size, shared=shared, per_rank=per_rank, ideal=ideal)
    return run, runs, one_process(model, values, runs, factors=factors, frozen=options.get("frozen", ()))


def assert_runs(run, results, p, *, members=None, rtol=None):
    """Assert that the rank of the last stage has the losses, and every rank the gradients of its stages."""
    spread = _Spread(len(run["losses"]), list(range(p)) if members is None else members)
    several = any(len(one.losses) > 1 for one in results)
    losses = {
        "losses divided by m: return them as loss_fn computed them": [
            [x / len(one.losses) for x in one.losses] for one in results
        ],
        "losses with the targets of other micro-batches": [one.with_other_targets for one in results],
    }
    due = spread.of_the_last([one.losses for one in results])
    mistakes = {name: spread.of_the_last(values) for name, values in losses.items()} if several else None
    assert_matches(run["losses"], due, rtol=rtol, mistakes=mistakes, what="losses")
    grads = {
        "the gradients of the sum of the losses, not of their mean": [
            _times(one.grads, len(one.losses)) for one in results
        ],
        "the gradients of the last micro-batch alone: they must add up": [one.last_grads for one in results],
    }
    mistakes = {name: spread.by_stage(values) for name, values in grads.items()} if several else None
    due = spread.by_stage([one.grads for one in results])
    assert_matches(run["grads"], due, rtol=rtol, mistakes=mistakes, what="grads")


class _Spread:
    """From what one process has to what each rank should have; ranks that are no members have None."""

    def __init__(self, world_size, members):
        self._world_size, self._members = world_size, members

    def of_the_last(self, values):
        """Return for each run the values on the last member, and empty lists on the others."""
        last = self._members[-1]
        ranks = [values if rank == last else [[] for _ in values] for rank in range(self._world_size)]
        return PerRank(one if rank in self._members else None for rank, one in enumerate(ranks))

    def by_stage(self, values):
        """Return for each run, on every member, the gradients of its own stages by their number."""
        ranks, p = [None] * self._world_size, len(self._members)
        for d, rank in enumerate(self._members):
            ranks[rank] = [{str(s): stage for s, stage in enumerate(stages) if s % p == d} for stages in values]
        return PerRank(ranks)


def _times(grads, factor):
    return [{name: None if grad is None else grad * factor for name, grad in stage.items()} for stage in grads]


def _less(grads, others):
    """Return the difference of gradients, where None counts as zeros."""
    return [
        {n: g if g is None or other[n] is None else g - other[n] for n, g in stage.items()}
        for stage, other in zip(grads, others, strict=True)
    ]


def assert_order(run, runs, p, members=None):
    """Assert that every rank ran its passes in the order of its schedules, as its program saw them."""
    for d, rank in enumerate(range(p) if members is None else members):
        due = []
        for one in runs:
            is_split = any(kind == "W" for actions in one["schedule"] for kind, _, _ in actions)
            for kind, _, chunk in one["schedule"][d]:
                stage = chunk * p + d
                if kind == "F" or (kind == "B" and not (is_split and stage == 0)):
                    due.append(f"{kind} of stage {stage}")
        passes = run.observed("passes")[rank]
        assert passes == due, (
            f"{Mistake.ORDER}\nRank {rank} ran {_shown(passes)}; its schedule says {_shown(due)}.\n"
            f"{order_picture(run.comm, _of_members([one['schedule'] for one in runs], members))}"
        )


def _of_members(schedules, members):
    lanes = {}
    for schedule in schedules:
        is_split = any(kind == "W" for actions in schedule for kind, _, _ in actions)
        for number, actions in enumerate(schedule):
            # With split backward, B of the first stage computes nothing.
            done = [one for one in actions if not (is_split and number == 0 and one[0] == "B" and one[2] == 0)]
            lanes.setdefault(number if members is None else members[number], []).extend(done)
    return lanes


def _shown(passes):
    short = [name.replace(" of stage ", "") if len({n[1:] for n in passes}) > 1 else name[0] for name in passes]
    return " ".join(short[:40]) or "nothing"


def assert_holds(run, schedule, *, split=False):
    """Assert that no rank had more forward passes in memory than the schedule says."""
    for rank, actions in enumerate(schedule):
        peak, due = run.observed("peak")[rank], in_flight(actions, "W" if split else "B")
        assert peak <= due, (
            f"{Mistake.MEMORY}\nRank {rank} had the activations of {peak} forward passes in memory at once, its schedule holds "
            f"{due}. Let go of everything about a micro-batch after its {'W' if split else 'B'}, and send no tensor with its graph."
        )


def assert_flat_memory(short, long, schedule):
    """Assert that no rank took more memory in a run with many micro-batches than in one with few; both hold equally many."""
    for rank, (few, many) in enumerate(zip(short.max_rss_kb, long.max_rss_kb, strict=True)):
        assert many - few < MEMORY_MARGIN_KB, (
            f"{Mistake.MEMORY}\nWith more micro-batches rank {rank} took {(many - few) >> 10} MiB more, though its schedule holds "
            f"{in_flight(schedule[rank])} at once in both cases. Let go of each micro-batch after its B."
        )


def assert_edges(comm, num_stages, p, m, *, num_bytes, members=None):
    """Assert that each pair of neighbouring stages exchanges m messages in both directions, and that nothing else is sent."""
    comm.assert_only("send", "recv")
    members = list(range(p)) if members is None else members
    due = Counter()
    for stage in range(num_stages - 1):
        here, there = members[stage % p], members[(stage + 1) % p]
        if here != there:
            due[here, there] += m
            due[there, here] += m
    sent = Counter((op.rank, op.peer) for op in comm.ops("send"))
    for here, there in {**due, **sent}:
        assert sent[here, there] == due[here, there], (
            f"{Mistake.MORE_COMMUNICATION if sent[here, there] > due[here, there] else Mistake.COMMUNICATION}\nRank {here} sent "
            f"{sent[here, there]} messages to rank {there}; {due[here, there]} are due, one for each micro-batch and each "
            "pass from a stage to its neighbour."
        )
    odd = [op for op in comm.ops("send") if op.payload_bytes != num_bytes]
    assert not odd, f"Rank {odd[0].rank} sent {odd[0].payload_bytes} bytes in one message; act_shape has {num_bytes}."
    comm.assert_waited_for()


def assert_unchanged_and_plain(run):
    """Assert that inputs and targets were not written to, and that losses come without their graphs."""
    for rank, (written, has_graph) in enumerate(zip(run.observed("written"), run.observed("has_graph"), strict=True)):
        assert not (written and written[0]), f"{Mistake.WROTE_TO_ARGUMENT}\nRank {rank} wrote to its inputs or targets."
        assert not has_graph, (
            f"Rank {rank} returned losses with their graphs, which keeps all activations alive: detach them."
        )
