"""What an all-reduce costs: the alpha-beta model of five algorithms, and where one overtakes another.

Every one of n ranks holds a buffer of S bytes, and all want the sum. The algorithms, in rounds; the messages of one
round travel side by side:

* root: every other rank sends its buffer to one rank, the root; the root adds them up and sends the sum to every other
  rank. All these messages pass through the root, and it handles one at a time, so each is a round of its own.
* all_to_all: in each of n - 1 rounds every rank sends its own buffer to another rank and receives a third one's,
  until every rank has seen all n buffers.
* ring: the buffer is cut into n chunks of ceil(S / n) bytes, the last ones padded. In n - 1 rounds of reduce-scatter
  and n - 1 rounds of all-gather every rank sends one chunk to its right neighbour and receives one from its left.
* tree: a binomial tree. In ceil(log2 n) rounds the buffers are summed towards rank 0, in as many rounds the sum is sent
  back; each rank but rank 0 sends its buffer up once and receives the sum once.
* recursive_doubling: let p be the largest power of two that is at most n. If n is larger than p, each of the n - p
  ranks left over first sends its buffer to a partner of its own among the p, in one round. Then, in log2 p rounds,
  the p ranks exchange buffers in pairs, each sending one and receiving one. If n is larger than p, the partners
  send the sum back to the ranks left over, in one more round.

A message of m bytes takes alpha + beta * m seconds: alpha for being a message (latency), beta for each byte
(1 / bandwidth). An empty message still costs alpha. A rank can send one message and receive one at the same time,
never two of a kind. Adding costs nothing. One rank alone sends nothing. This is Hockney's model (1994,
doi:10.1016/S0167-8191(06)80021-9).
"""

ALGORITHMS = ("root", "all_to_all", "ring", "tree", "recursive_doubling")


def messages_and_bytes(algo: str, n: int, nbytes: int) -> tuple[int, int]:
    """Return how many messages all ranks together send in one all-reduce, and how many bytes these hold together.

    `nbytes` is the size of one rank's buffer. Padding counts: it travels.

    Raises: ValueError for an `algo` that is not in ALGORITHMS, for n < 1 and for nbytes < 0; so do the functions below.
    Source: Thakur, Rabenseifner and Gropp 2005, Optimization of Collective Communication Operations in MPICH, doi:10.1177/1094342005051521, sections 3 and 4
    """
    # TODO(cost_model): write this part, and delete the line below.
    raise NotImplementedError("TODO(cost_model)")


def allreduce_time(algo: str, n: int, nbytes: int, *, alpha: float, beta: float) -> float:
    """Return the seconds from the start of the first round to the end of the last one."""
    # TODO(cost_model): write this part, and delete the line below.
    raise NotImplementedError("TODO(cost_model)")


def best_algo(n: int, nbytes: int, *, alpha: float, beta: float) -> str:
    """Return the fastest algorithm; among equally fast ones the first in ALGORITHMS."""
    # TODO(cost_model): write this part, and delete the line below.
    raise NotImplementedError("TODO(cost_model)")


def crossover_bytes(algo_a: str, algo_b: str, n: int, *, alpha: float, beta: float) -> int | None:
    """Return the smallest buffer size in bytes, from 0 on, at which `algo_b` takes strictly less time than `algo_a`.

    None if there is no such size. The answer is exact to the byte for the very numbers alpha and beta: rounding on
    the way must not move it. It may be terabytes, so trying one size after another is not an option. Beyond the
    crossover `algo_b` need not stay ahead: padding costs the ring time, so a close race changes hands several times.
    """
    # TODO(cost_model): write this part, and delete the line below.
    raise NotImplementedError("TODO(cost_model)")
