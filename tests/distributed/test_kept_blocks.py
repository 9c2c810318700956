"""Blocks that are kept: decoded once, the same in each pass."""

import numpy as np
import pytest

from tests.noise.crafting.test_batches import CPU, block
from ue_ray.distributed.crafting.kept_blocks import KeptBlocks, room_for_blocks
from ue_ray.noise.crafting.batches import Windows

pytestmark = [pytest.mark.ray, pytest.mark.usefixtures("ray_cluster")]


def test_data_that_does_not_fit_is_decoded_once():
    decoded = []

    def stream():
        for first in (0, 6, 12):
            decoded.append(first)
            yield block(range(first, first + 6))

    size = block(range(6)).rows.images.nbytes
    windows = iter(Windows(KeptBlocks(stream), 4, CPU, window_bytes=2 * size))
    seen = []
    for _ in range(6):
        window = next(windows)
        seen.append([(batch.sample_ids, batch.images.clone()) for batch in window.batches(0)])
    assert decoded == [0, 6, 12]
    assert [sum(len(ids) for ids, _ in batches) for batches in seen] == [12, 6, 12, 6, 12, 6]
    for first, again in zip(seen[:2], seen[4:], strict=True):
        for (ids, images), (ids_again, images_again) in zip(first, again, strict=True):
            assert ids == ids_again
            assert np.array_equal(images, images_again)


def test_a_pass_that_was_left_is_not_taken_for_all_data():
    blocks = KeptBlocks(lambda: iter([block([0]), block([1])]))
    assert next(iter(blocks())).positions.tolist() == [0]
    for _ in range(2):
        assert [each.positions.tolist() for each in blocks()] == [[0], [1]]


def test_a_node_s_workers_share_the_room():
    assert 0 < 2 * room_for_blocks(2) <= room_for_blocks(1)
