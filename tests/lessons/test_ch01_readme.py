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


def llama_3_8b() -> tuple[int, int, float]:
    """Return the parameters of a block of Llama 3 8B and of the model, and the share of its two vocabulary tables in percent."""
    h, layers, heads, kv_heads, f, vocab = 4096, 32, 32, 8, 14336, 128256
    block = 2 * h * h + 2 * h * h * kv_heads // heads + 3 * h * f + 2 * h
    model = 2 * vocab * h + layers * block + h
    return block, model, 100 * 2 * vocab * h / model


def mixtral(experts: int) -> int:
    """Return the parameters of Mixtral 8x7B with so many of its experts."""
    h, layers, heads, kv_heads, f, vocab = 4096, 32, 32, 8, 14336, 32000
    outside = 2 * h * h + 2 * h * h * kv_heads // heads + 2 * h
    return 2 * vocab * h + layers * (outside + 8 * h + experts * 3 * h * f) + h


def untied_rule_is_above() -> float:
    """Return by how many percent 6 N D is above the exact count for a GPT-2 small with a head of its own."""
    cfg = replace(GPT2_SMALL, tie_embeddings=False)
    return 100 * (flops.approx_6nd(count(cfg), 1024) / flops.train_flops(cfg, 1, 1024) - 1)


def critical_batch(loss: float) -> float:
    """Return the critical batch by Kaplan et al., in tokens."""
    return 2e8 / loss ** (1 / 0.21)


def joint_law_of_table_2(n: float, d: float) -> float:
    """Return the loss by the constants that Kaplan et al. fitted to the law of both sizes."""
    return ((6.4e13 / n) ** (0.076 / 0.103) + 1.8e13 / d) ** 0.103


