import io
from functools import partial

import pytest

from ue_ray.distributed.console import Progress
from ue_ray.distributed.crafting.pace import Pace
from ue_ray.noise.crafting.rounds import Round


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_on_a_terminal_one_line_moves_and_the_last_stands():
    screen = Terminal()
    progress = Progress("craft", screen)
    progress.show("round 1, a long line", left=90)
    progress.show("round 2", fraction=0.5)
    progress.done("2 rounds")
    first, second, last = screen.getvalue().split("\r")[1:]
    assert first.startswith("craft: round 1, a long line, 0:00, about 1:30 left")
    assert len(second) == len(first)  # the longer line is wiped
    assert last.rstrip(" \n").startswith("craft: 2 rounds, 0:00")
    assert last.endswith("\n")


def test_elsewhere_lines_are_plain_and_few():
    log = io.StringIO()
    progress = Progress("apply", log)
    for _ in range(100):
        progress.show("the same")
    progress.done("4,000 images")
    assert log.getvalue() == "apply: 4,000 images, 0:00\n"  # nothing is said twice, nothing in the first seconds


def test_the_time_left_follows_from_the_pace_after_the_warm_up(monkeypatch):
    """A quarter took 40 s, of which 30 were the start of the workers: the rest was "2:00 left" and took 0:30."""
    monkeypatch.setattr("time.monotonic", lambda: 0.0)
    screen = Terminal()
    progress = Progress("apply", screen)
    for seconds, fraction in ((40.0, 0.25), (50.0, 0.5)):
        monkeypatch.setattr("time.monotonic", partial(float, seconds))
        progress.show("some", fraction)
    first, second = screen.getvalue().split("\r")[1:]
    assert "left" not in first
    assert second.startswith("apply: some, 0:50, about 0:20 left")


def rounds(errors, goal="error below 0.1"):
    """A round of 10 s each, after 60 s of warm-up."""
    return [Round(number, error, 50.0, 60.0 + 10 * number, goal) for number, error in enumerate(errors, 1)]


@pytest.mark.parametrize(
    ("errors", "goal", "left"),
    [
        ([0.9], "error below 0.1", None),
        ([0.8, 0.4], "error below 0.1", 20),  # it halves: two more
        ([0.8, 0.4, 0.05], "error below 0.1", 0),
        ([0.2, 0.6], "error above 0.9", 20),
        ([0.9, 0.9], "error below 0.1", 980),  # no end in sight but the bound
        ([0.9, 0.899], "error below 0.1", 980),
    ],
)
def test_a_crafting_is_expected_to_end_at_its_goal_not_at_its_bound(errors, goal, left):
    """ "At most 40:16 left" ended in 1:29."""
    pace = Pace(most=100)
    for entry in rounds(errors, goal):
        said = pace.left(entry)
    assert said == (None if left is None else pytest.approx(left))
