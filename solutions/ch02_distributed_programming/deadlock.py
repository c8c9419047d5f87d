"""Finding a deadlock before it happens: programs of sends, receives and collectives as plain values."""

### BEGIN SOLUTION
from collections import Counter

### END SOLUTION
from course_env.communication import Coll, Deadlock, IRecv, ISend, Op, Send, Wait


def find_deadlock(programs: list[list[Op]]) -> Deadlock | None:
    """Return which ranks never finish and where they are blocked, or None if every rank finishes.

    `programs[r]` is what rank r does, in order. The operations are the value types of course_env.communication:

    * `ISend(dst, tag)` and `IRecv(src, tag)` post a request and go on at once.
    * `Wait(request)` blocks until the request that was posted at index `request` of the same program is complete.
      Waiting again for a complete request does not block.
    * `Send(dst, tag)` and `Recv(src, tag)` post a request and block until it is complete.
    * A request is complete as soon as the request of the other rank that matches it is posted. Messages do not
      overtake: the k-th send from rank s to rank d with a tag matches the k-th receive on rank d from rank s
      with that tag, in program order, blocking or not. So nothing is buffered: a send waits for its receive
      (rendezvous), as gloo's send and MPI_Ssend do.
    * `Coll(name, ranks)` blocks until every rank in `ranks` is at an equal Coll (the same name and the same ranks).
      Two members that call different collectives therefore wait for each other for ever.
    * A rank may send to itself. A rank that has run its whole program is finished, even if a request that it never
      waits for has met no match.

    Every rank goes as far as it can. `Deadlock.blocked` maps each rank that does not finish to the index of the
    operation that it cannot complete, whether it is part of a cycle, waits for one, or waits for a rank that has
    finished. The programs are not changed. Programs of thousands of operations are checked in well under a second.

    Raises: ValueError if an operation names a rank that does not exist, if a Wait's request is not the index of an
        earlier ISend or IRecv of its program, or if the ranks of a Coll do not include the rank that calls it.
        The message gives the rank and the index of the operation.
    Source: MPI Forum 2021, MPI: A Message-Passing Interface Standard, version 4.0, sections 3.4 (synchronous mode) and 3.5 (order and progress)
    """
    ### BEGIN SOLUTION
    for rank, program in enumerate(programs):
        for index, op in enumerate(program):
            _check(op, rank, index, programs)
    state = _State(programs)
    # Nothing that a rank does takes away another's chance to go on, so the order in which they are tried is free.
    progress = True
    while progress:
        moved = [state.advance(rank) for rank in range(len(programs))]
        progress = any(moved) or state.leave_collectives()
    blocked = {rank: at for rank, at in enumerate(state.at) if at < len(programs[rank])}
    return Deadlock(blocked=blocked) if blocked else None
    ### END SOLUTION


### BEGIN SOLUTION
Channel = tuple[int, int, int]  # source, destination, tag


def _check(op: Op, rank: int, index: int, programs: list[list[Op]]) -> None:
    """Raise ValueError if an operation can mean nothing."""
    where = f"{op} at index {index} of rank {rank}'s program"
    if isinstance(op, Wait):
        if not (0 <= op.request < index and isinstance(programs[rank][op.request], ISend | IRecv)):
            raise ValueError(f"{where} waits for something that is no earlier ISend or IRecv.")
        return
    named = op.ranks if isinstance(op, Coll) else (op.dst if isinstance(op, Send | ISend) else op.src,)
    if not all(0 <= other < len(programs) for other in named):
        raise ValueError(f"{where} names a rank that does not exist; there are {len(programs)}.")
    if isinstance(op, Coll) and rank not in op.ranks:
        raise ValueError(f"{where} is called by a rank that is not one of its ranks.")


class _State:
    """How far every rank has come, and what it has posted on its way."""

    def __init__(self, programs: list[list[Op]]) -> None:
        self.programs = programs
        self.at = [0] * len(programs)
        self.sends: Counter[Channel] = Counter()
        self.recvs: Counter[Channel] = Counter()
        self.posted: list[dict[int, tuple[Channel, int]]] = [{} for _ in programs]

    def advance(self, rank: int) -> bool:
        """Move a rank up to the operation that blocks it; return whether it moved."""
        start = self.at[rank]
        while self.at[rank] < len(self.programs[rank]) and self._passes(rank, self.at[rank]):
            self.at[rank] += 1
        return self.at[rank] > start

    def _passes(self, rank: int, index: int) -> bool:
        """Post what the operation posts, and return whether the rank may go on."""
        op = self.programs[rank][index]
        if isinstance(op, Coll):
            return False  # only together, in leave_collectives
        if isinstance(op, Wait):
            return self._complete(rank, op.request)
        if index not in self.posted[rank]:  # a blocked operation is tried again, but posted once
            self._post(rank, index, op)
        return isinstance(op, ISend | IRecv) or self._complete(rank, index)

    def _post(self, rank: int, index: int, op: Op) -> None:
        is_send = isinstance(op, Send | ISend)
        channel = (rank, op.dst, op.tag) if is_send else (op.src, rank, op.tag)
        counter = self.sends if is_send else self.recvs
        self.posted[rank][index] = (channel, counter[channel])
        counter[channel] += 1

    def _complete(self, rank: int, index: int) -> bool:
        """Return whether the request posted at `index` has met its match: both sides have come that far."""
        channel, number = self.posted[rank][index]
        return number < min(self.sends[channel], self.recvs[channel])

    def leave_collectives(self) -> bool:
        """Move on all ranks of every collective that all its ranks have reached; return whether there was one."""
        unfinished = [rank for rank, program in enumerate(self.programs) if self.at[rank] < len(program)]
        here = {rank: self.programs[rank][self.at[rank]] for rank in unfinished}
        calls = {rank: op for rank, op in here.items() if isinstance(op, Coll)}
        leaving = [rank for rank, call in calls.items() if all(calls.get(other) == call for other in call.ranks)]
        for rank in leaving:
            self.at[rank] += 1
        return bool(leaving)


### END SOLUTION
