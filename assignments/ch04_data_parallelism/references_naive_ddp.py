"""Baselines and assertions that the public and the hidden tests of naive_ddp.py share."""

from fractions import Fraction

from assignments.ch04_data_parallelism.references import FLAG_BYTES, trainable_bytes
from grader.harness.mistake import Mistake


def assert_step_traffic(comm, model, num_steps, members):
    """Each member sends what a ring all-reduce of all gradients costs, and at most the flags of all parameters more."""
    num_bytes, num_trainable = trainable_bytes(model)
    per_byte = Fraction(2 * (len(members) - 1), len(members)) * num_steps
    least, most = per_byte * num_bytes, per_byte * (num_bytes + FLAG_BYTES * num_trainable)
    for rank in members:
        sent = comm.bytes_sent_per_rank("all_reduce")[rank]
        told = (
            f"Rank {rank} sent {float(sent):.0f} bytes by all-reduce in {num_steps} steps. The gradients of the trainable "
            f"parameters, each once a step, make {float(least):.0f}, and flags for unused parameters {float(most - least):.0f} more."
        )
        assert sent <= most, f"{Mistake.MORE_COMMUNICATION}\n{told}"
        assert sent >= least, told
