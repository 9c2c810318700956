"""The largest resident memory of each kind of process while a command runs: the driver, and what Ray starts below it.

    python benchmarks/memory.py --output benchmarks/results/memory.json -- \
        pipelines/protect_dataset.py --input train.parquet --output out/memory

Reads /proc ten times a second (Linux). Shared pages count in each process that has them.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

from ue_ray.machine import machine, versions


def processes() -> dict[int, tuple[int, str, int]]:
    """pid -> (parent, name, resident bytes)."""
    found = {}
    for place in Path("/proc").glob("[0-9]*"):
        try:
            status = (place / "status").read_text()
            title = (place / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
        except OSError:
            continue  # it has just ended
        fields = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
        if "VmRSS" in fields:
            found[int(place.name)] = (int(fields["PPid"]), title, 1024 * int(fields["VmRSS"].split()[0]))
    return found


def kind(title: str) -> str:
    if title.startswith("ray::"):
        return re.split(r"[ .(]", title)[0]
    return Path(title.split(" ")[0]).name


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output")
    parser.add_argument("command", nargs="+")
    options = parser.parse_args()
    driver = subprocess.Popen([sys.executable, *options.command])
    peaks: dict[str, int] = {}
    while driver.poll() is None:
        found = processes()
        family = {driver.pid}
        for _ in range(6):
            family |= {pid for pid, (parent, _, _) in found.items() if parent in family}
        for pid in family & found.keys():
            _, title, resident = found[pid]
            name = "driver" if pid == driver.pid else kind(title)
            peaks[name] = max(peaks.get(name, 0), resident)
        time.sleep(0.1)
    rows = {name: round(peak / 2**20) for name, peak in sorted(peaks.items(), key=lambda entry: -entry[1])}
    for name, mebibytes in rows.items():
        print(f"{mebibytes:6} MiB  {name}")
    if options.output:
        result = {"command": options.command, "machine": machine(), "versions": versions(), "peak_mib": rows}
        Path(options.output).write_text(json.dumps(result, indent=2) + "\n")
    sys.exit(driver.returncode)


if __name__ == "__main__":
    main()
