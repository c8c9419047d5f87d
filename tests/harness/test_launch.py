"""A launch ends with a value from every rank, or with one sentence that says why not; the next launch is unharmed."""

import time
from pathlib import Path

import pytest
import torch

from grader.harness.mistake import Mistake
from grader.harness.outcome import Outcome, StudentFailure
from grader.harness.verdict import verdict_on

SUM = """
import torch.distributed as dist

def solve(x):
    y = x.clone()
    dist.all_reduce(y)
    return y
"""


def failure(ranks, world_size, **options) -> StudentFailure:
    """Return the failure with which a launch must end."""
    with pytest.raises(StudentFailure) as caught:
        ranks.run(world_size, **options)
    return caught.value


@pytest.mark.parametrize("world_size", [1, 2, 4, 8])
def test_every_rank_returns_its_value(ranks, world_size):
    """Ranks communicate through gloo, and each returns the value of its program."""
    ranks.write(SUM)

    run = ranks.run(world_size, x=torch.ones(3, dtype=torch.float64))

    assert [[float(world_size)] * 3] * world_size == [y.tolist() for y in run["value"]]


def test_ranks_draw_different_random_numbers(ranks):
    """Ranks are seeded differently before student code runs, so that a missing broadcast cannot hide."""
    ranks.write("import torch\ndef solve():\n    return torch.rand(1).item()")

    assert len(set(ranks.run(4)["value"])) == 4


def test_a_launch_leaves_nothing_behind_for_the_next(ranks):
    """What student code does to its interpreter is gone with its process."""
    ranks.write(
        "import torch, builtins\ndef solve():\n    builtins.solved = True\n    torch.hann_window = None\n    return 1"
    )
    ranks.run(2)
    ranks.write(
        "import builtins, torch\ndef solve():\n    return sum(torch.hann_window(2).tolist()) + hasattr(builtins, 'solved')"
    )

    assert ranks.run(2)["value"] == (1.0, 1.0)


def test_an_exception_shows_the_students_frames_only(ranks):
    """The student reads their own lines, not ours and not torch's."""
    ranks.write(
        "import torch\ndef solve():\n    return inner()\ndef inner():\n    return torch.ones(2) @ torch.ones(3)"
    )

    text = str(failure(ranks, 2))

    # Either rank: one that joins the process group late may find that the other has already gone.
    assert text.startswith(("Rank 0 of 2 raised RuntimeError: ", "Rank 1 of 2 raised RuntimeError: "))
    assert "work.py:5 in inner\n    return torch.ones(2) @ torch.ones(3)" in text
    assert "grader" not in text
    assert "site-packages" not in text


def test_the_rank_that_raised_is_named_not_those_that_lost_it(ranks):
    """Other ranks fail because their connections break; the report names the rank that caused it."""
    ranks.write(
        """
        import torch, torch.distributed as dist
        def solve():
            if dist.get_rank() == 2:
                raise ValueError("no luck")
            dist.all_reduce(torch.ones(1))
        """
    )

    assert str(failure(ranks, 4)).startswith("Rank 2 of 4 raised ValueError: no luck")


def test_an_untouched_stub_is_not_attempted(ranks):
    """The exception of an untouched stub means that work has not begun, which is no failure."""
    ranks.write('def solve():\n    raise NotImplementedError("TODO(solve)")')

    assert failure(ranks, 2).outcome is Outcome.NOT_ATTEMPTED


@pytest.mark.parametrize(
    ("death", "expected"),
    [
        ("os.kill(os.getpid(), signal.SIGKILL)", "Rank 1 of 2 ended with signal SIGKILL"),
        ("ctypes.string_at(0)", "Rank 1 of 2 ended with signal SIGSEGV"),
        ("os.abort()", "Rank 1 of 2 ended with signal SIGABRT"),
        ("os._exit(3)", "Rank 1 of 2 ended with exit code 3"),
        ("os._exit(0)", "Rank 1 of 2 ended with exit code 0 before it returned a result. os._exit()"),
    ],
)
def test_a_rank_that_dies_is_named_with_its_end(ranks, death, expected):
    """Neither a signal nor a quiet exit counts as a result, and the rank is named."""
    ranks.write(
        f"""
        import ctypes, os, signal, torch, torch.distributed as dist
        def solve():
            dist.barrier()
            if dist.get_rank() == 1:
                {death}
            dist.all_reduce(torch.ones(1))
        """
    )

    died = failure(ranks, 2)

    assert died.outcome is Outcome.CRASHED
    assert expected in str(died)


