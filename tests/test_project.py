"""The files around the code agree with each other and with what is installed."""

import ast
import fnmatch
import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import ue_ray

ROOT = Path(__file__).resolve().parent.parent
CLUSTER = ROOT / "cluster"
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
REQUIREMENTS = [Requirement(line) for line in PYPROJECT["project"]["dependencies"]]
EXTRAS = {
    extra: [Requirement(line) for line in lines]
    for extra, lines in PYPROJECT["project"]["optional-dependencies"].items()
}


def load_yaml(name: str) -> dict[str, Any]:
    document = yaml.safe_load((CLUSTER / name).read_text())
    assert isinstance(document, dict)
    return document


def dockerfile_ray_version() -> str:
    match = re.search(r"^ARG RAY_VERSION=(\S+)$", (CLUSTER / "Dockerfile").read_text(), flags=re.MULTILINE)
    assert match, "cluster/Dockerfile sets no ARG RAY_VERSION"
    return match.group(1)


def values_of(key: str, node: object) -> list[Any]:
    """Every value that stands under this key, at any depth."""
    if isinstance(node, dict):
        here = [node[key]] if key in node else []
        return here + [found for value in node.values() for found in values_of(key, value)]
    if isinstance(node, list):
        return [found for value in node for found in values_of(key, value)]
    return []


def pod_specs(rayjob: dict[str, Any]) -> list[dict[str, Any]]:
    cluster = rayjob["spec"]["rayClusterSpec"]
    templates = [rayjob["spec"]["submitterPodTemplate"], cluster["headGroupSpec"]["template"]]
    templates += [group["template"] for group in cluster["workerGroupSpecs"]]
    return [template["spec"] for template in templates]


# --- cluster/


def test_ray_version_satisfies_pyproject() -> None:
    (ray,) = [requirement for requirement in REQUIREMENTS if requirement.name == "ray"]
    assert dockerfile_ray_version() in ray.specifier
    assert "default" in ray.extras, "`ray job submit` needs ray[default]"


def test_rayjob_runs_the_ray_of_its_image() -> None:
    rayjob = load_yaml("rayjob-protect.yaml")
    assert (rayjob["apiVersion"], rayjob["kind"]) == ("ray.io/v1", "RayJob")
    assert rayjob["spec"]["rayClusterSpec"]["rayVersion"] == dockerfile_ray_version()


@pytest.mark.parametrize("name", ["rayjob-protect.yaml", "cluster-launcher.yaml"])
def test_every_node_runs_one_image_of_this_version(name: str) -> None:
    images = set(values_of("image", load_yaml(name)))
    assert len(images) == 1, images
    assert images.pop().endswith(f"ue-ray:{ue_ray.__version__}-ray{dockerfile_ray_version()}")


def test_rayjob_ends_and_cleans_up_after_itself() -> None:
    spec = load_yaml("rayjob-protect.yaml")["spec"]
    assert spec["shutdownAfterJobFinishes"] is True
    assert spec["ttlSecondsAfterFinished"] > 0
    assert spec["activeDeadlineSeconds"] > 0


def test_rayjob_runs_a_pipeline_that_exists() -> None:
    entrypoint = load_yaml("rayjob-protect.yaml")["spec"]["entrypoint"].split()
    workdir = re.search(r"^WORKDIR (\S+)$", (CLUSTER / "Dockerfile").read_text(), flags=re.MULTILINE)
    assert workdir
    assert entrypoint[0] == "python"
    assert (ROOT / Path(entrypoint[1]).relative_to(workdir.group(1))).is_file()


def test_rayjob_pods_are_not_root_and_hold_no_secret() -> None:
    rayjob = load_yaml("rayjob-protect.yaml")
    for pod in pod_specs(rayjob):
        assert pod["securityContext"]["runAsNonRoot"] is True
        for container in pod["containers"]:
            assert container["securityContext"]["allowPrivilegeEscalation"] is False
    ray_containers = [container for pod in pod_specs(rayjob)[1:] for container in pod["containers"]]
    assert all("secretRef" in source for container in ray_containers for source in container["envFrom"])
    assert not values_of("env", rayjob), "credentials come from the Secret, not from the file"


