"""Result files: whole, checked on every read, and described by a schema."""

import json
import shutil
from pathlib import Path

import msgspec
import pytest

from grader.batch.result import InvalidResultError, read_result, write_result


@pytest.fixture
def written(graded_golden, tmp_path):
    """Return a recorded result and a file with it."""
    source = graded_golden.results / "missing_file.json"
    return read_result(source), Path(shutil.copy(source, tmp_path))


def test_a_result_reads_back_as_it_was_written(written):
    """A result that was written and read is the same."""
    result, path = written

    assert result == read_result(path)


def test_a_result_fits_the_schema_that_lies_next_to_it(written, graded_golden):
    """Every key that is written is in the schema, and every key that the schema requires is written."""
    _, path = written
    schema = json.loads(graded_golden.schema.read_text())
    result = json.loads(path.read_text())

    declared = schema["$defs"]["SubmissionResult"]
    assert declared["properties"].keys() == result.keys()
    assert set(declared["required"]) == result.keys()
    assert declared["additionalProperties"] is False


@pytest.mark.parametrize(
    ("old", "new", "fault"),
    [
        ('"schema_version": 1', '"schema_version": 2', "Invalid enum value 2 - at `$.schema_version`"),
        ('"outcome": "passed"', '"outcome": "brilliant"', "Invalid enum value 'brilliant'"),
        ('"mistake": null', '"mistake": "not 21"', "Invalid enum value 'not 21'"),
        ('"score": 4.0', '"score": 5.0', "exercise 'gcd' has score 5 of 4"),
        ('"score": 6.0', '"score": null', "exercise 'sieve' has score None and outcome 'passed'"),
        ('"score": 10.0', '"score": 15.0', "the score of 'ch01_arithmetic' is not the sum of its parts"),
        ('"seed": 7', '"seed": 7, "extra": 1', "unknown field `extra`"),
        ("}\n", "", "Input data was truncated"),
    ],
)
def test_a_file_that_grading_did_not_write_is_refused(written, old, new, fault):
    """A score above its points, wrong totals, unknown words and half a file are not results."""
    _, path = written
    text = path.read_text()
    at = text.rindex(old) if old == "}\n" else text.index(old)
    path.write_text(text[:at] + text[at:].replace(old, new))

    with pytest.raises(InvalidResultError) as raised:
        read_result(path)

    assert str(raised.value).startswith(f"{path} is no result of schema version 1: ")
    assert fault in str(raised.value)


def test_a_write_that_fails_leaves_the_old_result(written, monkeypatch):
    """If a write fails, the old file stays, and no other file is left."""
    result, path = written

    def full(_descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("grader.harness.protocol.files.os.fsync", full)
    with pytest.raises(OSError, match="No space left"):
        write_result(msgspec.structs.replace(result, submission="other"), path)

    assert result == read_result(path)
    assert [path.name] == [entry.name for entry in path.parent.iterdir()]
