# PLACEHOLDER of the lead: its owner overwrites it
import torch


def assert_matches(actual, expected, *, rtol=None, atol=None, exact=None, previous=None, what="result"):
    from grader.harness.per_rank import PerRank

    if not isinstance(actual, PerRank):
        actual = PerRank([actual])
    if not isinstance(expected, PerRank):
        expected = [expected] * len(actual)
    for a, e in zip(actual, expected, strict=True):
        _same(a, e, exact is not None)


def _same(a, e, loose):
    if isinstance(e, torch.Tensor):
        torch.testing.assert_close(a, e, rtol=1e-4 if loose else 1e-9, atol=1e-4 if loose else 1e-11, equal_nan=True)
    elif isinstance(e, dict):
        assert a.keys() == e.keys()
        for k in e:
            _same(a[k], e[k], loose)
    elif isinstance(e, (list, tuple)):
        assert len(a) == len(e)
        for x, y in zip(a, e, strict=True):
            _same(x, y, loose)
    else:
        assert a == e
