"""Flags are the options of a command, and nothing else. No Ray is started, and no torch loaded."""

import pytest

from ue_ray.cli.flags import parse
from ue_ray.cli.protect import command
from ue_ray.cli.reproduce import command as reproduce
from ue_ray.errors import UserError, command_line, flag, option_names
from ue_ray.noise.methods import METHODS
from ue_ray.protection.options import noise_option_names

NEEDED = ["--input", "a", "--output", "b"]


def test_every_flag_is_an_option_and_every_option_a_flag(capsys):
    names = [name for section in command().sections.values() for name in option_names(section)]
    assert len(names) == len(set(names))
    assert set(noise_option_names()) < set(names)
    with pytest.raises(SystemExit):
        parse(command(), ["--help"], "ue-ray protect", "")
    said = capsys.readouterr().out
    assert all(f"\n  {flag(name)}" in said for name in names)


def test_the_options_of_a_method_are_known_before_it_is_loaded():
    assert METHODS.options() == {name: method.Options for name, method in METHODS.items()}


def test_only_what_is_given_is_passed_on():
    arguments = [*NEEDED, "--keep-metadata", "--views", "none", "--num_workers=1", "--seed", "-1"]
    given = parse(command(), [*arguments, "--data-fraction", "1"], "ue-ray protect", "")
    assert given == {
        "input": "a", "output": "b", "keep_metadata": True, "views": "none", "num_workers": 1, "seed": -1,
        "data_fraction": 1.0,
    }  # fmt: skip
    given = parse(reproduce(), ["--experiment", "a", "--output", "b", "--epsilon", "0.03"], "ue-ray reproduce", "")
    assert given["epsilon"] == "0.03"


def test_a_command_line_is_what_a_person_types():
    options = {"output": "a b", "classes": ["ada", "bob"], "per_class": 5, "follow_links": True}
    assert command_line("verify", options) == (
        "ue-ray verify --output 'a b' --classes ada,bob --per-class 5 --follow-links"
    )


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ("--num-workers two", "--num-workers is 'two': expected a whole number"),
        ("--min-workers 1.5", "--min-workers is '1.5': expected a whole number"),
        ("--num-workers=", "--num-workers is '': expected a whole number"),
        ("--data-fraction half", "--data-fraction is 'half': expected a number"),
        ("--mode again", "unknown mode 'again': choose one of refuse, resume, overwrite"),
        ("--num-workers", "--num-workers: expected one argument (ue-ray protect --help lists what there is)"),
        ("--epsilon -8/255", "--epsilon: expected one argument (ue-ray protect --help lists what there is)"),
        ("photos", "unrecognized arguments: photos (ue-ray protect --help lists what there is)"),
        ("--compile=yes", "--compile takes no value"),
    ],
)
def test_a_value_that_cannot_be_is_one_line(arguments, said, capsys):
    with pytest.raises(UserError) as raised:
        parse(command(), [*NEEDED, *arguments.split()], "ue-ray protect", "")
    assert str(raised.value) == said
    assert capsys.readouterr() == ("", "")
