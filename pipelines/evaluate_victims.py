"""Train victims on clean, control and protected images and say whether the protection holds.

python pipelines/evaluate_victims.py --clean URI --protected URI --test URI --output DIR

Writes results.json and report.html. Exit status: 0 done (whatever the outcome), 2 a mistake in what was asked for.
"""

from ue_ray.cli import run
from ue_ray.distributed.evaluate import EvaluateConfig, evaluate

if __name__ == "__main__":
    run(EvaluateConfig, evaluate, description=__doc__)
