"""The desk keeps the first verdict on an item, and ignores what no job has written."""

import threading

import pytest

from grader.batch.batch import plan_batch
from grader.batch.grading import grade_chapter
from grader.batch.intake.find import Submission
from grader.cluster.desk import BatchPlan, Begun, Desk, Handed, Loss, Verdict
from grader.cluster.packing import Item, JobId
from grader.harness.protocol.wall import Wall

CHAPTER = "ch01_arithmetic"
ITEM = Item("ann", CHAPTER)
OTHER = Item("ben", CHAPTER)


@pytest.fixture
def plan(root):
    """Return the plan of a batch of two."""
    return BatchPlan(
        token="t",
        sent_to="here",
        root=str(root),
        chapters=(CHAPTER,),
        digests={},
        seed=1,
        wall=Wall.NONE,
        spread=False,
        all_tests=False,
        judges_per_job=1,
        submissions={name: Handed(path=f"/{name}", digest="d") for name in ("ann", "ben")},
    )


@pytest.fixture
def desk(plan, tmp_path):
    """Return a desk on which nothing has happened."""
    made = Desk(tmp_path / "jobs")
    made.lay_out(plan)
    return made


@pytest.fixture
def result(course, submit, tmp_path):
    """Return the result of a submission of which there is nothing to judge."""
    folder = submit("ann", {"note.txt": "nothing"})
    batch = plan_batch(course, course.chapters[:1], seed=1, wall=Wall.NONE, out=tmp_path / "out")
    return grade_chapter(Submission(name="ann", student="ann", path=folder), batch.chapters[0], batch)


@pytest.fixture
def verdict(result):
    """Make verdicts."""

    def make(item=ITEM, job="1", token="t"):
        return Verdict(item=item, token=token, job=job, node="n0", seconds=1.0, result=result)

    return make


def path_of(desk, item):
    """Return where a verdict lies."""
    return desk.folder / "items" / item.submission / item.chapter / "verdict"


def test_the_first_verdict_stays(desk, verdict):
    """A second verdict, as a requeued job writes, changes nothing."""
    assert desk.deliver(verdict(job="1"))
    assert not desk.deliver(verdict(job="2"))

    assert verdict(job="1") == desk.verdict(ITEM, "t")
    assert [path_of(desk, ITEM)] == list(path_of(desk, ITEM).parent.iterdir())


@pytest.mark.parametrize(
    "what", ["empty", "truncated", "changed", "without a code", "another item's", "another batch's"]
)
def test_what_no_job_has_written_is_no_verdict_and_gives_way(desk, verdict, what):
    """A file without a valid code is ignored, and a job's verdict replaces it."""
    desk.deliver(verdict(item=OTHER))
    true = path_of(desk, OTHER).read_bytes()
    forged = {
        "empty": b"",
        "truncated": true[:-5],
        "changed": true.replace(b'"job":"1"', b'"job":"9"'),
        "without a code": true.partition(b"\n")[2],
        "another item's": true,
        "another batch's": true,
    }[what]
    item, token = (OTHER, "u") if what == "another batch's" else (ITEM, "t")
    path_of(desk, item).parent.mkdir(parents=True, exist_ok=True)
    path_of(desk, item).write_bytes(forged)

    assert desk.verdict(item, token) is None
    assert desk.deliver(verdict(item=item, token=token))
    assert verdict(item=item, token=token) == desk.verdict(item, token)


def test_of_jobs_at_the_same_moment_one_delivers(desk, verdict):
    """Of eight jobs that deliver at once exactly one succeeds, and its verdict is there whole."""
    for number in range(30):
        item = Item(f"student{number}", CHAPTER)
        start = threading.Barrier(8)
        delivered = []

        def deliver(job, start=start, item=item, delivered=delivered):
            start.wait()
            if desk.deliver(verdict(item=item, job=str(job))):
                delivered.append(str(job))

        threads = [threading.Thread(target=deliver, args=(job,)) for job in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

        assert [desk.verdict(item, "t").job] == delivered


def test_the_key_is_for_its_owner_only(desk):
    """Only the owner can read the key, because whoever has it can write verdicts."""
    assert 0o600 == (desk.folder / "key").stat().st_mode & 0o777


def test_who_began_is_counted_until_it_is_forgiven(desk):
    """Each item counts how often jobs began with it, until that is forgiven."""
    for job in ("1", "2"):
        desk.begin(ITEM, Begun(job=job, node="n0"))

    assert (2, 0) == (desk.times_begun(ITEM), desk.times_begun(OTHER))
    desk.forgive([ITEM])
    assert 0 == desk.times_begun(ITEM)


def test_rounds_and_losses_are_read_in_their_order(desk):
    """Rounds and losses come back in the order in which they were written."""
    desk.add_round(0, [(ITEM, OTHER)])
    desk.add_round(1, [(OTHER,)])
    losses = [Loss(item=OTHER, round=number, job="1", state="TIMEOUT") for number in range(3)]
    desk.add_losses(losses[:1])
    desk.add_losses(losses[1:])

    assert [((ITEM, OTHER),), ((OTHER,),)] == desk.rounds()
    assert losses == desk.losses()


def test_a_job_finds_its_pack_once_all_that_it_needs_is_there(desk, plan):
    """A job gets no pack before it sees its own plan, round and key, which may appear in any order."""
    desk.add_round(0, [(ITEM,), (OTHER,)])
    assert (plan, (OTHER,)) == desk.pack_of("t", JobId(0, 1))

    assert desk.pack_of("another token", JobId(0, 1)) is None
    assert desk.pack_of("t", JobId(1, 0)) is None
    for name in ("plan.json", "key", "rounds/0.json"):
        path = desk.folder / name
        content = path.read_bytes()
        path.write_bytes(content[:5])
        assert desk.pack_of("t", JobId(0, 1)) is None
        path.unlink()
        assert desk.pack_of("t", JobId(0, 1)) is None
        path.write_bytes(content)


def test_a_plan_that_cannot_be_read_is_none(desk, plan):
    """A torn plan, a missing one, and one of an earlier version are all none, so that a new batch is planned."""
    path = desk.folder / "plan.json"
    assert plan == desk.read_plan()
    path.write_bytes(path.read_bytes().replace(b'"sent_to"', b'"place"').replace(b'"judges_per_job"', b'"judges"'))
    assert desk.read_plan() is None
    path.write_bytes(b'{"token":')
    assert desk.read_plan() is None
    assert Desk(desk.folder / "nowhere").read_plan() is None
