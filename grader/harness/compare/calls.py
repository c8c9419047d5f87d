"""Whether single calls of a student's function return what they should, or raise what they should.

A failure says which function was called with which arguments, what it returned, what is expected and why, and names the mistake
where the value is what a known mistake gives. What is wrong comes in this order: no answer, a wrong type, wrong numbers.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

from course_env.errors import CatalogError
from grader.harness.compare.returned import Margin, Wrong, wrong_with
from grader.harness.compare.shown_call import call_text, returned_text
from grader.harness.mistake import OF_THE_FILE, Mistake
from grader.harness.outcome import StudentFailure
from grader.harness.per_rank import PerRank

Arguments = Mapping[str, Any] | tuple[Any, ...]


class Called(Protocol):
    """A launch of `call_each`, as a test sees it."""

    def __getitem__(self, name: str, /) -> PerRank[Any]:
        """Return what each rank returned under `name`."""


class _Ended(NamedTuple):
    """How one call ended on one rank."""

    call: str
    returned: Any
    error: str
    """"" where it returned, else "ValueError: text"."""

    due: Any
    """A value; a kind of exception where the call must raise it."""


def assert_returns(
    function: Callable[..., Any],
    arguments: Arguments,
    expected: Any,
    *,
    rel: float | None = None,
    abs: float | None = None,  # noqa: A002 - as pytest.approx calls it
    why: str | None = None,
    mistakes: Mapping[str, Any] | None = None,
) -> Any:
    """Call a function of the student's file once, compare what it returns, and return that.

    arguments: a dict of keyword arguments, or a tuple of positional ones
    expected: numbers, strings, None, tensors, or tuples, lists and dicts of them. Where a float is expected an int will do, but
        where an int is expected no float will.
    rel, abs: a float may be off by the larger of rel * |expected| and abs. Without either, rel is 1e-9.
    why: one clause about why this value is due, never more than the lesson gives
    mistakes: what mistakes that have a signature would return, each by its name or by its `Mistake`
    Raises: StudentFailure.
    """
    __tracebackhide__ = True
    named = call_text(getattr(function, "__name__", repr(function)), arguments)
    positional, by_name = (arguments, {}) if isinstance(arguments, tuple) else ((), arguments)
    try:
        returned = function(*positional, **by_name)
    except StudentFailure as failure:
        if failure.mistake in OF_THE_FILE:
            raise
        text = f"{failure}\nThe call was {named}."
        raise StudentFailure(text, outcome=failure.outcome, mistake=failure.mistake) from None
    signatures = {name: [value] for name, value in (mistakes or {}).items()}
    _judge([_Ended(named, returned, "", expected)], Margin(rel, abs), why, signatures)
    return returned


def assert_each_returns(
    run: Called,
    function: str,
    calls: Sequence[Mapping[str, Any]],
    expected: Sequence[Any],
    *,
    rel: float | None = None,
    abs: float | None = None,  # noqa: A002 - as pytest.approx calls it
    why: str | None = None,
    mistakes: Mapping[str, Sequence[Any]] | None = None,
) -> None:
    """Compare what the calls of a launch of `call_each` returned, on each of its ranks.

    calls: the arguments, as they were handed to `call_each`
    expected: one value for each call, as in `assert_returns`; ValueError (the class) where the call must raise it
    mistakes: by its name, what a mistake would return in each call. It is named if it explains every call that is wrong.
    Raises: StudentFailure; CatalogError if the numbers of calls and values differ.
    """
    __tracebackhide__ = True
    for rank, ended in enumerate(_ended(run, function, calls, expected)):
        _judge(ended, Margin(rel, abs), why, mistakes or {}, _on(rank, run))


def assert_each_raises(run: Called, function: str, calls: Sequence[Mapping[str, Any]], errors: Sequence[str]) -> None:
    """Assert that each call of a launch of `call_each` raised the error that is due, on each of its ranks.

    errors: for each call the name of what it must raise, "ValueError"; "" where it must return
    Raises: StudentFailure; CatalogError if the numbers of calls and errors differ.
    """
    __tracebackhide__ = True
    for rank, ended in enumerate(_ended(run, function, calls, errors)):
        wrong = [_wrong_end(end.call + _on(rank, run), end, end.due) for end in ended]
        _raise_first([one for one in wrong if one], len(calls))


def assert_raised(errors: Sequence[Any], call: str, error: str = "ValueError") -> None:
    """Assert that a call raised what is due on every rank; a rank that was not to call it reports None.

    errors: of each rank, what `attempt` reported, "" where the call returned
    call: what was called, as it is told: "ring_all_reduce(x, op='prod')"
    Raises: StudentFailure.
    """
    __tracebackhide__ = True
    on = [f"{call} on rank {rank}" if len(errors) > 1 else call for rank in range(len(errors))]
    ended = [_Ended(*end, error) for end in zip(on, [None] * len(errors), errors, strict=True) if end[2] is not None]
    wrong = [_wrong_end(end.call, end, error, "did not raise") for end in ended]
    _raise_first([one for one in wrong if one], len(ended))


def _ended(run: Called, function: str, calls: Sequence[Mapping[str, Any]], due: Sequence[Any]) -> list[list[_Ended]]:
    """Return how each call ended, rank by rank."""
    if len(due) != len(calls):
        raise CatalogError(
            f"{len(calls)} calls, and {len(due)} ends that are due. Correct the test: one for each call."
        )
    texts = [call_text(function, arguments) for arguments in calls]
    ranks = []
    for values, errors in zip(run["values"], run["errors"], strict=True):
        if not _are_ends(values, len(calls)) or not _are_ends(errors, len(calls)):
            raise CatalogError(f"The launch reports not one end for each of {len(calls)} calls. Correct the test.")
        ranks.append([_Ended(*end) for end in zip(texts, values, errors, due, strict=True)])
    return ranks


def _on(rank: int, run: Called) -> str:
    return f" on rank {rank}" if len(run["values"]) > 1 else ""


def _are_ends(reported: Any, count: int) -> bool:
    return isinstance(reported, list) and len(reported) == count


def _judge(
    ended: Sequence[_Ended], margin: Margin, why: str | None, signatures: Mapping[str, Sequence[Any]], on: str = ""
) -> None:
    """Raise what is wrong with the first call that is, and name the mistake that explains all that are."""
    __tracebackhide__ = True
    _check_signatures(ended, signatures)
    wrong = {index: one for index, end in enumerate(ended) if (one := _wrong(end.call + on, end, margin)) is not None}
    found = list(wrong.values())
    for name, values in signatures.items():
        if wrong and all(_gives(values[index], ended[index], margin) for index in wrong):
            kind = name if isinstance(name, Mistake) else found[0].mistake
            found[0] = Wrong(found[0].problem, kind, str(name))
            break
    _raise_first(found, len(ended), why)


def _check_signatures(ended: Sequence[_Ended], signatures: Mapping[str, Sequence[Any]]) -> None:
    for name, values in signatures.items():
        if len(values) != len(ended):
            text = f"The mistake '{name}' has {len(values)} values for {len(ended)} calls. Correct the test."
            raise CatalogError(text)


def _gives(value: Any, end: _Ended, margin: Margin) -> bool:
    """Return whether a call returned what a mistake would."""
    return not end.error and not _raises(end) and wrong_with("", end.returned, value, margin) is None


def _raises(end: _Ended) -> str:
    """Return the name of the error that is due, "" where a value is."""
    return end.due.__name__ if isinstance(end.due, type) and issubclass(end.due, Exception) else ""


def _wrong(call: str, end: _Ended, margin: Margin) -> Wrong | None:
    wrong = _wrong_end(call, end, _raises(end))
    return wrong if wrong or _raises(end) else wrong_with(call, end.returned, end.due, margin)


def _wrong_end(call: str, end: _Ended, due: str, returned: str = "") -> Wrong | None:
    """Return what is wrong with a call that should have raised `due`, or returned if that is ""."""
    kind = end.error.partition(":")[0]
    if kind == due:
        return None
    if not due:
        return Wrong(f"{call} raised {end.error}, where an answer is due", Mistake.EXCEPTION)
    if not kind:
        returned = returned or f"returned {returned_text(end.returned)}"
        return Wrong(f"{call} {returned}, and should raise {due}", Mistake.DID_NOT_RAISE)
    return Wrong(f"{call} raised {end.error}, and should raise {due}", Mistake.OTHER_ERROR)


def _raise_first(wrong: Sequence[Wrong], count: int, why: str | None = None) -> None:
    __tracebackhide__ = True
    if not wrong:
        return
    problem, mistake, cause = wrong[0]
    sentence = f"{problem}: {cause}" if cause else problem
    lines = [sentence if sentence.endswith("?") else f"{sentence}."]
    if why:
        lines.append(f"Why: {why}.")
    if len(wrong) > 1:
        lines.append(f"This is the first of {len(wrong)} calls that are wrong, of {count}.")
    raise StudentFailure("\n".join(lines), mistake=mistake)
