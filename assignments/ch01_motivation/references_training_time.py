"""Baselines and assertions that the public and the hidden tests of training_time.py share."""

from assignments.ch01_motivation.programs import call_each
from assignments.ch01_motivation.references import telling
from grader.harness import assert_each_returns

SECONDS = 24 * 60 * 60


def assert_days(launch, calls, expected, **tolerance):
    """Every call of training_days returns the days that are expected of it."""
    run = launch(call_each, 1, shared={"function": "training_days", "calls": calls}, process_group=False)
    wrong = {
        "these are hours, and days are due": [days * 24 for days in expected],
        "these are seconds, and days are due": [days * SECONDS for days in expected],
        "the number of accelerators is left out": [
            days * call["n_gpus"] for call, days in zip(calls, expected, strict=True)
        ],
        "6 operations a token and parameter are taken, and with recomputation they are 8": [
            days if call.get("recompute") is False else days * 6 / 8 for call, days in zip(calls, expected, strict=True)
        ],
        "8 operations a token and parameter are taken, and without recomputation they are 6": [
            days * 8 / 6 if call.get("recompute") is False else days for call, days in zip(calls, expected, strict=True)
        ],
        "6 and 8 operations are swapped: with recomputation a token takes 8": [
            days * (8 / 6 if call.get("recompute") is False else 6 / 8)
            for call, days in zip(calls, expected, strict=True)
        ],
    }
    assert_each_returns(run, "training_days", calls, expected, mistakes=telling(wrong, expected), **tolerance)


def assert_utilisation(launch, function, cases):
    """Every call of mfu or hfu returns the share of the peak that the operations of a sequence take.

    cases: pairs of a call's arguments and the operations that PyTorch counts for a sequence of its length, by what is computed
        a second time.
    """
    calls = [call for call, _ in cases]
    run = launch(call_each, 1, shared={"function": function, "calls": calls}, process_group=False)
    kinds = [call.get("recompute", "none" if function == "mfu" else "full") for call in calls]
    due, model, full, core_again = (
        [_share(call, flops[kind or default]) for (call, flops), default in zip(cases, kinds, strict=True)]
        for kind in ("", "none", "full", "selective")
    )
    rows = list(zip(calls, kinds, due, model, core_again, strict=True))
    wrong = {
        "this is a percentage, and a share from 0 to 1 is due": [100 * share for share in due],
        "the number of accelerators is left out": [share * call["n_gpus"] for call, _, share, *_ in rows],
        "the operations of a whole sequence are taken for those of a token": [
            share * call["seq"] for call, _, share, *_ in rows
        ],
        "recomputed operations are counted, and the model does not need them: this is HFU": full,
        "operations that are computed a second time are left out: this is MFU": model,
        "the output head's forward pass is counted twice, and no recomputation repeats it": [
            4 / 3 * once if kind == "full" else share for _, kind, share, once, _ in rows
        ],
        "HFU is not 4/3 of MFU: the output head is never repeated, and selective recomputation repeats attention's core": [
            4 / 3 * once if kind == "full" else once for _, kind, _, once, _ in rows
        ],
        "6 (12 L h^2 + V h) is taken for the operations of a token: attention's products are not in it": [
            _share(call, call["seq"] * _six_n(call["cfg"])) for call, *_ in rows
        ],
        "attention's products are left out, as 6 N does": [
            share - (4 if kind == "full" else 3) * (more - once) for _, kind, share, once, more in rows
        ],
    }
    why = "tokens per second times the operations of a token, by what n_gpus accelerators could do"
    assert_each_returns(run, function, calls, due, why=why, mistakes=telling(wrong, due))


def _share(call, flops):
    """Return the share of the peak that the operations of a sequence take at the speed of a call."""
    return flops / call["seq"] * call["tokens_per_s"] / call["n_gpus"] / call["peak"]


def _six_n(cfg):
    """Return six times the parameters of a model's matrices, as the rule of thumb for wide models counts them."""
    return 6 * (12 * cfg.n_layer * cfg.d_model**2 + cfg.vocab_size * cfg.d_model)
