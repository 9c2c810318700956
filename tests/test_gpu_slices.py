"""The slices of benchmarks/gpu.py: listed without a GPU, known to the page that names them, and without Ray."""

import re
import subprocess
import sys

from benchmarks.gpu import SLICES
from benchmarks.tables import ROOT


def test_all_that_is_left_of_each_slice_is_listed(tmp_path):
    command = [sys.executable, "benchmarks/gpu.py", "--slice", "list", "--data", "nowhere", "--output", str(tmp_path)]
    said = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.splitlines()
    assert [line.split()[0] for line in said] == list(SLICES)
    assert all(re.match(r"\S+ +[1-9]\d* left +\w", line) for line in said)


def test_the_page_of_benchmarks_has_the_slices_in_their_order():
    text = (ROOT / "benchmarks" / "README.md").read_text()
    table = text[text.index("| slice, in the order of value |") :].split("\n\n")[0]
    assert re.findall(r"^\| `([\w-]+)` \|", table, re.MULTILINE) == list(SLICES)


def test_no_ray_is_imported():
    code = "import sys; sys.modules['ray'] = None; import benchmarks.gpu"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True).stderr == ""
