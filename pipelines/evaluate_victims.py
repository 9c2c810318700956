"""``ue-ray evaluate``, for ``ray job submit -- python pipelines/evaluate_victims.py``."""

import sys

from ue_ray.cli import main

if __name__ == "__main__":
    main(["evaluate", *sys.argv[1:]])
