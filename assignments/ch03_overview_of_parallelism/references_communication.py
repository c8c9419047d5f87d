"""Assertions that the public and the hidden tests of communication.py share."""

from fractions import Fraction

from assignments.ch03_overview_of_parallelism.references_memory import layout_text
from course_env.gpt_config import GPTConfig
from course_env.rank_programs import call_each
from grader.harness.mistake import Mistake

CFG = GPTConfig(vocab_size=40, n_layer=6, n_head=4, d_model=16, max_seq=8)


def assert_bytes(launch, cases, *, cfg=CFG):
    """Every case sends the bytes that are due.

    A case is a layout, further arguments, those bytes by kind, and by (kind, bytes) what mistakes would give, each with its words.
    """
    calls = [{"cfg": cfg, "layout": layout, **more} for layout, more, *_ in cases]
    run = launch(call_each, 1, shared={"function": "comm_bytes_per_step", "calls": calls}, process_group=False)
    for (layout, more, due, *signs), found, error in zip(cases, run["values"][0], run["errors"][0], strict=True):
        kind, problem = _wrong_with(found, error, due, signs[0] if signs else {})
        if problem:
            given = "".join(f", {name}={value}" for name, value in more.items())
            raise AssertionError(f"{kind}\ncomm_bytes_per_step(..., {layout_text(layout)}{given}){problem}")


def _wrong_with(found, error, due, signs):
    """Return the kind of mistake of an answer and what is wrong with it, or twice ""."""
    if error:
        return Mistake.EXCEPTION, f" raised {error}, where an answer is due"
    if not isinstance(found, dict):
        return Mistake.TYPE, f" returned {found!r}, where a dict is due"
    if set(found) != {"dp", "tp", "pp"}:
        return Mistake.KEYS, f" has the keys {sorted(map(str, found))}, and dp, tp and pp are due"
    for key, right in due.items():
        wrong = found[key]
        if not isinstance(wrong, int | Fraction):
            return Mistake.TYPE, f": {key} is {wrong!r}, and bytes are exact: an int or a Fraction"
        if wrong != right:
            words = signs.get((key, wrong)) or _factor(wrong, right)
            return Mistake.VALUES, f": {key} is {wrong} bytes, and {right} are due{words and ': ' + words}"
    return "", ""


def _factor(wrong, right):
    if not right:
        return "there is one rank, and nobody to send to" if wrong else ""
    ratio = Fraction(wrong, right)
    return "" if ratio in (0, 1) else f"yours is {ratio} times that"
