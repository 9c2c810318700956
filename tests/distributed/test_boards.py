"""Neither waits for a while: the block ends when what it waits for was shown."""

import threading

from ue_ray.distributed import boards
from ue_ray.distributed.boards import Epochs, Reached, watching


def test_each_new_value_is_shown_once_and_no_empty_one(monkeypatch):
    monkeypatch.setattr(boards, "INTERVAL", 0.001)
    values = iter([0, 0, 1, 1, 3])
    shown, last = [], threading.Event()

    def show(value):
        shown.append(value)
        if value == 4:
            last.set()

    with watching(lambda: next(values, 4), show):
        assert last.wait(60)
    assert shown == [1, 3, 4]


def test_a_victim_that_starts_again_says_nothing_new_before_it_is_where_it_was():
    epochs = Epochs()
    for victim, epoch, accuracy in (("a", 1, 0.1), ("a", 2, 0.2), ("b", 1, 0.3), ("a", 1, 0.9)):
        epochs.reached(victim, epoch, accuracy)
    assert epochs.victims() == {"a": Reached(2, 0.2), "b": Reached(1, 0.3)}
