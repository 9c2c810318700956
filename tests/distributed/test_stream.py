"""What deals work out must not itself wait for a CPU: who takes the work may hold them all."""

import math

import numpy as np
import pytest
import ray

from ue_ray.distributed.cluster import node_shares
from ue_ray.distributed.stream import numbered

pytestmark = [pytest.mark.ray, pytest.mark.usefixtures("ray_cluster")]


class Holder:
    def holds(self) -> bool:
        return True


def test_numbers_are_dealt_out_while_every_cpu_is_taken():
    holder = ray.remote(Holder).options(num_cpus=2).remote()
    assert ray.get(holder.holds.remote())
    doubled = numbered(5).map_batches(lambda batch: {"id": 2 * batch["id"]}, batch_size=1, num_cpus=0)
    assert sorted(row["id"] for row in doubled.take_all()) == [0, 2, 4, 6, 8]
    ray.kill(holder)


def test_every_number_is_dealt_out_once_in_bounded_blocks():
    data = numbered(10, most=4).materialize()
    assert data.num_blocks() == 4
    np.testing.assert_array_equal(sorted(row["id"] for row in data.take_all()), np.arange(10))


@pytest.mark.parametrize("workers", [1, 2, 3, 4, 7])
@pytest.mark.parametrize(("node", "nodes"), [(1, 1), (2, 1), (2, 2), (4, 3), (64, 2), (64, 1)])
def test_a_node_full_of_workers_has_room_to_decode(node, nodes, workers):
    worker, decoding = node_shares(node, nodes, workers)
    assert 0 < decoding <= 1
    crowd = math.floor(node / worker)
    assert node - crowd * worker > decoding - 1e-9
    assert crowd * nodes >= workers
