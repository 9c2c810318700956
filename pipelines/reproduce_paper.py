"""Reproduce an experiment of the paper and hold the outcome against what it says.

python pipelines/reproduce_paper.py --experiment noise-types --output DIR

Writes DIR/EXPERIMENT/results.json, report.md and report.html. Exit status: 0 the paper's orderings show, 1 one of them
does not, 2 a mistake in what was asked for.
"""

from ue_ray.cli import run
from ue_ray.distributed.reproduce import ReproduceConfig, reproduce

if __name__ == "__main__":
    run(ReproduceConfig, reproduce, description=__doc__, unfinished="the experiment is not finished")
