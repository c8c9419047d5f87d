"""The rules of the table of promises: whatever a contract says is kept by a test that fails when it is broken."""

from collections.abc import Iterator

from grader.course.catalog import Chapter, Exercise
from grader.course.content.graded_tests import TestFunction, hidden_tests, public_tests
from grader.course.content.mutants import mutant_names
from grader.course.content.promises import PromiseTable, contract_of, read_promises, says, sentences_of, uncovered
from grader.course.problem import Problem


def every_promise_has_a_test(chapter: Chapter) -> Iterator[Problem]:
    """Check that each exercise has a table, and that its table covers the contract and names what is there."""
    tests = [*public_tests(chapter), *hidden_tests(chapter)]
    for exercise in chapter.exercises:
        where = f"solutions/{chapter.id}/promises/{exercise.id}.toml"
        table = read_promises(chapter, exercise)
        if table is None:
            todo = "Write it: [[promises]] with says, tests and mutants, [[remarks]] with says and because."
            yield Problem(where=where, what=f"exercise '{exercise.id}' has no table of promises.", todo=todo)
            continue
        yield from _words(chapter, exercise, table, where)
        yield from _tests(exercise, table, tests, where)
        yield from _mutants(chapter, exercise, table, where)


def _words(chapter: Chapter, exercise: Exercise, table: PromiseTable, where: str) -> Iterator[Problem]:
    """Yield words that the contract does not have, and sentences of the contract that the table does not have."""
    contract = contract_of(chapter, exercise)
    for words in table.says:
        if not says(contract, words):
            todo = f"Quote the docstrings of {exercise.file} or the README as they are."
            yield Problem(where=where, what=f"the contract does not say {words!r}.", todo=todo)
    for sentence in uncovered(sentences_of(chapter, exercise), table):
        todo = "Add a promise with the tests that fail if it is broken, or a remark that says why it demands nothing."
        yield Problem(where=where, what=f"nothing stands for the sentence {sentence!r}.", todo=todo)


def _tests(exercise: Exercise, table: PromiseTable, tests: list[TestFunction], where: str) -> Iterator[Problem]:
    known = {f"{test.file}::{test.name}" for test in tests if test.exercise == exercise.id}
    for promise in table.promises:
        if not promise.tests:
            what = f"no test fails if {promise.says!r} is broken."
            yield Problem(where=where, what=what, todo="Write one, and a mutant that it kills.")
        for test in promise.tests:
            if test not in known:
                yield Problem(
                    where=where,
                    what=f"'{test}' is no graded test of '{exercise.id}'.",
                    todo="Name it as test_file.py::test_function, without parameters.",
                )


def _mutants(chapter: Chapter, exercise: Exercise, table: PromiseTable, where: str) -> Iterator[Problem]:
    named = {mutant for promise in table.promises for mutant in promise.mutants}
    there = set(mutant_names(chapter, exercise))
    for mutant in sorted(named - there):
        yield Problem(where=where, what=f"there is no mutant '{mutant}' of '{exercise.id}'.", todo="Correct its name.")
    for mutant in sorted(there - named):
        todo = "Name it under the promise that it breaks."
        yield Problem(where=where, what=f"no promise names the mutant '{mutant}'.", todo=todo)
