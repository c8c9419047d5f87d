"""Assertions that the public and the hidden tests of memory.py share."""

from course_env.layout import MemReport
from course_env.rank_programs import call_each
from grader.harness.mistake import Mistake

PARTS = ("parameters", "gradients", "optimizer", "activations")


def assert_reports(launch, cases):
    """Each part of each report is what it should be.

    A case is a config, a layout, a stage, the MemReport due, and by part what mistakes would give, each with its words.
    """
    calls = [{"cfg": cfg, "layout": layout, "stage": stage} for cfg, layout, stage, *_ in cases]
    run = launch(call_each, 1, shared={"function": "memory_per_gpu", "calls": calls}, process_group=False)
    for (_, layout, stage, due, *signs), found, error in zip(cases, run["values"][0], run["errors"][0], strict=True):
        kind, problem = _wrong_with(found, error, due, signs[0] if signs else {})
        if problem:
            raise AssertionError(f"{kind}\nmemory_per_gpu(..., {layout_text(layout)}, stage={stage}){problem}")


def _wrong_with(found, error, due, signs):
    """Return the kind of mistake of a report and what is wrong with it, or twice ""."""
    if error:
        return Mistake.EXCEPTION, f" raised {error}, where an answer is due"
    if not isinstance(found, MemReport):
        return Mistake.TYPE, f" returned {found!r}, where a MemReport is due"
    for part in PARTS:
        wrong, right = getattr(found, part), getattr(due, part)
        if not isinstance(wrong, int):
            return Mistake.TYPE, f": {part} are {wrong!r}, where a whole number of bytes is due"
        if wrong != right:
            words = signs.get((part, wrong)) or _factor(wrong, right)
            return Mistake.VALUES, f": {part} take {wrong:,} bytes, and {right:,} are due{words and ': ' + words}"
    return "", ""


def layout_text(layout):
    """Return a layout as one writes it, without what is as it always is."""
    parts = ("tp", "pp", "dp", "zero", "micro_batch", "n_micro", "schedule", "sp", "recompute")
    usual = (1, 1, 1, 0, 1, 1, "1f1b", False, "none")
    given = [(part, getattr(layout, part)) for part in parts]
    return f"Layout({', '.join(f'{part}={value!r}' for (part, value), one in zip(given, usual, strict=True) if value != one)})"


def _factor(wrong, right):
    if wrong and right and wrong != right:
        if wrong % right == 0:
            return f"{wrong // right} times too much"
        if right % wrong == 0:
            return f"a factor of {right // wrong} is missing"
    return ""