def test_rayjob_has_workers_with_and_without_gpu() -> None:
    groups = load_yaml("rayjob-protect.yaml")["spec"]["rayClusterSpec"]["workerGroupSpecs"]
    assert sorted(bool(values_of("nvidia.com/gpu", group)) for group in groups) == [False, True]
    assert all(group["minReplicas"] <= group["replicas"] <= group["maxReplicas"] for group in groups)


def test_cluster_launcher_fits_rays_schema() -> None:
    spec = importlib.util.find_spec("ray")  # finds it without importing it
    assert spec
    assert spec.origin
    launcher = load_yaml("cluster-launcher.yaml")
    schema = json.loads((Path(spec.origin).parent / "autoscaler" / "ray-schema.json").read_text())
    jsonschema.validate(launcher, schema)
    assert launcher["head_node_type"] in launcher["available_node_types"]


# --- pyproject.toml


def test_every_import_is_a_declared_dependency() -> None:
    declared = {canonicalize_name(requirement.name) for requirement in REQUIREMENTS + EXTRAS["demo"]}
    known = {*sys.stdlib_module_names, "ue_ray", "__future__"}
    distributions = packages_distributions()
    undeclared = set()
    for path in [*(ROOT / "ue_ray").rglob("*.py"), *(ROOT / "pipelines").rglob("*.py")]:
        for node in ast.walk(ast.parse(path.read_text(), filename=str(path))):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom) and node.module and not node.level:
                names = [node.module]
            for top in {name.split(".")[0] for name in names} - known:
                if not declared & {canonicalize_name(name) for name in distributions.get(top, [top])}:
                    undeclared.add(f"{top} ({path.relative_to(ROOT)})")
    assert not undeclared, f"imported, but not among pyproject's dependencies: {sorted(undeclared)}"


def test_every_data_file_of_the_package_is_packaged() -> None:
    patterns = PYPROJECT["tool"]["setuptools"]["package-data"]["*"]
    data = [path for path in (ROOT / "ue_ray").rglob("*") if path.is_file() and path.suffix not in {".py", ".pyc"}]
    left_out = [path for path in data if not any(fnmatch.fnmatch(path.name, pattern) for pattern in patterns)]
    assert not left_out, f"add their pattern to [tool.setuptools.package-data]: {left_out}"


def test_every_folder_with_code_is_a_package() -> None:
    """setuptools leaves out a folder without __init__.py, and only an installed copy would notice."""
    folders = {path.parent for path in (ROOT / "ue_ray").rglob("*.py")}
    assert not [folder for folder in folders if not (folder / "__init__.py").is_file()]


# --- Makefile, README, CHANGELOG, .ci/run


def make_targets() -> set[str]:
    return set(re.findall(r"^([a-z][a-z-]*):", (ROOT / "Makefile").read_text(), flags=re.MULTILINE))


@pytest.mark.skipif(shutil.which("make") is None, reason="no make here")
def test_make_alone_lists_every_target() -> None:
    run = subprocess.run(["make"], cwd=ROOT, capture_output=True, text=True, timeout=60, check=True)
    assert set(re.findall(r"^\s*make ([a-z-]+)  ", run.stdout, flags=re.MULTILINE)) == make_targets()


@pytest.mark.parametrize("path", sorted([*ROOT.glob("*.md"), *ROOT.glob("cluster/*.md"), *ROOT.glob("docs/**/*.md")]))
def test_documents_name_only_make_targets_that_exist(path: Path) -> None:
    text = path.read_text()
    code = re.findall(r"^```.*?^```", text, flags=re.MULTILINE | re.DOTALL)
    code += re.findall(r"`[^`\n]+`", re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL))
    named = {
        target for span in code for target in re.findall(r"(?:^|[`$&;]|\| )\s*make ([a-z][a-z-]*)", span, re.MULTILINE)
    }
    assert named <= make_targets(), f"{path.name} names {sorted(named - make_targets())}"


def test_changelog_speaks_of_this_version_or_of_the_next() -> None:
    headings = re.findall(r"^## \[([^\]]+)\]", (ROOT / "CHANGELOG.md").read_text(), flags=re.MULTILINE)
    assert ue_ray.__version__ in headings or "Unreleased" in headings


def test_ci_run_is_executable() -> None:
    assert os.access(ROOT / ".ci" / "run", os.X_OK)
