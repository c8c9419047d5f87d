"""Ranks have a GPU each and communicate by NCCL, or none has one and they communicate by gloo."""

import pytest

from course_env import devices
from course_env.devices import Gpu, place_ranks, visible_gpus


def gpus(*uuids):
    """Return GPUs with these names."""
    return tuple(Gpu(uuid=uuid, handle=str(number)) for number, uuid in enumerate(uuids))


@pytest.mark.parametrize(
    ("seen", "expected"),
    [
        ([gpus("a", "b"), gpus("a", "b")], ["a", "b"]),  # two ranks of a machine with two
        ([gpus("a"), gpus("b")], ["a", "b"]),  # each task was given its own
        ([gpus("a", "b")] * 2 + [gpus("c", "d")] * 2, ["a", "b", "c", "d"]),  # two machines
        ([gpus("a", "b", "c")], ["a"]),  # more than are needed
    ],
)
def test_every_rank_has_a_gpu_of_its_own(seen, expected):
    """No two ranks share one, whichever each of them sees."""
    placement = place_ranks(seen)

    assert expected == [gpu.uuid for gpu in placement.gpus]
    assert "nccl" == placement.backend


def test_a_handle_is_that_of_the_task_that_sees_the_gpu():
    """The first GPU of either machine has number 0 there."""
    placement = place_ranks([gpus("a", "b")] * 2 + [gpus("c", "d")] * 2)

    assert ["0", "1", "0", "1"] == [gpu.handle for gpu in placement.gpus]


@pytest.mark.parametrize(
    ("seen", "text"),
    [
        ([()], "gloo on the CPU (there is no GPU)"),
        ([gpus("a")] * 2, "gloo on the CPU (2 ranks would share 1 GPU)"),
        ([gpus("a", "b")] * 3 + [gpus("c", "d")], "gloo on the CPU (4 ranks would share 4 GPUs)"),
        ([gpus("a"), ()], "gloo on the CPU (rank 1 of 2 sees no GPU)"),
    ],
)
def test_too_few_are_as_good_as_none(seen, text):
    """A process group has one backend for all its ranks, so with too few GPUs all use the CPU, and the choice says why."""
    placement = place_ranks(seen)

    assert () == placement.gpus
    assert "gloo" == placement.backend
    assert text == str(placement)


@pytest.fixture
def driver(tmp_path, monkeypatch):
    """Pretend that there is a driver; return where to write what answers for torch."""
    visible_gpus.cache_clear()
    monkeypatch.setattr(devices, "DRIVER", tmp_path)
    python = tmp_path / "python"
    monkeypatch.setattr(devices.sys, "executable", str(python))
    yield python
    visible_gpus.cache_clear()


def test_torch_says_which_gpus_there_are(driver):
    """A GPU has an identity, which is the same everywhere, and a handle, which this process uses for it."""
    driver.write_text("""#!/bin/sh\necho '[["a", "GPU-a", "V100"], ["b", "GPU-b", "V100"]]'\n""")
    driver.chmod(0o755)

    assert tuple(Gpu(uuid=uuid, handle=f"GPU-{uuid}", name="V100") for uuid in "ab") == visible_gpus()


@pytest.mark.parametrize("answer", ["exit 1", "echo nonsense", "echo '[[1]]'", None])
def test_a_torch_that_does_not_say_has_none(driver, answer):
    """Whatever is wrong with torch or its answer, there is no GPU."""
    if answer is not None:
        driver.write_text(f"#!/bin/sh\n{answer}\n")
        driver.chmod(0o755)

    assert () == visible_gpus()


def test_where_there_is_no_driver_nobody_is_asked(driver, monkeypatch):
    """Torch is not asked without a driver, because that takes as long as its import."""
    driver.write_text("""#!/bin/sh\necho '[["a", "0", "V100"]]'\n""")
    driver.chmod(0o755)
    monkeypatch.setattr(devices, "DRIVER", driver.parent / "nothing")

    assert () == visible_gpus()
