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
from importlib import import_module
from importlib.metadata import packages_distributions
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import ue_ray
from tests.kuberay import SCHEMAS
from ue_ray.errors import flag, option_names

ROOT = Path(__file__).resolve().parent.parent
CLUSTER = ROOT / "cluster"
JOBS = ["rayjob-evaluate.yaml", "rayjob-protect.yaml"]
KUBERAY = [*JOBS, "raycluster.yaml"]
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


def pod_templates(document: dict[str, Any]) -> list[dict[str, Any]]:
    """Of a RayJob (its submitter first) or a RayCluster."""
    spec = document["spec"]
    cluster = spec.get("rayClusterSpec", spec)
    templates = [spec["submitterPodTemplate"]] if document["kind"] == "RayJob" else []
    templates.append(cluster["headGroupSpec"]["template"])
    return templates + [group["template"] for group in cluster["workerGroupSpecs"]]


def cluster_spec(name: str) -> dict[str, Any]:
    spec = load_yaml(name)["spec"]
    return spec.get("rayClusterSpec", spec)


# --- cluster/


def test_ray_version_satisfies_pyproject() -> None:
    (ray,) = [requirement for requirement in REQUIREMENTS if requirement.name == "ray"]
    assert dockerfile_ray_version() in ray.specifier
    assert "default" in ray.extras, "`ray job submit` needs ray[default]"


@pytest.mark.parametrize("name", [*KUBERAY, "network-policy.yaml", "pod-monitor.yaml"])
def test_kubernetes_files_have_no_unknown_field(name: str) -> None:
    document = load_yaml(name)
    schema = SCHEMAS[document["kind"]]
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.validate(document, schema)


@pytest.mark.parametrize("wrong", ["spec.rayversion", "spec.authOptions.token", "spec.headGroupSpec.template.spec.env"])
def test_a_wrong_field_would_be_found(wrong: str) -> None:
    document = load_yaml("raycluster.yaml")
    *way, name = wrong.split(".")
    place = document
    for step in way:
        place = place[step]
    place[name] = "2.60.0"
    with pytest.raises(jsonschema.ValidationError, match=name):
        jsonschema.validate(document, SCHEMAS["RayCluster"])


@pytest.mark.parametrize("name", KUBERAY)
def test_clusters_run_the_ray_of_their_image_and_ask_for_a_token(name: str) -> None:
    assert cluster_spec(name)["rayVersion"] == dockerfile_ray_version()
    assert cluster_spec(name)["authOptions"] == {"mode": "token"}


@pytest.mark.parametrize("name", [*KUBERAY, "cluster-launcher.yaml"])
def test_every_node_runs_one_image_of_this_version(name: str) -> None:
    images = set(values_of("image", load_yaml(name)))
    assert len(images) == 1, images
    assert images.pop().endswith(f"ue-ray:{ue_ray.__version__}-ray{dockerfile_ray_version()}")


@pytest.mark.parametrize("name", JOBS)
def test_rayjobs_end_and_clean_up_after_themselves(name: str) -> None:
    spec = load_yaml(name)["spec"]
    assert spec["shutdownAfterJobFinishes"] is True
    assert spec["ttlSecondsAfterFinished"] > 0
    assert spec["activeDeadlineSeconds"] > 0


@pytest.mark.parametrize("name", JOBS)
def test_rayjobs_run_a_pipeline_that_exists_with_options_it_has(name: str) -> None:
    python, script, *arguments = load_yaml(name)["spec"]["entrypoint"].split()
    workdir = re.search(r"^WORKDIR (\S+)$", (CLUSTER / "Dockerfile").read_text(), flags=re.MULTILINE)
    assert workdir
    assert python == "python"
    assert (ROOT / Path(script).relative_to(workdir.group(1))).is_file()
    command = import_module(f"ue_ray.cli.{Path(script).stem.partition('_')[0]}").command()
    sections = [name for section in command.sections.values() for name in option_names(section)]
    known = {flag(name) for name in (*command.required, *sections)}
    options = {argument for argument in arguments if argument.startswith("--")}
    assert options
    assert options <= known


