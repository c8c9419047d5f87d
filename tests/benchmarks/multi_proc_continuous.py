"""PyTorch's MultiProcContinuousTest: ranks and process group stay up for a whole test class.

The quickest of PyTorch's own test bases, and no choice for grading: what one test does to a rank, the next one finds.
Arguments: the world size, and the folder in which ranks leave their tensors.
"""

import logging
import sys
import unittest
from pathlib import Path

import torch
from reference_work import reference_work
from serving import load_results, result_file, serve
from torch import Tensor
from torch.testing._internal.common_distributed import MultiProcContinuousTest

WORLD_SIZE, FOLDER = int(sys.argv[1]), Path(sys.argv[2])


class ReferenceTest(MultiProcContinuousTest):
    """The reference test, without the process group's start: the class pays that once."""

    world_size = WORLD_SIZE

    @classmethod
    def backend_str(cls) -> str:
        """Return the backend of the class's process group."""
        return "gloo"

    def test_reference(self) -> None:
        """Every rank leaves its tensor."""
        torch.save(reference_work(), result_file(FOLDER, self.rank))


def launch(world_size: int, _folder: Path) -> list[Tensor]:
    """Run the test on the class's ranks; the first call starts them."""
    assert world_size == WORLD_SIZE, "the ranks of a class are started once"
    outcome = unittest.TestResult()
    ReferenceTest("test_reference").run(outcome)
    assert outcome.wasSuccessful(), outcome
    return load_results(FOLDER, world_size)


if __name__ == "__main__":
    logging.getLogger("torch.testing").setLevel(logging.WARNING)  # its notes would tear the progress bar apart
    serve(launch)
    ReferenceTest.tearDownClass()
