"""The rounds of a craft run."""

import numpy as np
import pytest
import torch

from ue_ray import craft
from ue_ray.noise.crafting import rounds


def test_a_phases_clock_starts_with_its_first_round(monkeypatch: pytest.MonkeyPatch):
    """Phases are made together; the second begins when the first has ended."""
    now = [100.0]
    monkeypatch.setattr(rounds.time, "perf_counter", lambda: now[0])
    phase = rounds.Rounds.until_below(0.1, 3, lambda entry: None, lambda number, window: (0.5, 10))
    now[0] = 700.0
    for number, _ in phase.over(iter([object(), object()])):
        now[0] += 5
        phase.add(0.5, 10)
        assert phase.rounds[-1].seconds == 5 * number
        assert phase.rounds[-1].images_per_second == 2

    resumed = rounds.Rounds.until_below(0.1, 3, lambda entry: None, lambda number, window: (0.5, 10))
    resumed.resume(list(phase.rounds), seconds=10)
    now[0] += 1
    for _ in resumed.over(iter([object()])):
        now[0] += 4
        resumed.add(0.5, 10)
    assert resumed.rounds[-1].seconds == 15, "what an earlier run took counts"


@pytest.mark.parametrize(("used", "count"), [(None, 1), (0.7, 1), (0.69, 3)])
def test_a_goal_reached_at_once_does_not_end_a_noise_that_has_hardly_moved(used, count):
    """A network knows two photos by heart after a round."""
    phase = rounds.Rounds.until_below(0.1, 3, lambda entry: None, lambda number, window: (0.0, 10))
    while not phase.finished:
        phase.add(0.0, 10, used)
    assert len(phase.rounds) == count
    assert phase.record()["used"] == used


def test_two_photos_get_a_noise_that_uses_its_budget():
    images = np.random.default_rng(0).integers(0, 256, (2, 32, 32, 3), dtype=np.uint8)
    artifact = craft(images, ["ada", "bob"], "error-minimizing", "8/255", max_rounds=40)
    assert artifact.record["used"] >= 0.7
    assert len(artifact.record["rounds"]) < 40
    assert artifact.deltas[torch.arange(2)].abs().mean() * 255 / 8 == pytest.approx(artifact.record["used"], abs=1e-3)
