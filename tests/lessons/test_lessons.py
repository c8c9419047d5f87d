"""Every lesson: its listings run and print what it shows, its exercises, sources, links and pictures are in order."""

import re

import pytest

from tests.lessons.lesson import ROOT, Lesson, draw, read_lessons, run_listings

LONG_LINE = 12  # shorter outputs, such as a number, may well stand in a sentence
ENDS = (".", "?", "!", ":", ")", "*", "`", "✓")  # also: emphasis, a command, the end of a proof

LESSONS = {lesson.chapter: lesson for lesson in read_lessons()}


@pytest.fixture(params=LESSONS)
def lesson(request) -> Lesson:
    """Return each chapter's lesson in turn."""
    return LESSONS[request.param]


def test_every_python_block_is_a_listing(lesson):
    """Every Python block has a command in its first line, and no two have the same name."""
    names = {listing.name for listing in lesson.listings}
    assert len(names) == len(lesson.listings) == lesson.text.count("```python\n") >= 1


@pytest.mark.parametrize(
    ("chapter", "name"), [(chapter, listing.name) for chapter in LESSONS for listing in LESSONS[chapter].listings]
)
def test_a_listing_prints_what_the_lesson_shows(chapter, name):
    """All ranks end in order, and together print what the lesson shows, in the order of the ranks."""
    listing = next(listing for listing in LESSONS[chapter].listings if listing.name == name)
    ranks = run_listings(LESSONS[chapter])[name]
    errors = "\n".join(rank["errors"] for rank in ranks)
    assert [rank["exit_code"] for rank in ranks] == [0] * listing.num_ranks, errors
    assert "".join(rank["output"] for rank in ranks) == listing.output


def test_no_output_stands_in_the_prose(lesson):
    """What a program prints stands in blocks only, and every sentence of the prose comes to its end.

    Whoever writes outputs into a text with a careless replacement puts them into sentences as well.
    """
    printed = [*lesson.outputs, *(listing.output for listing in lesson.listings)]
    lines = {line.strip() for output in printed for line in output.splitlines() if len(line.strip()) >= LONG_LINE}
    assert [line for line in lines if line in lesson.prose] == []
    unfinished = [paragraph[-60:] for paragraph in lesson.paragraphs if not paragraph.endswith(ENDS)]
    assert unfinished == []


def test_the_exercises_are_those_of_the_assignment(lesson):
    """Every exercise of assignment.toml has its section, in order, with its id, points and command."""
    ids = [exercise["id"] for exercise in lesson.exercises]
    expected = [
        f"{lesson.number}.{n} · `{exercise['id']}` ({exercise['points']} points)"
        for n, exercise in enumerate(lesson.exercises, start=1)
    ]
    assert re.findall(r"^### Exercise (.*)$", lesson.text, re.MULTILINE) == expected
    run = rf"^\*Run\.\* `course check {lesson.chapter}/(\w+)`$"
    assert re.findall(run, lesson.text, re.MULTILINE) == ids


def test_no_line_of_a_solution_is_in_the_lesson(lesson):
    """No longer line of a solution region appears in the lesson."""
    for path in (ROOT / "solutions" / lesson.folder.name).glob("*.py"):
        regions = re.findall(r"### BEGIN SOLUTION\n(.*?)### END SOLUTION", path.read_text(), re.DOTALL)
        lines = {line.strip() for region in regions for line in region.splitlines()}
        assert [line for line in lines if len(line) > 40 and line in lesson.text] == []


def test_every_source_is_cited_and_every_citation_has_a_source(lesson):
    """The numbers in brackets are those of the list of sources, and each is a link to it."""
    text, sources = lesson.prose.split("\n## Sources\n")
    listed = re.findall(r"^(\d+)\. ", sources, re.MULTILINE)
    assert set(re.findall(r"\[(\d+)\]", text)) == set(listed)
    assert re.findall(r"^\[(\d+)\]: #sources$", sources, re.MULTILINE) == listed


def test_every_link_within_the_lesson_leads_somewhere(lesson):
    """A link to a section has that section; a link to a picture has that picture, and no picture is left out."""
    headings = re.findall(r"^#+ (.*)$", lesson.prose, re.MULTILINE)
    slugs = {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}
    assert set(re.findall(r"\(#([^)]*)\)", lesson.prose)) <= slugs
    assert set(re.findall(r"\]\(figures/([^)]*)\)", lesson.prose)) == set(lesson.pictures)


def test_the_pictures_are_those_that_the_script_draws(lesson, tmp_path):
    """Drawing anew gives the same files to the byte, wherever matplotlib is the one that drew them."""
    version = pytest.importorskip("matplotlib").__version__
    drawn, kept = draw(lesson, tmp_path), lesson.pictures
    assert drawn.keys() == kept.keys()
    if any(f"Matplotlib v{version}".encode() not in picture for picture in kept.values()):
        pytest.skip(f"The pictures were drawn by another matplotlib than {version}; their glyphs may differ.")
    stale = [name for name in drawn if drawn[name] != kept[name]]
    assert not stale, f"Run: python docs/figures/{lesson.chapter}.py"
