"""The lesson of chapter 3: every number in the text is what its formula, or the reference solution, gives."""

import importlib.util
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
HELD = memory.memory_per_gpu(GPT3_175B, EXAMPLE, 1)
SENT = communication.comm_bytes_per_step(GPT3_175B, EXAMPLE, n_params=HELD.parameters // 2, stage=1)
STEP = 8 * 175e9 * 1536 * 2048 / 1024 / 140e12


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
    ("is $5as/h$, which for GPT-3 is {:.0f}", [5 * 96 * 2048 / 12288]),
    ("| alone | $34 + 5as/h$ | {:.0f} |", [layer()]),
    ("| $10 + 24/t + 5as/(ht)$ | {:.0f} |", [layer(t=8)]),
    ("| $34/t + 5as/(ht)$ | {:.0f} |", [layer(t=8, sequence_parallel=True)]),
    ("| $34/t$ | {:.0f} |", [layer(t=8, sequence_parallel=True, recompute="selective")]),
    ("| full recomputation | 2 | {:.0f} |", [layer(t=8, recompute="full")]),
    ("| none | $2\\Psi$ | $2\\Psi$ | $12\\Psi$ | {:.0f} GB |", [sum(memory.zero_bytes(7_500_000_000, 64, 0)) / GB]),
    ("$12\\Psi/d$ | {:.1f} GB |\n| ZeRO 2", [sum(memory.zero_bytes(7_500_000_000, 64, 1)) / GB]),
    ("$12\\Psi/d$ | {:.1f} GB |\n| ZeRO 3", [sum(memory.zero_bytes(7_500_000_000, 64, 2)) / GB]),
    ("| $2\\Psi/d$ | $2\\Psi/d$ | $12\\Psi/d$ | {:.1f} GB |", [sum(memory.zero_bytes(7_500_000_000, 64, 3)) / GB]),
    (
        "the first stage holds {:.1f} GB, the last {:.1f} GB",
        [memory.memory_per_gpu(GPT3_175B, EXAMPLE, stage).total / GB for stage in (0, 7)],
    ),
    ("that is {} times plain data parallelism", [3 / 2]),
    ("| tensor parallelism, $t = 8$ | {:.1f} |", [float(SENT["tp"]) / GB]),
    ("| data parallelism, $d = 16$ | {:.1f} |", [float(SENT["dp"]) / GB]),
    ("| pipeline, $p = 8$ | {:.1f} |", [float(SENT["pp"]) / GB]),
    (
        "{:.1f} GB take {:.1f} s at 300 GB/s and {:.1f} s at 25 GB/s; the step itself, at 140 teraflop/s, takes {:.1f} s",
        [float(SENT["tp"]) / GB, float(SENT["tp"]) / 300e9, float(SENT["tp"]) / 25e9, STEP],
    ),
    ("{:.1f} GB, in small messages", [float(SENT["pp"]) / GB]),
    ("{:.1f} GB over 25 GB/s is {:.1f} s", [float(SENT["dp"]) / GB, float(SENT["dp"]) / 25e9]),
)


@pytest.mark.parametrize(("words", "numbers"), WORKED, ids=[words[:50] for words, _ in WORKED])
def test_a_worked_number_is_right(words, numbers):
    """A number in the text is what its formula gives, to the digits shown."""
    LESSON.says(words, numbers)


def test_the_terms_of_a_layer_add_up():
    """What the table of activations lists adds up to 34, of which tensor parallelism leaves 10 whole."""
    rows = [line.split("|") for line in LESSON.text.splitlines() if line.startswith("| ") and line.endswith("|")]
    start = next(n for n, row in enumerate(rows) if row[1].strip() == "input of the query-key-value layer")
    terms = [row[2].strip() for row in rows[start : start + 11]]
    assert sum(int(term) for term in terms if term.isdigit()) == 34
    assert [term for term in terms if not term.isdigit()] == ["$5as/h$"]


def test_ranks_of_the_picture_are_numbered_as_said():
    """Rank = tp + t (dp + d pp): the stages of the first pipeline are ranks 0, 8, 16 and 24."""
    assert [0 + 4 * (0 + 2 * pp) for pp in range(4)] == [0, 8, 16, 24]
