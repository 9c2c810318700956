"""Small committed outputs for tests, made without Ray: random images, random noise, in any format."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from ue_ray.images.codec import encode
from ue_ray.noise.artifact import NoiseArtifact
from ue_ray.noise.budget import Budget
from ue_ray.noise.config import NoiseConfig
from ue_ray.noise.methods import noise_config
from ue_ray.storage.filesystem import join
from ue_ray.storage.inputs.open_source import open_source
from ue_ray.storage.inputs.samples import Rejected, decode_rows
from ue_ray.storage.outputs.output import Output
from ue_ray.storage.outputs.shards import ShardWriter, plan_shards

BUDGET = Budget(8 / 255)


def make_photos(root: Path, images: int = 12) -> Path:
    """Two people: ``images`` small photos, one file that is no image and one in no class."""
    rng = np.random.default_rng(0)
    for number in range(images):
        place = root / ("ada", "Bob")[number % 2] / f"{number}.png"
        place.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (8 + number % 3, 10, 3), dtype=np.uint8)).save(place)
    (root / "ada" / "notes.txt").write_text("no image")
    (root / "stray.png").write_bytes((root / "ada" / "0.png").read_bytes())
    return root


def make_pictures(root: Path, classes: int = 2, each: int = 10, seed: int = 0) -> Path:
    """Images of 16x16, as networks can see them, in which there is nothing to learn."""
    rng = np.random.default_rng(seed)
    for number in range(classes * each):
        place = root / f"class {number % classes}" / f"{number}.png"
        place.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (16, 16, 3), dtype=np.uint8)).save(place)
    return root


def make_output(photos: Path, uri: str, format: str = "parquet", level: int = 8, rows: int = 5) -> Output:
    """``photos`` with every pixel moved by up to ``level`` levels, in shards of ``rows``, committed."""
    source = open_source(str(photos))
    listing = source.list()
    output = Output(uri)
    output.begin("refuse", {})
    config = _noise_config(listing.class_names)
    NoiseArtifact(config).save(join(uri, "noise"))
    rng = np.random.default_rng(1)
    records = []
    for index, (start, stop) in enumerate(plan_shards(listing.nbytes(), max_rows=rows)):
        with ShardWriter(uri, index, listing.class_names, format) as writer:
            for row in decode_rows(source, listing.table.slice(start, stop - start)):
                if isinstance(row, Rejected):
                    writer.add_rejected(row.sample_id, row.key, row.reason)
                    continue
                moved = row.image + rng.choice(np.array([-level, level], np.int16), row.image.shape)
                image = encode(moved.clip(0, 255).astype(np.uint8))
                writer.add_protected(row.sample_id, image, row.key, row.label)
        records.append(writer.close())
    extra = {
        "config": {},
        "noise": config.to_json(),
        "artifact": {"card_sha256": NoiseArtifact.load(join(uri, "noise")).digest},
        "listing_fingerprint": listing.fingerprint(),
        "class_names": listing.class_names,
    }
    output.commit(len(listing), records, extra)
    return output


def _noise_config(class_names: list[str]) -> NoiseConfig:
    return noise_config({"method": "random", "epsilon": BUDGET.epsilon}, class_names, images=12, side=8)
