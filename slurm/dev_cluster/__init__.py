"""A real Slurm of several nodes on one machine: for the tests, and for anyone who wants to learn Slurm on a laptop.

`python -m slurm.dev_cluster up | status | run | down`. The nodes are namespaces, each with its own
host name, address and `slurmd`, on a network that exists only inside. Slurm is made to believe in more CPUs than there are,
and in GPUs that do not exist. Neither root nor systemd is needed, and all files lie in one folder.
"""
