"""The lesson of chapter 4: its numbers are right."""

import math
from fractions import Fraction

import pytest
import torch
from torch import nn

from tests.lessons.lesson import read_lesson

LESSON = read_lesson(4)
MILLI, MB, GB = 1e3, 1e6, 1e9
MIB = 2**20
ALPHA, BETA = 10e-6, 1 / 25e9  # seconds, seconds per byte: what the lesson's worked numbers take
GPT2_PARAMETERS, GPT2_VOCAB = 124_439_808, 50_257
GPT2_BYTES = GPT2_PARAMETERS * 4
FLOPS = 0.4 * 312e12
LOGITS = 8 * 1024 * GPT2_VOCAB  # of one GPU
MNLI_TRAIN, MNLI_EVAL = 353_431, 39_271


def run_model() -> dict[str, object]:
    """Return what the lesson's script overlap_model.py defines."""
    source = next(listing.source for listing in LESSON.listings if listing.name == "overlap_model.py")
    model = {"__name__": "overlap_model"}
    exec(source, model)
    return model


MODEL = run_model()


def ring(num_bytes: float, ranks: int) -> float:
    """Return the seconds of a ring all-reduce."""
    return 2 * (ranks - 1) * (ALPHA + BETA * num_bytes / ranks)


BACKWARD = [seconds for _, seconds in MODEL["backward"](MODEL["GPT2"])]
FORWARD_S, BACKWARD_S = BACKWARD[-1] / 2, BACKWARD[-1]
OVERLAPPED_S = FORWARD_S + MODEL["schedule"](8, 25 * MIB)[-1][1]
PLAIN_S = FORWARD_S + BACKWARD_S + ring(GPT2_BYTES, 8)
EMBEDDING_BYTES = 4 * GPT2_VOCAB * 768
RANKS = (2, 4, 8, 64, 1024)
STATE_7B = 16 * 7e9