def test_sys_exit_is_not_a_result(ranks):
    """A call of sys.exit is reported as such."""
    ranks.write("import sys\ndef solve():\n    sys.exit(0)")

    assert str(failure(ranks, 1)).startswith("The code under test called sys.exit(0) instead of returning.")


def test_a_deadlock_is_cut_and_both_lines_are_shown(ranks):
    """Within a second of its deadline a deadlocked pair is reported with both lines and who waits for whom."""
    ranks.write(
        """
        import torch, torch.distributed as dist
        def solve():
            other = 1 - dist.get_rank()
            y = torch.empty(2)
            dist.recv(y, other)
            dist.send(y, other)
        """
    )
    start = time.monotonic()

    hung = failure(ranks, 2, timeout_s=1.0)

    assert time.monotonic() - start < 2.0
    assert hung.outcome is Outcome.TIMED_OUT
    text = str(hung)
    assert text.startswith("Launch of 2 ranks passed its 1 s deadline and was ended.")
    assert "rank 0 waits in recv(src=1) at work.py:6" in text
    assert "rank 1 waits in recv(src=0) at work.py:6" in text


@pytest.mark.parametrize("loop", ["while True: pass", "time.sleep(60)", "ctypes.CDLL(None).sleep(60)"])
def test_an_endless_rank_is_cut_with_its_stack(ranks, loop):
    """A loop in Python or in C is cut at the deadline and shown at the student's line."""
    ranks.write(f"import ctypes, time\ndef solve():\n    {loop}")

    text = str(failure(ranks, 1, timeout_s=0.5))

    assert "The call passed its 0.5 s deadline" in text
    assert "work.py:3 in solve" in text


def test_a_rank_that_ignores_sigterm_is_cut(ranks):
    """A rank that ignores every signal it can is ended all the same."""
    ranks.write(
        """
        import signal, time
        def solve():
            for number in range(1, 32):
                if number not in (9, 19):
                    signal.signal(number, signal.SIG_IGN)
            time.sleep(60)
        """
    )

    assert failure(ranks, 2, timeout_s=0.5).outcome is Outcome.TIMED_OUT


def test_what_ranks_print_is_kept_apart_and_capped(ranks):
    """Each rank has a separate log, and a long log is cut without harm to the rank."""
    ranks.write(
        """
        import sys, torch.distributed as dist
        def solve():
            print(f"I am {dist.get_rank()}")
            print("x" * 1_000_000, file=sys.stderr)
            return 1
        """
    )

    run = ranks.run(2)

    assert [log.splitlines()[0] for log in run.log] == ["I am 0", "I am 1"]
    assert max(len(log) for log in run.log) <= 64 << 10


def test_the_results_of_all_ranks_have_one_bound(ranks):
    """Four ranks that return 40 MiB each stay below the bound on one result; together they are refused, and none is read."""
    ranks.write(
        """
        import torch
        def solve():
            return torch.zeros(10 << 20)
        """
    )

    remains = ranks.remains(4)

    assert [None] * 4 == [rank.result for rank in remains.ranks]
    with pytest.raises(
        StudentFailure, match="The ranks returned 160 MiB together, and at most 128 MiB travel"
    ) as caught:
        verdict_on(remains)
    assert caught.value.mistake is Mistake.NOT_DATA


def test_the_values_of_all_ranks_have_one_bound(ranks):
    """Two ranks that return 30 000 numbers each stay below the bound on one result; together they are refused."""
    ranks.write("def solve():\n    return [0] * 30_000")

    assert "more than 50000 values in what the ranks of this launch returned" in str(failure(ranks, 2))


def test_a_flood_of_output_is_cut(ranks):
    """A rank that prints without end is ended long before its deadline."""
    ranks.write('import os\ndef solve():\n    while True: os.write(1, b"x" * 65536)')

    flooded = failure(ranks, 1)

    assert flooded.outcome is Outcome.CRASHED
    assert "Is there a print in an endless loop?" in str(flooded)


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("def solve(:\n", "work.py cannot be imported: SyntaxError: "),
        (
            "import no_such_module\n",
            "work.py cannot be imported: ModuleNotFoundError: No module named 'no_such_module'",
        ),
        ("def solved():\n    pass\n", "work.py has no 'solve'. It must keep the names of the stub: solve."),
        (
            "def solve():\n    return object()\n",
            "returned something that cannot be judged: the returned value['value'] is a object",
        ),
    ],
    ids=["syntax", "import", "renamed", "type"],
)
def test_unusable_files_are_explained(ranks, source, expected):
    """A file that cannot be used is explained in one sentence."""
    ranks.write(source)

    assert expected in str(failure(ranks, 1))