@pytest.mark.parametrize("name", KUBERAY)
def test_pods_are_not_root_and_hold_no_secret(name: str) -> None:
    document = load_yaml(name)
    pods = [template["spec"] for template in pod_templates(document)]
    for pod in pods:
        assert pod["securityContext"]["runAsNonRoot"] is True
        for container in pod["containers"]:
            assert container["securityContext"]["allowPrivilegeEscalation"] is False
    ray_containers = [container for pod in pods for container in pod["containers"] if container["name"] != "submitter"]
    assert all("secretRef" in source for container in ray_containers for source in container["envFrom"])
    assert not values_of("env", document), "credentials come from the Secret, not from the file"


@pytest.mark.parametrize("name", KUBERAY)
def test_the_network_policy_covers_every_pod(name: str) -> None:
    policy = load_yaml("network-policy.yaml")["spec"]
    chosen = policy["podSelector"]["matchLabels"]
    assert policy["ingress"][0] == {"from": [{"podSelector": {"matchLabels": chosen}}]}
    for template in pod_templates(load_yaml(name)):
        assert chosen.items() <= template["metadata"]["labels"].items()


@pytest.mark.parametrize("name", KUBERAY)
def test_ray_pods_say_what_disk_they_need_and_serve_metrics(name: str) -> None:
    spec = load_yaml(name)["spec"]
    cluster = spec.get("rayClusterSpec", spec)
    workers = [group["template"]["spec"] for group in cluster["workerGroupSpecs"]]
    monitored = load_yaml("pod-monitor.yaml")["spec"]["podMetricsEndpoints"]
    for pod in [cluster["headGroupSpec"]["template"]["spec"], *workers]:
        (container,) = pod["containers"]
        assert all("ephemeral-storage" in container["resources"][kind] for kind in ("requests", "limits"))
        assert {port["name"]: port["containerPort"] for port in container["ports"]}["metrics"] == 8080
        assert monitored == [{"port": "metrics"}]
    assert all(pod["automountServiceAccountToken"] is False for pod in workers), "only the head talks to Kubernetes"


def test_the_job_asks_for_as_many_workers_as_there_may_be_gpus() -> None:
    spec = load_yaml("rayjob-protect.yaml")["spec"]
    (gpus,) = [group for group in spec["rayClusterSpec"]["workerGroupSpecs"] if group["groupName"] == "gpu-workers"]
    asked = re.search(r"--num-workers (\d+)", spec["entrypoint"])
    assert asked is not None
    assert int(asked[1]) == gpus["maxReplicas"]


@pytest.mark.parametrize("name", KUBERAY)
def test_clusters_have_workers_with_and_without_gpu(name: str) -> None:
    groups = cluster_spec(name)["workerGroupSpecs"]
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
    extras = [requirement for name in ("demo", "imagenet", "mlflow", "wandb") for requirement in EXTRAS[name]]
    declared = {canonicalize_name(requirement.name) for requirement in REQUIREMENTS + extras}
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
    """A pattern is relative to the package that holds the file, which is its nearest folder with an __init__.py."""
    patterns = PYPROJECT["tool"]["setuptools"]["package-data"]["*"]
    data = [path for path in (ROOT / "ue_ray").rglob("*") if path.is_file() and path.suffix not in {".py", ".pyc"}]
    assert data
    left_out = []
    for path in data:
        package = next(folder for folder in path.parents if (folder / "__init__.py").is_file())
        if not any(fnmatch.fnmatch(path.relative_to(package).as_posix(), pattern) for pattern in patterns):
            left_out.append(path)
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


@pytest.mark.parametrize("folder", ["benchmarks", "benchmarks/reliability", "examples", "pipelines"])
def test_no_script_stands_in_for_a_module_of_the_standard_library(folder: str) -> None:
    """Python looks beside a script first: a ``collections.py`` there would be everybody's ``collections``."""
    assert {path.stem for path in (ROOT / folder).glob("*.py")}.isdisjoint(sys.stdlib_module_names)
