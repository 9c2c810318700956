"""Protect a collection of images: python pipelines/protect_dataset.py --input URI --output URI

Every input image ends as protected (OUTPUT/data) or rejected with a reason (OUTPUT/rejected). Trust an output only when
it holds _SUCCESS. Exit status: 0 done, 2 a mistake in what was asked for, 1 anything else.
"""

from ue_ray.cli import run
from ue_ray.distributed.protect import ProtectConfig, protect

if __name__ == "__main__":
    run(ProtectConfig, protect, description=__doc__)
