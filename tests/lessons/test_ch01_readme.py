"""The lesson of chapter 1: every number in the text is what its formula, or the reference solution, gives."""

import importlib.util
import math
from dataclasses import replace
from types import ModuleType

import pytest

from course_env.gpt_config import GPT2_MEDIUM_345M, GPT2_SMALL, GPT3_175B
from course_env.scaling import CHINCHILLA, CHINCHILLA_REPLICATED, LossFit
from tests.lessons.lesson import ROOT, read_lesson

LESSON = read_lesson(1)


def solution(name: str) -> ModuleType:
    """Return a file of the reference solution."""
    spec = importlib.util.spec_from_file_location(name, ROOT / "solutions" / LESSON.folder.name / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


count = solution("parameters").param_count
flops = solution("flops")
times = solution("training_time")
state_bytes = solution("model_states").model_state_bytes
kaplan = solution("kaplan")
chinchilla = solution("chinchilla")

BUDGET = 5.76e23
H = GPT3_175B.d_model


def attention_share(seq: int) -> float:
    """Return the share of attention's products in the operations of a token of GPT-3, in percent."""
    cfg = replace(GPT3_175B, max_seq=seq)
    return 100 * 3 * 4 * cfg.n_layer * seq**2 * H / flops.train_flops(cfg, 1, seq)


def rule_of_thumb_misses(cfg, seq: int) -> float:
    """Return by how many percent 6 N D is below the exact count."""
    return 100 * (1 - flops.approx_6nd(count(cfg), seq) / flops.train_flops(cfg, 1, seq))


def recomputed(kind: str) -> float:
    """Return the operations of GPT-3 with recomputation, in units of those without."""
    return flops.train_flops(GPT3_175B, 1, 2048, recompute=kind) / flops.train_flops(GPT3_175B, 1, 2048)


def half_size(fit: LossFit) -> tuple[float, float]:
    """Return the tokens and the compute that a model of half the best size takes for the best loss, relative to the best's."""
    n, d = chinchilla.compute_optimal(BUDGET, fit)
    missing = chinchilla.chinchilla_loss(n, d, fit) - fit.irreducible - fit.a / (n / 2) ** fit.alpha
    tokens = (fit.b / missing) ** (1 / fit.beta)
    return tokens / d, tokens / 2 / d


DAYS = times.training_days(175e9, 300e9, 1024, 140e12)
SPEED = 140e12 * 1024 / flops.train_flops(GPT3_175B, 1, 2048, recompute="full") * 2048
GPU_HOURS = 24 * 1024 * DAYS
BEST = chinchilla.compute_optimal(BUDGET, CHINCHILLA)
AGAIN = chinchilla.compute_optimal(BUDGET, CHINCHILLA_REPLICATED)
PADDED = -(-50257 // 512) * 512

# A piece of the lesson with its numbers left out, and the numbers.
WORKED = (
    ("a block has {:,} and the model {:,}", [12 * 768**2 + 13 * 768, count(GPT2_SMALL)]),
    ("$12Lh^2$, gives {:,}", [12 * 12 * 768**2]),
    ("it gives {:.1f} billion, and the exact count is {:.1f} billion", [12 * 96 * H**2 / 1e9, count(GPT3_175B) / 1e9]),
    ("would make GPT-2 small {:,}", [count(replace(GPT2_SMALL, tie_embeddings=False))]),
    ("that is {:,}, of which {} are dummies", [PADDED, PADDED - 50257]),
    (
        "has {:,} parameters on each of the four ranks, more than a quarter of its {:,}",
        [count(GPT2_MEDIUM_345M, tp=4, vocab_multiple=128), count(GPT2_MEDIUM_345M)],
    ),
    ("$h = 12288$, that is {:,} tokens", [6 * H]),
    ("attention's products are {:.1f} % of all operations", [attention_share(2048)]),
    ("at 8,192 tokens {:.1f} %", [attention_share(8192)]),
    ("at 32,768 tokens {:.1f} %", [attention_share(32768)]),
    ("at 131,072 tokens {:.1f} %", [attention_share(131072)]),
    ("300 billion tokens: ${:.2f} \\cdot 10^{{23}}$", [flops.approx_6nd(175e9, 300e9) / 1e23]),
    ("these are {:.1f} petaflop/s-days", [flops.approx_6nd(175e9, 300e9) / 1e15 / 86400]),
    ("for GPT-3 it is {:.1f} % below", [rule_of_thumb_misses(GPT3_175B, 2048)]),
    ("GPT-2 small with 1,024 tokens {:.1f} %", [rule_of_thumb_misses(GPT2_SMALL, 1024)]),
    ("nearly that, {:.3f} for GPT-3", [recomputed("full")]),
    ("{:.1f} % more operations for GPT-3", [100 * (recomputed("selective") - 1)]),
    ("take {:.1f} days on 1,024 GPUs", [DAYS]),
    ("450 billion tokens {:.1f} days on 3,072", [times.training_days(1e12, 450e9, 3072, 163e12)]),
    ("$140/312 = {:.1f}$ %", [100 * times.hfu(SPEED, GPT3_175B, 2048, 1024, 312e12)]),
    ("is not needed: {:.1f} %", [100 * times.mfu(SPEED, GPT3_175B, 2048, 1024, 312e12)]),
    ("{:.0f} days on 1,024 GPUs are {:,.0f} GPU hours", [DAYS, math.floor(GPU_HOURS / 1000) * 1000]),
    ("costs {:.1f} million dollars", [2 * GPU_HOURS / 1e6]),
    ("the GPUs alone take {:.0f} MWh", [0.4 * GPU_HOURS / 1e3]),
    ("16 bytes are {:.1f} TB: {:.0f} A100s", [16 * 175e9 / 1e12, 16 * 175e9 / 80e9]),
    ("| **together** | | **{}** |", [state_bytes(1, optimizer="adam", precision="amp_fp16")]),
    ("on top: **{}**", [state_bytes(1, optimizer="adam", precision="amp_fp16", fp32_grads=True)]),
    ("everything in bf16 needs {}", [state_bytes(1, optimizer="adam", precision="pure_bf16")]),
    ("$10^{{-0.076}} = {:.2f}$", [10**-0.076]),
    (
        "The laws say {:.4f} for 1.5 billion parameters (GPT-2's largest) and {:.4f}",
        [kaplan.kaplan_loss(n=1.5e9), kaplan.kaplan_loss(n=175e9)],
    ),
    ("175 billion parameters reach {:.3f} by this law", [kaplan.kaplan_loss(n=175e9, d=300e9)]),
    (
        "a model {:.2f} million times as large, a batch {:.0f} times as large, and {:.2f} times",
        [kaplan.compute_multipliers(1e9)[0] / 1e6, *kaplan.compute_multipliers(1e9)[1:]],
    ),
    ("{:.2f} million, {:.0f} and {:.2f}. |", [3.7153523, *kaplan.compute_multipliers(1e9)[1:]]),
    ("Here $\\beta/(\\alpha + \\beta) = {:.2f}$", [CHINCHILLA.beta / (CHINCHILLA.alpha + CHINCHILLA.beta)]),
    ("The fit gives it a loss of {:.4f}", [chinchilla.chinchilla_loss(280e9, 300e9, CHINCHILLA)]),
    ("1.4 trillion tokens: {:.4f}", [chinchilla.chinchilla_loss(70e9, 1.4e12, CHINCHILLA)]),
    (
        "$N^{{*}} = {:.3f} \\cdot 10^{{10}}$ and $D^{{*}} = {:.3f} \\cdot 10^{{12}}$ with {:.4f}, {:.0f} tokens",
        [BEST[0] / 1e10, BEST[1] / 1e12, chinchilla.chinchilla_loss(*BEST, CHINCHILLA), BEST[1] / BEST[0]],
    ),
    ("at ${:.2f} \\cdot 10^{{10}}$ parameters and {:.1f} tokens", [AGAIN[0] / 1e10, AGAIN[1] / AGAIN[0]]),
    (
        "the same loss with {:.1f} times the tokens and {:.0f} % more",
        [half_size(CHINCHILLA)[0], 100 * half_size(CHINCHILLA)[1] - 100],
    ),
)


@pytest.mark.parametrize(("words", "numbers"), WORKED, ids=[words[:30] for words, _ in WORKED])
def test_a_worked_number_is_right(words, numbers):
    """A number in the text is what its formula gives, to the digits shown."""
    LESSON.says(words, numbers)


def test_the_closed_forms_are_exact():
    """Both closed forms of the lesson give what the model takes, to the last operation."""
    tokens, seq, layers, h, vocab = 3 * 1024, 1024, 12, 768, 50257
    head = 2 * tokens * h * vocab
    blocks = layers * (24 * tokens * h**2 + 4 * tokens * seq * h)
    assert flops.train_flops(GPT2_SMALL, 3, seq) == 3 * (blocks + head)
    assert flops.train_flops(GPT2_SMALL, 3, seq, recompute="full") == 4 * blocks + 3 * head
    factored = tokens * layers * h**2
    assert 3 * (blocks + head) == pytest.approx(72 * factored * (1 + seq / 6 / h + vocab / 12 / layers / h), rel=1e-14)
    assert 4 * blocks + 3 * head == pytest.approx(
        96 * factored * (1 + seq / 6 / h + vocab / 16 / layers / h), rel=1e-14
    )


def test_the_valley_is_flat():
    """A factor of three in size on either side of the best costs about a percent of the loss."""
    best = chinchilla.chinchilla_loss(*BEST, CHINCHILLA)
    for factor in (1 / 3, 3):
        n = BEST[0] * factor
        loss = chinchilla.chinchilla_loss(n, BUDGET / 6 / n, CHINCHILLA)
        assert 0.005 < loss / best - 1 < 0.0125


def test_a_step_of_bf16_is_lost():
    """Adding less than 2^-9 of a weight to a weight in bf16 changes nothing."""
    torch = pytest.importorskip("torch")
    weight = torch.tensor(1.0, dtype=torch.bfloat16)
    assert (weight + weight * 2**-9 * 0.99) == weight
    assert (weight + weight * 2**-7) != weight
