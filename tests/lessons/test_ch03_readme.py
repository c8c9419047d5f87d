"""The lesson of chapter 3: every number in the text is what its formula, or the reference solution, gives."""

import importlib.util
import re
from dataclasses import replace
from itertools import accumulate, pairwise
from types import ModuleType

import pytest

from course_env.gpt_config import GPT3_175B
from course_env.layout import Layout
from tests.lessons.lesson import ROOT, read_lesson

LESSON = read_lesson(3)


def solution(name: str) -> ModuleType:
    """Return a file of the reference solution."""
    spec = importlib.util.spec_from_file_location(name, ROOT / "solutions" / LESSON.folder.name / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


sharding, balance, timeline = solution("sharding"), solution("balance"), solution("timeline")
memory, communication = solution("memory"), solution("communication")

MIB, GB = 2**20, 1e9
GPT2 = [39_383_808, *[7_087_872] * 12, 38_598_912]
OF_22B = {"s": 2048, "b": 4, "h": 6144, "a": 64}
EXAMPLE = Layout(tp=8, pp=8, dp=16, n_micro=96, sp=True, recompute="selective", zero=1)
WITHOUT_SP = replace(EXAMPLE, sp=False)
HELD = memory.memory_per_gpu(GPT3_175B, EXAMPLE, 1)
H, SEQ, TOKENS = GPT3_175B.d_model, GPT3_175B.max_seq, 1536 * 2048
MORE = SEQ / (18 * H) / (1 + SEQ / (6 * H))
"""The scores' products once more, as a share of all operations: 4 s^2 h b of 72 s h^2 b (1 + s / 6h) for each layer."""
STEP = (1 + MORE) * 6 * 175e9 * TOKENS / 1024 / 140e12
CHIPS = {"A100": (312e12, 300e9, 25e9), "H100": (989e12, 450e9, 50e9), "FP8": (1979e12, 450e9, 50e9)}
"""Operations per second, and bytes per second inside a node and between nodes."""


def sent(layout: Layout) -> dict[str, float]:
    """Return the GB that a GPU of stage 1 of GPT-3 sends in a step."""
    found = communication.comm_bytes_per_step(GPT3_175B, layout, n_params=HELD.parameters // 2, stage=1)
    return {kind: float(num_bytes) / GB for kind, num_bytes in found.items()}


def per_byte(chip: str) -> tuple[float, float]:
    """Return how many operations a chip does while it sends a byte inside a node, and between nodes."""
    speed, inside, between = CHIPS[chip]
    return speed / inside, speed / between


SENT = sent(EXAMPLE)


def worst(counts: list[int]) -> int:
    """Return the cost of the most expensive stage of GPT-2."""
    bounds = [0, *accumulate(counts)]
    return max(sum(GPT2[start:end]) for start, end in pairwise(bounds))


def bubble(p: int, m: int) -> tuple[float, float]:
    """Return the bubble in percent: of the whole step, and relative to the ideal one."""
    return 100 * float(1 - timeline.utilisation(p, m, "pipelined")), 100 * (p - 1) / m


def layer(**tricks) -> float:
    """Return the MiB that a layer of the 22-billion-parameter model keeps."""
    return memory.activation_bytes_per_layer(**OF_22B, **tricks) / MIB


SP = {"t": 8, "sequence_parallel": True}

# A piece of the lesson with its numbers left out, and the numbers.
WORKED = (
    (
        "10 on 4 ranks: {}, {}, {}, {}. 5 on 4 ranks: {}, {}, {}, and",
        [*sharding.shard_sizes(10, 4), *sharding.shard_sizes(5, 4)[:3]],
    ),
    ("10 on 4 ranks: {}, {}, {}, {}, as `torch.tensor_split`", sharding.shard_sizes(10, 4, "balanced")),
    ("| 4, 3, 3, 4 | {:,} |", [worst([4, 3, 3, 4])]),
    ("| 3, 5, 5, 1 | {:,} |", [worst([3, 5, 5, 1])]),
    (
        "| **{}, {}, {}, {}** | **{:,}** |",
        [*balance.partition_layers(GPT2, 4), worst(balance.partition_layers(GPT2, 4))],
    ),
    ("With $p = 8$ and $m = 96$ they are {:.1f} % and {:.1f} %", bubble(8, 96)),
    ("with $p = 4$, $m = 4$ they are {:.0f} % and {:.0f} %", bubble(4, 4)),
    (
        "${}$ of the time with 4, ${}$ with 8, ${}$ with 16 and ${}$ with 32",
        [timeline.utilisation(4, m, "pipelined") for m in (4, 8, 16, 32)],
    ),
    ("in our unit $5as/h$: for GPT-3 {:.0f}", [5 * 96 * SEQ / H]),
    ("| alone | {:.0f} |", [layer()]),
    ("| $t = 8$ | {:.0f} |", [layer(t=8)]),
    (
        "| and sequence-parallel | {:.0f} |\n| and selective recomputation | {:.0f} |",
        [layer(**SP), layer(**SP, recompute="selective")],
    ),
    ("| $t = 8$, full recomputation | {:.0f} |", [layer(t=8, recompute="full")]),
    ("| and sequence-parallel | {:.0f} |\n\n", [layer(**SP, recompute="full")]),
    ("For GPT-3 that is {:.1f} % more operations. (The paper says {:.1f} %", [100 * MORE, 300 * MORE]),
    ("Llama 3's vocabulary of {:,} [11] take {:.1f} GB in fp32", [128_256, 8192 * 128_256 * 4 / GB]),
    (
        "its 70-billion-parameter model keeps {:.1f} GB",
        [(12 + 4 / 8 + 6 * 28672 / 8192) * 8192 * 8192 / GB],
    ),
    ("That makes {:,.0f} operations per byte inside a node and {:,.0f} between nodes", per_byte("A100")),
    (
        "{:,.0f} and {:,.0f} operations per byte, in FP8 {:,.0f} and {:,.0f}.",
        [*per_byte("H100"), *per_byte("FP8")],
    ),
    (
        "With A100s and 25 GB/s it is {:,.0f} tokens, with H100s and 50 GB/s {:,.0f}.",
        [per_byte("A100")[1], per_byte("H100")[1]],
    ),
    (
        "narrower than {:,.0f} on an A100, {:,.0f} on an H100 and {:,.0f} on an H100 that computes in FP8",
        [7 / 3 * per_byte(chip)[0] for chip in CHIPS],
    ),
    ("For GPT-3 between A100s that is {:.1f} layers", [8 * H / (12 * H * H) * per_byte("A100")[1]]),
    ("| none | $2\\Psi$ | $2\\Psi$ | $12\\Psi$ | {:.0f} GB |", [sum(memory.zero_bytes(7_500_000_000, 64, 0)) / GB]),
    ("$12\\Psi/d$ | {:.1f} GB |\n| ZeRO 2", [sum(memory.zero_bytes(7_500_000_000, 64, 1)) / GB]),
    ("$12\\Psi/d$ | {:.1f} GB |\n| ZeRO 3", [sum(memory.zero_bytes(7_500_000_000, 64, 2)) / GB]),
    ("| $2\\Psi/d$ | $2\\Psi/d$ | $12\\Psi/d$ | {:.1f} GB |", [sum(memory.zero_bytes(7_500_000_000, 64, 3)) / GB]),
    (
        "The first stage holds {:.1f} GB, the last {:.1f} GB",
        [memory.memory_per_gpu(GPT3_175B, EXAMPLE, stage).total / GB for stage in (0, 7)],
    ),
    ("that is {} times plain data parallelism", [3 / 2]),
    ("| tensor parallelism, $t = 8$ | {:.1f} |", [SENT["tp"]]),
    ("| data parallelism, $d = 16$ | {:.1f} |", [SENT["dp"]]),
    ("| pipeline, $p = 8$ | {:.1f} |", [SENT["pp"]]),
    (
        "the first line would be {:.1f} and the last {:.1f} GB",
        [sent(WITHOUT_SP)["tp"], sent(WITHOUT_SP)["pp"]],
    ),
    (
        "would keep {:.1f} GB of activations in place of {:.1f}.",
        [memory.memory_per_gpu(GPT3_175B, one).activations / GB for one in (WITHOUT_SP, EXAMPLE)],
    ),
    ("{:.1f} GB take {:.1f} s at 300 GB/s and {:.1f} s at 25 GB/s", [SENT["tp"], SENT["tp"] / 300, SENT["tp"] / 25]),
    ("at 140 teraflop/s, take {:.1f} s", [STEP]),
    ("a factor of {:.0f} between the dearest and the cheapest", [SENT["tp"] / SENT["pp"]]),
    ("{:.1f} GB, in small messages", [SENT["pp"]]),
    ("{:.1f} GB over 25 GB/s is {:.1f} s", [SENT["dp"], SENT["dp"] / 25]),
)


@pytest.mark.parametrize(("words", "numbers"), WORKED, ids=[words[:50] for words, _ in WORKED])
def test_a_worked_number_is_right(words, numbers):
    """A number in the text is what its formula gives, to the digits shown."""
    LESSON.says(words, numbers)


def test_the_terms_of_a_layer_add_up():
    """What the account of a layer lists adds up to 34, of which 10 lie between the split pairs, and a modern one's to 34."""
    start, end = LESSON.text.index("* The *attention block* keeps"), LESSON.text.index("Together $34 + 5as/h$")
    blocks = [line for line in LESSON.text[start:end].splitlines() if "block*" in line]
    terms = [int(n) for block in blocks for part in re.findall(r"\(([\d and]+)\)", block) for n in part.split(" and ")]
    assert terms == [2, 2, 4, 2, 2, 1, 2, 2, 8, 8, 1]
    assert sum(terms) == 34
    assert sum(terms[n] for n in (0, 1, 5, 6, 7, 10)) == 10
    modern = [4, 2, 2, 4 // 4, 2, 2, int(6 * 3.5)]
    LESSON.says("has {} for the inputs of the RMSNorms, {} for that of the query-key-value layer", modern[:2])
    LESSON.says("{} for queries and {} for keys and values, {} for the input of the output layer", modern[2:5])
    LESSON.says("{} for that of gate and up, and {} for the three tensors that are $f$ wide", modern[5:])
    LESSON.says("That is {} again", [sum(modern)])


def test_the_offset_of_a_chunk_is_within_the_tensor():
    """Rank r's chunk begins at r ceil(n / N), or at n if that is less: 6 for rank 3 of 5 entries on 4 ranks is outside."""
    sizes = sharding.shard_sizes(5, 4)
    assert [sum(sizes[:rank]) for rank in range(4)] == [min(5, 2 * rank) for rank in range(4)]
    LESSON.says("(For 5 entries rank 3 would begin at {}.)", [3 * 2])


def test_the_crossing_of_the_lab_is_where_the_lesson_says():
    """The split block of the lab is bound by computing from the width on that its measured operations per byte give."""
    per_byte_here = int(re.search(r"GB/s, (\d+) operations per byte; 2048 tokens", LESSON.text)[1])
    LESSON.says("from $2h = {}$ on, at a width of {}; and between 32 and 64", [per_byte_here, -(-per_byte_here // 2)])
    rows = [
        line.split() for line in LESSON.text.splitlines() if re.match(r" +\d+( +[\d.]+){6}  (sending|computing)", line)
    ]
    assert [(int(row[0]), row[7:]) for row in rows] == [
        *((width, ["sending,", "sending"]) for width in (16, 32)),
        *((width, ["computing,", "computing"]) for width in (64, 128)),
    ]
    predicted, measured = ([float(row[column]) for row in rows] for column in (5, 6))
    assert 0.05 < 1 - predicted[-1] / measured[-1] < 0.15
    assert 2.5 < measured[0] / predicted[0] < 3


def test_ranks_of_the_picture_are_numbered_as_said():
    """Rank = tp + t (dp + d pp): the stages of the first pipeline are ranks 0, 8, 16 and 24."""
    assert [0 + 4 * (0 + 2 * pp) for pp in range(4)] == [0, 8, 16, 24]
