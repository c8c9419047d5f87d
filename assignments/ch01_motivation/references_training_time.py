"""Baselines and assertions that the public and the hidden tests of training_time.py share."""

from assignments.ch01_motivation.programs import call_each
from assignments.ch01_motivation.references import counted
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
            days if call.get("recompute") is False else days * 6 / 8
            for call, days in zip(calls, expected, strict=True)
        ],
        "8 operations a token and parameter are taken, and without recomputation they are 6": [
            days * 8 / 6 if call.get("recompute") is False else days
            for call, days in zip(calls, expected, strict=True)
        ],
        "6 and 8 operations are swapped: with recomputation a token takes 8": [
            days * (8 / 6 if call.get("recompute") is False else 6 / 8)
            for call, days in zip(calls, expected, strict=True)
        ],
    }
    told = {name: days for name, days in wrong.items() if days != expected}
    assert_each_returns(run, "training_days", calls, expected, mistakes=told, **tolerance)


def assert_utilisation(launch, function, calls):
    """Every call of mfu or hfu returns the share that follows from the operations that PyTorch counts."""
    run = launch(call_each, 1, shared={"function": function, "calls": calls}, process_group=False)
    default = "none" if function == "mfu" else "full"
    kinds = [call.get("recompute", default) for call in calls]
    due = [_share(call, kind) for call, kind in zip(calls, kinds, strict=True)]
    model, full = ([_share(call, kind) for call in calls] for kind in ("none", "full"))
    wrong = {
        "this is a percentage, and a share from 0 to 1 is due": [100 * share for share in due],
        "the number of accelerators is left out": [
            share * call["n_gpus"] for call, share in zip(calls, due, strict=True)
        ],
        "the operations of a whole sequence are taken for those of a token": [
            share * call["seq"] for call, share in zip(calls, due, strict=True)
        ],
        "recomputed operations are counted, and the model does not need them: this is HFU": full,
        "operations that are computed a second time are left out: this is MFU": model,
        "the output head is counted a second time: recomputation never repeats it": [
            share if kind != "full" else 4 / 3 * once for share, once, kind in zip(due, model, kinds, strict=True)
        ],
        "attention's products are left out, as 6 N does": [
            share - _attention(call, kind) for call, share, kind in zip(calls, due, kinds, strict=True)
        ],
    }
    told = {name: shares for name, shares in wrong.items() if shares != due}
    why = "tokens per second times the operations of a token, by what n_gpus accelerators could do"
    assert_each_returns(run, function, calls, due, rel=1e-9, why=why, mistakes=told)


def _share(call, kind):
    """Return the share of the peak that the operations of one token take."""
    return counted(call["cfg"], 1, call["seq"], kind) / call["seq"] * call["tokens_per_s"] / call["n_gpus"] / call["peak"]


def _attention(call, kind):
    """Return the share of the peak that attention's two products take."""
    passes = 3 if kind == "none" else 4
    per_token = passes * 4 * call["cfg"].n_layer * call["seq"] * call["cfg"].d_model
    return per_token * call["tokens_per_s"] / call["n_gpus"] / call["peak"]
