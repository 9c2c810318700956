"""A listing that was lost with a node is made again by Ray: it must be the one that the driver knows."""

from dataclasses import replace

import pytest

from ue_ray.distributed.survey import survey
from ue_ray.errors import UserError
from ue_ray.storage.sources import open_source

pytestmark = [pytest.mark.ray, pytest.mark.usefixtures("ray_cluster")]


def test_rows_of_an_input_that_has_changed_are_refused(photos):
    found = survey(open_source(str(photos)))
    assert found.rows().num_rows == found.summary.count
    other = replace(found, summary=replace(found.summary, fingerprint="0" * 32))
    with pytest.raises(UserError, match="the input changed"):
        other.rows()
