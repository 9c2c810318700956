"""Shared by all tests: steady arithmetic, and one private Ray for those that need it."""

from __future__ import annotations

import logging
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from tests.outputs import make_output, make_photos
from ue_ray.storage.outputs.formats import FORMATS

torch.set_num_threads(1)  # tests are small; threads would only fight each other
os.environ.setdefault("OMP_NUM_THREADS", "1")  # in the processes that tests start, too


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if "store" in getattr(item, "fixturenames", ()):
            item.add_marker("store")


@pytest.fixture(scope="session")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The input of ``outputs``: to be read, not changed."""
    return make_photos(tmp_path_factory.mktemp("photos"))


@pytest.fixture(scope="session")
def outputs(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A committed output in each format, by its name: to be read, not changed."""
    root = tmp_path_factory.mktemp("outputs")
    for format in FORMATS:
        make_output(photos, str(root / format), format)
    return root


@pytest.fixture(scope="session")
def ray_cluster() -> Iterator[None]:
    """A local Ray of this session's own, whatever else runs on the machine."""
    import ray
    import ray.data

    place = tempfile.mkdtemp(prefix="ue-", dir="/tmp")  # short: socket paths have a limit of 107 characters
    ray.init(
        address="local",
        num_cpus=2,
        include_dashboard=False,
        _temp_dir=place,
        object_store_memory=500 << 20,
        log_to_driver=False,
        logging_level=logging.ERROR,
    )
    yield
    ray.shutdown()
    shutil.rmtree(place, ignore_errors=True)
