"""When a crafting is likely to end."""

from __future__ import annotations

import math

from ue_ray.noise.crafting.rounds import Round


class Pace:
    """Reads rounds as they end, and estimates the time to the goal.

    The pace is that since the first round, which alone pays for the warm-up. The error is taken to go on towards the
    goal by the same factor a round as since then; to the bound of ``most`` rounds where that comes first.
    """

    def __init__(self, most: int) -> None:
        self.most = most
        self._first: Round | None = None

    def left(self, entry: Round) -> float | None:
        """Returns the seconds that are left after ``entry``; None where there is no telling yet."""
        first = self._first
        if first is None or first.goal != entry.goal:  # another phase has another goal
            self._first = entry
            return None
        rounds = entry.round - first.round
        if rounds <= 0:
            return None
        steps = min(self.most - entry.round, _rounds_to_goal(first, entry))
        return max(0.0, steps) * (entry.seconds - first.seconds) / rounds


def _rounds_to_goal(first: Round, entry: Round) -> float:
    """Returns how many rounds are missing after ``entry``; infinity where the error does not move to its goal."""
    _, side, bound = entry.goal.split()  # "error below 0.1"
    far = [_distance(value, side) for value in (first.error, entry.error, float(bound))]
    if far[1] <= far[2]:
        return 0.0
    fall = math.log(far[0] / far[1]) / (entry.round - first.round)
    return math.log(far[1] / far[2]) / fall if fall > 0 else math.inf


def _distance(error: float, side: str) -> float:
    return max(1e-6, error if side == "below" else 1 - error)
