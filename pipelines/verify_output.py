"""Verify an output: python pipelines/verify_output.py --output URI [--input URI]

Reads everything again: sizes, SHA-256, counts, ids, images; with --input also each image's change beside the budget.
One line a fault, then a summary. Exit status: 0 no fault, 1 faults or not verified, 2 a mistake in what was asked for.
"""

from ue_ray.cli import run
from ue_ray.distributed.verify import VerifyConfig, verify

if __name__ == "__main__":
    run(VerifyConfig, verify, description=__doc__, unfinished="the output was not verified")
