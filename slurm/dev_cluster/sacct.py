"""A `sacct` that asks the controller, for a cluster without accounting.

submitit polls `sacct -o JobID,State,NodeList --parsable2 -j ID ...`; without an answer it waits for ever for a job that
was killed. `dev_cluster` puts this program first in PATH under that name.
"""

import subprocess
import sys
from collections.abc import Iterator, Sequence
from itertools import pairwise

HEADER = "JobID|State|NodeList"


def jobs_asked_for(arguments: Sequence[str]) -> list[str]:
    """Return the job ids after each `-j`, without the number of an array task."""
    lists = [value for option, value in pairwise(arguments) if option == "-j"]
    ids = [job.strip().split("_")[0].split(".")[0] for value in lists for job in value.split(",")]
    return list(dict.fromkeys(ids))


def rows(output: str) -> Iterator[str]:
    """Yield a row for each job in the output of `scontrol --oneliner show job`."""
    for line in output.splitlines():
        fields = dict(word.partition("=")[::2] for word in line.split())
        if "JobId" not in fields:
            continue
        task = fields.get("ArrayTaskId", "")
        pending = any(sign in task for sign in "-,%")  # all tasks of an array that have not begun share a record
        name = f"{fields['ArrayJobId']}_{f'[{task}]' if pending else task}" if task else fields["JobId"]
        yield f"{name}|{fields['JobState']}|{fields.get('NodeList', '')}"


def main() -> None:
    """Print the rows of the jobs asked for, like `sacct --parsable2`."""
    print(HEADER)
    for job in jobs_asked_for(sys.argv[1:]):
        done = subprocess.run(
            ["scontrol", "--oneliner", "show", "job", job], capture_output=True, text=True, check=False
        )
        for row in rows(done.stdout):
            print(row)


if __name__ == "__main__":
    main()
