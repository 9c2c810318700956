"""Where the contract tests compute: on the CPU, or where UE_RAY_TEST_DEVICE says (``make test-gpu``: cuda)."""

from __future__ import annotations

import os

from ue_ray.learning.compute import Compute

COMPUTE = Compute.detect(os.environ.get("UE_RAY_TEST_DEVICE", "cpu"))
