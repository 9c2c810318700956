"""``ue-ray verify``, for ``ray job submit -- python pipelines/verify_output.py``."""

import sys

from ue_ray.cli import main

if __name__ == "__main__":
    main(["verify", *sys.argv[1:]])
