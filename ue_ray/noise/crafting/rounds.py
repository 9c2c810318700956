"""The rounds of a craft run: what each reached, when to stop, what is recorded."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from ue_ray.noise.crafting.batches import Window, Windows


@dataclass(frozen=True)
class Round:
    """One round of crafting, as it is shown and recorded; ``error`` is the share misclassified, in [0, 1].

    ``used``: the mean share of the budget that the deltas take, in [0, 1]; None where that decides nothing.
    """

    round: int
    error: float
    images_per_second: float
    seconds: float
    goal: str
    used: float | None = None


Report = Callable[[Round], None]
Run = Callable[[int, Window], tuple[float, int] | tuple[float, int, float]]


LEAST_USED = 0.7  # of the budget; a surrogate knows a few images by heart at once, and the noise has hardly moved


class Rounds:
    """At most ``most`` rounds, until ``met`` says that a round's error has reached the goal, and the budget is used.

    ``run`` does one: it takes the round's number (from 1) and its window, and returns the error it reached, in [0, 1],
    how many images passed through the network and, where it matters, the share of the budget that is used. ``name``
    tells the rounds from those of the method's other phases.
    """

    def __init__(
        self,
        goal: str,
        met: Callable[[float], bool],
        most: int,
        report: Report,
        run: Run,
        name: str = "",
    ) -> None:
        self.goal = goal
        self.met = met
        self.most = most
        self.report = report
        self.run = run
        self.name = name
        self.rounds: list[Round] = []
        self.started = self._round_started = time.perf_counter()

    @staticmethod
    def until_below(error: float, most: int, report: Report, run: Run, name: str = "") -> Rounds:
        """Algorithm 1's: until the error rate is below lambda."""
        return Rounds(f"error below {error:g}", lambda reached: reached < error, most, report, run, name)

    def over(self, windows: Windows) -> Iterator[tuple[int, Window]]:
        """The rounds that are still to come, each with its number (from 1) and its window."""
        self._round_started = time.perf_counter()
        if not self.rounds:  # a phase begins here, not where it was made
            self.started = self._round_started
        if self.finished:
            return
        for window in windows:
            yield len(self.rounds) + 1, window
            if self.finished:
                return

    @property
    def finished(self) -> bool:
        return self._met or len(self.rounds) >= self.most

    def add(self, error: float, images: int, used: float | None = None) -> None:
        """Record a round over so many ``images``."""
        now = time.perf_counter()
        rate = images / (now - self._round_started)
        self._round_started = now
        self.rounds.append(Round(len(self.rounds) + 1, error, rate, self.elapsed(), self.goal, used))
        self.report(self.rounds[-1])

    def elapsed(self) -> float:
        """Seconds since the start, those before an interruption included."""
        return time.perf_counter() - self.started

    def resume(self, rounds: list[Round], seconds: float) -> None:
        """Take up where another run of the same rounds was."""
        self.rounds = rounds
        self.started = time.perf_counter() - seconds

    def record(self) -> dict[str, Any]:
        """For the artifact's card. A run that stopped at the bound says so."""
        return {
            "goal": self.goal,
            "stopped_by": self.goal if self._met else "round limit",
            "error": self.rounds[-1].error if self.rounds else None,
            "used": self.rounds[-1].used if self.rounds else None,
            "seconds": self.elapsed(),
            "rounds": [asdict(entry) for entry in self.rounds],
        }

    @property
    def _met(self) -> bool:
        last = self.rounds[-1] if self.rounds else None
        return last is not None and self.met(last.error) and (last.used is None or last.used >= LEAST_USED)


def records(phases: Sequence[Rounds]) -> dict[str, Any]:
    """Returns what the artifact's card says of the rounds: the last phase's record, named ones beside it."""
    if not phases:
        nothing = "nothing to optimise"
        return {"goal": nothing, "stopped_by": nothing, "error": None, "rounds": []}
    return {phase.name: phase.record() for phase in phases if phase.name} | phases[-1].record()
