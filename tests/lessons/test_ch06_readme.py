"""The lesson of chapter 6: its numbers are right."""

import pytest

from tests.lessons.lesson import read_lesson

LESSON = read_lesson(6)
ALPHA, BETA = 10e-6, 1 / 25e9  # seconds, seconds per byte: what the lessons' worked numbers take
FLOPS = 0.4 * 312e12
LOGITS = 2048 * 50688 * 4  # bytes of one sequence, float32
UNIT = 2048 * 12288  # elements of an activation of GPT-3
SCORES = 5 * 96 * 2048 / 12288
GB, MB, KB, MILLI = 1e9, 1e6, 1 << 10, 1e3
RING_HOPS = 2 * (8 - 1)


def tokens_to_hide(kappa):
    """Return the tokens per rank from which on a ring's hop is hidden, in bfloat16."""
    return kappa * 2 * BETA * FLOPS / 2


def ring_over_ulysses(ranks, kappa):
    """Return how many times as many bytes a ring sends."""
    return (2 * kappa * (ranks - 1)) / (2 * (1 + kappa) * (ranks - 1) / ranks)


# A piece of the lesson with its numbers left out, and the numbers.
WORKED = (
    (
        "50688 logits in float32, 8 ranks, {:.0f} MB, and it would put the whole tensor of {:.0f} MB",
        [7 / 8 * LOGITS / MB, LOGITS / MB],
    ),
    (
        "one sequence: {:.2f} GB, {:.2f} GB and {:.2f} GB per layer",
        [
            UNIT * (34 + SCORES) / GB,
            UNIT * (10 + 24 / 8 + SCORES / 8) / GB,
            UNIT * (34 + SCORES) / 8 / GB,
        ],
    ),
    ("what remains, {}, {:.0f} and {} units", [34, 10 + 24 / 8, 34 / 8]),
    (
        "{} times without grouped queries, and {:.1f} times with 8 query heads per key head",
        ["four" if ring_over_ulysses(8, 1) == 4 else "?", ring_over_ulysses(8, 1 / 8)],
    ),
    ("tokens per rank: {:.0f} with bfloat16", [tokens_to_hide(1)]),
    ("chapter 4's {:.1f} TFLOP/s", [FLOPS / 1e12]),
    ("with 8 query heads per key head {:.0f}.", [tokens_to_hide(1 / 8)]),
    ("a batch of 1 an all-reduce carries {:.0f} KB", [8192 * 2 / KB]),
    (
        "would take {} · {} · 10 µs = {:.1f} ms per token",
        [2 * 80, RING_HOPS, 2 * 80 * RING_HOPS * ALPHA * MILLI],
    ),
    ("cut by 8, takes {:.1f} ms at 2 TB/s", [70e9 * 2 / 8 / 2e12 * MILLI]),
    ("one latency: {:.1f} ms", [2 * 80 * ALPHA * MILLI]),
    ("GPT-2's {} tokens become {} for 4 ranks", [50257, -(-50257 // 512) * 512]),
    ("On the fast links of a node {:.0f} % is bearable", [100 * 7 * 2 * FLOPS / 300e9 / (9 * 12288)]),
)


@pytest.mark.parametrize(("words", "numbers"), WORKED, ids=[words[:30] for words, _ in WORKED])
def test_a_worked_number_is_right(words, numbers):
    """A number in the text is what its formula gives, to the digits shown."""
    LESSON.says(words, numbers)


def test_the_naive_mlp_sends_three_times_as_much():
    """The table's sums are those of its entries, in units of (N - 1) / N S."""
    naive, better = (4 + 2) + (4 + 2), 2 + 2
    LESSON.says("all-reduce of $S$: $4 + 2$ | {} |", [naive])
    LESSON.says("all-reduce of $S$: $2$ | {} |", [better])
    assert naive == 3 * better
