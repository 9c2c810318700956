"""The flags of ``ue-ray protect`` are its options, and nothing else. No Ray is started."""

from dataclasses import fields

import pytest

from ue_ray.cli.flags import flags, parse
from ue_ray.cli.protect import command
from ue_ray.errors import option_names
from ue_ray.protection.options import InputOptions, WorkerOptions, noise_option_names

pytestmark = pytest.mark.ray  # not started, but imported


def test_every_flag_is_an_option_and_every_option_a_flag():
    sections = list(command().sections.values())
    names = [name for section in sections for name in option_names(section)]
    assert len(names) == len(set(names))
    assert set(noise_option_names()) < set(names)
    for section in (InputOptions, WorkerOptions):
        made = flags(section)
        assert [entry.name for entry in fields(made)] == option_names(section)
        assert all(getattr(made(), name) in (None, False) for name in option_names(section))


def test_only_what_is_given_is_passed_on():
    arguments = ["--input", "a", "--output", "b", "--keep-metadata", "--views", "none", "--num-workers", "1"]
    given = parse(command(), arguments, "ue-ray protect", "")
    assert given == {"input": "a", "output": "b", "keep_metadata": True, "views": "none", "num_workers": 1}
