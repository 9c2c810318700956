"""What victims ask for, and what follows when a GPU's memory is too small. No Ray is started."""

import pytest
import torch

from ue_ray.distributed.victims import train_victims
from ue_ray.distributed.victims.hardware import Hardware, gpu_share
from ue_ray.evaluation.runs import VictimRun
from ue_ray.evaluation.training import TrainingPlan

pytestmark = pytest.mark.ray  # not started, but imported


@pytest.fixture
def node(monkeypatch):
    monkeypatch.setattr("ray.nodes", lambda: [{"NodeID": "a", "Alive": True, "Resources": {"CPU": 2.0, "GPU": 1.0}}])


def run(model="resnet18", side=32, seed=0):
    return VictimRun(TrainingPlan(model, 2, seed), "clean", "none", "a", "b", side)


@pytest.mark.parametrize(
    ("model", "side", "share"),
    [
        ("resnet9", 96, 0.25),
        ("resnet18", 32, 0.25),
        ("whitened-resnet18", 64, 0.5),
        ("resnet18", 96, 1.0),  # four took 32 GiB in float32
        ("resnet50", 32, 0.5),
        ("densenet121", 96, 1.0),
        ("resnet18", 128, 0.25),  # a stem that shrinks the images
    ],
)
def test_a_victim_takes_the_part_of_a_gpu_that_it_fits_into(model, side, share):
    assert gpu_share(model, side, 128) == share


def test_without_gpus_none_is_asked_for(node):
    assert Hardware(4, gpu=False).alone(run()) == {"CPU": 2, "GPU": 0}
    assert Hardware(4, gpu=False).together() == {"CPU": 4, "GPU": 0}


def trained(monkeypatch, failures):
    """Trains two victims of which the first fails so often; returns what ended, and what each try had asked for."""
    tries = []

    def start(share, arguments):
        tries.append((arguments[2].plan.seed, share["GPU"]))
        return len(tries) - 1

    def get(number):
        seed, _ = tries[number]
        if seed == 0 and failures:
            raise failures.pop(0)
        return {"seed": seed}

    monkeypatch.setattr(train_victims, "_start", start)
    monkeypatch.setattr("ray.wait", lambda references, timeout: (references[:1], references[1:]))
    monkeypatch.setattr("ray.get", get)
    runs = [run(seed=0), run(seed=1)]
    ended = train_victims._side_by_side(runs, None, lambda run: ("train", "test"), Hardware(1, gpu=True), None)
    return [entry["seed"] for _, entry in ended], tries


FULL = torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")


def test_a_victim_out_of_memory_is_trained_once_more_alone(node, monkeypatch):
    assert trained(monkeypatch, [FULL]) == ([1, 0], [(0, 0.25), (1, 0.25), (0, 1.0)])


@pytest.mark.parametrize("failures", [[FULL, FULL], [RuntimeError("a mistake")]])
def test_other_failures_end_the_run(node, monkeypatch, failures):
    with pytest.raises(RuntimeError, match=str(failures[-1])):
        trained(monkeypatch, failures)
