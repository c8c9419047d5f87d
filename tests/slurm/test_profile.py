"""Which profiles are understood, and what the errors say about others."""

from pathlib import Path

import pytest

from course_env.errors import UsageError
from slurm.profile import Profile, known_profiles, load_profile, parse_profile


@pytest.mark.parametrize("name", known_profiles())
def test_every_profile_of_the_course_can_be_read(name):
    """Every profile in the repository can be read."""
    assert isinstance(load_profile(name), Profile)


def test_neuron_asks_for_what_neuron_demands(monkeypatch):
    """Neuron's profile gives jobs a comment and GPUs, and names /scratch as the shared folder."""
    monkeypatch.setenv("USER", "alice")
    profile = load_profile("neuron")

    assert "pytorch" == profile.comment
    assert "gpu:4" == profile.gres
    assert Path("/scratch/alice") == profile.shared_folder


def test_a_file_is_a_profile_too(tmp_path):
    """A path that ends in .toml is read as a profile."""
    path = tmp_path / "mine.toml"
    path.write_text('partition = "gpu"\nsbatch = { constraint = "a100" }\n')

    assert Profile(partition="gpu", sbatch={"constraint": "a100"}) == load_profile(str(path))


def test_an_unknown_profile_is_answered_with_those_there_are():
    """The error lists all profiles, and names the one that was probably meant."""
    with pytest.raises(UsageError, match=r"no profile 'neurom'. Known: dev, generic, neuron. Did you mean 'neuron'\?"):
        load_profile("neurom")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("partitions = 'gpu'", r"unknown key 'partitions'.*Did you mean 'partition'\?"),
        ("minutes = 'many'", "Expected `int`, got `str`, in `minutes`"),
        ("minutes = 2", "minutes is 2, and must be at least 5"),
        ("nodes = 0", "nodes is 0"),
        ("nodes = ", "it is no TOML"),
        ("setup = 'module load cuda'", "Expected `array`, got `str`, in `setup`"),
    ],
)
def test_what_is_wrong_is_said_in_one_sentence(tmp_path, text, message):
    """The error names the file, and says what is wrong with which key."""
    path = tmp_path / "mine.toml"
    path.write_text(text)

    with pytest.raises(ValueError, match=message):
        parse_profile(text)
    with pytest.raises(UsageError, match=r"mine.toml: "):
        load_profile(str(path))
