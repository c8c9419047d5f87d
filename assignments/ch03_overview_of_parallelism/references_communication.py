"""Baselines and assertions that the public and the hidden tests of communication.py share."""

from course_env.gpt_config import GPTConfig
from course_env.rank_programs import call_each

CFG = GPTConfig(vocab_size=40, n_layer=6, n_head=4, d_model=16, max_seq=8)


def assert_bytes(launch, cases, *, cfg=CFG):
    """Every case sends the bytes that are due. A case is a layout, further arguments, and those bytes."""
    calls = [{"cfg": cfg, "layout": layout, **more} for layout, more, _ in cases]
    run = launch(call_each, 1, shared={"function": "comm_bytes_per_step", "calls": calls}, process_group=False)
    for (layout, more, due), found in zip(cases, run["values"][0], strict=True):
        told = f"comm_bytes_per_step(..., {layout}, {more})"
        assert isinstance(found, dict), f"{told} is no dict: {found}"
        assert set(found) == {"dp", "tp", "pp"}, f"{told} has the keys {sorted(found)}"
        for key, right in due.items():
            assert found[key] == right, f"{told}: {key} is {found[key]}, and {right} bytes are due"
