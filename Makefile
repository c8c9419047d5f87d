# Everything is made in .venv; `make grade` and `make test` need nothing but Python 3.11+ and git.
PYTHON ?= python3
BIN := .venv/bin
INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check -c course_env/constraints.txt

.PHONY: grade test check fix release bench
.DELETE_ON_ERROR:

# Grade a sample class on chapter 2: a table here, JSON under out/. Exit code 1 means that graded tests failed, as some of them must;
# what each sample earns is compared with what it should. The samples are our own, so any wall will do, and so will none.
grade: .venv/ready
	$(BIN)/python tests/sample_class/build.py out/sample_class
	$(BIN)/grade run out/sample_class/* --chapters ch02 --trust-submissions --out out/sample_run || test $$? -eq 1
	$(BIN)/python tests/sample_class/compare.py out/sample_run

# Every test of the project. Much of a test is waiting, so two files are run at a time. The cluster and the corpus have the
# machine for themselves: they grade with several workers, and some of it must run into short deadlines.
test: .venv/ready
	$(BIN)/python -m pytest tests --ignore tests/slurm --ignore tests/submissions -n 2 --dist loadfile
	$(BIN)/python -m pytest tests/slurm tests/submissions

# What CI runs before the tests: style, types, layers, and the course against itself.
check: .venv/ready
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/grade release --check
	$(BIN)/grade check

# Fix what tools can fix: format, lint, stubs.
fix: .venv/ready
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .
	$(BIN)/grade release --stubs

# The student repository, complete and self-checking.
release: .venv/ready
	$(BIN)/grade release out/release

# Launch speed against other ways of starting ranks, and jobs of ours against bare ones; numbers also in out/bench*.json.
bench: .venv/ready
	$(BIN)/python tests/benchmarks/launch.py --out out/bench.json
	$(BIN)/python tests/benchmarks/dispatch.py --out out/bench_dispatch.json

# One pip command, so that torch's pin is seen before anything that only asks for "some torch".
.venv/ready: pyproject.toml course_env/constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(INSTALL) torch -e '.[dev]'
	touch $@
