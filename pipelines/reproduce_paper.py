"""``ue-ray reproduce``, for ``ray job submit -- python pipelines/reproduce_paper.py``."""

import sys

from ue_ray.cli import main

if __name__ == "__main__":
    main(["reproduce", *sys.argv[1:]])
