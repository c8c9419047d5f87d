"""How a round of jobs is made of items, written on the desk and sent, away from nodes where jobs failed at once."""

from collections.abc import Sequence
from functools import partial

from course_env.errors import ExecutorError
from grader.batch.batch import Batch
from grader.cluster.desk import BatchPlan, Desk
from grader.cluster.job import run_pack
from grader.cluster.packing import Item, JobId, Pack, estimates, pack
from grader.cluster.site import Site
from grader.harness.protocol.files import make_key


class Sender:
    """Sends the rounds of one batch."""

    def __init__(self, site: Site, desk: Desk, plan: BatchPlan, batch: Batch) -> None:
        self._site = site
        self._desk = desk
        self._plan = plan
        self._seconds = estimates(batch)
        self._avoided_nodes: set[str] = set()

    def avoid(self, node: str) -> None:
        """Send no more jobs to a node, as long as others will do."""
        self._avoided_nodes.add(node)

    def write_down(self, round_number: int, items: Sequence[Item]) -> tuple[Pack, ...]:
        """Pack the items into jobs, and put on the desk what these will read; return the packs."""
        begun = frozenset(item for item in items if self._desk.times_begun(item))
        packs = pack(items, self._seconds, max_jobs=self._site.max_jobs, length=self._site.job_length, alone=begun)
        self._desk.add_round(round_number, packs)
        if self._plan.spread:
            for index in range(len(packs)):
                make_key(self._desk.crew(JobId(round_number, index)))
        return packs

    def submit(self, round_number: int, num_jobs: int) -> None:
        """Send a round that was written down.

        Raises: ExecutorError if the cluster does not take it.
        """
        folder, token = str(self._desk.folder), self._plan.token
        calls = [partial(run_pack, folder, token, JobId(round_number, index)) for index in range(num_jobs)]
        executor, name = self._site.executor, self._plan.jobs_of(round_number)
        if self._avoided_nodes:
            try:
                executor.submit(name, calls, at_once=self._site.max_jobs, avoid=self._avoided_nodes)
            except ExecutorError:  # perhaps no other node is left
                self._avoided_nodes.clear()
            else:
                return
        executor.submit(name, calls, at_once=self._site.max_jobs)
