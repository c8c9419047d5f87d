"""Hidden tests of exercise `parallel_attention`."""

from assignments.ch06_tensor_parallelism import programs_attention as programs
from assignments.ch06_tensor_parallelism.references_attention import (
    assert_right,
    assert_traffic,
    batches,
    whole_tensors,
)
from grader.harness import exercise


@exercise("parallel_attention", aspect="equivalence")
def test_several_key_heads_a_rank(launch):
    """A rank may hold two key heads, each of three query heads of its own."""
    sizes, whole, (xs, dys) = (24, 12, 4), whole_tensors(24, 12, 4), batches(24, (1, 4), (2, 3))
    shared = {"sizes": sizes, "whole": whole, "xs": xs, "dys": dys}
    assert_right(launch(programs.attend, 2, shared=shared), whole, xs, dys, sizes=sizes, size=2)


@exercise("parallel_attention", aspect="equivalence")
def test_one_key_head_for_all_ranks(launch):
    """With a single key head all ranks hold it, and its gradient is the sum over all of them."""
    sizes, whole, (xs, dys) = (6, 6, 1), whole_tensors(6, 6, 1), batches(6, (2, 3), (2, 3))
    shared = {"sizes": sizes, "whole": whole, "xs": xs, "dys": dys, "kv_groups": [[0, 1, 2]]}
    assert_right(launch(programs.attend, 3, shared=shared), whole, xs, dys, sizes=sizes, size=3)


@exercise("parallel_attention", aspect="property")
def test_what_travels_does_not_depend_on_the_length_of_shared_heads(launch):
    """For long sequences, too, only the gradients of the shared weights travel, in every pass anew."""
    sizes, whole, (xs, dys) = (8, 8, 2), whole_tensors(8, 8, 2), batches(8, (1, 30), (1, 30))
    shared = {"sizes": sizes, "whole": whole, "xs": xs, "dys": dys, "kv_groups": [[0, 1], [2, 3]]}
    run = launch(programs.attend, 4, shared=shared)
    assert_right(run, whole, xs, dys, sizes=sizes, size=4)
    assert_traffic(run.comm, 240, shared=2 * 1 * 9)


@exercise("parallel_attention", aspect="robustness")
def test_one_rank_and_one_token(launch):
    """One rank holds all heads; a sequence may be a single token."""
    sizes, whole, (xs, dys) = (6, 2, 1), whole_tensors(6, 2, 1), batches(6, (2, 1), (1, 3))
    shared = {"sizes": sizes, "whole": whole, "xs": xs, "dys": dys}
    assert_right(launch(programs.attend, 1, shared=shared), whole, xs, dys, sizes=sizes, size=1)
