"""Who may import what: only ue_ray/distributed/ knows Ray, and ue_ray/storage/ knows neither Ray nor torch."""

import ast
import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "ue_ray"


def module_name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def modules_in(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*.py") if path.name != "__main__.py")


RAY_FREE = [path for path in modules_in(PACKAGE) if PACKAGE / "distributed" not in path.parents]


def import_in_fresh_python(modules: list[str], blocked: str | None = None) -> dict[str, list[str]]:
    """Import the modules in a new interpreter: which failed, and which of torch and ray came in."""
    code = f"""
import importlib, json, sys, traceback
blocked = {blocked!r}
if blocked:
    sys.modules[blocked] = None  # any `import blocked` now raises ModuleNotFoundError
failures = []
for name in {modules!r}:
    try:
        importlib.import_module(name)
    except BaseException:
        failures.append(name + ": " + traceback.format_exc())
loaded = [name for name in ("torch", "ray", "torch._dynamo") if sys.modules.get(name)]
print(json.dumps({{"failures": failures, "loaded": loaded}}))
"""
    run = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert run.returncode == 0, run.stderr
    result: dict[str, list[str]] = json.loads(run.stdout.splitlines()[-1])
    return result


def test_every_module_outside_distributed_imports_without_ray() -> None:
    result = import_in_fresh_python([module_name(path) for path in RAY_FREE], blocked="ray")
    assert not result["failures"], "\n".join(result["failures"])


def test_no_module_outside_distributed_imports_ray_later() -> None:
    """An import inside a function is an import too."""
    offenders = []
    for path in RAY_FREE:
        for node in ast.walk(ast.parse(path.read_text(), filename=str(path))):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom) and node.module and not node.level:
                names = [node.module]
            offenders += [f"{path.relative_to(ROOT)}:{node.lineno}" for name in names if name.split(".")[0] == "ray"]
    assert not offenders, f"these import ray outside ue_ray/distributed/: {offenders}"


@pytest.mark.skipif(not (PACKAGE / "storage").is_dir(), reason="no ue_ray/storage here")
def test_storage_pulls_in_neither_torch_nor_ray() -> None:
    result = import_in_fresh_python([module_name(path) for path in modules_in(PACKAGE / "storage")])
    assert not result["failures"], "\n".join(result["failures"])
    assert not result["loaded"], f"importing ue_ray.storage also imports {result['loaded']}"


def test_what_lists_and_decodes_starts_without_torch() -> None:
    """Each process that imports torch takes half a gigabyte and two seconds, and Ray starts many."""
    names = [
        "ue_ray.storage.inputs.blocks",
        *(f"ue_ray.distributed.{name}" for name in ("survey", "stream", "boards", "victims.loading")),
    ]
    result = import_in_fresh_python(names)
    assert not result["failures"], "\n".join(result["failures"])
    assert "torch" not in result["loaded"]


def test_no_worker_waits_for_the_compiler_of_torch() -> None:
    """It took a third of each process's start; most never compile anything."""
    started = [PACKAGE / "distributed" / name for name in ("applying/apply.py", "check.py", "victims/train_victim.py")]
    result = import_in_fresh_python([module_name(path) for path in started])
    assert not result["failures"], "\n".join(result["failures"])
    assert "torch._dynamo" not in result["loaded"]
