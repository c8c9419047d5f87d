"""Judging on a cluster: a class as job arrays, and single jobs that answer one question. All of the grader that knows Slurm."""
