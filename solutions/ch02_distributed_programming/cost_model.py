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

### BEGIN SOLUTION
import math
from collections.abc import Callable
from fractions import Fraction

### END SOLUTION
ALGORITHMS = ("root", "all_to_all", "ring", "tree", "recursive_doubling")


def messages_and_bytes(algo: str, n: int, nbytes: int) -> tuple[int, int]:
    """Return how many messages all ranks together send in one all-reduce, and how many bytes these hold together.

    `nbytes` is the size of one rank's buffer. Padding counts: it travels.

    Raises: ValueError for an `algo` that is not in ALGORITHMS, for n < 1 and for nbytes < 0; so do the functions below.
    Source: Thakur, Rabenseifner and Gropp 2005, Optimization of Collective Communication Operations in MPICH, doi:10.1177/1094342005051521, sections 3 and 4
    """
    ### BEGIN SOLUTION
    _check(algo, n, nbytes)
    p = _power_of_two_within(n)
    messages = {
        "root": 2 * (n - 1),
        "all_to_all": n * (n - 1),
        "ring": 2 * n * (n - 1),
        "tree": 2 * (n - 1),
        "recursive_doubling": p * _log2(p) + 2 * (n - p),
    }[algo]
    return messages, messages * _message_bytes(algo, n, nbytes)
    ### END SOLUTION


def allreduce_time(algo: str, n: int, nbytes: int, *, alpha: float, beta: float) -> float:
    """Return the seconds from the start of the first round to the end of the last one."""
    ### BEGIN SOLUTION
    _check(algo, n, nbytes)
    return _num_rounds(algo, n) * (alpha + beta * _message_bytes(algo, n, nbytes))
    ### END SOLUTION


def best_algo(n: int, nbytes: int, *, alpha: float, beta: float) -> str:
    """Return the fastest algorithm; among equally fast ones the first in ALGORITHMS."""
    ### BEGIN SOLUTION
    return min(ALGORITHMS, key=lambda algo: allreduce_time(algo, n, nbytes, alpha=alpha, beta=beta))
    ### END SOLUTION


def crossover_bytes(algo_a: str, algo_b: str, n: int, *, alpha: float, beta: float) -> int | None:
    """Return the smallest buffer size in bytes, from 0 on, at which `algo_b` takes strictly less time than `algo_a`.

    None if there is no such size. The answer is exact to the byte for the very numbers alpha and beta: rounding on
    the way must not move it. It may be terabytes, so trying one size after another is not an option. Beyond the
    crossover `algo_b` need not stay ahead: padding costs the ring time, so a close race changes hands several times.
    """
    ### BEGIN SOLUTION
    exact = {"alpha": Fraction(alpha), "beta": Fraction(beta)}

    def lead(nbytes: int) -> Fraction:
        return allreduce_time(algo_a, n, nbytes, **exact) - allreduce_time(algo_b, n, nbytes, **exact)

    _check(algo_a, n, 0)
    # A message has S or ceil(S / n) bytes: along sizes with one remainder modulo n, every time is a straight line.
    sizes = [_first_positive(lead, remainder, n) for remainder in range(n)]
    return min((size for size in sizes if size is not None), default=None)
    ### END SOLUTION


### BEGIN SOLUTION
def _check(algo: str, n: int, nbytes: int) -> None:
    if algo not in ALGORITHMS:
        raise ValueError(f"There is no algorithm {algo!r}. Known: {', '.join(ALGORITHMS)}.")
    if n < 1 or nbytes < 0:
        raise ValueError(f"n is {n} and nbytes is {nbytes}, but n must be at least 1 and nbytes at least 0.")


def _message_bytes(algo: str, n: int, nbytes: int) -> int:
    """Return the size of each message; within one algorithm all are equal."""
    return -(-nbytes // n) if algo == "ring" else nbytes


def _num_rounds(algo: str, n: int) -> int:
    p = _power_of_two_within(n)
    return {
        "root": 2 * (n - 1),
        "all_to_all": n - 1,
        "ring": 2 * (n - 1),
        "tree": 2 * (n - 1).bit_length(),
        "recursive_doubling": _log2(p) + (2 if n > p else 0),
    }[algo]


def _power_of_two_within(n: int) -> int:
    return 1 << _log2(n)


def _log2(n: int) -> int:
    """Return floor(log2 n), exactly."""
    return n.bit_length() - 1


def _first_positive(line: Callable[[int], Fraction], start: int, step: int) -> int | None:
    """Return the first of start, start + step, ... at which a function that is straight along them is above 0."""
    value = line(start)
    slope = line(start + step) - value
    if value > 0:
        return start
    return start + step * (math.floor(-value / slope) + 1) if slope > 0 else None


### END SOLUTION