def test_a_renamed_function_is_suggested(ranks):
    """If the file has a similar name, the message suggests it."""
    ranks.write("def solv():\n    pass\n")

    assert "Did you mean 'solv'?" in str(failure(ranks, 1))


def test_a_missing_file_is_explained(ranks):
    """If the submission lacks the file, the message says so."""
    ranks.write("")
    (ranks.folder / "submission/work.py").unlink()

    assert "work.py is missing: the submission has no such file." in str(failure(ranks, 1))


def test_a_file_that_is_not_utf8_is_explained(ranks):
    """An encoding that Python cannot read is explained as an error of the import, not a crash."""
    ranks.write("")
    (ranks.folder / "submission/work.py").write_bytes(b"x = '\xff'\ndef solve(): pass\n")

    assert "work.py cannot be imported: SyntaxError: " in str(failure(ranks, 1))


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("raise SyntaxError('odd', (5, 'one', 2, 7))", "raised SyntaxError: odd"),
        ("raise Odd('x')", "raised an exception: (it cannot be described)"),
        ("raise Silent", "raised Silent: (its message could not be formed: SystemExit)"),
        ("raise KeyboardInterrupt", "raised KeyboardInterrupt\n"),
        ("raise ValueError('x' * 10_000_000)", f"raised ValueError: {'x' * 4000}\n"),
    ],
    ids=["syntax", "metaclass", "str", "no-message", "long"],
)
def test_odd_exceptions_are_reported(ranks, source, expected):
    """An exception whose attributes raise, or have the wrong type, is still reported as an exception."""
    ranks.write(
        f"""
        class Meta(type):
            @property
            def __name__(self):
                raise ValueError
        class Odd(Exception, metaclass=Meta):
            pass
        class Silent(BaseException):
            def __str__(self):
                raise SystemExit
        def solve():
            {source}
        """
    )

    assert expected in str(failure(ranks, 1, process_group=False))


def test_nothing_a_rank_says_steers_the_terminal(ranks):
    """Escape sequences, carriage returns and changes of direction are shown escaped."""
    ranks.write(
        r"""
        def solve():
            print("\x1b[2Jprinted")
            raise type("\x1b[31mError", (Exception,), {})("\x1b]0;title\x07 \r\u202e \x9b1m")
        """
    )

    text = str(failure(ranks, 1, process_group=False))

    assert all(char.isprintable() or char == "\n" for char in text)
    assert r"raised \x1b[31mError: \x1b]0;title\x07 \r\u202e \x9b1m" in text
    assert r"\x1b[2Jprinted" in text


def test_every_rank_shows_its_stack_however_late_it_was_forked(ranks):
    """Ranks write their stacks at the launch's deadline, whenever each was forked."""
    ranks.write("import time\ndef solve():\n    time.sleep(60)")

    remains = ranks.remains(4, timeout_s=1.0, process_group=False)

    assert ["Timeout (0:00:0"] * 4 == [rank.stacks[:15] for rank in remains.ranks]


def test_a_rank_that_dies_after_it_returned_is_named(ranks):
    """The rank that ended badly is named, not those that were cut because of it."""
    ranks.write(
        """
        import os, threading, time
        import torch.distributed as dist
        def solve():
            if dist.get_rank() == 1:
                threading.Timer(0.2, os._exit, (3,)).start()
                return 1
            time.sleep(60)
        """
    )

    text = str(failure(ranks, 2))

    assert text == "Rank 1 of 2 ended with exit code 3 after it had returned, when others had not."


def test_files_left_behind_are_gone_with_the_launch(ranks):
    """The next launch does not find what ranks left in their folder, in TMPDIR or in their home."""
    ranks.write(
        """
        import os, pathlib, tempfile
        def solve():
            folders = [pathlib.Path.cwd(), pathlib.Path.home(), pathlib.Path(tempfile.gettempdir())]
            found = [name for folder in folders for name in os.listdir(folder)]
            for folder in folders:
                (folder / "left").write_text("behind")
            return found
        """
    )

    assert [ranks.run(1, process_group=False)["value"] for _ in range(2)] == [([],), ([],)]