A100, A100_MEMORY, H100, H100_MEMORY = 312e12, 2.039e12, 989e12, 3.35e12
NETWORK = {"A100": 2 * A100 / (3 * 25e9), "H100": 2 * H100 / (3 * 50e9)}  # tokens below which it is the bound
DEEPSEEK = 6 * 37e9 * 14.8e12 / (2.664e6 * 3600)
OF_ATTENTION = 100 * 3 * 4 * 12 * 1024**2 * 768 / flops.train_flops(GPT2_SMALL, 1, 1024)
NEEDED = kaplan.tokens_needed(175e9, 0.02)

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
    ("For GPT-3, tied, it is {:.1f} % below", [rule_of_thumb_misses(GPT3_175B, 2048)]),
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
    ("175 billion parameters need {:.2f} trillion tokens for 2 %", [NEEDED / 1e12]),
    ("Ten times the parameters need {:.1f} times the tokens", [kaplan.tokens_needed(1.75e12, 0.02) / NEEDED]),
    ("of the $D_c$ above, and {:.3f} for GPT-3's sizes", [joint_law_of_table_2(175e9, 300e9)]),
    ("$2h^2 + 2h^2k/a + 3hf + 2h$ = {:,} parameters", llama_3_8b()[:1]),
    ("$2Vh$ + 32 blocks + $h$ = {:,}.", llama_3_8b()[1:2]),
    ("tables of the vocabulary are {:.1f} % of that", llama_3_8b()[2:]),
    ("where attention's products are {:.1f} % of all operations", [OF_ATTENTION]),
    ("has {:.1f} million parameters more", [50257 * 768 / 1e6]),
    ("the rule is then {:.1f} % above", [untied_rule_is_above()]),
    ("| 312 teraflop/s | none | 2.039 TB/s | {:.0f} |", [A100 / A100_MEMORY]),
    ("| 989 teraflop/s | 1,979 teraflop/s | 3.35 TB/s | {:.0f} |", [H100 / H100_MEMORY]),
    ("arithmetic grew {:.1f} times and memory {:.1f} times", [H100 / A100, H100_MEMORY / A100_MEMORY]),
    (
        "bound by arithmetic from $m = {:.0f}$, on an H100 from {:.0f}",
        [3 * A100 / A100_MEMORY, 3 * H100 / H100_MEMORY],
    ),
    ("{:,.0f} tokens for each A100 with 25 GB/s, and {:,.0f} for each H100 with 50 GB/s", NETWORK.values()),
    (
        "40 % of their bf16 peak: GPT-3 would take {:.1f} days",
        [times.training_days(175e9, 300e9, 1024, 0.4 * H100, recompute=False)],
    ),
    ("{:.0f} teraflop/s for each GPU, {:.1f} % of the bf16 peak", [DEEPSEEK / 1e12, 100 * DEEPSEEK / H100]),
    (
        "a tenth of it training takes {:.1f} times the least number of steps and {:.1f} times the least compute",
        [1 + 10, 1 + 1 / 10],
    ),
    (
        "tokens [1]: {:.1f} million at a loss of 3, {:.1f} million at a loss of 2",
        [critical_batch(3) / 1e6, critical_batch(2) / 1e6],
    ),
    (
        "at least {:,.0f} tokens for each H100; the noise of the gradient allows {:.1f} million tokens",
        [NETWORK["H100"], critical_batch(3) / 1e6],
    ),
    (
        "So {:.0f} ranks can share the batch at a loss of 3, and {:.0f} at a loss of 2",
        [critical_batch(3) // NETWORK["H100"], critical_batch(2) // NETWORK["H100"]],
    ),
    (
        "all together are {:.1f} billion, and a token passes through {:.1f} billion",
        [mixtral(8) / 1e9, mixtral(2) / 1e9],
    ),
    ("The name is wrong by {:.1f} billion", [8 * 7 - mixtral(8) / 1e9]),
    ("{:.0f} GB at 16 bytes", [16 * mixtral(8) / 1e9]),
    (
        "a model {:.2f} million times as large, a batch {:.0f} times as large, and {:.2f} times",
        [kaplan.compute_multipliers(1e9)[0] / 1e6, *kaplan.compute_multipliers(1e9)[1:]],
    ),
    (
        "{:.2f} million, {:.0f} and {:.2f}. |",
        [kaplan.compute_multipliers(1e9)[0] / 1e6, *kaplan.compute_multipliers(1e9)[1:]],
    ),
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


def test_the_two_ends_of_the_critical_batch():
    """Steps and samples by the two formulas obey the curve that joins both ends, whatever the batch."""
    for batch in (0.1, 1.0, 10.0):  # in units of the critical batch
        steps, samples = 1 + 1 / batch, 1 + batch
        assert (steps - 1) * (samples - 1) == pytest.approx(1)
        assert samples == pytest.approx(batch * steps)


def test_a_systematic_error_outweighs_noise():
    """In the listing of noisy runs the wrong floor shifts the prediction by seven times what noise does."""
    lines = next(listing.output for listing in LESSON.listings if listing.name == "noisy.py").splitlines()
    true = float(lines[0].split()[-1])
    noise = [abs(float(end) - true) for end in lines[2].split("loss ")[1].split(" to ")]
    shift = true - float(lines[5].split("loss ")[1].split(" to ")[0])
    assert max(noise) < 0.005 * true
    assert 7 < shift / max(noise) < 8
    exponents = [float(end) for end in lines[2].split("exponent ")[1].split(",")[0].split(" to ")]
    assert max(abs(end / CHINCHILLA.alpha - 1) for end in exponents) < 0.05
    assert float(lines[3].split()[-1]) < CHINCHILLA.irreducible


def test_a_step_of_bf16_is_lost():
    """Adding less than 2^-9 of a weight to a weight in bf16 changes nothing."""
    torch = pytest.importorskip("torch")
    weight = torch.tensor(1.0, dtype=torch.bfloat16)
    assert (weight + weight * 2**-9 * 0.99) == weight
    assert (weight + weight * 2**-7) != weight
