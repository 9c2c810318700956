"""A listing that was lost with a node is made again by Ray: it must be the one that the driver knows."""

from dataclasses import replace

import pytest
import ray

from ue_ray.distributed.survey import craft_blocks, survey
from ue_ray.errors import UserError
from ue_ray.storage.inputs.open_source import open_source

pytestmark = [pytest.mark.ray, pytest.mark.usefixtures("ray_cluster")]


class Holder:
    def holds(self) -> bool:
        return True


def test_an_input_is_listed_while_every_cpu_is_taken(photos):
    """As by those who wait for a listing that was lost with a node: a run hung there."""
    holder = ray.remote(Holder).options(num_cpus=2).remote()
    assert ray.get(holder.holds.remote())
    found = survey(open_source(str(photos)))
    assert ray.get(craft_blocks(found, 1.0, 0)[2])
    ray.kill(holder)


def test_rows_of_an_input_that_has_changed_are_refused(photos):
    found = survey(open_source(str(photos)))
    assert found.rows().num_rows == found.summary.count
    other = replace(found, summary=replace(found.summary, fingerprint="0" * 32))
    with pytest.raises(UserError, match="the input changed"):
        other.rows()
