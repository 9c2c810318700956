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
from ue_ray.noise.crafting.batches import Batch
from ue_ray.noise.methods import Noise, NoiseArtifact, NoiseConfig, open_noise


class DeltaServer:
    """An actor on a GPU: holds the artifact's network, and computes deltas for whoever asks."""

    def __init__(self, artifact_uri: str) -> None:
        self.compute = Compute.detect()
        self.noise = open_noise(NoiseArtifact.load(artifact_uri), self.compute)

    def delta(self, images: np.ndarray, labels: np.ndarray, sample_ids: Sequence[str]) -> np.ndarray:
        """uint8 [N,S,S,3] and the artifact's labels -> float32 [N,3,s,s]."""
        batch = Batch(
            images=self.compute.images(torch.from_numpy(images)),
            labels=torch.from_numpy(labels).to(self.compute.device),
            sample_ids=sample_ids,
            global_count=len(labels),
        )
        return self.noise.delta(batch).cpu().numpy()


def start_servers(artifact_uri: str, count: int) -> list[Any]:
    """One for each of ``count`` GPUs. One that is lost is started again, and asked again."""
    server = ray.remote(DeltaServer).options(num_cpus=0, num_gpus=1, max_restarts=-1, max_task_retries=-1)
    return [server.remote(artifact_uri) for _ in range(count)]


class ServedNoise(Noise):
    """A crafted noise whose deltas come from ``servers``."""

    def __init__(self, config: NoiseConfig, servers: Sequence[Any]) -> None:
        super().__init__(config, Compute.detect("cpu"))
        self.servers = servers

    def delta(self, batch: Batch) -> Tensor:
        images = (
            (batch.images * 255).round().to(torch.uint8).permute(0, 2, 3, 1).numpy()
        )  # as they were: bytes travel, not floats
        server = random.choice(self.servers)
        return torch.from_numpy(
            ray.get(server.delta.remote(images, batch.labels.numpy(), list(batch.sample_ids))).copy()
        )
