"""`grade check` and `grade release`, as an author meets them."""

import pytest

STUB = "assignments/ch02_text/cipher.py"


def test_a_sound_chapter_passes_the_check(run_grade):
    """Of a sound chapter `grade check` says that stubs earn nothing, solutions everything, and that every mutant dies."""
    shown = run_grade("check", "ch02")

    assert 0 == shown.code
    assert "ch02_text: stubs 0 of 1, solutions 1 of 1, 3 mutants killed" in shown.out
    assert "The course is sound." in shown.out


def test_a_broken_chapter_is_exit_code_3(run_grade, root):
    """`grade check` prints a line for each problem, and counts them in the last line."""
    (root / STUB).write_text("")

    shown = run_grade("check", "ch02")

    assert 3 == shown.code
    assert f"{STUB}: differs from its solution's stub at line 1." in shown.out
    assert "1 problem." in shown.out or "problems." in shown.out


def test_release_check_fails_on_a_stale_stub_and_release_stubs_writes_it(run_grade, root):
    """A stub that its solution does not give fails `release --check` until `release --stubs` writes it again."""
    assert 0 == run_grade("release", "--check").code
    (root / STUB).write_text("")

    stale = run_grade("release", "--check")
    rewritten = run_grade("release", "--stubs")

    assert 3 == stale.code
    assert "1 problem." in stale.out
    assert f"wrote {STUB}" in rewritten.out
    assert 0 == run_grade("release", "--check").code
    assert "Every stub was up to date." in run_grade("release", "--stubs").out


def test_release_check_fails_on_a_readme_without_a_chapter(run_grade, root):
    """`release --check` fails if the README does not list every chapter."""
    (root / "README.md").write_text("# Mini course\n\n- 1 · [Arithmetic](assignments/ch01_arithmetic/README.md)\n")

    shown = run_grade("release", "--check")

    assert 3 == shown.code
    assert "README.md: does not list a chapter." in " ".join(shown.out.split())


def test_release_writes_a_repository_that_students_can_check(run_grade, run_course, root, tmp_path, monkeypatch):
    """The released repository has no solutions, and `course` works in it."""
    shown = run_grade("release", tmp_path / "student")

    assert 0 == shown.code
    assert f"files to {tmp_path / 'student'}. No staff text was found in them." in shown.out
    assert not (tmp_path / "student/solutions").exists()
    monkeypatch.chdir(tmp_path / "student")
    assert 0 == run_course("list").code


def test_release_to_a_folder_that_is_not_empty_is_refused(run_grade, tmp_path):
    """`grade release` never writes to a folder that holds anything."""
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/thesis.txt").touch()

    shown = run_grade("release", tmp_path / "mine")

    assert 2 == shown.code
    assert "exists and is not an empty folder" in shown.err


def test_a_broken_declaration_is_exit_code_3(run_grade, root):
    """An author's mistake in assignment.toml is exit code 3, not the 2 of a usage error."""
    path = root / "assignments/ch02_text/assignment.toml"
    path.write_text(path.read_text().replace("points = 1", "pionts = 1"))

    shown = run_grade("check")

    assert 3 == shown.code
    assert "unknown key 'pionts'" in shown.err


@pytest.mark.parametrize("command", [[], ["check"], ["release"], ["run"]])
def test_every_help_has_an_example_and_the_exit_codes(run_grade, command):
    """--help of `grade` and of each of its commands ends with an example and the exit codes."""
    shown = run_grade(*command, "--help")

    assert 0 == shown.code
    assert "\n  grade " in shown.out
    assert "Exit codes: 0 all passed" in shown.out
