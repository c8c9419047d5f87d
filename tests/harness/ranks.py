"""Launches of student code that a test writes itself."""

import textwrap
from dataclasses import dataclass
from pathlib import Path

from grader.harness.launcher import Remains, Zygote
from grader.harness.protocol.messages import LaunchRequest
from grader.harness.run import Run
from grader.harness.verdict import judge

PROGRAM = """
def program(student, **arguments):
    return {"value": student.solve(**arguments)}
"""


@dataclass
class Ranks:
    """Launches the test's own student file."""

    zygote: Zygote
    folder: Path

    def write(self, student: str, program: str = PROGRAM) -> None:
        """Write the student's file and the program that runs on every rank."""
        for name, text in (("submission/work.py", student), ("course/programs.py", program)):
            path = self.folder / name
            path.parent.mkdir(exist_ok=True)
            path.write_text(textwrap.dedent(text))

    def remains(self, world_size: int, *, timeout_s: float = 20.0, process_group: bool = True, **arguments) -> Remains:
        """Launch, and return what is left uninterpreted."""
        request = LaunchRequest(
            program="program",
            programs_file=str(self.folder / "course/programs.py"),
            submission_folder=str(self.folder / "submission"),
            student_file="work.py",
            symbols=("solve",),
            world_size=world_size,
            timeout_s=timeout_s,
            seed=1,
            process_group=process_group,
        )
        return self.zygote.launch(request, [arguments] * world_size)

    def run(self, world_size: int, **options) -> Run:
        """Launch, and return or raise the verdict."""
        return judge(self.remains(world_size, **options))
