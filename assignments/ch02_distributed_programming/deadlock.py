"""Finding a deadlock before it happens: programs of sends, receives and collectives as plain values."""

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
    # TODO(find_deadlock): write this part, and delete the line below.
    raise NotImplementedError("TODO(find_deadlock)")
