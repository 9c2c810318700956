from threading import Event

import numpy as np
import pytest
import torch

from tests.digits import digit_blocks
from ue_ray.errors import UserError
from ue_ray.images.labelled import LabelledImages
from ue_ray.learning.compute import Compute
from ue_ray.noise.crafting import filling
from ue_ray.noise.crafting.batches import Windows, step_seed
from ue_ray.noise.crafting.filling import Room
from ue_ray.storage.inputs.blocks import Block

CPU = Compute.detect("cpu")


def block(positions):
    positions = np.array(positions, np.int64)
    images = np.broadcast_to(positions.astype(np.uint8)[:, None, None, None], (len(positions), 4, 4, 3)).copy()
    return Block(positions, LabelledImages(images, positions % 3, [f"id{position}" for position in positions]))


def window_of(*blocks):
    return next(iter(Windows(lambda: blocks, 4, CPU)))


def test_a_pass_has_every_row_once_in_a_seeded_order():
    window = window_of(block(range(10, 20)), block(range(5)))
    batches = list(window.batches(7))
    assert [len(batch.labels) for batch in batches] == [4, 4, 4, 3] == [batch.global_count for batch in batches]
    ids = [sample_id for batch in batches for sample_id in batch.sample_ids]
    assert sorted(ids) == sorted(f"id{position}" for position in [*range(5), *range(10, 20)])
    for batch in batches:  # each row kept its own image and label
        positions = [int(sample_id[2:]) for sample_id in batch.sample_ids]
        assert batch.labels.tolist() == [position % 3 for position in positions]
        torch.testing.assert_close(batch.images[:, 0, 0, 0] * 255, torch.tensor(positions, dtype=torch.float32))
    again = [sample_id for batch in window.batches(7) for sample_id in batch.sample_ids]
    other = [sample_id for batch in window.batches(8) for sample_id in batch.sample_ids]
    assert again == ids != other


def test_the_order_does_not_depend_on_how_the_rows_arrived():
    one = window_of(block(range(9)))
    two = window_of(block([5, 3, 8]), block([0, 1, 2]), block([7, 6, 4]))
    for left, right in zip(one.batches(3), two.batches(3), strict=True):
        assert left.sample_ids == right.sample_ids
        assert torch.equal(left.images, right.images)


def test_data_that_fits_is_decoded_once():
    passes = []

    def blocks():
        passes.append(1)
        return iter([block(range(6))])

    windows = iter(Windows(blocks, 4, CPU))
    first = next(windows)
    assert first.whole
    assert next(windows) is next(windows) is first
    assert len(passes) == 1


def test_the_next_phase_of_a_method_gets_the_same_window():
    passes = []
    windows = Windows(lambda: passes.append(1) or [block(range(6))], 4, CPU)
    assert next(iter(windows)) is next(iter(windows))
    assert len(passes) == 1


@pytest.mark.parametrize("rows", [None, 12])
def test_data_that_just_fits_is_whole(rows):
    size = block(range(6)).rows.images.nbytes
    window = next(iter(Windows(lambda: [block(range(6)), block(range(6, 12))], 4, CPU, rows, window_bytes=2 * size)))
    assert window.whole
    assert len(window) == len(window.images) == 12


def test_a_window_is_filled_in_place_and_only_as_large_as_the_data():
    room = Room(CPU.device, nbytes=1 << 20, rows=10)
    assert room.add(block(range(6)))
    memory = room.images.data_ptr()
    assert not room.add(block(range(6, 12))), "more than the rows that there are said to be"
    assert room.add(block(range(6, 10)))
    assert room.images.data_ptr() == memory
    assert room.images.untyped_storage().nbytes() == 10 * 4 * 4 * 3
    room.clear()
    assert room.add(block(range(3)))
    assert room.images.data_ptr() == memory
    assert room.positions.tolist() == [0, 1, 2]


def test_the_next_window_is_filled_while_one_is_used():
    size = block(range(6)).rows.images.nbytes
    given, asked = [], Event()

    def blocks():
        for first in range(0, 24, 6):
            given.append(first)
            if first == 12:
                asked.set()
            yield block(range(first, first + 6))

    windows = iter(Windows(blocks, 4, CPU, window_bytes=size))
    first = next(windows)
    assert asked.wait(10), "the third block is looked at, to know that the second window ends"
    assert given[:3] == [0, 6, 12]
    ids = [sample_id for batch in first.batches(0) for sample_id in batch.sample_ids]
    assert sorted(ids) == sorted(f"id{row}" for row in range(6)), "nothing of the window in use is touched"
    for batch in first.batches(0):
        assert (255 * batch.images[:, 0, 0, 0]).round().int().tolist() == [int(name[2:]) for name in batch.sample_ids]


def test_a_failure_to_read_the_next_window_is_raised_where_it_is_asked_for():
    def blocks():
        yield from (block(range(6)), block(range(6, 12)))
        raise OSError("gone")

    windows = iter(Windows(blocks, 4, CPU, window_bytes=1))
    next(windows)
    with pytest.raises(OSError, match="gone"):
        next(windows)


@pytest.mark.parametrize(("free", "expected"), [(100, 64 << 20), (8 << 30, 1 << 30), (1 << 40, 4 << 30)])
def test_a_window_is_a_share_of_the_free_memory_within_bounds(free, expected, monkeypatch):
    monkeypatch.setattr(filling, "free_memory", lambda: 2 * free)
    assert filling.window_bytes(CPU.device, workers=2) == expected


def test_data_that_does_not_fit_comes_in_windows_again_and_again():
    size = block(range(6)).rows.images.nbytes
    windows = iter(Windows(lambda: iter([block(range(i, i + 6)) for i in (0, 6, 12)]), 4, CPU, window_bytes=2 * size))
    seen = [next(windows) for _ in range(4)]
    assert [len(window) for window in seen] == [12, 6, 12, 6]
    assert not any(window.whole for window in seen)
    assert seen[0].positions.tolist() == seen[2].positions.tolist() == list(range(12))


def test_no_decodable_image_is_the_users_mistake():
    with pytest.raises(UserError, match="nothing to craft"):
        next(iter(Windows(lambda: iter([]), 4, CPU)))


def test_step_seeds_differ():
    counters = [(0, 1), (0, 2), (1, 1), (0, 1, 1), (0, 0, 1), (0, 3), (0, 3, 0), (0, 3, 0, 0), (0,), (0, 0)]
    seeds = {step_seed(*each) for each in counters}
    assert len(seeds) == len(counters)


def test_digits_arrive_as_blocks():
    blocks = list(digit_blocks(per_class=2)())
    assert sum(len(block.rows.labels) for block in blocks) == 20
    assert blocks[0].rows.images.shape[1:] == (16, 16, 3)
