"""Sample-wise deltas from GPUs, for workers that have none: those read, decode, encode and write."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

import numpy as np
import ray
import torch
from torch import Tensor

from ue_ray.learning.compute import Compute
from ue_ray.noise.artifact import NoiseArtifact
from ue_ray.noise.config import NoiseConfig
from ue_ray.noise.crafted import Noise
from ue_ray.noise.methods import open_noise


class DeltaServer:
    """An actor on a GPU (``device``): holds the artifact's network, and computes deltas for whoever asks."""

    def __init__(self, artifact_uri: str, device: str = "cuda") -> None:
        self.compute = Compute.detect(device)
        self.noise = open_noise(NoiseArtifact.load(artifact_uri), self.compute)

    def delta(self, images: np.ndarray, labels: np.ndarray, sample_ids: Sequence[str]) -> np.ndarray:
        """Returns float32 [N,3,s,s] for ``images`` uint8 [N,S,S,3] and the artifact's labels."""
        seen = self.compute.images(torch.from_numpy(images))
        return self.noise.delta(seen, torch.from_numpy(labels), sample_ids).cpu().numpy()


def start_servers(artifact_uri: str, count: int) -> list[Any]:
    """One for each of ``count`` GPUs. One that is lost is started again, and asked again."""
    server = ray.remote(DeltaServer).options(num_cpus=0, num_gpus=1, max_restarts=-1, max_task_retries=-1)
    return [server.remote(artifact_uri) for _ in range(count)]


class ServedNoise(Noise):
    """A crafted noise whose deltas come from ``servers``."""

    needs_images = True

    def __init__(self, config: NoiseConfig, servers: Sequence[Any]) -> None:
        super().__init__(config, Compute.detect("cpu"))
        self.servers = servers

    def delta(self, images: Tensor | None, labels: Tensor, sample_ids: Sequence[str]) -> Tensor:
        assert images is not None
        levels = (images * 255).round().to(torch.uint8).permute(0, 2, 3, 1).numpy()  # bytes travel, not floats
        server = random.choice(self.servers)
        return torch.from_numpy(ray.get(server.delta.remote(levels, labels.numpy(), list(sample_ids))).copy())
