"""docs/rayjob.yaml, the KubeRay manifest, is of its schema and hangs together."""

import re
from typing import Any

import yaml
from documents import unknown
from places import REPOSITORY

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