def test_a_folder_nested_beyond_pythons_stack_is_removed(ranks):
    """A tree that is too deep for shutil harms neither the zygote nor the judge."""
    ranks.write(
        """
        import os
        def solve():
            for _ in range(1500):
                os.mkdir("deeper")
                os.chdir("deeper")
            return 1
        """
    )

    assert ranks.run(1, process_group=False)["value"] == (1,)
    assert ranks.run(1, process_group=False)["value"] == (1,)


def test_no_launch_costs_a_descriptor(ranks):
    """After many launches neither the judge nor the zygote holds more descriptors, and no folder is left."""
    ranks.write("def solve():\n    return 1")
    ranks.run(2, process_group=False)

    def entries() -> list[int]:
        folders = [Path("/proc/self/fd"), Path(f"/proc/{ranks.zygote.pid}/fd"), ranks.zygote._scratch]
        return [len(list(folder.iterdir())) for folder in folders]

    before = entries()
    for _ in range(20):
        ranks.run(2, process_group=False)

    assert before == entries()


def test_ranks_hold_no_descriptor_of_the_supervisor(ranks):
    """A rank holds the standard streams, the descriptors that the judge gave it, and its gate."""
    ranks.write("import os\ndef solve():\n    return len(os.listdir('/proc/self/fd')) - 1")

    assert ranks.run(4, process_group=False)["value"] == (8, 8, 8, 8)


def test_processes_left_behind_are_counted_and_ended(ranks):
    """A daemon that outlives its rank is counted, and ends with the launch."""
    ranks.write(
        """
        import os, time
        def solve():
            if os.fork() == 0:
                os.setsid()
                if os.fork() == 0:
                    time.sleep(600)
                os._exit(0)
            time.sleep(0.1)
            return 1
        """
    )

    assert ranks.run(2, process_group=False).orphans == 2
    assert ranks.run(1, process_group=False).orphans == 1


def test_a_rank_that_destroyed_its_group_still_returns(ranks):
    """Ranks leave together even without their process group."""
    ranks.write(
        """
        import torch.distributed as dist
        def solve():
            dist.barrier()  # until all are connected: a rank that is not would miss one that has gone
            dist.destroy_process_group()
            return 1
        """
    )

    assert ranks.run(2)["value"] == (1, 1)


def test_spawned_processes_import_the_submission_not_the_stub(ranks):
    """An interpreter that student code starts imports the student's file, not the stub that lies with the programs."""
    ranks.write(
        """
        import multiprocessing
        def answer(queue):
            queue.put("the student's")
        def solve():
            context = multiprocessing.get_context("spawn")
            queue = context.SimpleQueue()
            process = context.Process(target=answer, args=(queue,))
            process.start()
            process.join()
            return (process.exitcode, queue.get()) if process.exitcode == 0 else process.exitcode
        """
    )
    (ranks.folder / "course/work.py").write_text("raise NotImplementedError")

    assert ranks.run(1, process_group=False)["value"] == ((0, "the student's"),)


def test_threads_left_running_do_not_hold_a_launch(ranks):
    """A launch does not wait for threads that never end."""
    ranks.write(
        "import threading, time\ndef solve():\n    threading.Thread(target=time.sleep, args=(60,)).start()\n    return 1"
    )

    assert ranks.remains(1, process_group=False).seconds < 2.0


def test_ranks_load_nothing_that_was_not_preloaded(ranks):
    """The zygote has all that torch imports lazily for the course's work; otherwise every rank would pay for it again."""
    ranks.write(
        """
        import sys, torch, torch.distributed as dist
        from torch.utils.checkpoint import checkpoint
        def solve():
            before = set(sys.modules)
            model = torch.nn.Sequential(torch.nn.Linear(8, 8), torch.nn.LayerNorm(8), torch.nn.Linear(8, 2))
            ddp = torch.nn.parallel.DistributedDataParallel(model)
            for optimizer in (torch.optim.SGD(ddp.parameters(), 0.1, momentum=0.9), torch.optim.AdamW(ddp.parameters())):
                checkpoint(ddp, torch.randn(4, 8), use_reentrant=False).square().mean().backward()
                optimizer.step()
            dist.new_group([0])
            dist.barrier()
            return sorted(set(sys.modules) - before)
        """
    )

    assert ranks.run(2)["value"] == ([], [])
