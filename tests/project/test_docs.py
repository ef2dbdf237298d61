"""What the documents tell people to type exists; the KubeRay manifest hangs together."""

import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import typer.main
import yaml
from places import REPOSITORY

from nas.cli import app

DOCUMENTS = [REPOSITORY / "README.md", *sorted((REPOSITORY / "docs").glob("*.md"))]
COMMANDS = typer.main.get_command(app).commands  # type: ignore[attr-defined]


def typed(text: str) -> list[str]:
    """The `nas` commands of indented blocks, lines that go on joined."""
    lines = re.sub(r"\\\n\s*", " ", text).splitlines()
    found = [line for line in lines if re.match(r" {4,}.*\bnas [a-z]+", line) and ">>>" not in line]
    return [re.split(r"\s{2,}|\s#", re.sub(r"^.*?\bnas ", "nas ", line.strip()))[0] for line in found]


def unknown(command: str) -> list[str]:
    """Words of a command that nas does not know."""
    words = [word for word in shlex.split(command.replace("…", "")) if word]
    name, rest = words[1], words[2:]
    if name not in COMMANDS:
        return [name]
    options = {option for parameter in COMMANDS[name].params for option in parameter.opts}
    return [word for word in rest if re.match(r"--?[a-z]", word) and word.split("=")[0] not in options]


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_commands_that_documents_name_exist(document: Path) -> None:
    commands = typed(document.read_text())
    assert commands or document.name != "README.md"
    assert {command: unknown(command) for command in commands if unknown(command)} == {}


def test_a_wrong_option_would_be_noticed() -> None:
    (command,) = typed("text\n\n    nas search a.yaml --wrokers 2   # no such\n")
    assert unknown(command) == ["--wrokers"]
    assert unknown("nas serach a.yaml") == ["serach"]


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_links_to_files_of_the_repository_lead_somewhere(document: Path) -> None:
    links = re.findall(r"\]\((?!https?:)([^)#]+)", document.read_text())
    assert [link for link in links if not (document.parent / link).exists()] == []


# What KubeRay's v1 API knows (ray-operator/apis/ray/v1, Kubernetes' core/v1; Nov 2026): of each object the
# fields that are needed, and of all others those that are used here. A server refuses unknown ones.
SCHEMA: dict[str, tuple[set[str], dict[str, Any]]] = {
    "RayJob": (
        {"apiVersion", "kind", "metadata", "spec"},
        {"apiVersion": str, "kind": str, "metadata": dict, "spec": "RayJobSpec"},
    ),
    "RayJobSpec": (
        set(),
        {"entrypoint": str, "shutdownAfterJobFinishes": bool, "rayClusterSpec": "RayClusterSpec"},
    ),
    "RayClusterSpec": (
        {"headGroupSpec"},
        {"rayVersion": str, "headGroupSpec": "HeadGroupSpec", "workerGroupSpecs": ["WorkerGroupSpec"]},
    ),
    "HeadGroupSpec": (
        {"template", "rayStartParams"},
        {"template": "PodTemplate", "rayStartParams": {str: str}},
    ),
    "WorkerGroupSpec": (
        {"groupName", "minReplicas", "maxReplicas", "rayStartParams", "template"},
        {
            "groupName": str, "replicas": int, "minReplicas": int, "maxReplicas": int,
            "rayStartParams": {str: str}, "template": "PodTemplate",
        },
    ),
    "PodTemplate": (set(), {"spec": "PodSpec"}),
    "PodSpec": ({"containers"}, {"containers": ["Container"], "volumes": ["Volume"]}),
    "Container": (
        {"name"},
        {
            "name": str, "image": str, "env": ["EnvVar"], "resources": "Resources",
            "volumeMounts": ["VolumeMount"],
        },
    ),
    "EnvVar": ({"name"}, {"name": str, "value": str, "valueFrom": "EnvVarSource"}),
    "EnvVarSource": (set(), {"secretKeyRef": "SecretKey"}),
    "SecretKey": ({"key"}, {"name": str, "key": str, "optional": bool}),
    "Resources": (set(), {"requests": {str: str}, "limits": {str: str}}),
    "VolumeMount": ({"name", "mountPath"}, {"name": str, "mountPath": str}),
    "Volume": ({"name"}, {"name": str, "persistentVolumeClaim": "Claim", "emptyDir": dict}),
    "Claim": ({"claimName"}, {"claimName": str, "readOnly": bool}),
}  # fmt: skip


def misfits(value: Any, kind: Any, where: str) -> list[str]:
    """What in the value is not as the schema has it."""
    if isinstance(kind, list):
        items = value if isinstance(value, list) else [None]
        return [each for i, item in enumerate(items) for each in misfits(item, kind[0], f"{where}[{i}]")]
    if isinstance(kind, dict):
        is_one = isinstance(value, dict) and all(isinstance(x, str) for pair in value.items() for x in pair)
        return [] if is_one else [where]
    if not isinstance(kind, str):
        return [] if type(value) is kind else [where]
    needed, fields = SCHEMA[kind]
    if not isinstance(value, dict):
        return [where]
    odd = [f"{where}.{name}" for name in sorted((needed - value.keys()) | (value.keys() - fields.keys()))]
    inside = [misfits(value[name], fields[name], f"{where}.{name}") for name in value.keys() & fields.keys()]
    return odd + [each for found in inside for each in found]


def test_the_kuberay_manifest_is_of_its_schema() -> None:
    manifest: dict[str, Any] = yaml.safe_load((REPOSITORY / "docs" / "rayjob.yaml").read_text())
    assert misfits(manifest, "RayJob", "") == []
    group = manifest["spec"]["rayClusterSpec"]["workerGroupSpecs"][0]
    group["maxReplica"], group["minReplicas"] = group.pop("maxReplicas"), "1"
    at = ".spec.rayClusterSpec.workerGroupSpecs[0]."
    assert sorted(misfits(manifest, "RayJob", "")) == [
        f"{at}maxReplica", f"{at}maxReplicas", f"{at}minReplicas"
    ]  # fmt: skip


def test_the_kuberay_manifest_hangs_together() -> None:
    manifest: dict[str, Any] = yaml.safe_load((REPOSITORY / "docs" / "rayjob.yaml").read_text())
    assert (manifest["apiVersion"], manifest["kind"]) == ("ray.io/v1", "RayJob")
    entrypoint = manifest["spec"]["entrypoint"]
    assert unknown(entrypoint) == []
    assert "--ray-address auto" in entrypoint
    cluster = manifest["spec"]["rayClusterSpec"]
    assert cluster["headGroupSpec"]["rayStartParams"]["num-cpus"] == "0"
    (group,) = cluster["workerGroupSpecs"]
    assert group["minReplicas"] <= group["replicas"] <= group["maxReplicas"]
    for template in (cluster["headGroupSpec"]["template"], group["template"]):
        (container,) = template["spec"]["containers"]
        volumes = {volume["name"] for volume in template["spec"]["volumes"]}
        assert {mount["name"] for mount in container["volumeMounts"]} == volumes
        assert {"name": "RAY_AUTH_MODE", "value": "token"} in container["env"]
    paths = re.findall(r"/shared/\S+", entrypoint)
    assert len(paths) == 3
    assert group["template"]["spec"]["containers"][0]["resources"]["limits"]["nvidia.com/gpu"] == "1"
