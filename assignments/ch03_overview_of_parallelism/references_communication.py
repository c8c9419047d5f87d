"""Assertions that the public and the hidden tests of communication.py share."""

from fractions import Fraction

from assignments.ch03_overview_of_parallelism.references_memory import layout_text
from course_env.gpt_config import GPTConfig
from course_env.rank_programs import call_each

CFG = GPTConfig(vocab_size=40, n_layer=6, n_head=4, d_model=16, max_seq=8)


def assert_bytes(launch, cases, *, cfg=CFG):
    """Every case sends the bytes that are due.

    A case is a layout, further arguments, those bytes by kind, and by (kind, bytes) what mistakes would give, each with its words.
    """
    calls = [{"cfg": cfg, "layout": layout, **more} for layout, more, *_ in cases]
    run = launch(call_each, 1, shared={"function": "comm_bytes_per_step", "calls": calls}, process_group=False)
    for (layout, more, due, *signs), found, error in zip(cases, run["values"][0], run["errors"][0], strict=True):
        given = ", ".join(f"{name}={value}" for name, value in more.items())
        told = f"comm_bytes_per_step(..., {layout_text(layout)}, {given})"
        assert not error, f"{told} raised {error}, where an answer is due"
        assert isinstance(found, dict), f"{told} returned {found!r}, where a dict is due"
        assert set(found) == {"dp", "tp", "pp"}, f"{told} has the keys {sorted(found)}, and dp, tp and pp are due"
        for key, right in due.items():
            wrong = found[key]
            assert isinstance(wrong, int | Fraction), (
                f"{told}: {key} is {wrong!r}, and bytes are exact: an int or a Fraction"
            )
            words = (signs[0] if signs else {}).get((key, wrong)) or _factor(wrong, right)
            if wrong != right:
                raise AssertionError(f"{told}: {key} is {wrong} bytes, and {right} are due{words and ': ' + words}")


def _factor(wrong, right):
    if not right:
        return "there is one rank, and nobody to send to" if wrong else ""
    ratio = Fraction(wrong, right)
    return "" if ratio in (0, 1) else f"yours is {ratio} times that"