# A piece of the lesson with its numbers left out, and the numbers.
WORKED = (
    ("on 4 GPUs with 25 GB/s this is {:.1f} ms", [2 * 3 * BETA * GPT2_BYTES * MILLI]),
    ("ms against {:.1f} ms.\n", [2 * 3 / 4 * BETA * GPT2_BYTES * MILLI]),
    ("float32 logits, {:.2f} GB per GPU", [4 * LOGITS / GB]),
    ("from 4 GPUs puts {:.2f} GB on GPU 0", [4 * 4 * LOGITS / GB]),
    ("4 elements instead of {:.2f} billion", [4 * LOGITS / GB]),
    ("{} steps in 11:50 with DataParallel", [math.ceil(MNLI_TRAIN / 128)]),
    ("in 7:30 with DDP [2], a factor of {:.2f}", [(11 * 60 + 50) / (7 * 60 + 30)]),
    ("$S$ = {:.1f} MB", [GPT2_BYTES / MB]),
    (
        "| bytes sent per rank, MB | {:.1f} | {:.1f} | {:.1f} | {:.1f} | {:.1f} |",
        [2 * (n - 1) / n * GPT2_BYTES / MB for n in RANKS],
    ),
    (
        "| ring, one message, ms | {:.1f} | {:.1f} | {:.1f} | {:.1f} | {:.1f} |",
        [ring(GPT2_BYTES, n) * MILLI for n in RANKS],
    ),
    ("Is {:.0f} ms much?", [2 * BETA * GPT2_BYTES * MILLI]),
    (
        "25 GB/s: {:.0f} tokens with float32 gradients, {:.0f} with bfloat16 ones",
        [4 * BETA * FLOPS / 2, 2 * BETA * FLOPS / 2],
    ),
    ("behind 300 GB/s of NVLink {:.0f}", [4 / 300e9 * FLOPS / 2]),
    ("A batch of {:,} tokens, cut over more than {} such ranks", [2**19, 2**19 // 9984]),
    ("GPT-2 has {} parameter tensors", [len(MODEL["GPT2"])]),
    ("at $14\\alpha$ per message on 8 ranks they cost {:.1f} ms", [len(MODEL["GPT2"]) * 14 * ALPHA * MILLI]),
    ("at $T_c = T_b$, is $2.5/1.5$ = {:.2f}", [2.5 / 1.5]),
    (
        "With forward, {:.1f} ms, the step takes {:.1f} ms without overlap and {:.1f} ms with buckets of 25 MiB",
        [FORWARD_S * MILLI, PLAIN_S * MILLI, OVERLAPPED_S * MILLI],
    ),
    (
        "of {:.1f} ms of communication {:.1f} are hidden, a speed-up of {:.2f}",
        [ring(GPT2_BYTES, 8) * MILLI, (PLAIN_S - OVERLAPPED_S) * MILLI, PLAIN_S / OVERLAPPED_S],
    ),
    ("idles for the first {:.1f} ms and more", [BACKWARD[0] * MILLI]),
    ("comes last: {:.1f} MB whose first", [EMBEDDING_BYTES / MB]),
    ("its all-reduce of {:.1f} ms cannot be hidden", [ring(EMBEDDING_BYTES, 8) * MILLI]),
    (
        "the example above {:.1f} ms instead of {:.1f} ms per step",
        [4 * OVERLAPPED_S * MILLI, (3 * (FORWARD_S + BACKWARD_S) + OVERLAPPED_S) * MILLI],
    ),
    ("at most $2^{{-8}}$ or {:.1f} % of each element", [100 * torch.finfo(torch.bfloat16).eps / 2]),
    ("exact only up to $2^{{24}}$ = {:,}", [2**24]),
    ("whose largest number is {:.0f}", [torch.finfo(torch.float16).max]),
    ("3072 matrices and $k = 4$ by a factor of {:.0f}", [768 * 3072 / (4 * (768 + 3072))]),
    ("a rate of $0.1 \\cdot 8192/256$ = {:.1f}", [0.1 * 8192 / 256]),
    ("(chapter 1): {:.0f} GB for 7 billion parameters", [STATE_7B / GB]),
    (
        "{:.0f} GB of state per GPU with HSDP, {:.1f} GB with FSDP over all 32",
        [STATE_7B / 8 / GB, STATE_7B / 32 / GB],
    ),
    ("$S$ = {:.0f} GB, a GPU sends {:.1f} GB per step to other nodes", [14, 2 * (3 / 4) * 14 / 8]),
    ("a ring of all 32 carries {:.1f} GB over each link", [3 * (31 / 32) * 14]),
    (
        "With 353,431 examples the last batch of an epoch has {} of 128, pieces of {}, {}, {} and {}.",
        [MNLI_TRAIN % 128, *(len(piece) for piece in torch.arange(MNLI_TRAIN % 128).chunk(4))],
    ),
    ("{:,} examples on 4 ranks are padded by one", [MNLI_EVAL]),
)


@pytest.mark.parametrize(("words", "numbers"), WORKED, ids=[words[:30] for words, _ in WORKED])
def test_a_worked_number_is_right(words, numbers):
    """A number in the text is what its formula gives, to the digits shown."""
    LESSON.says(words, numbers)


def test_the_sizes_of_the_script_are_those_of_gpt2():
    """The tensors that the overlap model counts add up to GPT-2's parameters."""
    assert sum(MODEL["GPT2"]) == GPT2_PARAMETERS


def test_the_evaluation_of_the_tutorial_is_padded_by_one():
    """39,271 examples on 4 ranks need one more."""
    assert -MNLI_EVAL % 4 == 1


def test_the_pieces_of_a_batch_are_those_of_chunk():
    """5 examples on 4 GPUs make pieces of 2, 2 and 1, and their losses weigh 2/5, 2/5 and 1/5."""
    pieces = [len(piece) for piece in torch.arange(5).chunk(4)]
    LESSON.says("5 examples on 4 GPUs make pieces of {}, {} and {}", pieces)
    weights = [Fraction(piece, 5) for piece in pieces]
    words = " + ".join(f"\\frac{w.numerator}{w.denominator} L_{i}" for i, w in enumerate(weights))
    LESSON.says("is ${}$", [words])


def test_the_variance_between_ranks_belongs_to_the_variance():
    """The law of total variance as the lesson writes it."""
    parts = [torch.randn(n, dtype=torch.float64) + shift for n, shift in ((2, 0), (5, 3), (1, -1))]
    whole = torch.cat(parts)
    spread = sum(len(p) / 8 * (p.var(correction=0) + (p.mean() - whole.mean()) ** 2) for p in parts)
    assert torch.isclose(spread, whole.var(correction=0))


def test_the_backward_of_batch_normalisation_is_what_autograd_says():
    """The lesson's formula for the gradient of the input equals autograd's."""
    x, gamma, beta = (torch.randn(size, dtype=torch.float64, requires_grad=True) for size in ((7, 3), (3,), (3,)))
    g = torch.randn(7, 3, dtype=torch.float64)
    nn.functional.batch_norm(x, None, None, gamma, beta, training=True, eps=1e-5).backward(g)
    v = x.var(0, correction=0) + 1e-5
    x_hat = (x - x.mean(0)) / v.sqrt()
    expected = gamma / v.sqrt() * (g - g.mean(0) - x_hat * (g * x_hat).mean(0))
    torch.testing.assert_close(x.grad, expected)
    torch.testing.assert_close(gamma.grad, (g * x_hat).sum(0))
    torch.testing.assert_close(beta.grad, g.sum(0))


def test_the_noise_scale_of_linear_regression_is_as_stated():
    """Distance 1, label noise s: tr(Sigma) / |G|^2 = d + 1 + d s^2, by the fourth moments of a normal."""
    d, s, n = 4, 2.0, 400_000
    delta = torch.full((d,), d**-0.5, dtype=torch.float64)
    x = torch.randn(n, d, dtype=torch.float64)
    gradients = x * (x @ delta + s * torch.randn(n, dtype=torch.float64))[:, None]
    measured = gradients.var(0).sum() / delta.square().sum()
    assert measured.item() == pytest.approx(d + 1 + d * s**2, rel=0.05)


def test_the_best_step_is_the_minimum_of_the_expected_change():
    """No step of another size improves the loss more than eta_opt, and it improves it by half of |G|^2 eta_opt."""
    square, curvature, noise, batch = 2.0, 3.0, 40.0, 8  # |G|^2, G'HG, tr(H Sigma), B
    noise_scale = noise / curvature
    best = square / curvature / (1 + noise_scale / batch)

    def change(step: float) -> float:
        return -step * square + step**2 / 2 * (curvature + noise / batch)

    assert change(best) < min(change(0.99 * best), change(1.01 * best))
    assert change(best) == pytest.approx(-best * square / 2)


def test_a_difference_of_squares_cancels():
    """Around 10^12, the square of a mean of 10^6 deviations, numbers are 10^-4 apart in float64, far more in float32."""
    assert round(-math.log10(math.ulp(1e12))) == 4
    assert torch.finfo(torch.float32).eps * 1e12 > 1
    assert [round(-math.log10(torch.finfo(dtype).eps)) for dtype in (torch.float64, torch.float32)] == [16, 7]


def test_resnet_50_has_as_many_channels_as_stated():
    """A stem, and in each block three normalisations, in the first of a stage a fourth."""
    norms = [64]
    for width, blocks in ((64, 3), (128, 4), (256, 6), (512, 3)):
        norms += [width, width, 4 * width] * blocks + [4 * width]
    LESSON.says("which has {} batch normalisations with {:,} channels in all", [len(norms), sum(norms)])
