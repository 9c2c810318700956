import math
import os

import pytest

from ue_ray.learning.machine import free_memory, usable_cpus

ALL = os.cpu_count() or 1


@pytest.mark.parametrize(
    ("files", "cpus"),
    [
        ({}, math.inf),
        ({"cpu.max": "max 100000\n"}, math.inf),
        ({"cpu.max": "50000 100000\n"}, 0.5),
        ({"cpu/cpu.cfs_quota_us": "-1\n", "cpu/cpu.cfs_period_us": "100000\n"}, math.inf),
        ({"cpu/cpu.cfs_quota_us": "75000\n", "cpu/cpu.cfs_period_us": "100000\n"}, 0.75),
    ],
)
def test_a_containers_quota_bounds_the_cpus(tmp_path, files, cpus):
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    found = usable_cpus(tmp_path)
    assert found == cpus if cpus < 1 else 1 <= found <= ALL


GIB = 1 << 30


@pytest.mark.parametrize(
    ("files", "free"),
    [
        ({}, 8 * GIB),
        ({"memory.max": "max\n", "memory.current": f"{GIB}\n", "memory.stat": ""}, 8 * GIB),
        ({"memory.max": f"{4 * GIB}\n", "memory.current": f"{3 * GIB}\n", "memory.stat": "anon 7\n"}, GIB),
        (
            {
                "memory.max": f"{4 * GIB}\n",
                "memory.current": f"{3 * GIB}\n",
                "memory.stat": f"anon 7\ninactive_file {GIB}\n",
            },
            2 * GIB,
        ),
        (
            {
                "memory/memory.limit_in_bytes": "9223372036854771712\n",  # none
                "memory/memory.usage_in_bytes": f"{GIB}\n",
                "memory/memory.stat": "inactive_file 0\n",
            },
            8 * GIB,
        ),
    ],
)
def test_a_containers_limit_bounds_the_free_memory(tmp_path, files, free):
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    (tmp_path / "meminfo").write_text(f"MemTotal: {16 << 20} kB\nMemAvailable:   {8 << 20} kB\n")
    assert free_memory(tmp_path, tmp_path / "meminfo") == free
    assert 0 < free_memory() < os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
