"""Launches of student code that a test writes itself."""

import textwrap
from dataclasses import dataclass
from pathlib import Path

from grader.harness.launch.remains import Remains
from grader.harness.launch.zygote_handle import ZygoteHandle
from grader.harness.protocol.messages import LaunchRequest
from grader.harness.protocol.sources import Sources
from grader.harness.run import Run
from grader.harness.verdict import verdict_on

PROGRAM = """
def program(student, **arguments):
    return {"value": student.solve(**arguments)}
"""


@dataclass
class Ranks:
    """Launches the test's own student file."""

    zygote: ZygoteHandle
    folder: Path

    def write(self, student: str, program: str = PROGRAM) -> None:
        """Write the student's file and the program that runs on every rank."""
        for name, text in (("submission/work.py", student), ("course/programs.py", program)):
            path = self.folder / name
            path.parent.mkdir(exist_ok=True)
            path.write_text(textwrap.dedent(text))

    def remains(
        self,
        world_size: int,
        *,
        timeout_s: float = 20.0,
        process_group: bool = True,
        children: bool = False,
        gpus: tuple[str, ...] = (),
        **arguments,
    ) -> Remains:
        """Launch, and return what is left uninterpreted."""
        request = LaunchRequest(
            program="program",
            programs_file="programs.py",
            student_file="work.py",
            symbols=("solve",),
            world_size=world_size,
            timeout_s=timeout_s,
            seed=1,
            process_group=process_group,
            children=children,
            gpus=gpus,
        )
        sources = Sources(submission=_files(self.folder / "submission"), course=_files(self.folder / "course"))
        return self.zygote.launch(request, sources, [arguments] * world_size)

    def run(self, world_size: int, **options) -> Run:
        """Launch, and return or raise the verdict."""
        return verdict_on(self.remains(world_size, **options))


def _files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}
