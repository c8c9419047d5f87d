"""Baselines and assertions that the public and the hidden tests of naive_ddp.py share."""

from collections import Counter
from fractions import Fraction

from assignments.ch04_data_parallelism.references import FLAG_BYTES, trainable_bytes
from course_env.toy_models import build_model
from grader.harness.mistake import Mistake


def assert_step_traffic(comm, model, num_steps, members, least_share=1):
    """Each member sends what a ring all-reduce of all gradients costs, and at most the flags of all parameters more.

    least_share: how much of the gradients must be sent; less than 1 where parameters that no rank uses may be left out
    """
    num_bytes, num_trainable = trainable_bytes(model)
    per_byte = Fraction(2 * (len(members) - 1), len(members)) * num_steps
    least, most = per_byte * num_bytes * least_share, per_byte * (num_bytes + FLAG_BYTES * num_trainable)
    for rank in members:
        sent = comm.bytes_sent_per_rank("all_reduce")[rank]
        told = (
            f"Rank {rank} sent {float(sent):.0f} bytes by all-reduce in {num_steps} steps. The gradients of the trainable "
            f"parameters, each once a step, make {float(least):.0f}, and flags for unused parameters {float(most - least):.0f} more."
        )
        if sent > most:
            raise AssertionError(f"{Mistake.MORE_COMMUNICATION}\n{told}{_widened(comm, model, num_steps, rank)}")
        if sent < least:
            raise AssertionError(f"{told} Which gradients did not travel?")


def _widened(comm, model, num_steps, rank):
    """Return a sentence if a dtype of gradients did not travel at all, and another carried its elements as well."""
    trainable = [p for p in build_model(model).parameters() if p.requires_grad]
    due = Counter()
    for parameter in trainable:
        due[str(parameter.dtype).removeprefix("torch.")] += num_steps * parameter.numel()
    carried = Counter()
    for op in comm.ops("all_reduce", rank=rank):
        carried[op.dtype] += sum(op.inputs)
    missing = [dtype for dtype in due if carried[dtype] < due[dtype]]
    wider = [dtype for dtype in due if carried[dtype] > due[dtype]]
    if not missing or not wider:
        return ""
    return (
        f"\nOf {due[missing[0]]} {missing[0]} elements only {carried[missing[0]]} travelled as {missing[0]}, and "
        f"{carried[wider[0]] - due[wider[0]]} elements too many as {wider[0]}: torch.cat widens what it joins. "
        "Join only gradients of one dtype."
    )
