"""Assertions that the tests of several files of this chapter share: what ranks sent, and what they must refuse."""

from grader.harness.mistake import Mistake


def assert_messages(comm, sent, received):
    """Fail unless each rank sent and received as many messages as are due, by rank."""
    for verb, found, due in (
        ("sent", comm.messages_sent_per_rank(), sent),
        ("received", comm.messages_received_per_rank(), received),
    ):
        for rank, (count, wanted) in enumerate(zip(found, due, strict=True)):
            if count != wanted:
                kind = Mistake.MORE_COMMUNICATION if count > wanted else Mistake.COMMUNICATION
                raise AssertionError(f"{kind}\nRank {rank} {verb} {_messages(count)}, and {wanted} are due.")


def assert_bytes(comm, due):
    """Fail unless each rank sent as many bytes as are due, by rank."""
    for rank, (count, wanted) in enumerate(zip(comm.bytes_sent_per_rank(), due, strict=True)):
        if count != wanted:
            kind = Mistake.MORE_COMMUNICATION if count > wanted else Mistake.COMMUNICATION
            wider = wanted and count in (2 * wanted, 4 * wanted, 8 * wanted)
            guess = (
                f", {count / wanted} times as many: do elements travel in a wider dtype than they have?"
                if wider
                else "."
            )
            raise AssertionError(f"{kind}\nRank {rank} sent {count} bytes, and {wanted} are due{guess}")


def assert_rounds(comm, most, remedy):
    """Fail if the messages need more than `most` rounds, one after another; say what to do about it."""
    if comm.rounds() > most:
        raise AssertionError(
            f"{Mistake.MORE_COMMUNICATION}\nThe messages need {comm.rounds()} rounds, because ranks wait for each other, "
            f"and {most} are allowed. {remedy}"
        )


def assert_silent(comm, when):
    """Fail if anything was communicated."""
    if comm.count():
        op = comm.ops()[0]
        raise AssertionError(
            f"{Mistake.MORE_COMMUNICATION}\nNothing is to be sent {when}, and rank {op.rank} called {op.api or op.op}."
        )


def assert_refused(run, call):
    """Fail unless every rank raised ValueError in a launch of `unknown_op`, before anything was sent."""
    for rank, error in enumerate(run["error"]):
        if not error:
            raise AssertionError(
                f"{Mistake.DID_NOT_RAISE}\n{call} returned on rank {rank}, and should raise ValueError on every rank."
            )
    assert_silent(run.comm, f"where {call} raises ValueError")


def _messages(count):
    return f"{count} message{'' if count == 1 else 's'}"
