"""The development cluster's `sacct`."""

from slurm.dev_cluster.sacct import jobs_asked_for, rows


def test_the_jobs_asked_for():
    """Every -j counts, each job once; an array task stands for its array."""
    asked = ["-o", "JobID,State,NodeList", "--parsable2", "-j", "7", "-j", "8_1", "-j", "8_2,9"]

    assert ["7", "8", "9"] == jobs_asked_for(asked)


def test_a_row_for_each_kind_of_job():
    """Plain jobs, array tasks and tasks that have not begun are named as sacct names them."""
    shown = """\
JobId=7 JobName=a b=c JobState=COMPLETED Reason=None NodeList=node[0-1] BatchHost=node0
JobId=9 ArrayJobId=8 ArrayTaskId=0 JobState=RUNNING NodeList=node0
JobId=8 ArrayJobId=8 ArrayTaskId=1-3%1 JobState=PENDING NodeList=
JobId=10 ArrayJobId=10 ArrayTaskId=2,5 JobState=PENDING NodeList=
slurm_load_jobs error: Invalid job id specified
"""

    assert [
        "7|COMPLETED|node[0-1]",
        "8_0|RUNNING|node0",
        "8_[1-3%1]|PENDING|",
        "10_[2,5]|PENDING|",
    ] == list(rows(shown))
