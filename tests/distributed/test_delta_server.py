"""Deltas computed elsewhere are those that would have been computed here."""

import numpy as np
import pytest
import ray
import torch

from tests.device import COMPUTE
from tests.digits import digit_blocks
from tests.noise.test_contract import batch_of, config_for, craft
from ue_ray.distributed.applying.delta_server import DeltaServer, ServedNoise
from ue_ray.noise.budget import Budget
from ue_ray.noise.methods import METHODS, open_noise

pytestmark = [pytest.mark.ray, pytest.mark.usefixtures("ray_cluster")]


def test_served_deltas_are_the_same_bits(tmp_path):
    blocks = digit_blocks(per_class=2, side=16)
    config = config_for("error-minimizing", "sample-wise", "online", Budget(8 / 255))
    artifact = craft(config, blocks)
    artifact.save(str(tmp_path))
    server = ray.remote(DeltaServer).options(num_cpus=0).remote(str(tmp_path), "cpu")
    (block,) = blocks()
    rows = block.rows
    batch = batch_of(rows.images, rows.labels, rows.sample_ids)
    images = list(rows.images)
    here, there = open_noise(artifact, COMPUTE), ServedNoise(config, [server])
    assert torch.equal(there.perturb(*batch), here.perturb(*batch))
    assert all(map(np.array_equal, *(noise.protect(images, rows.labels, rows.sample_ids) for noise in (there, here))))


@pytest.mark.parametrize(
    ("case", "expected"),
    [
        (("error-minimizing", "sample-wise", "online"), True),
        (("error-maximizing", "sample-wise", "online"), True),
        (("error-minimizing", "sample-wise", "alternating"), False),
        (("error-minimizing", "class-wise", "online"), False),
        (("random", "sample-wise", "online"), False),
    ],
)
def test_a_gpu_is_asked_for_where_a_network_computes_the_delta(case, expected):
    config = config_for(*case, Budget(8 / 255))
    assert METHODS[config.method].computes_deltas(config) is expected
