import errno

import pytest

from ue_ray.storage import retry
from ue_ray.storage.retry import TRIES, persist


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    asked: list[float] = []
    monkeypatch.setattr(retry, "wait", asked.append)
    return asked


def failing(*errors: OSError):
    """An action that raises these in turn, then returns how often it was called."""
    left, calls = list(errors), []

    def action() -> int:
        calls.append(1)
        if left:
            raise left.pop(0)
        return len(calls)

    return action


def test_a_passing_fault_is_tried_again_after_waits_that_grow(waits: list[float]):
    faults = [
        OSError("cut"),
        OSError(errno.EIO, ""),
        TimeoutError(errno.ETIMEDOUT, ""),
        ConnectionResetError(),
        OSError(),
    ]
    assert persist(failing(*faults)) == TRIES == 6
    assert [0.5 <= wait / (0.2 * 2**n) <= 1 for n, wait in enumerate(waits)] == [True] * 5


def test_tries_end(waits: list[float]):
    with pytest.raises(OSError, match="number 5"):
        persist(failing(*(OSError(f"number {n}") for n in range(20))))
    assert len(waits) == TRIES - 1


@pytest.mark.parametrize(
    "error",
    [
        FileNotFoundError("x"),
        PermissionError("x"),
        FileExistsError("x"),
        OSError(errno.ELOOP, "x"),
        OSError(errno.EFBIG, "x"),
    ],
)
def test_a_lasting_fault_is_raised_at_once(error: OSError, waits: list[float]):
    with pytest.raises(OSError, match="x"):
        persist(failing(error))
    assert not waits
