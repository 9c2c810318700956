"""Load a protected output as a PyTorch dataset, and train on it.

python examples/train_on_the_result.py [OUTPUT]
"""

import sys
import tempfile

import torch
from torch import nn
from torch.utils.data import DataLoader

import ue_ray

if len(sys.argv) == 2:
    output = sys.argv[1]
else:
    output = f"{tempfile.mkdtemp()}/digits"
    ue_ray.protect("mnist5k", output, method="random", epsilon="16/255")

images = ue_ray.load_protected(output, transform=lambda image: image.float() / 255)
side = images[0][0].shape[-1]
network = nn.Sequential(nn.Flatten(), nn.Linear(3 * side * side, 64), nn.ReLU(), nn.Linear(64, len(images.class_names)))
optimizer = torch.optim.Adam(network.parameters(), lr=1e-3)
generator = torch.Generator().manual_seed(0)
losses = []
for batch, labels in DataLoader(images, batch_size=100, shuffle=True, generator=generator):
    loss = nn.functional.cross_entropy(network(batch), labels)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    losses.append(float(loss))
assert losses[-1] < losses[0], "it learns the images that it was given"
print(f"{len(images)} images in {len(images.class_names)} classes, loss {losses[0]:.2f} -> {losses[-1]:.2f}")
