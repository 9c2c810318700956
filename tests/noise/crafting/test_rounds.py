"""The rounds of a craft run."""

import pytest

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
