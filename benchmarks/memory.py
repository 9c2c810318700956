"""The largest resident memory of each kind of process while a command runs: the driver, and what Ray starts below it.

    python benchmarks/memory.py --output benchmarks/results/memory.json -- \
        pipelines/protect_dataset.py --input train.parquet --output out/memory

Looks ten times a second (Linux). Shared pages count in each process that has them.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

from benchmarks.processes import Watch
from ue_ray.learning.machine import machine, versions


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output")
    parser.add_argument("command", nargs="+")
    options = parser.parse_args()
    driver = subprocess.Popen([sys.executable, *options.command])
    with Watch(driver.pid) as watch:
        driver.wait()
    peaks = watch.peaks_mib()
    for name, mebibytes in peaks.items():
        print(f"{mebibytes:6} MiB  {name}")
    if options.output:
        result = {"command": options.command, "machine": machine(), "versions": versions(), "peak_mib": peaks}
        Path(options.output).write_text(json.dumps(result, indent=2) + "\n")
    sys.exit(driver.returncode)


if __name__ == "__main__":
    main()
