"""``ue-ray protect``, for ``ray job submit -- python pipelines/protect_dataset.py``."""

import sys

from ue_ray.cli import main

if __name__ == "__main__":
    main(["protect", *sys.argv[1:]])
