"""Whether GPUs are used, and whether torch can use them."""

from __future__ import annotations

import ray

from ue_ray.distributed import cluster
from ue_ray.errors import UserError
from ue_ray.learning.compute import check_gpu


def use_gpu(choice: str, workers: int, flag: str = "") -> bool:
    """Returns whether ``workers`` take a GPU each, by the ``choice`` of ``--use-gpu``: auto, yes or no.

    ``flag``: the option that says how many workers. Raises UserError where GPUs are too few, except for ``yes`` on a
    cluster, where there may be more to come.
    """
    available = cluster.gpus()
    if choice == "no" or (choice == "auto" and not available):
        return False
    if available < workers and not (choice == "yes" and cluster.joined()):
        fewer = f"give {flag} {available:g}, or --use-gpu no" if available else "give --use-gpu no"
        asked = f"{flag} {workers}" if flag else "--use-gpu yes"
        raise UserError(f"{available:g} GPUs for {asked}: {fewer}")
    return True


def wait_for_gpus(count: int) -> None:
    """Returns when there are ``count`` GPUs that torch can use; says that it waits. Raises UserError for one that it
    cannot use, RunError where they do not come (``cluster.wait_for_room``)."""
    cluster.wait_for_room(count, {"GPU": 1}, "a GPU" if count == 1 else f"{count} GPUs")
    check = ray.remote(num_cpus=0, num_gpus=1, scheduling_strategy="SPREAD")(check_gpu)
    ray.get([check.options(name="check a GPU").remote() for _ in range(count)])  # all at once: each takes another
