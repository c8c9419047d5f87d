"""Commands on terminals of every encoding, with readers that leave, and under every setting that a shell may have for Python."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

BIN = Path(sys.executable).parent

# What the command shows of these must be readable in any encoding: marks, boxes and names.
ENCODINGS = [
    {"PYTHONIOENCODING": "ascii"},
    {"PYTHONIOENCODING": "latin-1"},
    {"PYTHONIOENCODING": "cp1252"},
    {"PYTHONIOENCODING": "euc-kr"},
    {"PYTHONIOENCODING": "iso2022_kr"},
    {"PYTHONIOENCODING": "utf-8"},
    {"PYTHONIOENCODING": "ascii:strict"},
    {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
    {"LC_ALL": "POSIX"},
]


def run(command: str, *words: object, env: dict[str, str], cwd: Path, **options) -> subprocess.CompletedProcess[bytes]:
    """Run `course` or `grade` as its own process, as a shell would."""
    options = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **options}
    return subprocess.run([BIN / command, *map(str, words)], cwd=cwd, env=env, timeout=120, check=False, **options)


def grade_words(*folders: object) -> list[object]:
    """Return the words of a `grade run` of our own code, on any machine."""
    return ["run", *folders, "--chapters", "ch01", "--trust-submissions"]


@pytest.mark.parametrize("settings", ENCODINGS, ids=lambda settings: " ".join(settings.values()))
def test_every_encoding_shows_a_class(root, golden, environment, settings):
    """Names and marks that a terminal's encoding lacks are shown by others, and result files are UTF-8 all the same."""
    folder = golden("half_right").rename(root.parent / "submitted" / "김민수 Łukasz")

    done = run("grade", *grade_words(folder), env=environment | settings, cwd=root)

    encoding = settings.get("PYTHONIOENCODING", "utf-8").partition(":")[0]
    out = done.stdout.decode("ascii" if settings.get("PYTHONUTF8") else encoding)
    assert 1 == done.returncode, done.stderr
    assert b"Traceback" not in done.stderr
    assert "�" not in out
    assert "?ukasz" not in out
    assert "ukasz" in out
    (result,) = (root / "out/grade/results").glob("*.json")
    assert result.name.encode() == "김민수 Łukasz.json".encode()
    assert "김민수 Łukasz" == json.loads(result.read_bytes().decode())["submission"]
    (page,) = (root / "out/grade/feedback").glob("*.md")
    assert "김민수 Łukasz" in page.read_bytes().decode()


def test_names_that_differ_are_shown_differently(root, environment):
    """A letter that cannot be shown is escaped and never dropped, and marks have a look-alike."""
    words = "import sys\nfrom grader.cli.terminal import make_streams_patient\nmake_streams_patient()\n"
    code = f"{words}print('✓ ✗ · … → ─│┌ ⠋ Müller Möller \\udcff')\nprint('é', file=sys.stderr)"

    done = subprocess.run(
        [sys.executable, "-c", code], env=environment | {"PYTHONIOENCODING": "ascii"}, capture_output=True, check=True
    )

    assert rb"+ x . ... -> -|+ * M\xfcller M\xf6ller \udcff" == done.stdout.strip()
    assert rb"\xe9" == done.stderr.strip()


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (("course", "list"), 0),
        (("course", "check", "ch01/gcd"), 1),
        (("course", "hint", "ch01/gcd"), 0),
        (("course", "reset", "ch01/gcd", "--yes"), 0),
        (("course", "doctor"), 0),
        (("course", "--help"), 0),
        (("course", "list", "--nonsense"), 2),
        (("course", "check", "ch7"), 2),
        (("grade", "check", "ch02"), 0),
        (("grade", "release", "--check"), 0),
    ],
)
@pytest.mark.parametrize("ending", ["a pipe without a reader", "closed streams"])
def test_nobody_who_reads_changes_the_end_of_a_command(root, environment, words, code, ending):
    """A reader that has gone, as after `| head`, and streams that are closed leave no traceback and the same exit code."""
    if ending == "closed streams":
        script = f'exec {BIN}/$0 "$@" <&- >&- 2>&-'
        done = subprocess.run(["bash", "-c", script, *words], cwd=root, env=environment, timeout=120, check=False)
        errors = b""
    else:
        ours, theirs = os.pipe()
        os.close(ours)
        done = run(*words, env=environment, cwd=root, stdout=theirs)
        os.close(theirs)
        errors = done.stderr

    assert code == done.returncode, errors
    assert b"Traceback" not in errors
    assert b"BrokenPipe" not in errors


