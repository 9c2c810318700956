"""Algorithm 1's ``Next(x, y)``."""

from __future__ import annotations

from collections.abc import Iterator

from ue_ray.noise.crafting.batches import Batch, Window, step_seed


class NextBatch:
    """Batch after batch of the window, reshuffled when it is through, for ever."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.passes = 0
        self.taken = 0  # of this pass
        self.window: Window | None = None
        self.batches: Iterator[Batch] = iter(())

    def __call__(self, window: Window) -> Batch:
        if window is not self.window:
            resumed = self.window is None and self.passes > 0
            self._start(window, self.passes if resumed else self.passes + 1, self.taken if resumed else 0)
        batch = next(self.batches, None)
        if batch is None:
            self._start(window, self.passes + 1, 0)
            batch = next(self.batches)
        self.taken += 1
        return batch

    def position(self) -> tuple[int, int]:
        """(pass, batches taken of it): what ``resume`` takes."""
        return self.passes, self.taken

    def resume(self, passes: int, taken: int) -> None:
        """Go on after ``taken`` batches of pass ``passes`` of the first window."""
        self.passes, self.taken = passes, taken

    def _start(self, window: Window, passes: int, taken: int) -> None:
        self.window, self.passes, self.taken = window, passes, taken
        self.batches = window.batches(step_seed(self.seed, 0, passes), skip=taken)