def test_a_batch_outlives_its_reader(root, golden, environment):
    """`grade run ... | head -1` grades the whole class, writes every result, and ends with its own exit code."""
    folders = [golden(case) for case in ("right", "half_right", "missing_file")]
    ours, theirs = os.pipe()
    with subprocess.Popen(
        [BIN / "grade", *map(str, grade_words(*folders))], cwd=root, env=environment, stdout=theirs, stderr=theirs
    ) as process:
        os.close(theirs)
        os.read(ours, 1)
        os.close(ours)

    assert 1 == process.wait()
    assert 3 == len(list((root / "out/grade/results").glob("*.json")))
    assert 3 == len(list((root / "out/grade/feedback").glob("*.md")))


def test_output_on_a_full_disk_is_reported(root, golden, environment):
    """If standard output is a file on a full disk, results are written all the same, and the command says what was lost."""
    with Path("/dev/full").open("w") as full:
        done = run("grade", *grade_words(golden("right")), env=environment, cwd=root, stdout=full)

    assert 4 == done.returncode
    assert b"A part of the output was lost: No space left on device." == done.stderr.strip()
    assert (root / "out/grade/results/right.json").exists()


FOREIGN = 'raise RuntimeError("of another program")\n'

SHELLS = {
    "PYTHONOPTIMIZE=1": {"PYTHONOPTIMIZE": "1"},
    "PYTHONOPTIMIZE=2": {"PYTHONOPTIMIZE": "2"},
    "warnings are errors": {"PYTHONWARNINGS": "error"},
    "an interactive end": {"PYTHONINSPECT": "1"},
    "a debugger": {"PYTHONBREAKPOINT": "nowhere.set_trace", "PYTHONSTARTUP": "/nowhere.py"},
    "hashes without chance": {"PYTHONHASHSEED": "0"},
    "no byte code": {"PYTHONDONTWRITEBYTECODE": "1", "PYTHONSAFEPATH": "1", "PYTHONNOUSERSITE": "1"},
    "development": {"PYTHONDEVMODE": "1", "PYTHONPROFILEIMPORTTIME": "1"},
    "options of pytest": {"PYTEST_ADDOPTS": "--collect-only --nonsense", "PYTEST_PLUGINS": "nowhere"},
    "a far folder for temporary files": {"TMPDIR": "/nowhere/at/all"},
    "no home": {"HOME": ""},
}


@pytest.mark.parametrize("settings", SHELLS.values(), ids=SHELLS.keys())
def test_no_setting_of_the_shell_changes_a_grade(root, golden, environment, settings):
    """Whatever the shell has set, a right submission gets its points and a wrong one does not."""
    folders = [golden(case) for case in ("right", "half_right")]
    expected = json.loads((Path(__file__).parent.parent / "batch/submissions/half_right/expected.json").read_text())

    done = run("grade", *grade_words(*folders), env=environment | settings, cwd=root)

    assert 1 == done.returncode, done.stderr.decode()
    assert b"Traceback" not in done.stderr
    assert 15.0 == json.loads((root / "out/grade/results/right.json").read_text())["score"]
    exercises = json.loads((root / "out/grade/results/half_right.json").read_text())["chapters"][0]["exercises"]
    assert {name: part["score"] for name, part in _parts(expected).items()} == {
        part["exercise"]: part["score"] for part in exercises
    }


def _parts(expected) -> dict:
    return expected if isinstance(expected, dict) else {part["exercise"]: part for part in expected}


@pytest.mark.parametrize("level", ["-O", "-OO"])
def test_mutants_die_without_assertions_in_the_shell(root, environment, level):
    """Under `python -O` every mutant is killed: judges have their assertions, whatever Python the command began with."""
    done = subprocess.run(
        [sys.executable, level, "-m", "grader.cli.grade", "check", "ch02"],
        cwd=root,
        env=environment,
        capture_output=True,
        timeout=120,
        check=False,
    )

    assert 0 == done.returncode, done.stderr
    assert b"3 mutants killed" in done.stdout


def test_modules_of_other_programs_take_the_place_of_none(root, environment, tmp_path):
    """Modules on PYTHONPATH and in a person's own site folder take the place of none that the course imports."""
    folder, home = tmp_path / "foreign", tmp_path / "home"
    site = home / f".local/lib/python{sys.version_info.major}.{sys.version_info.minor}/site-packages"
    site.mkdir(parents=True)
    folder.mkdir()
    for name in ("random", "typing", "argparse", "msgspec", "pytest", "rich", "torch"):
        (folder / f"{name}.py").write_text(FOREIGN)
    (site / "sitecustomize.py").write_text("import builtins\nbuiltins.sum = None\n")
    settings = {"PYTHONPATH": str(folder), "HOME": str(home)}

    assert 1 == run("course", "check", "ch01/gcd", env=environment | settings, cwd=root).returncode
    done = run("grade", "check", "ch02", env=environment | settings, cwd=root)
    assert 0 == done.returncode, done.stderr
